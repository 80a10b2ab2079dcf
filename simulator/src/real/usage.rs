//! What a process used so far, as the kernel counts it in `/proc` (proc(5)). In: a process id. Out: CPU time and memory.

use std::fs;
use std::time::Duration;

/// Clock ticks per second in `/proc/PID/stat`; Linux shows 100 to user space on every architecture (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// A sample of one process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// CPU time, user and system, of all its threads.
    pub cpu: Duration,
    /// Resident memory now.
    pub rss_kib: u64,
    /// The peak of its resident memory.
    pub rss_peak_kib: u64,
}

impl Usage {
    /// Samples a process; none if it is gone.
    pub fn of(pid: u32) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Usage {
            cpu: cpu_time(&stat)?,
            rss_kib: kib(&status, "VmRSS:").unwrap_or(0),
            rss_peak_kib: kib(&status, "VmHWM:").unwrap_or(0),
        })
    }

    /// Samples this process.
    pub fn own() -> Option<Usage> {
        Usage::of(std::process::id())
    }
}

/// Fields 14 and 15 of `stat`; the name in field 2 may hold blanks, so counting starts behind its last parenthesis.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// CPU time of the calling thread alone, in nanoseconds; none if the kernel does not count it.
pub fn thread_cpu() -> Option<Duration> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    schedstat
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_blanks_and_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(3000)));
    }

    #[test]
    fn memory_is_read_in_kib() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(
            (kib(status, "VmRSS:"), kib(status, "VmHWM:")),
            (Some(1024), Some(2048))
        );
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_is_none() {
        assert!(Usage::own().unwrap().rss_peak_kib > 100);
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
