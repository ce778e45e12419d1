//! A connection.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::super::addr::{ToSocketAddrs, first_that};
use super::super::socket::{Socket, stream_transfers, zero_duration};
use super::super::{Shutdown, SocketAddr};
use super::race::connect_first;
use crate::io::descriptor::Patience;
use crate::sys::socket;

/// A TCP stream between a local and a remote socket.
///
/// Connecting, reading, peeking and writing block: the task parks until the socket is ready, and a
/// plain OS thread waits in the kernel.
///
/// Like `std::net::TcpStream`, except:
/// * On a task, a blocking call keeps neither the OS thread nor the other tasks.
/// * [`set_nonblocking`](TcpStream::set_nonblocking) and the timeouts are layby's affair. Clones made
///   by [`try_clone`](TcpStream::try_clone) share them, as std's do; other descriptors of the same
///   open file, such as a child process's, do not.
/// * A write to a connection that is closed never raises `SIGPIPE`, a vectored one neither.
/// * It converts from and into std's type. The timeouts go along both ways. One that comes from std
///   waits in its calls, even if std's was non-blocking; one that goes to std blocks, unless
///   `set_nonblocking(true)` was the last word. It leaves all reactors, but a clone of it stays usable.
///
/// Several tasks may use one stream through `&TcpStream`, as several threads may use std's: each call
/// is whole, their order is not said. Dropping it closes it.
///
/// # Cancellation
/// A task that is cancelled in one of the calls unwinds *before* bytes are taken or sent, or not at
/// all: what was read or written is reported to the caller, and the cancellation is delivered at his
/// next call. Composed calls (`read_exact`, `write_all`, `read_to_end`) consist of several, and can end
/// between them, as they can with an error.
///
/// # Examples
/// ```
/// use layby::net::{TcpListener, TcpStream};
/// use std::io::{BufRead, BufReader, Write};
///
/// # fn main() -> std::io::Result<()> {
/// layby::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let shouter = layby::go!(move || -> std::io::Result<()> {
///         let (stream, _) = listener.accept()?;
///         for line in BufReader::new(&stream).lines() {
///             writeln!(&stream, "{}!", line?)?;
///         }
///         Ok(())
///     });
///     let mut stream = TcpStream::connect(address)?;
///     stream.write_all(b"hello\n")?;
///     let mut answer = String::new();
///     BufReader::new(&stream).read_line(&mut answer)?;
///     assert_eq!(answer, "hello!\n");
///     drop(stream);
///     shouter.join().unwrap()
/// })
/// # }
/// ```
pub struct TcpStream {
    pub(super) socket: Socket<std::net::TcpStream>,
}

stream_transfers!(TcpStream);

impl TcpStream {
    /// Connects to the first of the addresses that accepts.
    ///
    /// Blocks until the connection stands or has failed; for a name, also until it is resolved.
    ///
    /// # Cancellation
    /// The attempt is given up and its socket closed.
    ///
    /// # Errors
    /// That of the last address tried, such as `ConnectionRefused`; `InvalidInput` if there is none.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("localhost:0")?;
    /// let stream = TcpStream::connect(("localhost", listener.local_addr()?.port()))?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        first_that(addr, |address| TcpStream::connect_patiently(address, Patience::Endless))
    }

    /// Connects to the first of the addresses to answer, of all that a name has.
    ///
    /// Blocks until a connection stands or all have failed. As
    /// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305) has it ("happy eyeballs"): IPv6 and IPv4 addresses take
    /// turns; each attempt has 250 ms for itself, then the next begins beside it, at once if it has failed; the
    /// first connection that stands is taken, and the others are closed. So one address that does not answer costs a quarter of a second
    /// and not minutes, which it does with [`connect`](TcpStream::connect). Not in std.
    ///
    /// # Cancellation
    /// All attempts are given up and their sockets closed.
    ///
    /// # Errors
    /// That of the last attempt to fail; `InvalidInput` if there is no address.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{SocketAddr, TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let refuses = SocketAddr::from(([127, 0, 0, 1], 1));
    /// let stream = TcpStream::connect_race(&[refuses, listener.local_addr()?][..])?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_race<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        connect_first(addr.to_socket_addrs()?.collect()).map(TcpStream::accepted)
    }

    /// Connects to one address, within a time.
    ///
    /// Blocks until the connection stands or has failed, at most for `timeout`.
    ///
    /// # Cancellation
    /// The attempt is given up and its socket closed.
    ///
    /// # Errors
    /// `TimedOut` when the time is over; `InvalidInput` if it is zero; those of
    /// [`connect`](TcpStream::connect).
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(1))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_duration());
        }
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "connection timed out");
        TcpStream::connect_patiently(addr, Patience::Within(timeout, timed_out))
    }

    #[inline(always)]
    fn connect_patiently(address: &SocketAddr, patience: Patience) -> io::Result<TcpStream> {
        let address = (*address).into();
        let socket = Socket::new(socket::stream_socket(&address)?.into());
        socket.connect(&address, patience)?;
        Ok(TcpStream { socket })
    }

    /// From a new connection.
    pub(super) fn accepted(stream: OwnedFd) -> TcpStream {
        TcpStream { socket: Socket::new(stream.into()) }
    }

    pub(in crate::net) fn from_std(stream: std::net::TcpStream) -> TcpStream {
        TcpStream { socket: Socket::from_std(stream) }
    }

    pub(in crate::net) fn into_std(self) -> std::net::TcpStream {
        self.socket.into_std()
    }

    pub(in crate::net) fn as_std(&self) -> &std::net::TcpStream {
        self.socket.as_std()
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` once the connection is no more.
    ///
    /// # Examples
    /// See [`connect`](TcpStream::connect).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    /// ```
    /// # let listener = layby::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = layby::net::TcpStream::connect(listener.local_addr()?)?;
    /// assert!(stream.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// Ends one or both directions, for all clones. Calls that wait in a direction which ends return.
    ///
    /// # Errors
    /// `NotConnected` once the connection is no more, or the direction was ended before it.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{Shutdown, TcpListener, TcpStream};
    /// use std::io::Read;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let near = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut far, _) = listener.accept()?;
    /// near.shutdown(Shutdown::Write)?;
    /// assert_eq!(far.read(&mut [0; 8])?, 0, "the end of the stream");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.as_std().shutdown(how)
    }

    /// Another handle of the same connection: same position in the stream, same settings.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut near = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut far, _) = listener.accept()?;
    /// near.try_clone()?.write_all(b"by the clone")?;
    /// drop(near);
    /// let mut text = String::new();
    /// far.read_to_string(&mut text)?;
    /// assert_eq!(text, "by the clone");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: self.socket.try_clone()? })
    }

    /// Reads without taking: the next read gets the same bytes.
    ///
    /// Blocks until there is something, or the end.
    ///
    /// # Errors
    /// Those of a read.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::io::{Read, Write};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// TcpStream::connect(listener.local_addr()?)?.write_all(b"x")?;
    /// let (mut stream, _) = listener.accept()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(stream.peek(&mut buf)?, 1);
    /// assert_eq!(stream.read(&mut buf)?, 1);
    /// assert_eq!(stream.read(&mut buf)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }
}

/// As std's: both addresses and the descriptor.
impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
