//! What can be set on a connection.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::TcpStream;
use crate::sys::socket;

impl TcpStream {
    /// Limits how long a read or a peek waits; `None` for as long as it takes. A call that waits already
    /// keeps its limit.
    ///
    /// When the time is over, the call fails with `WouldBlock`, as std's on Unix does.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::{io::{ErrorKind, Read}, time::Duration};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    /// assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(dur)
    }

    /// Limits how long a write waits; `None` for as long as it takes. A call that waits already keeps
    /// its limit.
    ///
    /// When the time is over, the call fails with `WouldBlock`, as std's on Unix does.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    ///
    /// # Examples
    /// As for [`set_read_timeout`](TcpStream::set_read_timeout).
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(dur)
    }

    /// The limit of [`set_read_timeout`](TcpStream::set_read_timeout), rounded by the kernel.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.as_std().read_timeout()
    }

    /// The limit of [`set_write_timeout`](TcpStream::set_write_timeout), rounded by the kernel.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.as_std().write_timeout()
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`) or gathered while others are under way.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.as_std().set_nodelay(nodelay)
    }

    /// What [`set_nodelay`](TcpStream::set_nodelay) has set.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.as_std().nodelay()
    }

    /// How long closing waits for what has been written to arrive (`SO_LINGER`, in whole seconds). With
    /// `None`, the default, it does not wait, and the kernel goes on sending; with zero it discards
    /// what is left and resets the connection.
    ///
    /// Blocks in the drop of the connection's last handle: on a task, as
    /// [`unblock`](crate::unblock) does, so it cannot be cancelled; on a thread, in the kernel. (For that,
    /// layby has to know: a linger that was set behind its back by way of the descriptor keeps the worker.)
    ///
    /// Like `std::net::TcpStream::set_linger`, which is unstable in Rust 1.95.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::{io::{ErrorKind, Read}, time::Duration};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let near = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut far, _) = listener.accept()?;
    /// near.set_linger(Some(Duration::ZERO))?;
    /// drop(near);
    /// assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set_linger(linger)
    }

    /// What [`set_linger`](TcpStream::set_linger) has set.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        socket::linger(self.as_fd())
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

    /// Takes the socket's pending error (`SO_ERROR`), which the next call would otherwise report.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.as_std().take_error()
    }

    /// With `true`, calls that would wait return `WouldBlock` instead, on all clones.
    ///
    /// # Errors
    /// None; the signature is std's.
    ///
    /// # Examples
    /// ```
    /// use layby::net::{TcpListener, TcpStream};
    /// use std::io::{ErrorKind, Read};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_nonblocking(true)?;
    /// assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking);
        Ok(())
    }
}
