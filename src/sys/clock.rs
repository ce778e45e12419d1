//! The one clock that deadlines are measured against.
//!
//! Every deadline inside layby is a `u64` of nanoseconds on `CLOCK_MONOTONIC`: it never steps back,
//! it is what a [`TimerFd`](super::timerfd::TimerFd) is armed in, and it fits 584 years. It stands
//! still while the machine is suspended, as `std::time::Instant` does on Linux. Reading it takes no
//! system call (vDSO).

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The time now, in nanoseconds of `CLOCK_MONOTONIC`.
#[inline]
pub(crate) fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// As [`now_ns`], never later and up to some milliseconds earlier (a tick of the kernel's), for a quarter of the cost.
#[inline]
pub(crate) fn coarse_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// The clock of the processor time that the calling thread uses; -1 if it has none. Any thread may read it.
pub(crate) fn of_this_thread() -> libc::clockid_t {
    let mut clock = -1;
    // SAFETY: no preconditions.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: the calling thread is alive, and `clock` is a live, writable clock id.
    let result = unsafe { libc::pthread_getcpuclockid(this, &raw mut clock) };
    if result == 0 { clock } else { -1 }
}

/// What a thread's clock shows; None if the thread has ended. A system call.
pub(crate) fn processor_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec, and the kernel keeps nothing of it.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| nanos(time))
}

/// As [`processor_ns`], by the kernel's number of the thread.
pub(crate) fn cpu_ns(thread: u32) -> Option<u64> {
    // The clock of a thread, as the kernel numbers them: `MAKE_THREAD_CPUCLOCK` of <linux/posix-timers.h>.
    const PER_THREAD: libc::clockid_t = 4;
    const SCHED: libc::clockid_t = 2;
    let thread = libc::clockid_t::try_from(thread).ok()?;
    processor_ns(!thread << 3 | PER_THREAD | SCHED)
}

#[inline(always)]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec, and the kernel keeps nothing of it.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    // It can only fail for a clock that does not exist (EINVAL) or a bad address (EFAULT).
    debug_assert_eq!(result, 0, "clock {clock} cannot be read");
    nanos(time)
}

#[inline(always)]
fn nanos(time: libc::timespec) -> u64 {
    // Both parts are never negative on these clocks; the seconds overflow after 584 years of uptime.
    (time.tv_sec as u64).wrapping_mul(NANOS_PER_SEC).wrapping_add(time.tv_nsec as u64)
}

/// `ns` on the clock as the kernel wants it.
pub(super) fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        // A 64-bit `time_t` holds every `u64` of nanoseconds; a smaller one saturates.
        tv_sec: libc::time_t::try_from(ns / NANOS_PER_SEC).unwrap_or(libc::time_t::MAX),
        // Below 10^9, so it fits.
        tv_nsec: (ns % NANOS_PER_SEC) as libc::c_long,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn never_steps_back() {
        let mut last = now_ns();
        for _ in 0..100_000 {
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn coarse_is_never_ahead_and_not_far_behind() {
        for _ in 0..100_000 {
            let coarse = coarse_ns();
            let now = now_ns();
            assert!(coarse <= now);
            // A tick of the slowest kernel is 10 ms; the rest is for what may come between the two calls.
            assert!(now - coarse_ns() < NANOS_PER_SEC / 2);
        }
    }

    #[test]
    fn counts_a_threads_own_time() {
        let me = crate::sys::thread::id();
        // The real clock first: it then has run for longer, if the machine does something else in between.
        let begin = Instant::now();
        let before = cpu_ns(me).unwrap();
        while cpu_ns(me).unwrap() < before + 1_000_000 {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        // Not exactly: the two clocks' rates may differ a little.
        assert!(begin.elapsed() >= Duration::from_micros(900));
        assert_eq!(cpu_ns(u32::MAX), None);
        assert_eq!(cpu_ns(i32::MAX as u32 >> 3), None);
    }

    #[test]
    fn runs_as_fast_as_std_does() {
        let outer = Instant::now();
        let start = now_ns();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let inner = inner.elapsed();
        let elapsed = Duration::from_nanos(now_ns() - start);
        let outer = outer.elapsed();
        assert!(inner <= elapsed && elapsed <= outer);
    }

    #[test]
    fn a_threads_clock_shows_what_it_has_computed() {
        let clock = of_this_thread();
        let elsewhere = || std::thread::scope(|scope| scope.spawn(|| processor_ns(clock)).join().unwrap());
        let (before, from) = (elsewhere().unwrap(), Instant::now());
        while processor_ns(clock).unwrap() < before + 2_000_000 {
            assert!(from.elapsed() < Duration::from_secs(10));
        }
        assert!(elsewhere().unwrap() >= before + 2_000_000);
        assert_eq!(processor_ns(-1), None);
        let of_the_dead = std::thread::spawn(of_this_thread).join().unwrap();
        assert_eq!(processor_ns(of_the_dead), None);
    }

    #[test]
    fn splits_into_seconds_and_nanoseconds() {
        let parts = |ns| {
            let time = timespec(ns);
            (time.tv_sec, time.tv_nsec)
        };
        assert_eq!(parts(1), (0, 1));
        assert_eq!(parts(NANOS_PER_SEC - 1), (0, 999_999_999));
        assert_eq!(parts(NANOS_PER_SEC), (1, 0));
        assert_eq!(parts(u64::MAX), (18_446_744_073, 709_551_615));
    }
}
