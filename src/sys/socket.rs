//! Socket calls that std does not offer in the form that tasks need: none of these ever blocks.
//!
//! Transfers carry `MSG_DONTWAIT`, so they do not depend on the open file's `O_NONBLOCK`, which
//! anybody who has a clone of the descriptor can change. Only `accept` and `connect` know no such flag.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::poll::would_block;
use socket2::{MaybeUninitSlice, SockAddr, SockAddrStorage, SockRef, Socket, Type};

/// The kernel takes no more buffers than this in one call (`UIO_MAXIOV`).
pub(crate) const MAX_BUFFERS: usize = 1024;

/// A new stream socket of the address's family: non-blocking, not inherited by child processes.
pub(crate) fn stream_socket(address: &SockAddr) -> io::Result<Socket> {
    let non_blocking = Type::from(libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
    Socket::new(address.domain(), non_blocking, None)
}

/// Begins to connect a non-blocking socket, or asks how that goes: `WouldBlock` while it is under way.
///
/// Linux answers the call that follows the end of the attempt with its result, so there is no need
/// to ask for `SO_ERROR`.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    let Err(error) = SockRef::from(&socket).connect(address) else {
        return Ok(());
    };
    match error.raw_os_error() {
        // An interrupted attempt goes on too; asking for it anew would be `EALREADY`.
        Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => Err(would_block()),
        Some(libc::EISCONN) => Ok(()),
        _ => Err(error),
    }
}

/// The next connection, non-blocking and not inherited by child processes, and whose it is.
///
/// Blocks only if the listener is in blocking mode.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    let accept4 = |storage: *mut SockAddrStorage, length: *mut libc::socklen_t| {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: `try_init` passes room for any address and its length in bytes.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
    };
    // SAFETY: when `accept4` succeeds, it has written an address and its length.
    let (fd, address) = unsafe { SockAddr::try_init(accept4) }?;
    // SAFETY: the kernel has just made this descriptor, so nobody else owns it.
    let stream = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((stream, address))
}

/// The address of an internet socket; std's error for one of another kind.
pub(crate) fn internet_address(address: &SockAddr) -> io::Result<SocketAddr> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "invalid argument");
    address.as_socket().ok_or_else(invalid)
}

/// Whether a connection attempt was given up by the peer before it was accepted: try the next.
pub(crate) fn is_aborted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECONNABORTED)
}

/// Whether a call has failed for want of descriptors or memory: it may succeed later.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let of_memory = [libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|errno| super::is_descriptor_limit(errno) || of_memory.contains(&errno))
}

/// Whether an `accept` that has failed so may succeed later: for want of something, or because Linux passes on an error of the connection's.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    const OF_CONNECTIONS: [i32; 11] = [
        libc::EPERM, // a firewall's
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ENONET,
        libc::ETIMEDOUT,
        libc::ECONNRESET,
        libc::ECONNABORTED,
    ];
    is_exhausted(error) || error.raw_os_error().is_some_and(|errno| OF_CONNECTIONS.contains(&errno))
}

/// What [`receive`] does with the bytes that it copies out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    /// Takes them off the queue.
    Take,
    /// Leaves them for the next call.
    Peek,
}

impl Receive {
    fn flags(self) -> libc::c_int {
        match self {
            Receive::Take => libc::MSG_DONTWAIT,
            Receive::Peek => libc::MSG_DONTWAIT | libc::MSG_PEEK,
        }
    }
}

/// Receives what is there, up to the buffer's length; never blocks.
pub(crate) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8], how: Receive) -> io::Result<usize> {
    SockRef::from(&socket).recv_with_flags(for_kernel(buf), how.flags())
}

/// As [`receive`], and whose it was. For datagrams.
pub(crate) fn receive_from(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    how: Receive,
) -> io::Result<(usize, SockAddr)> {
    SockRef::from(&socket).recv_from_with_flags(for_kernel(buf), how.flags())
}

/// The same bytes, to be written by the kernel alone.
fn for_kernel(buf: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let buf = ptr::from_mut(buf) as *mut [MaybeUninit<u8>];
    // SAFETY: still borrowed exclusively, and `u8` and `MaybeUninit<u8>` have one layout. The kernel
    // writes initialised bytes or none, so the caller's `u8`s remain valid.
    unsafe { &mut *buf }
}

/// As [`receive`], into several buffers.
pub(crate) fn receive_vectored(socket: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = bufs.len().min(MAX_BUFFERS);
    let bufs = ptr::from_mut(&mut bufs[..count]) as *mut [MaybeUninitSlice<'_>];
    // SAFETY: both types are documented to have the layout of `iovec`. Nobody replaces the slices
    // through this reference, and the kernel writes initialised bytes or none.
    let bufs = unsafe { &mut *bufs };
    let (length, _) = SockRef::from(&socket).recv_vectored_with_flags(bufs, libc::MSG_DONTWAIT)?;
    Ok(length)
}

/// Sends as much as there is room for; neither blocks nor raises `SIGPIPE`.
pub(crate) fn send(socket: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    SockRef::from(&socket).send_with_flags(buf, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

/// As [`send`], a datagram to that address.
pub(crate) fn send_to(socket: BorrowedFd<'_>, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
    SockRef::from(&socket).send_to_with_flags(buf, address, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

/// As [`send`], from several buffers.
pub(crate) fn send_vectored(socket: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let bufs = &bufs[..bufs.len().min(MAX_BUFFERS)];
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    SockRef::from(&socket).send_vectored_with_flags(bufs, flags)
}

/// How long closing the socket's last descriptor blocks until what was sent has arrived.
pub(crate) fn linger(socket: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&socket).linger()
}

/// Sets what [`linger`] tells.
pub(crate) fn set_linger(socket: BorrowedFd<'_>, linger: Option<Duration>) -> io::Result<()> {
    SockRef::from(&socket).set_linger(linger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    /// Guards: a socket in blocking mode must not block the worker.
    #[test]
    fn transfers_do_not_wait_in_blocking_mode() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, address) = accept(listener.as_fd()).unwrap();
        assert_eq!(internet_address(&address).unwrap(), near.local_addr().unwrap());
        let near = near.as_fd();
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        let mut buf = [0; 8];
        assert_eq!(kind(receive(near, &mut buf, Receive::Take)), io::ErrorKind::WouldBlock);
        assert_eq!(kind(receive(near, &mut buf, Receive::Peek)), io::ErrorKind::WouldBlock);
        let bufs = &mut [IoSliceMut::new(&mut buf)];
        assert_eq!(kind(receive_vectored(near, bufs)), io::ErrorKind::WouldBlock);
        let much = vec![0; 1 << 20];
        while send(near, &much).is_ok() {}
        assert_eq!(kind(send(near, &much)), io::ErrorKind::WouldBlock);
        assert_eq!(kind(send_vectored(near, &[IoSlice::new(&much)])), io::ErrorKind::WouldBlock);
        drop(far);
    }

    #[test]
    fn more_buffers_than_the_kernel_takes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let many = vec![IoSlice::new(b"x"); 3000];
        assert_eq!(send_vectored(near.as_fd(), &many).unwrap(), MAX_BUFFERS);
        let mut bytes = vec![0u8; 3000];
        let mut bufs: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(receive_vectored(far.as_fd(), &mut bufs).unwrap(), MAX_BUFFERS);
    }
}
