//! Between layby's sockets, std's, and descriptors. One list for all types of sockets.

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{TcpListener, TcpStream, UdpSocket};

macro_rules! conversions {
    ($($ours:ident, $std:path;)*) => {$(
        /// The socket stays registered nowhere until somebody waits for it; its calls wait, whatever
        /// mode it was in.
        impl From<$std> for $ours {
            fn from(socket: $std) -> $ours {
                $ours::from_std(socket)
            }
        }

        /// The socket blocks, unless `set_nonblocking(true)` was called last.
        impl From<$ours> for $std {
            fn from(socket: $ours) -> $std {
                socket.into_std()
            }
        }

        /// For what std has no settings for: see [`net`](crate::net#what-std-does-not-set). Does not check
        /// that it is such a socket; calls on it fail if it is not.
        impl From<socket2::Socket> for $ours {
            fn from(socket: socket2::Socket) -> $ours {
                OwnedFd::from(socket).into()
            }
        }

        /// Does not check that the descriptor is such a socket; calls on it fail if it is not.
        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours::from_std(fd.into())
            }
        }

        /// The descriptor blocks, unless `set_nonblocking(true)` was called last.
        impl From<$ours> for OwnedFd {
            fn from(socket: $ours) -> OwnedFd {
                socket.into_std().into()
            }
        }

        /// The descriptor blocks, unless `set_nonblocking(true)` was called last.
        impl IntoRawFd for $ours {
            fn into_raw_fd(self) -> RawFd {
                self.into_std().into_raw_fd()
            }
        }

        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.as_std().as_fd()
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                self.as_std().as_raw_fd()
            }
        }
    )*};
}

conversions! {
    TcpListener, std::net::TcpListener;
    TcpStream, std::net::TcpStream;
    UdpSocket, std::net::UdpSocket;
    UnixListener, std::os::unix::net::UnixListener;
    UnixStream, std::os::unix::net::UnixStream;
    UnixDatagram, std::os::unix::net::UnixDatagram;
}
