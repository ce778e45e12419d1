//! Between layby's sockets, std's, and descriptors. One list for all types of sockets.

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use super::{TcpListener, TcpStream};

macro_rules! conversions {
    ($($ours:ident),*) => {$(
        /// The socket stays registered nowhere until somebody waits for it; its calls wait, whatever
        /// mode it was in.
        impl From<std::net::$ours> for $ours {
            fn from(socket: std::net::$ours) -> $ours {
                $ours::from_std(socket)
            }
        }

        /// The socket blocks, unless `set_nonblocking(true)` was called last.
        impl From<$ours> for std::net::$ours {
            fn from(socket: $ours) -> std::net::$ours {
                socket.into_std()
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

conversions!(TcpListener, TcpStream);
