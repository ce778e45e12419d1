//! A socket that connections are made to.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::super::SocketAddr;
use super::super::addr::{ToSocketAddrs, first_that};
use super::super::options::Options;
use super::{Incoming, TcpStream};
use crate::io::descriptor::{Descriptor, Transfer};
use crate::park;
use crate::reactor::Direction;
use crate::sleep::sleep;
use crate::sys::poll::{wait_fd, would_block};
use crate::sys::socket;

/// What accepting takes of a task's budget, beside the one for any I/O: so that no more than 16 connections are accepted in
/// one turn. Most begin a task each. A crowd of those that have not started would be taken for the work of a worker that does not
/// get to it, and moved to an idle one, where they stay: of 1,000 connections one of two workers had 600 at times.
const COST: u32 = 7;
/// How long an `accept` that found no descriptor or no memory waits before it says so.
const PAUSE: Duration = Duration::from_millis(10);

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
    socket: Descriptor<std::net::TcpListener>,
    options: Arc<ListenerOptions>,
}

/// Shared by the clones of a listener.
#[derive(Debug)]
struct ListenerOptions {
    of_socket: Options,
    /// The open file may be in blocking mode, where `accept` is safe only if somebody waits there:
    /// standard input (as inetd passes it), whose mode other processes share, or one of which std has a
    /// clone. Relaxed: it orders nothing.
    may_block: AtomicBool,
}

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
            let socket = socket::stream_socket(address)?;
            socket.set_reuse_address(true)?;
            socket.bind(&(*address).into())?;
            // The kernel takes it as unsigned, and cuts it down to `somaxconn`.
            socket.listen(-1)?;
            Ok(TcpListener::new(socket.into(), false))
        })
    }

    fn new(listener: std::net::TcpListener, may_block: bool) -> TcpListener {
        let may_block = AtomicBool::new(may_block);
        let options = ListenerOptions { of_socket: Options::new(), may_block };
        TcpListener { socket: Descriptor::new(listener), options: Arc::new(options) }
    }

    pub(in crate::net) fn from_std(listener: std::net::TcpListener) -> TcpListener {
        let shared_with_others = listener.as_raw_fd() <= 2;
        let may_block = shared_with_others || listener.set_nonblocking(true).is_err();
        TcpListener::new(listener, may_block)
    }

    pub(in crate::net) fn into_std(self) -> std::net::TcpListener {
        let listener = self.socket.into_inner();
        let nonblocking = self.options.of_socket.nonblocking();
        if !nonblocking {
            // For the clones.
            self.options.may_block.store(true, Relaxed);
        }
        if listener.as_raw_fd() > 2 {
            // Cannot fail on an open descriptor.
            let _ = listener.set_nonblocking(nonblocking);
        }
        listener
    }

    pub(in crate::net) fn as_std(&self) -> &std::net::TcpListener {
        self.socket.get()
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
        let socket = Descriptor::new(self.as_std().try_clone()?);
        Ok(TcpListener { socket, options: Arc::clone(&self.options) })
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
        park::spend_budget(COST);
        let accepted = self.socket.perform(
            Direction::Read,
            self.options.of_socket.patience(),
            |fd| self.accept_now(fd),
            |_| Transfer::Full,
        );
        match accepted {
            Ok((stream, address)) => Ok((TcpStream::accepted(stream), address)),
            Err(error) => Err(self.after_a_pause(error)),
        }
    }

    /// No connection was taken off the queue, so whoever tries again meets the same error at once: unless it waits.
    #[cold]
    fn after_a_pause(&self, error: io::Error) -> io::Error {
        if socket::is_exhausted(&error) && !self.options.of_socket.nonblocking() {
            sleep(PAUSE);
        }
        error
    }

    fn accept_now(&self, fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
        loop {
            if self.options.may_block.load(Relaxed) && !wait_fd(fd, Direction::Read, Some(Duration::ZERO))? {
                return Err(would_block());
            }
            match socket::accept(fd) {
                Err(error) if socket::is_aborted(&error) => {}
                result => return result,
            }
        }
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
        self.options.of_socket.set_nonblocking(nonblocking);
        Ok(())
    }
}

/// As std's: the address and the descriptor.
impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
