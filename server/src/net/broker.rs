//! The two connections to the broker, with sockets: everything that is decided is the [`Link`]'s.

use super::clock::boot_time;
use super::wire::{Address, Wire};
use crate::instance::Config;
use crate::link::resp::Read;
use crate::link::{Event, Link, Login, Output, Side};
use crate::store::Call;
use futures_util::future::{BoxFuture, FutureExt};
use lwm2m::time::Time;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisResult};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Pieces that one look at a connection reads at most.
const PIECES: usize = 4;

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, or refuses.
    #[error("no Redis at {url}: {source}; start one there, or name another with -r")]
    Unreachable {
        /// Where it was looked for, without the password.
        url: String,
        /// What the client library says.
        source: redis::RedisError,
    },
    /// The URL asks for what this build can't.
    #[error(
        "no connection to {url} without TLS, which is not built in; expected redis://HOST:PORT or unix:///PATH"
    )]
    Unsupported {
        /// Where.
        url: String,
    },
    /// It forgets keys when it is full.
    #[error(
        "the Redis at {url} has maxmemory-policy {policy}, which throws registrations and tickets away when memory is \
         short; expected noeviction: CONFIG SET maxmemory-policy noeviction"
    )]
    Evicting {
        /// Where.
        url: String,
        /// Its policy.
        policy: String,
    },
}

/// Asks the store at `url` whether it is there and keeps what it is given.
pub async fn check_store(client: &Client) -> Result<(), ConnectError> {
    let url = client.get_connection_info().addr().to_string();
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_response_timeout(Some(Duration::from_secs(5)));
    let connect = client.get_multiplexed_async_connection_with_config(&settings);
    let unreachable = |source| ConnectError::Unreachable {
        url: url.clone(),
        source,
    };
    let mut connection = connect.await.map_err(unreachable)?;
    redis::cmd("PING")
        .query_async::<String>(&mut connection)
        .await
        .map_err(unreachable)?;
    let policy: RedisResult<Vec<String>> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(&mut connection)
        .await;
    match policy.as_deref() {
        Ok([_, policy]) if policy != "noeviction" => Err(ConnectError::Evicting {
            url,
            policy: policy.clone(),
        }),
        Ok([_, _]) => Ok(()),
        _ => {
            tracing::warn!(url, "could not read maxmemory-policy; it has to be noeviction");
            Ok(())
        }
    }
}

enum Transport {
    Closed,
    Opening(BoxFuture<'static, io::Result<Wire>>),
    Open(Box<Wire>),
}

const SIDES: [Side; 2] = [Side::Command, Side::Subscriber];

/// Both connections.
pub struct Broker {
    link: Link,
    address: Address,
    /// In the order of [`SIDES`].
    transports: [Transport; 2],
    /// Whose turn it is to tell of something.
    turn: usize,
}

impl Broker {
    /// Connections to the broker of `client`; the one for calls is wanted at once.
    pub fn new(client: &Client, config: &Config) -> Result<Self, ConnectError> {
        let info = client.get_connection_info();
        let address = Address::of(info).ok_or_else(|| ConnectError::Unsupported {
            url: info.addr().to_string(),
        })?;
        Ok(Broker {
            link: Link::new(boot_time(), login(info), config.lease, config.planted),
            address,
            transports: [Transport::Closed, Transport::Closed],
            turn: 0,
        })
    }

    /// Calls a script, on the one connection for calls.
    pub fn call(&mut self, call: Rc<Call>) {
        self.link.call(boot_time(), call);
    }

    /// Subscribes to `channels` on a new connection.
    pub fn subscribe(&mut self, channels: Vec<String>) {
        self.link.subscribe(boot_time(), channels);
    }

    /// Drops both connections with all that waits in them; the one for calls comes back.
    pub fn reset(&mut self) {
        self.link.reset(boot_time());
        self.carry_out();
    }

    /// When [`Broker::read`] is to be called if nothing happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.link.next_deadline()
    }

    /// Waits until there is something to be read, written or told.
    pub async fn ready(&mut self) {
        if SIDES.into_iter().any(|side| self.link.has_events(side)) {
            // The sockets are looked at meanwhile.
            return tokio::task::yield_now().await;
        }
        poll_fn(|context| self.poll_ready(context)).await;
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for side in SIDES {
            let wanted = self.is_wanted(side);
            let happened = match &mut self.transports[side as usize] {
                Transport::Closed => false,
                Transport::Opening(connecting) => match connecting.poll_unpin(context) {
                    Poll::Pending => false,
                    Poll::Ready(result) => {
                        self.connected(side, result);
                        true
                    }
                },
                Transport::Open(wire) => wire.poll_ready(context, wanted).is_ready(),
            };
            if happened {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    fn is_wanted(&self, side: Side) -> bool {
        side == Side::Command || self.link.wants_messages()
    }

    fn connected(&mut self, side: Side, result: io::Result<Wire>) {
        match result {
            Ok(wire) => {
                self.transports[side as usize] = Transport::Open(Box::new(wire));
                self.link.opened(boot_time(), side);
            }
            Err(error) => self.lost(side, &error),
        }
    }

    fn lost(&mut self, side: Side, error: &io::Error) {
        self.transports[side as usize] = Transport::Closed;
        self.link.lost(boot_time(), side, &error.to_string());
    }

    /// Reads what is there, a bounded part of it.
    pub fn read(&mut self) {
        let now = boot_time();
        for side in SIDES {
            for _ in 0..PIECES {
                if !self.is_wanted(side) || !self.read_piece(now, side) {
                    break;
                }
            }
        }
        self.link.handle_timeout(now);
    }

    /// True if there may be more.
    fn read_piece(&mut self, now: Time, side: Side) -> bool {
        let Transport::Open(wire) = &mut self.transports[side as usize] else {
            return false;
        };
        let link = &mut self.link;
        let result = wire.read(side == Side::Subscriber, |read| match read {
            Read::Answer(answer) => link.answered(now, side, answer),
            Read::Message { channel, payload } => link.heard(now, channel, payload),
        });
        match result {
            Ok(read) => read.is_some(),
            Err(error) => {
                self.lost(side, &error);
                false
            }
        }
    }

    /// What the instance is to be told next; the two connections take turns.
    pub fn next_event(&mut self) -> Option<Event> {
        self.turn = 1 - self.turn;
        let [first, second] = [SIDES[self.turn], SIDES[1 - self.turn]];
        self.link
            .poll_event(first)
            .or_else(|| self.link.poll_event(second))
    }

    /// Does what the link wants: what was called since the last time leaves in one write.
    pub fn flush(&mut self) {
        self.carry_out();
        for side in SIDES {
            if let Transport::Open(wire) = &mut self.transports[side as usize]
                && let Err(error) = wire.write()
            {
                self.lost(side, &error);
                self.carry_out();
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Open(side) => {
                    let connecting = Wire::connect(self.address.clone()).boxed();
                    self.transports[side as usize] = Transport::Opening(connecting);
                }
                Output::Close(side) => self.transports[side as usize] = Transport::Closed,
                Output::Send(side, command) => {
                    if let Transport::Open(wire) = &mut self.transports[side as usize] {
                        wire.say(&command);
                    }
                }
            }
        }
    }
}

fn login(info: &ConnectionInfo) -> Login {
    let settings = info.redis_settings();
    Login {
        user: settings.username().map(str::to_owned),
        password: settings.password().map(str::to_owned),
        database: settings.db(),
    }
}
