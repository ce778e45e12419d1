//! An epoll of one's own: a descriptor that is ready when one of a few others is.
//!
//! For who waits for several descriptors at once. It is itself waited for as any descriptor is; nothing
//! is ever asked of it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::poll::Direction;

/// Ready (to read) when one of those added is. They leave it when they are closed.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// Of none, so far.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: it takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, so nobody else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Ready also when `fd` is, in that direction.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
        let events = match direction {
            Direction::Read => libc::EPOLLIN,
            Direction::Write => libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: 0 };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_raw_fd());
        // SAFETY: the event is there for the length of the call, which copies it.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
