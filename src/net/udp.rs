//! UDP.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use super::addr::{ToSocketAddrs, first_that};
use super::socket::{Socket, settings};
use super::{Ipv4Addr, Ipv6Addr, SocketAddr};
use crate::sys::socket::{self, Receive};

/// A UDP socket.
///
/// Receiving blocks until a datagram comes, sending until there is room for it: the task parks, and a plain OS
/// thread waits in the kernel.
///
/// Like `std::net::UdpSocket`, except:
/// * On a task, a blocking call keeps neither the OS thread nor the other tasks.
/// * [`set_nonblocking`](UdpSocket::set_nonblocking) and the timeouts are layby's affair, shared by the clones that
///   [`try_clone`](UdpSocket::try_clone) makes, not by other descriptors of the same open file.
/// * It converts from and into std's type, as a [`TcpStream`](super::TcpStream) does.
///
/// Several tasks may use one socket: each datagram goes to one of those that wait.
///
/// # Cancellation
/// A task that is cancelled in one of the calls unwinds *before* a datagram is taken or sent, or not at all.
///
/// # Examples
/// ```
/// use layby::{go, net::UdpSocket};
///
/// # fn main() -> std::io::Result<()> {
/// layby::run(|| {
///     let server = UdpSocket::bind("127.0.0.1:0")?;
///     let address = server.local_addr()?;
///     let echo = go!(move || {
///         let mut buf = [0; 1500];
///         let (length, from) = server.recv_from(&mut buf)?;
///         server.send_to(&buf[..length], from)
///     });
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.connect(address)?;
///     client.send(b"hello")?;
///     let mut buf = [0; 8];
///     let length = client.recv(&mut buf)?;
///     assert_eq!(&buf[..length], b"hello");
///     assert_eq!(echo.join().unwrap()?, 5);
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket {
    socket: Socket<std::net::UdpSocket>,
}

settings!(UdpSocket);

impl UdpSocket {
    /// Binds to the first of the addresses that is free; port 0 lets the system choose one.
    ///
    /// Blocks only for a name, until it is resolved.
    ///
    /// # Errors
    /// That of the last address tried, such as `AddrInUse`; `InvalidInput` if there is none.
    ///
    /// # Examples
    /// ```
    /// let socket = layby::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let socket = first_that(addr, |address| std::net::UdpSocket::bind(address))?;
        Ok(UdpSocket { socket: Socket::new(socket) })
    }

    pub(super) fn from_std(socket: std::net::UdpSocket) -> UdpSocket {
        UdpSocket { socket: Socket::from_std(socket) }
    }

    pub(super) fn into_std(self) -> std::net::UdpSocket {
        self.socket.into_std()
    }

    pub(super) fn as_std(&self) -> &std::net::UdpSocket {
        self.socket.as_std()
    }

    /// Receives a datagram, and tells its length and whose it is. What does not fit into `buf` is lost.
    ///
    /// Blocks until one comes.
    ///
    /// # Errors
    /// Those of `recvfrom(2)`; `WouldBlock` after the read timeout.
    ///
    /// # Examples
    /// See [`UdpSocket`].
    #[inline(always)]
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        with_internet_address(self.socket.receive_from(buf, Receive::Take)?)
    }

    /// As [`recv_from`](UdpSocket::recv_from), without taking: the next call gets the same datagram.
    ///
    /// # Errors
    /// Those of [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Examples
    /// ```
    /// let socket = layby::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"x", socket.local_addr()?)?;
    /// assert_eq!(socket.peek_from(&mut [0; 8])?, (1, socket.local_addr()?));
    /// assert_eq!(socket.recv_from(&mut [0; 8])?, (1, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        with_internet_address(self.socket.receive_from(buf, Receive::Peek)?)
    }

    /// Sends a datagram to the first of the addresses, and tells its length.
    ///
    /// Blocks while the socket's buffer is full; for a name, also until it is resolved.
    ///
    /// # Errors
    /// Those of `sendto(2)`; `InvalidInput` if there is no address; `WouldBlock` after the write timeout.
    ///
    /// # Examples
    /// See [`UdpSocket`].
    #[inline]
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to");
        let address = addr.to_socket_addrs()?.next().ok_or_else(none)?;
        self.socket.send_datagram_to(buf, &address.into())
    }

    /// To whom it is connected.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().peer_addr()
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    /// See [`bind`](UdpSocket::bind).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.as_std().local_addr()
    }

    /// Another handle of the same socket: same address, same settings.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    ///
    /// # Examples
    /// ```
    /// let socket = layby::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.try_clone()?.send_to(b"x", socket.local_addr()?)?;
    /// assert_eq!(socket.recv(&mut [0; 8])?, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket { socket: self.socket.try_clone()? })
    }

    /// Sets to whom [`send`](UdpSocket::send) sends: the first of the addresses that can be had. Datagrams of
    /// others are not received any more.
    ///
    /// Blocks only for a name, until it is resolved.
    ///
    /// # Errors
    /// That of the last address tried; `InvalidInput` if there is none.
    ///
    /// # Examples
    /// See [`UdpSocket`].
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_that(addr, |address| self.as_std().connect(address))
    }

    /// Sends a datagram to whom the socket is [`connect`](UdpSocket::connect)ed.
    ///
    /// Blocks while the socket's buffer is full.
    ///
    /// # Errors
    /// Those of `send(2)`, such as `ConnectionRefused` for an earlier one; `WouldBlock` after the write timeout.
    ///
    /// # Examples
    /// See [`UdpSocket`].
    #[inline(always)]
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.send_datagram(buf)
    }

    /// Receives a datagram of whom the socket is [`connect`](UdpSocket::connect)ed to, and tells its length. What
    /// does not fit into `buf` is lost.
    ///
    /// Blocks until one comes.
    ///
    /// # Errors
    /// Those of `recv(2)`; `WouldBlock` after the read timeout.
    ///
    /// # Examples
    /// See [`UdpSocket`].
    #[inline(always)]
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.receive(buf)
    }

    /// As [`recv`](UdpSocket::recv), without taking: the next call gets the same datagram.
    ///
    /// # Errors
    /// Those of [`recv`](UdpSocket::recv).
    ///
    /// # Examples
    /// As for [`peek_from`](UdpSocket::peek_from).
    #[inline]
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(buf)
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.as_std().set_broadcast(broadcast)
    }

    /// What [`set_broadcast`](UdpSocket::set_broadcast) has set.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.as_std().broadcast()
    }

    /// Whether what it sends to IPv4 groups comes back to this host (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.as_std().set_multicast_loop_v4(multicast_loop_v4)
    }

    /// The value of `IP_MULTICAST_LOOP`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.as_std().multicast_loop_v4()
    }

    /// How many routers what it sends to IPv4 groups may pass (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.as_std().set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// The value of `IP_MULTICAST_TTL`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.as_std().multicast_ttl_v4()
    }

    /// Whether what it sends to IPv6 groups comes back to this host (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.as_std().set_multicast_loop_v6(multicast_loop_v6)
    }

    /// The value of `IPV6_MULTICAST_LOOP`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.as_std().multicast_loop_v6()
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

    /// Joins an IPv4 group (`IP_ADD_MEMBERSHIP`), on the interface with that address, or on one of the system's choice
    /// for `UNSPECIFIED`.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.as_std().join_multicast_v4(multiaddr, interface)
    }

    /// Joins an IPv6 group (`IPV6_ADD_MEMBERSHIP`), on the interface with that index, or on any for 0.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.as_std().join_multicast_v6(multiaddr, interface)
    }

    /// Undoes [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.as_std().leave_multicast_v4(multiaddr, interface)
    }

    /// Undoes [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.as_std().leave_multicast_v6(multiaddr, interface)
    }
}

fn with_internet_address((length, address): (usize, socket2::SockAddr)) -> io::Result<(usize, SocketAddr)> {
    Ok((length, socket::internet_address(&address)?))
}

/// As std's: the addresses and the descriptor.
impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_std().fmt(f)
    }
}
