//! A descriptor that becomes readable at a point of the monotonic clock.
//!
//! mio's poll timeout is in whole milliseconds; this is what wakes a worker between them. The worker
//! registers it *edge-triggered* for reading and never reads it. That is enough: each expiry wakes
//! the poll anew, whether or not the count of the one before was read, and re-arming resets the
//! count, so an expiry that is no longer wanted is not reported either.
//!
//! Unlike a poll timeout, a timerfd is not subject to the thread's timer slack (50 µs).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::clock;

/// A one-shot timer on `CLOCK_MONOTONIC`, as a descriptor. Closed when dropped.
#[derive(Debug)]
pub(crate) struct TimerFd {
    /// Non-blocking, close-on-exec. Owned alone: nobody else arms it.
    fd: OwnedFd,
}

impl TimerFd {
    /// Creates a disarmed timer.
    ///
    /// # Errors
    /// As timerfd_create(2): no descriptor left (`EMFILE`, `ENFILE`), or no memory (`ENOMEM`).
    pub(crate) fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(TimerFd { fd })
    }

    /// Makes it readable once, when the monotonic clock reaches `ns`: at once if it already has.
    /// Replaces what it was armed for, and takes back an expiry that nobody has seen yet.
    ///
    /// # Errors
    /// As timerfd_settime(2); with the arguments passed here none is expected.
    pub(crate) fn arm_at(&self, ns: u64) -> io::Result<()> {
        // Zero would disarm; the first nanosecond is just as past.
        self.set(ns.max(1))
    }

    /// Cancels what it was armed for, and takes back an expiry that nobody has seen yet.
    ///
    /// # Errors
    /// As for [`arm_at`](TimerFd::arm_at).
    #[cfg(test)]
    pub(crate) fn disarm(&self) -> io::Result<()> {
        self.set(0)
    }

    /// Zero disarms, anything else is the absolute time of the only expiry.
    fn set(&self, ns: u64) -> io::Result<()> {
        let value = libc::itimerspec { it_interval: clock::timespec(0), it_value: clock::timespec(ns) };
        // SAFETY: `value` is a valid itimerspec that the kernel only reads, and a null pointer for
        // the old setting is allowed.
        let result = unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const value,
                ptr::null_mut(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

impl AsRawFd for TimerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clock::now_ns;

    const MS: u64 = 1_000_000;

    /// An epoll that watches one timer as a worker does: edge-triggered, never reading.
    struct Epoll(OwnedFd);

    impl Epoll {
        fn watching(timer: &TimerFd) -> Epoll {
            // SAFETY: takes an integer, touches no memory of ours.
            let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
            assert!(fd >= 0);
            // SAFETY: a descriptor that was just made for us.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 7 };
            // SAFETY: `event` is valid and only read; both descriptors are open.
            let result = unsafe {
                libc::epoll_ctl(fd.as_raw_fd(), libc::EPOLL_CTL_ADD, timer.as_raw_fd(), &raw mut event)
            };
            assert_eq!(result, 0);
            Epoll(fd)
        }

        /// How many events are reported within `timeout_ms`.
        fn wait(&self, timeout_ms: i32) -> i32 {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: there is room for the one event that it may write.
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, timeout_ms) }
        }
    }

    /// Whether it is readable within `timeout_ms`, by poll(2), which consumes nothing.
    fn readable(timer: &TimerFd, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: timer.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid, writable pollfd.
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        assert!(ready >= 0);
        ready == 1
    }

    #[test]
    fn starts_disarmed() {
        assert!(!readable(&TimerFd::new().unwrap(), 10));
    }

    #[test]
    fn future_fires_then_and_not_before() {
        let timer = TimerFd::new().unwrap();
        let deadline = now_ns() + 20 * MS;
        timer.arm_at(deadline).unwrap();
        assert!(readable(&timer, 10_000));
        assert!(now_ns() >= deadline);
    }

    #[test]
    fn past_and_zero_fire_at_once() {
        let timer = TimerFd::new().unwrap();
        for ns in [0, 1, now_ns() - 1, now_ns()] {
            timer.disarm().unwrap();
            assert!(!readable(&timer, 0));
            timer.arm_at(ns).unwrap();
            assert!(readable(&timer, 10_000), "armed at {ns}");
        }
    }

    #[test]
    fn far_future_is_accepted_and_stays_quiet() {
        let timer = TimerFd::new().unwrap();
        for ns in [u64::MAX, u64::MAX / 2 + 1, i64::MAX as u64, 1 << 62] {
            timer.arm_at(ns).unwrap();
            assert!(!readable(&timer, 5), "armed at {ns}");
        }
    }

    #[test]
    fn disarm_takes_back_what_is_pending() {
        let timer = TimerFd::new().unwrap();
        timer.arm_at(1).unwrap();
        assert!(readable(&timer, 10_000));
        timer.disarm().unwrap();
        assert!(!readable(&timer, 10));
    }

    /// The worker relies on this: an edge for every expiry, though nothing is ever read.
    #[test]
    fn every_expiry_is_an_edge_without_reading() {
        let timer = TimerFd::new().unwrap();
        let epoll = Epoll::watching(&timer);
        for round in 0..50 {
            let deadline = if round % 2 == 0 { 1 } else { now_ns() + MS };
            timer.arm_at(deadline).unwrap();
            assert_eq!(epoll.wait(10_000), 1, "round {round}");
            assert!(now_ns() >= deadline);
            assert_eq!(epoll.wait(0), 0, "one expiry, one edge");
        }
    }

    #[test]
    fn re_arming_before_the_poll_drops_the_stale_edge() {
        let timer = TimerFd::new().unwrap();
        let epoll = Epoll::watching(&timer);
        timer.arm_at(1).unwrap();
        assert!(readable(&timer, 10_000));
        timer.arm_at(now_ns() + 3_600_000 * MS).unwrap();
        assert_eq!(epoll.wait(10), 0);
    }

    #[test]
    fn is_close_on_exec_and_non_blocking() {
        let timer = TimerFd::new().unwrap();
        // SAFETY: only asks for the flags of an open descriptor.
        let fd_flags = unsafe { libc::fcntl(timer.as_raw_fd(), libc::F_GETFD) };
        assert_ne!(fd_flags & libc::FD_CLOEXEC, 0);
        // SAFETY: as above.
        let file_flags = unsafe { libc::fcntl(timer.as_fd().as_raw_fd(), libc::F_GETFL) };
        assert_ne!(file_flags & libc::O_NONBLOCK, 0);
    }
}
