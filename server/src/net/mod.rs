//! The real world around an [`Instance`]: one thread, one UDP socket, two broker connections, one clock.
//!
//! Each wake-up feeds the state machine with all that is there, then carries out what it wants: calls of one wake-up
//! leave in one write, datagrams one by one.

mod broker;
mod clock;
mod socket;

pub use broker::{ConnectError, check_store};
pub use clock::boot_time;

use crate::instance::{Input, Instance, Output};
use crate::member::Member;
use broker::{Broker, Happening};
use socket::Socket;
use std::time::Duration;

/// Why an instance ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can't take part in this cluster.
    #[error("{0}")]
    Refused(String),
    /// The socket broke.
    #[error("the CoAP socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// How many things of one kind one wake-up handles before it looks at the others.
const BATCH: usize = 256;

/// Runs the instance until it has left (`stop` resolves) or can't go on. `ready` is told each time that it has become
/// a member that hears.
pub async fn run(
    mut instance: Instance,
    socket: std::net::UdpSocket,
    client: redis::Client,
    stop: impl Future<Output = ()>,
    mut ready: impl FnMut(&Member),
) -> Result<(), RunError> {
    let mut socket = Socket::new(socket)?;
    let mut broker = Broker::new(client, instance.config().planted);
    let mut stop = std::pin::pin!(stop);
    let mut stopping = false;
    loop {
        let sleep = instance
            .next_deadline()
            .map_or(Duration::from_secs(3600), |at| at - boot_time());
        tokio::select! {
            biased;
            () = &mut stop, if !stopping => {
                stopping = true;
                instance.handle(boot_time(), Input::Shutdown);
            }
            happening = broker.next() => take_happening(&mut instance, happening),
            result = socket.readable() => result?,
            () = tokio::time::sleep(sleep) => instance.handle(boot_time(), Input::Timeout),
        }
        if carry_out(&mut instance, &mut socket, &mut broker, &mut ready)? {
            return Ok(());
        }
        for _ in 0..BATCH {
            let Some(happening) = broker.take_ready() else {
                break;
            };
            take_happening(&mut instance, happening);
            if carry_out(&mut instance, &mut socket, &mut broker, &mut ready)? {
                return Ok(());
            }
        }
        for _ in 0..BATCH / socket::BATCH {
            let Some(count) = socket.receive()? else { break };
            for n in 0..count {
                let (from, data) = socket.datagram(n);
                instance.handle(boot_time(), Input::Datagram { from, data });
                if carry_out(&mut instance, &mut socket, &mut broker, &mut ready)? {
                    return Ok(());
                }
                if socket.was_drained() {
                    break;
                }
            }
        }
        broker.flush();
    }
}

fn take_happening(instance: &mut Instance, happening: Happening) {
    let now = boot_time();
    match happening {
        Happening::CommandConnected => instance.handle(now, Input::CommandConnected),
        Happening::CommandLost => instance.handle(now, Input::CommandLost),
        Happening::SubscriberConnected => instance.handle(now, Input::SubscriberConnected),
        Happening::SubscriberLost => instance.handle(now, Input::SubscriberLost),
        Happening::Message(message) => {
            let input = Input::Message {
                channel: message.get_channel_name(),
                payload: message.get_payload_bytes(),
            };
            instance.handle(now, input);
        }
        Happening::Reply(call, Ok(reply)) => instance.handle(now, Input::Reply { call, reply }),
        Happening::Reply(call, Err(error)) => {
            instance.handle(now, Input::Refused { call, error: &error });
        }
    }
}

/// Carries out what the instance wants; true if it has left.
fn carry_out(
    instance: &mut Instance,
    socket: &mut Socket,
    broker: &mut Broker,
    ready: &mut impl FnMut(&Member),
) -> Result<bool, RunError> {
    while let Some(output) = instance.poll_output() {
        match output {
            Output::Datagram { to, data } => {
                if instance.may_send(boot_time()) {
                    socket.send(to, &data);
                }
            }
            Output::Call(call) => broker.call(&call),
            Output::Subscribe(channels) => broker.subscribe(channels),
            Output::Reset => {
                // What waits there was meant for a member that is no more.
                socket.drain()?;
                broker.reset();
            }
            Output::Ready(member) => ready(&member),
            Output::Left => return Ok(true),
            Output::Fatal(message) => return Err(RunError::Refused(message)),
        }
    }
    Ok(false)
}
