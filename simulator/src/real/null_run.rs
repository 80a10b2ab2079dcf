//! The null run: what the harness itself adds to the time of an exchange, measured before the run against an echo that does
//! nothing.
//!
//! The same socket, the same timer and the same simulated network as in the run, in a loop of the same form: a datagram is
//! due, passes the network, is echoed, and passes the network again. What that takes longer than the network's two delays
//! is the harness's own. A ticket waits for as many timers: its own time, and the network in both directions.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lwm2m::time::Time;

use super::alarm::Alarm;
use super::clock::RunClock;
use super::socket::FleetSocket;
use crate::facts::AddedDelay;
use crate::network::{Impairment, Network, Packet};
use crate::seed::{Purpose, generator};

/// Between two datagrams: no multiple of anything else here.
const INTERVAL: Duration = Duration::from_micros(1_730);
/// How many are measured.
const EXCHANGES: u32 = 600;
/// The network's delay in each direction.
const LATENCY: Duration = Duration::from_millis(2);
/// How long the last ones are waited for.
const PATIENCE: Duration = Duration::from_millis(200);
/// Most datagrams under way.
const MAX_IN_FLIGHT: usize = 1000;

/// Measures. None if nothing came back.
pub async fn measure() -> io::Result<Option<AddedDelay>> {
    let echo = UdpSocket::bind("127.0.0.1:0")?;
    let SocketAddr::V4(address) = echo.local_addr()? else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    echo.set_read_timeout(Some(PATIENCE))?;
    let over = AtomicBool::new(false);
    // The echo's thread ends by itself, so that this one need not wait for it while it has a loop to run.
    let over = std::sync::Arc::new(over);
    let echoing = std::sync::Arc::clone(&over);
    let thread = thread::Builder::new().name("echo".to_owned());
    thread.spawn(move || echo_until(&echo, &echoing))?;
    let measured = NullRun::new(FleetSocket::bind(vec![address])?)?
        .run(address)
        .await;
    over.store(true, Ordering::Relaxed);
    Ok(AddedDelay::of(measured?))
}

fn echo_until(socket: &UdpSocket, over: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

struct NullRun {
    clock: RunClock,
    alarm: Alarm,
    socket: FleetSocket,
    uplink: Network<Packet>,
    downlink: Network<Packet>,
    next: u32,
    added_us: Vec<u64>,
}

impl NullRun {
    fn new(socket: FleetSocket) -> io::Result<Self> {
        let impairment = Impairment {
            latency: LATENCY,
            ..Impairment::default()
        };
        let network = |purpose| Network::new(vec![impairment], generator(0, purpose), MAX_IN_FLIGHT);
        Ok(NullRun {
            clock: RunClock::start(),
            alarm: Alarm::new()?,
            socket,
            uplink: network(Purpose::Uplink),
            downlink: network(Purpose::Downlink),
            next: 0,
            added_us: Vec::new(),
        })
    }

    /// What each exchange took longer than the network, in microseconds.
    async fn run(mut self, echo: std::net::SocketAddrV4) -> io::Result<Vec<u64>> {
        let end = due(EXCHANGES) + LATENCY * 2 + PATIENCE;
        while self.added_us.len() < EXCHANGES as usize && self.clock.now() < end {
            self.receive()?;
            let now = self.clock.now();
            while self.next < EXCHANGES && due(self.next) <= now {
                self.uplink.send(now, 0, packet(self.next), 4);
                self.next += 1;
            }
            while let Some(back) = self.downlink.poll(now) {
                self.came_back(now, &back);
            }
            while let Some(out) = self.uplink.poll(now) {
                self.socket.send(out.device, echo, &out.datagram);
            }
            let deadlines = [self.uplink.next_deadline(), self.downlink.next_deadline()];
            let arrival = if self.next < EXCHANGES {
                due(self.next)
            } else {
                end
            };
            let deadline = deadlines.into_iter().flatten().fold(arrival, Time::min);
            tokio::select! {
                biased;
                _ = self.socket.readable() => {}
                rung = self.alarm.wait_until(self.clock.instant(deadline)) => rung?,
            }
            tokio::task::yield_now().await;
        }
        Ok(self.added_us)
    }

    fn receive(&mut self) -> io::Result<()> {
        let (clock, downlink) = (self.clock, &mut self.downlink);
        while self.socket.receive(|received| {
            let packet = Packet {
                device: received.device,
                sender: None,
                datagram: received.datagram.to_vec(),
            };
            downlink.send(clock.now(), 0, packet, received.datagram.len());
        })? {}
        Ok(())
    }

    fn came_back(&mut self, now: Time, packet: &Packet) {
        if let Ok(number) = packet.datagram.as_slice().try_into().map(u32::from_be_bytes) {
            let added = now - (due(number) + LATENCY * 2);
            self.added_us
                .push(u64::try_from(added.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

fn due(number: u32) -> Time {
    Time::ZERO + INTERVAL * (number + 1)
}

/// From a device of its own, as in a run.
fn packet(number: u32) -> Packet {
    let [_, _, high, low] = number.to_be_bytes();
    Packet {
        device: Ipv4Addr::new(127, 99, high, low),
        sender: None,
        datagram: number.to_be_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exchange_with_the_echo_is_measured() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let added = runtime.block_on(measure()).unwrap().expect("the echo answers");
        assert!(
            added.n > 0 && added.p50 <= added.p99 && added.p99 <= added.max,
            "{added:?}"
        );
    }
}
