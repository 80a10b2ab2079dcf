//! The RESP server: sockets, the clock and the append log around one [`Keyspace`], on one thread.
//!
//! All commands that one read brings are executed together: one write to the append log, then one write of their
//! answers. No answer and no message leaves before what caused it is in the log.

mod broker;
mod connection;
mod request;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::append_log::{AppendLogError, Sync};
use crate::state::Limits;
use broker::Broker;

/// How often expired keys are swept out, and the log is looked after.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_millis(100);
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub limits: Limits,
    /// The directory of the append log; `None` keeps the data in memory only.
    pub append_to: Option<PathBuf>,
    pub sync: Sync,
    /// Connections beyond this are refused.
    pub max_clients: usize,
    /// A client for which more bytes than this are waiting is cut off. (Redis: `client-output-buffer-limit pubsub`)
    pub max_output_bytes: usize,
    /// Bytes of the arguments of one command.
    pub max_command_bytes: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            limits: Limits::default(),
            append_to: None,
            sync: Sync::EverySecond,
            max_clients: 10_000,
            max_output_bytes: 32 << 20,
            max_command_bytes: 1 << 30,
        }
    }
}

/// Why a server ended, or did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for any free one")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start the broker: {0}")]
    Start(io::Error),
    #[error(transparent)]
    AppendLog(#[from] AppendLogError),
}

/// How to run a broker as a process.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    pub server: ServerOptions,
}

/// Runs a broker until SIGTERM or SIGINT. It prints nothing; `announce` gets the address once clients can connect.
///
/// # Errors
/// The address or the append log cannot be used.
pub fn run(options: RunOptions, announce: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
        let address = options.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let bound = listener
            .local_addr()
            .map_err(|source| ServeError::Listen { address, source })?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve_announced(listener, options.server, stop, || announce(bound)).await
    })
}

/// Serves clients until `stop` is ready, then syncs the append log. Belongs on a current-thread runtime.
///
/// # Errors
/// The append log cannot be opened, or not be read again after the disk was full.
pub async fn serve(
    listener: TcpListener,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_announced(listener, options, stop, || {}).await
}

async fn serve_announced(
    listener: TcpListener,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
    announce: impl FnOnce(),
) -> Result<(), ServeError> {
    let broker = Rc::new(RefCell::new(Broker::open(options)?));
    announce();
    let clients = LocalSet::new();
    let result = clients
        .run_until(async {
            tokio::select! {
                () = stop => Ok(()),
                never = accept(&listener, &broker) => never,
                ended = keep_house(&broker) => ended,
                () = keep_synced(&broker) => Ok(()),
            }
        })
        .await;
    // Connections end here, so that nothing is written behind the sync.
    drop(clients);
    result.and(broker.borrow_mut().close())
}

async fn accept(listener: &TcpListener, broker: &Rc<RefCell<Broker>>) -> Result<(), ServeError> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => admit(stream, broker),
            Err(error) => {
                // Out of file descriptors, most likely; trying again at once would only burn the processor.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(HOUSEKEEPING_INTERVAL).await;
            }
        }
    }
}

fn admit(stream: TcpStream, broker: &Rc<RefCell<Broker>>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its small packets waiting");
    }
    match broker.borrow_mut().connect() {
        Some((client, outbox)) => {
            tokio::task::spawn_local(connection::converse(stream, Rc::clone(broker), client, outbox));
        }
        None => {
            // The socket is new, so its buffer has room for one line; if not, closing says enough.
            drop(stream.try_write(b"-ERR max number of clients reached\r\n"));
        }
    }
}

async fn keep_house(broker: &Rc<RefCell<Broker>>) -> Result<(), ServeError> {
    let mut ticks = interval(HOUSEKEEPING_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        broker.borrow_mut().keep_house()?;
    }
}

/// Forces the log to the disk once in a second, on another thread: a slow disk must not hold up the answers.
async fn keep_synced(broker: &Rc<RefCell<Broker>>) {
    let mut ticks = interval(SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(file) = broker.borrow_mut().take_unsynced() else {
            continue;
        };
        match tokio::task::spawn_blocking(move || file.sync_data()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the append log could not be synced to the disk"),
            Err(error) => tracing::error!(%error, "syncing the append log was interrupted"),
        }
    }
}
