//! The one unsafe trait of sockets: making them from a bare descriptor number.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{TcpListener, TcpStream};

impl FromRawFd for TcpStream {
    unsafe fn from_raw_fd(fd: RawFd) -> TcpStream {
        // SAFETY: the caller gives us the descriptor, which is open and nobody else's.
        TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl FromRawFd for TcpListener {
    unsafe fn from_raw_fd(fd: RawFd) -> TcpListener {
        // SAFETY: the caller gives us the descriptor, which is open and nobody else's.
        TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
