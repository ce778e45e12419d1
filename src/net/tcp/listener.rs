//! A socket that connections are made to.

use std::fmt;
use std::io;

use super::super::SocketAddr;
use super::super::addr::{ToSocketAddrs, first_that};
use super::super::socket::{Listening, incoming};
use super::TcpStream;
use crate::sys::socket;

/// A TCP socket server, listening for connections.
///
/// Accepting blocks: the task parks until somebody connects, and a plain OS thread waits in the kernel.
///
/// Like `std::net::TcpListener`, except:
/// * On a task, a blocking call keeps neither the OS thread nor the other tasks.
/// * [`bind`](TcpListener::bind) lets as many connections wait as the system allows
///   (`/proc/sys/net/core/somaxconn`), where std has 128: a thousand may well come at once.
/// * A connection that was given up before it was accepted is no error; the next one is awaited.
/// * [`set_nonblocking`](TcpListener::set_nonblocking) is layby's affair. Clones made by
///   [`try_clone`](TcpListener::try_clone) share it, as std's do; other descriptors of the same open
///   file do not.
/// * It converts from and into std's type. One that comes from std waits in its calls, even if std's was
///   non-blocking; one that goes to std blocks, unless `set_nonblocking(true)` was the last word.
///
/// # Cancellation
/// A task that is cancelled while it waits leaves nothing behind. A connection that was taken off the
/// queue is returned, and the cancellation delivered at the task's next call.
///
/// # Examples
/// ```
/// use layby::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// layby::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     layby::go!(move || {
///         for stream in listener.incoming().flatten() {
///             layby::go!(move || writeln!(&stream, "hello, {}", stream.peer_addr()?));
///         }
///     });
///     for _ in 0..3 {
///         let mut text = String::new();
///         TcpStream::connect(address)?.read_to_string(&mut text)?;
///         assert!(text.starts_with("hello, 127.0.0.1:"));
///     }
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    socket: Listening<std::net::TcpListener>,
}

incoming!(TcpListener, TcpStream);

impl TcpListener {
    /// Listens on the first of the addresses that is free; port 0 lets the system choose one.
    ///
    /// Blocks only for a name, until it is resolved. Sets `SO_REUSEADDR`, as std does.
    ///
    /// # Errors
    /// That of the last address tried, such as `AddrInUse`; `InvalidInput` if there is none.
    ///
    /// # Examples
    /// ```
    /// let listener = layby::net::TcpListener::bind("127.0.0.1:0")?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        first_that(addr, |address| {
            let address = (*address).into();
            let socket = socket::stream_socket(&address)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address)?;
            // The kernel takes it as unsigned, and cuts it down to `somaxconn`.
            socket.listen(-1)?;
            Ok(TcpListener { socket: Listening::new(socket.into()) })
        })
    }

    pub(in crate::net) fn from_std(listener: std::net::TcpListener) -> TcpListener {
        TcpListener { socket: Listening::from_std(listener) }
    }

    pub(in crate::net) fn into_std(self) -> std::net::TcpListener {
        self.socket.into_std()
    }

    pub(in crate::net) fn as_std(&self) -> &std::net::TcpListener {
        self.socket.as_std()
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    /// See [`bind`](TcpListener::bind).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// Another handle of the same socket. A connection goes to whoever accepts it first.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let clone = listener.try_clone()?;
    /// TcpStream::connect(listener.local_addr()?)?;
    /// clone.accept()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { socket: self.socket.try_clone()? })
    }

    /// The next connection, and whose it is.
    ///
    /// Blocks until there is one.
    ///
    /// # Cancellation
    /// No connection is lost: it remains in the queue, or is returned.
    ///
    /// # Errors
    /// Those of `accept(2)`. With too many open files (`EMFILE`, `ENFILE`) or for want of memory, the connection remains
    /// in the queue, and the error is returned only after a pause of 10 ms (not if it is [non-blocking](TcpListener::set_nonblocking)):
    /// a loop that accepts again and again would otherwise keep the processor busy, and goes on when files are closed.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let (stream, address) = listener.accept()?;
    /// assert_eq!(address, client.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline(always)]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.socket.accept()?;
        Ok((TcpStream::accepted(stream), socket::internet_address(&address)?))
    }

    /// The connections, one after the other: [`accept`](TcpListener::accept) in a loop that never ends.
    ///
    /// # Examples
    /// See [`TcpListener`].
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// Sets `IP_TTL`: how many routers a packet may pass.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`: `InvalidInput` outside of 1 to 255.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.as_std().set_ttl(ttl)
    }

    /// The value of `IP_TTL`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.as_std().ttl()
    }

    /// Sets `IPV6_V6ONLY`, which the system refuses, since the socket is bound. It is here because std's is.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    #[deprecated = "this option can only be set before the socket is bound"]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        #[expect(deprecated, reason = "it is std's")]
        self.as_std().set_only_v6(only_v6)
    }

    /// The value of `IPV6_V6ONLY`: whether an IPv6 socket takes no IPv4 connections.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`, such as for an IPv4 socket.
    #[deprecated = "this option can only be set before the socket is bound"]
    pub fn only_v6(&self) -> io::Result<bool> {
        #[expect(deprecated, reason = "it is std's")]
        self.as_std().only_v6()
    }

    /// Takes the socket's pending error (`SO_ERROR`).
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.as_std().take_error()
    }

    /// With `true`, [`accept`](TcpListener::accept) returns `WouldBlock` where it would wait, on all
    /// clones. Accepted streams are not affected.
    ///
    /// # Errors
    /// None; the signature is std's.
    ///
    /// # Examples
    /// ```
    /// let listener = layby::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// As std's: the address and the descriptor.
impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
