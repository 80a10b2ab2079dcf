//! The clock that leases are reckoned on: it goes on while the machine is suspended, and nobody sets it.

use lwm2m::time::Time;

/// CLOCK_BOOTTIME: microseconds since the machine started.
pub fn boot_time() -> Time {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec for the call to fill in, and the call keeps no reference to it.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    assert_eq!(result, 0, "every Linux since 2.6.39 has CLOCK_BOOTTIME");
    Time::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}
