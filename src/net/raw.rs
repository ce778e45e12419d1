//! The one unsafe trait of sockets: making them from a bare descriptor number.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{TcpListener, TcpStream, UdpSocket};

macro_rules! from_raw {
    ($($socket:ident),*) => {$(
        impl FromRawFd for $socket {
            unsafe fn from_raw_fd(fd: RawFd) -> $socket {
                // SAFETY: the caller gives us the descriptor, which is open and nobody else's.
                $socket::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }
    )*};
}

from_raw!(TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, UnixDatagram);
