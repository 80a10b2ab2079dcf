//! The floor: what a bare UDP echo costs on this machine, measured in the same run, so that the costs of a server can be
//! given as multiples of it and compared between machines.
//!
//! One receive and one send per datagram, 64 datagrams in flight, nothing else.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::usage::thread_cpu;

/// Datagrams in flight.
const IN_FLIGHT: usize = 64;
/// Size of the datagrams: that of a short CoAP message.
const DATAGRAM: [u8; 48] = [0x42; 48];
/// After so long without a datagram, those in flight count as lost.
const PATIENCE: Duration = Duration::from_millis(50);

/// The measured echo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Echo {
    /// CPU time per echoed datagram in microseconds.
    pub cpu_us_per_datagram: f64,
    /// Echoed datagrams per second.
    pub datagrams_per_s: f64,
}

/// Measures for `duration`. None if the kernel does not count the CPU time of a thread.
pub fn measure(duration: Duration) -> io::Result<Option<Echo>> {
    let echo = UdpSocket::bind("127.0.0.1:0")?;
    let driver = UdpSocket::bind("127.0.0.1:0")?;
    driver.connect(echo.local_addr()?)?;
    driver.set_read_timeout(Some(PATIENCE))?;
    echo.set_read_timeout(Some(PATIENCE))?;
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let (echoed, cpu) = thread::scope(|scope| {
        let echoing = scope.spawn(|| echo_until(&echo, &over));
        drive(&driver, started, duration);
        over.store(true, Ordering::Relaxed);
        echoing.join().expect("the echo does not panic")
    });
    let elapsed = started.elapsed().as_secs_f64();
    Ok(cpu.filter(|_| echoed > 0).map(|cpu| Echo {
        cpu_us_per_datagram: cpu.as_secs_f64() * 1e6 / echoed as f64,
        datagrams_per_s: echoed as f64 / elapsed,
    }))
}

fn echo_until(socket: &UdpSocket, over: &AtomicBool) -> (u64, Option<Duration>) {
    let before = thread_cpu();
    let mut echoed = 0;
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if socket.send_to(&buffer[..length], from).is_ok() {
            echoed += 1;
        }
    }
    let cpu = thread_cpu()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before));
    (echoed, cpu)
}

/// Keeps the datagrams in flight: each one that comes back is sent again.
fn drive(socket: &UdpSocket, started: Instant, duration: Duration) {
    let mut buffer = [0; 2048];
    let fill = || (0..IN_FLIGHT).all(|_| socket.send(&DATAGRAM).is_ok());
    fill();
    while started.elapsed() < duration {
        match socket.recv(&mut buffer) {
            Ok(length) => drop(socket.send(&buffer[..length])),
            Err(_) => drop(fill()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_costs_something_and_not_more_than_all_the_time() {
        let echo = measure(Duration::from_millis(60))
            .unwrap()
            .expect("Linux counts threads");
        assert!(echo.datagrams_per_s > 100.0, "{echo:?}");
        assert!(echo.cpu_us_per_datagram > 0.0, "{echo:?}");
        assert!(
            echo.cpu_us_per_datagram * echo.datagrams_per_s < 1.3e6,
            "{echo:?}"
        );
    }
}
