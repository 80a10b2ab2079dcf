//! The real world around an [`Instance`]: one thread, one UDP socket, two broker connections, one clock.
//!
//! Each wake-up feeds the state machine with all that is there, then carries out what it wants: calls of one wake-up
//! leave in one write, datagrams one by one.

mod broker;
mod clock;
mod room;
mod socket;
mod wire;

pub use broker::{ConnectError, check_store};
pub use clock::boot_time;

use crate::instance::{Input, Instance, Output};
use crate::link::Event;
use crate::member::Member;
use broker::Broker;
use socket::Socket;
use std::time::Duration;

/// Why an instance ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It can't take part in this cluster.
    #[error("{0}")]
    Refused(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] ConnectError),
    /// The socket broke.
    #[error("the CoAP socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

/// How many things of one kind one wake-up handles before it looks at the others,
const BATCH: usize = 256;
/// and for how long: on a machine that is busy with other things, 256 of them are a long time, and a renewal may be due.
const TURN: Duration = Duration::from_millis(20);

/// Runs the instance until it has left (`stop` resolves) or can't go on. `ready` is told each time that it has become
/// a member that hears.
pub async fn run(
    instance: Instance,
    socket: std::net::UdpSocket,
    client: redis::Client,
    stop: impl Future<Output = ()>,
    ready: impl FnMut(&Member),
) -> Result<(), RunError> {
    let mut world = World {
        socket: Socket::new(socket)?,
        broker: Broker::new(&client, instance.config())?,
        instance,
        ready,
    };
    let mut stop = std::pin::pin!(stop);
    let mut stopping = false;
    world.broker.flush();
    loop {
        let deadlines = [world.instance.next_deadline(), world.broker.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let sleep = deadline.map_or(Duration::from_secs(3600), |at| at - boot_time());
        tokio::select! {
            biased;
            () = &mut stop, if !stopping => {
                stopping = true;
                if world.handle(Input::Shutdown)? {
                    return Ok(());
                }
            }
            () = world.broker.ready() => {}
            result = world.socket.readable() => result?,
            () = tokio::time::sleep(sleep) => {}
        }
        if world.look_around()? {
            return Ok(());
        }
    }
}

/// The instance and what is around it.
struct World<R> {
    instance: Instance,
    socket: Socket,
    broker: Broker,
    ready: R,
}

impl<R: FnMut(&Member)> World<R> {
    /// Hands over what is there, a bounded part of each kind, and writes what comes of it; true if the instance has left.
    fn look_around(&mut self) -> Result<bool, RunError> {
        self.broker.read();
        let until = boot_time() + TURN;
        for _ in 0..BATCH {
            if boot_time() >= until {
                break;
            }
            let Some(event) = self.broker.next_event() else {
                break;
            };
            if self.tell(event)? {
                return Ok(true);
            }
        }
        if self.read_datagrams()? {
            return Ok(true);
        }
        self.socket.note_drops(boot_time())?;
        let is_due = |at| boot_time() >= at;
        if self.instance.next_deadline().is_some_and(is_due) && self.handle(Input::Timeout)? {
            return Ok(true);
        }
        self.broker.flush();
        Ok(false)
    }

    fn read_datagrams(&mut self) -> Result<bool, RunError> {
        let until = boot_time() + TURN;
        for _ in 0..BATCH / socket::BATCH {
            if boot_time() >= until {
                break;
            }
            let Some(count) = self.socket.receive()? else {
                break;
            };
            for n in 0..count {
                let (from, data) = self.socket.datagram(n);
                self.instance.handle(boot_time(), Input::Datagram { from, data });
                if self.carry_out()? {
                    return Ok(true);
                }
                if self.socket.was_drained() {
                    break;
                }
            }
        }
        Ok(false)
    }

    fn tell(&mut self, event: Event) -> Result<bool, RunError> {
        match event {
            Event::CommandConnected => self.handle(Input::CommandConnected),
            Event::CommandLost => self.handle(Input::CommandLost),
            Event::SubscriberConnected => self.handle(Input::SubscriberConnected),
            Event::SubscriberLost => self.handle(Input::SubscriberLost),
            Event::Message { channel, payload } => self.handle(Input::Message {
                channel: &channel,
                payload: &payload,
            }),
            Event::Answered(call, Ok(reply)) => self.handle(Input::Reply { call: call.id, reply }),
            Event::Answered(call, Err(error)) => self.handle(Input::Refused {
                call: call.id,
                error: &error,
            }),
        }
    }

    fn handle(&mut self, input: Input<'_>) -> Result<bool, RunError> {
        self.instance.handle(boot_time(), input);
        self.carry_out()
    }

    /// Carries out what the instance wants; true if it has left.
    fn carry_out(&mut self) -> Result<bool, RunError> {
        while let Some(output) = self.instance.poll_output() {
            match output {
                Output::Datagram { to, data } => {
                    if self.instance.may_send(boot_time()) {
                        self.socket.send(to, &data);
                    }
                }
                Output::Call(call) => self.broker.call(call),
                Output::Subscribe(channels) => self.broker.subscribe(channels),
                Output::Reset => {
                    // What waits there was meant for a member that is no more.
                    self.socket.drain()?;
                    self.broker.reset();
                }
                Output::Ready(member) => (self.ready)(&member),
                Output::Left => return Ok(true),
                Output::Fatal(message) => return Err(RunError::Refused(message)),
            }
        }
        Ok(false)
    }
}
