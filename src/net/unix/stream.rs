//! A connection between Unix sockets.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use socket2::SockAddr;

use super::SocketAddr;
use super::addr::{for_kernel, of_path};
use crate::blocking::unblock;
use crate::io::descriptor::Patience;
use crate::net::Shutdown;
use crate::net::socket::{Socket, settings, stream_transfers};
use crate::park;
use crate::sys::socket;

/// A Unix stream socket.
///
/// Connecting, reading and writing block: the task parks until the socket is ready, and a plain OS thread waits in the
/// kernel.
///
/// Like `std::os::unix::net::UnixStream`, except: as for [`TcpStream`](crate::net::TcpStream).
///
/// # Cancellation
/// As for [`TcpStream`](crate::net::TcpStream#cancellation).
///
/// # Examples
/// See [`UnixListener`](super::UnixListener), and [`unix`](super) for a pair.
pub struct UnixStream {
    socket: Socket<std::os::unix::net::UnixStream>,
}

stream_transfers!(UnixStream);
settings!(UnixStream);

impl UnixStream {
    /// Connects to the listener at that path.
    ///
    /// Blocks while more connections wait there than the listener allows.
    ///
    /// # Cancellation
    /// The attempt is given up and its socket closed.
    ///
    /// # Errors
    /// Those of `connect(2)`: `NotFound`, `ConnectionRefused` if nobody listens; `InvalidInput` for a path of more than 107
    /// bytes.
    ///
    /// # Examples
    /// See [`UnixListener`](super::UnixListener).
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_to(&of_path(path.as_ref())?)
    }

    /// Connects to that address, which may be an abstract one.
    ///
    /// Blocks as [`connect`](UnixStream::connect).
    ///
    /// # Errors
    /// Those of [`connect`](UnixStream::connect).
    ///
    /// # Examples
    /// See [`UnixListener::bind_addr`](super::UnixListener::bind_addr).
    pub fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&for_kernel(socket_addr)?)
    }

    fn connect_to(address: &SockAddr) -> io::Result<UnixStream> {
        let socket = Socket::new(OwnedFd::from(socket::stream_socket(address)?).into());
        match socket.connect(address, Patience::None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => queue_up(&socket, address)?,
            result => result?,
        }
        Ok(UnixStream { socket })
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    /// Those of `socketpair(2)`: no more descriptors.
    ///
    /// # Examples
    /// See [`unix`](super).
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream { socket: Socket::new(one) }, UnixStream { socket: Socket::new(other) }))
    }

    pub(super) fn accepted(stream: OwnedFd) -> UnixStream {
        UnixStream { socket: Socket::new(stream.into()) }
    }

    pub(in crate::net) fn from_std(stream: std::os::unix::net::UnixStream) -> UnixStream {
        UnixStream { socket: Socket::from_std(stream) }
    }

    pub(in crate::net) fn into_std(self) -> std::os::unix::net::UnixStream {
        self.socket.into_std()
    }

    pub(in crate::net) fn as_std(&self) -> &std::os::unix::net::UnixStream {
        self.socket.as_std()
    }

    /// Another handle of the same connection: same position in the stream, same settings.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        Ok(UnixStream { socket: self.socket.try_clone()? })
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().peer_addr()
    }

    /// Ends one or both directions, for all clones. Calls that wait in a direction which ends return.
    ///
    /// # Errors
    /// `NotConnected` for a socket that is not connected.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{Shutdown, unix::UnixStream};
    /// use std::io::Read;
    ///
    /// let (near, mut far) = UnixStream::pair()?;
    /// near.shutdown(Shutdown::Write)?;
    /// assert_eq!(far.read(&mut [0; 8])?, 0, "the end of the stream");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.as_std().shutdown(how)
    }
}

/// The listener's queue is full. Readiness does not tell when it has room: the kernel keeps those who wait for that in
/// the call itself. So the call is made on the pool; and since a wait there cannot be cancelled, in slices.
#[cold]
fn queue_up(socket: &Socket<std::os::unix::net::UnixStream>, address: &SockAddr) -> io::Result<()> {
    const SLICE: Duration = Duration::from_millis(50);
    let stream = socket.as_std();
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(SLICE))?;
    loop {
        park::checkpoint();
        park::refuse_if_due()?;
        match unblock(|| socket2::SockRef::from(stream).connect(address)) {
            Ok(()) => break,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    stream.set_write_timeout(None)?;
    stream.set_nonblocking(true)
}

/// As std's: the descriptor and both addresses.
impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
