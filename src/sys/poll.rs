//! Waiting for one descriptor on a thread that is no task: `ppoll(2)`.
//!
//! Tasks never come here. They wait in the reactor, so that their worker can go on with others; a
//! plain OS thread has nothing else to do and blocks in the kernel.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// One of the two ways in which a descriptor can be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Something can be read, or accepted; or the end of the stream, or an error, can be learned.
    Read,
    /// Something can be written, or a connection attempt has ended.
    Write,
}

/// The error of a call that would have to wait, and of one whose `SO_RCVTIMEO` is over.
pub(crate) fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// Blocks the calling thread until `fd` is ready in the given direction; `false` if the time ran out first.
///
/// A hang-up or an error counts as ready: the next call on the descriptor tells which.
///
/// # Errors
/// Those of `ppoll(2)`, except that a signal only makes it wait on for what is left of the time. `EBADF` where `fd` is
/// a number that no descriptor has.
pub(crate) fn wait_fd(fd: impl AsRawFd, direction: Direction, timeout: Option<Duration>) -> io::Result<bool> {
    // A time beyond the clock's end is no limit.
    let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: match direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        },
        revents: 0,
    };
    loop {
        let left = deadline.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match ppoll(&mut entry, left.as_ref()) {
            Ok(ready) => return Ok(ready),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether `fd` is ready in the given direction, now.
///
/// # Errors
/// As [`wait_fd`].
pub(crate) fn is_ready(fd: impl AsRawFd, direction: Direction) -> io::Result<bool> {
    wait_fd(fd, direction, Some(Duration::ZERO))
}

fn ppoll(entry: &mut libc::pollfd, timeout: Option<&libc::timespec>) -> io::Result<bool> {
    let timeout = timeout.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `entry` is one valid `pollfd`, and the count says one. `timeout` is null or points to a
    // `timespec` that outlives the call. A null signal mask leaves the thread's own in force.
    let ready = unsafe { libc::ppoll(entry, 1, timeout, std::ptr::null()) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    if entry.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(ready > 0)
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn tells_readiness_from_timeout() {
        let (mut near, far) = UnixStream::pair().unwrap();
        assert!(wait_fd(far.as_fd(), Direction::Write, None).unwrap());
        let short = Some(Duration::from_millis(1));
        assert!(!wait_fd(far.as_fd(), Direction::Read, short).unwrap());
        near.write_all(b"x").unwrap();
        assert!(wait_fd(far.as_fd(), Direction::Read, None).unwrap());
        assert!(wait_fd(far.as_fd(), Direction::Read, Some(Duration::MAX)).unwrap());
    }

    #[test]
    fn a_hang_up_is_ready() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(near);
        assert!(wait_fd(far.as_fd(), Direction::Read, None).unwrap());
    }
}
