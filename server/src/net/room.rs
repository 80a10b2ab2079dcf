//! The kernel's room for datagrams that wait while the process is at something else: how much of it there is, and what was
//! dropped because it was full.

use lwm2m::time::Time;
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Some ten thousand short datagrams.
const WANTED: usize = 8 << 20;
/// So often the kernel is asked what it dropped.
const INTERVAL: Duration = Duration::from_secs(1);
/// The length of SO_MEMINFO's answer (`linux/sock_diag.h`).
const MEMINFO: usize = 9;

/// Asks for a large receive buffer, and says so if the kernel grants less.
pub fn make_room(socket: &std::net::UdpSocket) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(WANTED)?;
    // Linux reserves twice what it was asked for, and answers so (socket(7)).
    let granted = socket.recv_buffer_size()? / 2;
    if granted < WANTED {
        tracing::info!(
            granted,
            wanted = WANTED,
            "the kernel keeps fewer bytes of datagrams that wait than it was asked to; sysctl net.core.rmem_max allows more"
        );
    }
    Ok(())
}

/// What the kernel has dropped, as far as it was said.
#[derive(Debug, Default)]
pub struct Drops {
    said: u32,
    look_at: Time,
}

impl Drops {
    /// Says, about once a second, how many datagrams the kernel has dropped since the last time.
    pub fn look(&mut self, now: Time, socket: &impl AsFd) -> io::Result<()> {
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + INTERVAL;
        let in_all = dropped(socket)?;
        let new = in_all.wrapping_sub(std::mem::replace(&mut self.said, in_all));
        if new > 0 {
            tracing::warn!(
                new,
                in_all,
                "the kernel dropped datagrams of devices that were not read in time; CoAP repeats them"
            );
        }
        Ok(())
    }
}

/// Datagrams that the kernel has dropped since the socket exists, because its buffer was full.
fn dropped(socket: &impl AsFd) -> io::Result<u32> {
    let mut memory = [0u32; MEMINFO];
    let mut length = size_of_val(&memory) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the borrow of `socket`; the call writes at most `length` bytes into
    // `memory`, which has as many, and keeps no reference to either.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            memory.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if result == 0 {
        Ok(memory[libc::SK_MEMINFO_DROPS as usize])
    } else {
        Err(io::Error::last_os_error())
    }
}
