//! Waits for a moment, to some tens of microseconds: the timers of tokio count whole milliseconds, so each wait would make
//! what is measured up to a millisecond longer. A timer of the kernel (timerfd_create(2)) does not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One wait at a time.
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// Inside of a runtime.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // SAFETY: an open descriptor that is owned by what is registered, which gives it to nobody and never changes it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        let timer = timer.map_err(|error| error.into_parts().1)?;
        Ok(Alarm { timer })
    }

    /// Waits until this moment. A wait that is dropped is over.
    pub async fn wait_until(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            },
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        loop {
            let mut ready = self.timer.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            // Otherwise it rang for a wait that was dropped.
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_rings_at_its_moment_and_not_before_also_after_a_wait_that_was_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let alarm = Alarm::new().unwrap();
            let start = Instant::now();
            tokio::select! {
                biased;
                _ = alarm.wait_until(start + Duration::from_millis(1)) => {}
                () = std::future::ready(()) => {}
            }
            for millis in [3, 5] {
                let moment = start + Duration::from_millis(millis);
                alarm.wait_until(moment).await.unwrap();
                assert!(Instant::now() >= moment);
            }
            alarm.wait_until(start).await.unwrap();
        });
    }
}
