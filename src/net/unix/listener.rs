//! A Unix socket that connections are made to.

use std::fmt;
use std::io;
use std::path::Path;

use super::addr::from_kernel;
use super::{SocketAddr, UnixStream};
use crate::net::socket::{Listening, incoming};

/// A Unix socket server, listening for connections.
///
/// Accepting blocks: the task parks until somebody connects, and a plain OS thread waits in the kernel.
///
/// Like `std::os::unix::net::UnixListener`, except: as for [`TcpListener`](crate::net::TcpListener).
///
/// # Cancellation
/// A task that is cancelled while it waits leaves nothing behind. A connection that was taken off the
/// queue is returned, and the cancellation delivered at the task's next call.
///
/// # Examples
/// ```
/// use layby::{go, net::unix::{UnixListener, UnixStream}};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("layby-listener-{}", std::process::id()));
/// layby::run(|| {
///     let listener = UnixListener::bind(&path)?;
///     let server = go!(move || {
///         let (mut stream, _) = listener.accept()?;
///         stream.write_all(b"welcome")
///     });
///     let mut text = String::new();
///     UnixStream::connect(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "welcome");
///     std::fs::remove_file(&path)?;
///     server.join().unwrap()
/// })
/// # }
/// ```
pub struct UnixListener {
    socket: Listening<std::os::unix::net::UnixListener>,
}

incoming!(UnixListener, UnixStream);

impl UnixListener {
    /// Listens at a new file of that path. It is not removed when the listener is dropped.
    ///
    /// # Errors
    /// Those of `bind(2)`, such as `AddrInUse` for a file that is there; `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Examples
    /// See [`UnixListener`].
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        Ok(UnixListener::from_std(std::os::unix::net::UnixListener::bind(path)?))
    }

    /// Listens at that address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of [`bind`](UnixListener::bind).
    ///
    /// # Examples
    /// ```
    /// use layby::net::unix::{SocketAddr, UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    ///
    /// let address = SocketAddr::from_abstract_name(format!("layby {}", std::process::id()))?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let stream = UnixStream::connect_addr(&address)?;
    /// assert_eq!(stream.peer_addr()?.as_abstract_name(), address.as_abstract_name());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        Ok(UnixListener::from_std(std::os::unix::net::UnixListener::bind_addr(socket_addr)?))
    }

    pub(in crate::net) fn from_std(listener: std::os::unix::net::UnixListener) -> UnixListener {
        UnixListener { socket: Listening::from_std(listener) }
    }

    pub(in crate::net) fn into_std(self) -> std::os::unix::net::UnixListener {
        self.socket.into_std()
    }

    pub(in crate::net) fn as_std(&self) -> &std::os::unix::net::UnixListener {
        self.socket.as_std()
    }

    /// The next connection, and whose it is.
    ///
    /// Blocks until there is one.
    ///
    /// # Cancellation
    /// No connection is lost: it remains in the queue, or is returned.
    ///
    /// # Errors
    /// Those of `accept(2)`. With too many open files, the connection remains in the queue, and the error comes after a
    /// pause, as for [`TcpListener::accept`](crate::net::TcpListener::accept).
    ///
    /// # Examples
    /// See [`UnixListener`].
    #[inline(always)]
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, address) = self.socket.accept()?;
        Ok((UnixStream::accepted(stream), from_kernel(&address)))
    }

    /// The connections, one after the other: [`accept`](UnixListener::accept) in a loop that never ends.
    ///
    /// # Examples
    /// As for [`TcpListener`](crate::net::TcpListener).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// Another handle of the same socket. A connection goes to whoever accepts it first.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener { socket: self.socket.try_clone()? })
    }

    /// The address that it listens at.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// With `true`, [`accept`](UnixListener::accept) returns `WouldBlock` where it would wait, on all
    /// clones. Accepted streams are not affected.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Takes the socket's pending error (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.as_std().take_error()
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// As std's: the descriptor and the address.
impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
