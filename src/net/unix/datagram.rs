//! Datagrams between Unix sockets.
//!
//! They are never dropped on the way: who sends to a socket whose queue is full waits for that one's reader. Of a
//! connected pair, readiness to write tells of that. Of an address given with the datagram it does not: the sender's own
//! socket counts as writable. So a socket of ours that is connected to the address waits in its stead.

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use socket2::SockAddr;

use super::SocketAddr;
use super::addr::{for_kernel, from_kernel, of_path};
use crate::io::descriptor::{Descriptor, Patience, Transfer};
use crate::net::Shutdown;
use crate::net::socket::{Socket, settings};
use crate::park;
use crate::reactor::Direction;
use crate::sys::poll::{is_ready, would_block};
use crate::sys::socket::{self, Receive};

/// A Unix datagram socket.
///
/// Receiving blocks until a datagram comes, sending until the receiver has room for it: the task parks, and a plain OS
/// thread waits in the kernel.
///
/// Like `std::os::unix::net::UnixDatagram`, except: as for [`UdpSocket`](crate::net::UdpSocket).
///
/// # Cancellation
/// A task that is cancelled in one of the calls unwinds *before* a datagram is taken or sent, or not at all.
///
/// # Examples
/// ```
/// use layby::{go, net::unix::UnixDatagram};
///
/// layby::run(|| {
///     let (near, far) = UnixDatagram::pair()?;
///     let sender = go!(move || far.send(b"hello"));
///     let mut buf = [0; 8];
///     let length = near.recv(&mut buf)?;
///     assert_eq!(&buf[..length], b"hello");
///     sender.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    socket: Socket<std::os::unix::net::UnixDatagram>,
}

settings!(UnixDatagram);

impl UnixDatagram {
    /// Binds to a new file of that path. It is not removed when the socket is dropped.
    ///
    /// # Errors
    /// Those of `bind(2)`, such as `AddrInUse` for a file that is there; `InvalidInput` for a path of more than 107 bytes.
    ///
    /// # Examples
    /// As for [`UnixListener`](super::UnixListener).
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::new(std::os::unix::net::UnixDatagram::bind(path)?))
    }

    /// Binds to that address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of [`bind`](UnixDatagram::bind).
    ///
    /// # Examples
    /// See [`send_to_addr`](UnixDatagram::send_to_addr).
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::new(std::os::unix::net::UnixDatagram::bind_addr(socket_addr)?))
    }

    /// A socket without an address, which can send, and receive nothing until it is connected.
    ///
    /// # Errors
    /// Those of `socket(2)`: no more descriptors.
    ///
    /// # Examples
    /// See [`send_to_addr`](UnixDatagram::send_to_addr).
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(UnixDatagram::new(std::os::unix::net::UnixDatagram::unbound()?))
    }

    /// Two sockets that are connected with each other.
    ///
    /// # Errors
    /// Those of `socketpair(2)`: no more descriptors.
    ///
    /// # Examples
    /// See [`UnixDatagram`].
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::new(one), UnixDatagram::new(other)))
    }

    fn new(socket: std::os::unix::net::UnixDatagram) -> UnixDatagram {
        UnixDatagram { socket: Socket::new(socket) }
    }

    pub(in crate::net) fn from_std(socket: std::os::unix::net::UnixDatagram) -> UnixDatagram {
        UnixDatagram { socket: Socket::from_std(socket) }
    }

    pub(in crate::net) fn into_std(self) -> std::os::unix::net::UnixDatagram {
        self.socket.into_std()
    }

    pub(in crate::net) fn as_std(&self) -> &std::os::unix::net::UnixDatagram {
        self.socket.as_std()
    }

    /// Sets to whom [`send`](UnixDatagram::send) sends. Datagrams of others are not received any more.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.as_std().connect(path)
    }

    /// As [`connect`](UnixDatagram::connect), for an address that may be an abstract one.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        self.as_std().connect_addr(socket_addr)
    }

    /// Another handle of the same socket: same address, same settings.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { socket: self.socket.try_clone()? })
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// To whom it is connected.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().peer_addr()
    }

    /// Receives a datagram, and tells its length and whose it is. What does not fit into `buf` is lost.
    ///
    /// Blocks until one comes.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`; `WouldBlock` after the read timeout.
    ///
    /// # Examples
    /// See [`send_to_addr`](UnixDatagram::send_to_addr).
    #[inline(always)]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, address) = self.socket.receive_from(buf, Receive::Take)?;
        Ok((length, from_kernel(&address)))
    }

    /// As [`recv_from`](UnixDatagram::recv_from), without the address.
    ///
    /// # Errors
    /// Those of [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Examples
    /// See [`UnixDatagram`].
    #[inline(always)]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf)
    }

    /// Sends a datagram to the socket at that path, and tells its length.
    ///
    /// Blocks while the receiver's queue is full.
    ///
    /// # Errors
    /// Those of `sendto(2)`: `NotFound`, `ConnectionRefused` if nobody receives there; `WouldBlock` after the
    /// write timeout.
    ///
    /// # Examples
    /// As for [`send_to_addr`](UnixDatagram::send_to_addr).
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_address(buf, &of_path(path.as_ref())?)
    }

    /// As [`send_to`](UnixDatagram::send_to), to an address that may be an abstract one.
    ///
    /// # Errors
    /// Those of [`send_to`](UnixDatagram::send_to).
    ///
    /// # Examples
    /// ```
    /// use layby::net::unix::{SocketAddr, UnixDatagram};
    /// use std::os::linux::net::SocketAddrExt;
    ///
    /// let address = SocketAddr::from_abstract_name(format!("layby datagram {}", std::process::id()))?;
    /// let receiver = UnixDatagram::bind_addr(&address)?;
    /// UnixDatagram::unbound()?.send_to_addr(b"hello", &address)?;
    /// let (length, from) = receiver.recv_from(&mut [0; 8])?;
    /// assert!(length == 5 && from.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        self.send_to_address(buf, &for_kernel(socket_addr)?)
    }

    fn send_to_address(&self, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
        park::spend_budget(1);
        park::refuse_if_due()?;
        let patience = self.socket.write_patience();
        loop {
            match socket::send_to(self.as_std().as_fd(), buf, address) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match patience {
                    Patience::None => return Err(error),
                    _ if is_ready(self.as_std().as_fd(), Direction::Write)? => {
                        wait_for_receiver(address, patience)?;
                    }
                    _ => self.socket.wait_for_room()?,
                },
                result => return result,
            }
        }
    }

    /// Sends a datagram to whom the socket is connected.
    ///
    /// Blocks while the receiver's queue is full.
    ///
    /// # Errors
    /// Those of `send(2)`; `WouldBlock` after the write timeout.
    ///
    /// # Examples
    /// See [`UnixDatagram`].
    #[inline(always)]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send_datagram(buf)
    }

    /// Ends one or both directions, for all clones. Calls that wait in a direction which ends return.
    ///
    /// # Errors
    /// `NotConnected` for a socket that is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.as_std().shutdown(how)
    }
}

/// Until the socket at that address has room in its queue, or is no more.
#[cold]
fn wait_for_receiver(address: &SockAddr, patience: Patience) -> io::Result<()> {
    let sentinel = std::os::unix::net::UnixDatagram::unbound()?;
    sentinel.connect_addr(&from_kernel(address))?;
    Descriptor::new(sentinel).perform(
        Direction::Write,
        patience,
        |fd| if is_ready(fd, Direction::Write)? { Ok(()) } else { Err(would_block()) },
        |()| Transfer::Full,
    )
}

/// As std's: the descriptor and the addresses.
impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
