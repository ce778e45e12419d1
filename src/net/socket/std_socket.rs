//! std's types, as far as they are alike.

use std::fmt::Debug;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

/// A connection or a datagram socket.
pub(in crate::net) trait StdSocket: AsFd + Debug + Sized + Send {
    /// Whether a read that got less than it asked for has emptied the queue. Not so where messages have ends; nor in
    /// a Unix stream, where a read stops after bytes that descriptors came with.
    const SHORT_READ_DRAINS: bool;

    fn try_clone(&self) -> io::Result<Self>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    fn read_timeout(&self) -> io::Result<Option<Duration>>;
    fn write_timeout(&self) -> io::Result<Option<Duration>>;
    fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()>;
    fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()>;
}

macro_rules! sockets {
    ($($type:ident, $drains:literal;)*) => {$(
        impl StdSocket for $type {
            const SHORT_READ_DRAINS: bool = $drains;

            fn try_clone(&self) -> io::Result<$type> {
                $type::try_clone(self)
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                $type::set_nonblocking(self, nonblocking)
            }

            fn read_timeout(&self) -> io::Result<Option<Duration>> {
                $type::read_timeout(self)
            }

            fn write_timeout(&self) -> io::Result<Option<Duration>> {
                $type::write_timeout(self)
            }

            fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                $type::set_read_timeout(self, limit)
            }

            fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
                $type::set_write_timeout(self, limit)
            }
        }
    )*};
}

sockets! {
    TcpStream, true;
    UdpSocket, false;
    UnixStream, false;
    UnixDatagram, false;
}

/// What connections are made to.
pub(in crate::net) trait StdListener: AsFd + AsRawFd + Debug + Sized {
    fn try_clone(&self) -> io::Result<Self>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
}

macro_rules! listeners {
    ($($type:ident),*) => {$(
        impl StdListener for $type {
            fn try_clone(&self) -> io::Result<$type> {
                $type::try_clone(self)
            }

            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                $type::set_nonblocking(self, nonblocking)
            }
        }
    )*};
}

listeners!(TcpListener, UnixListener);
