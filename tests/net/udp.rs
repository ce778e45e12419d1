//! `net::UdpSocket`, from tasks on one and on several workers and from plain OS threads.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use layby::go;
use layby::net::{SocketAddr, UdpSocket};

fn everywhere(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        crate::common::on(workers, &body);
    }
    body();
}

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two that are connected with each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let ((near, at), (far, there)) = (bound(), bound());
    near.connect(there).unwrap();
    far.connect(at).unwrap();
    (near, far)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Every stable method and trait of Rust 1.95, with std's very signature. It is compiled; nothing is called.
#[test]
fn surface() {
    type S = UdpSocket;
    type Unit = io::Result<()>;
    type Received = io::Result<(usize, SocketAddr)>;
    let _: fn(&'static str) -> io::Result<S> = S::bind::<&'static str>;
    let _: fn(&S, &mut [u8]) -> Received = S::recv_from;
    let _: fn(&S, &mut [u8]) -> Received = S::peek_from;
    let _: fn(&S, &[u8], &'static str) -> io::Result<usize> = S::send_to::<&'static str>;
    let _: fn(&S) -> io::Result<SocketAddr> = S::peer_addr;
    let _: fn(&S) -> io::Result<SocketAddr> = S::local_addr;
    let _: fn(&S) -> io::Result<S> = S::try_clone;
    let _: fn(&S, Option<Duration>) -> Unit = S::set_read_timeout;
    let _: fn(&S, Option<Duration>) -> Unit = S::set_write_timeout;
    let _: fn(&S) -> io::Result<Option<Duration>> = S::read_timeout;
    let _: fn(&S) -> io::Result<Option<Duration>> = S::write_timeout;
    let _: fn(&S, bool) -> Unit = S::set_broadcast;
    let _: fn(&S) -> io::Result<bool> = S::broadcast;
    let _: fn(&S, bool) -> Unit = S::set_multicast_loop_v4;
    let _: fn(&S) -> io::Result<bool> = S::multicast_loop_v4;
    let _: fn(&S, u32) -> Unit = S::set_multicast_ttl_v4;
    let _: fn(&S) -> io::Result<u32> = S::multicast_ttl_v4;
    let _: fn(&S, bool) -> Unit = S::set_multicast_loop_v6;
    let _: fn(&S) -> io::Result<bool> = S::multicast_loop_v6;
    let _: fn(&S, u32) -> Unit = S::set_ttl;
    let _: fn(&S) -> io::Result<u32> = S::ttl;
    let _: fn(&S, &Ipv4Addr, &Ipv4Addr) -> Unit = S::join_multicast_v4;
    let _: fn(&S, &Ipv6Addr, u32) -> Unit = S::join_multicast_v6;
    let _: fn(&S, &Ipv4Addr, &Ipv4Addr) -> Unit = S::leave_multicast_v4;
    let _: fn(&S, &Ipv6Addr, u32) -> Unit = S::leave_multicast_v6;
    let _: fn(&S) -> io::Result<Option<io::Error>> = S::take_error;
    let _: fn(&S, &'static str) -> Unit = S::connect::<&'static str>;
    let _: fn(&S, &[u8]) -> io::Result<usize> = S::send;
    let _: fn(&S, &mut [u8]) -> io::Result<usize> = S::recv;
    let _: fn(&S, &mut [u8]) -> io::Result<usize> = S::peek;
    let _: fn(&S, bool) -> Unit = S::set_nonblocking;
    fn traits<T>()
    where
        T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static,
        T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>,
    {
    }
    traits::<S>();
}

#[test]
fn back_and_forth() {
    everywhere(|| {
        let (server, address) = bound();
        let echo = go!(move || {
            let mut buf = [0; 64];
            for _ in 0..200 {
                let (length, from) = server.recv_from(&mut buf).unwrap();
                assert_eq!(server.send_to(&buf[..length], from).unwrap(), length);
            }
        });
        let (client, _) = bound();
        for round in 0..200_u32 {
            client.send_to(&round.to_le_bytes(), address).unwrap();
            let mut buf = [0; 64];
            assert_eq!(client.recv_from(&mut buf).unwrap(), (4, address));
            assert_eq!(buf[..4], round.to_le_bytes());
        }
        echo.join().unwrap();
    });
}

#[test]
fn empty_and_cut_datagrams() {
    everywhere(|| {
        let (near, far) = pair();
        assert_eq!(near.send(b"").unwrap(), 0);
        assert_eq!(near.send(b"longer").unwrap(), 6);
        assert_eq!(near.send(b"x").unwrap(), 1);
        let mut buf = [0; 4];
        assert_eq!(far.recv(&mut buf).unwrap(), 0);
        assert_eq!((far.peek(&mut buf).unwrap(), &buf), (4, b"long"));
        assert_eq!(far.recv(&mut buf).unwrap(), 4);
        assert_eq!(far.peek_from(&mut buf).unwrap(), (1, near.local_addr().unwrap()));
        assert_eq!(far.recv(&mut buf).unwrap(), 1);
    });
}

#[test]
fn timeouts_and_modes() {
    everywhere(|| {
        let (near, _) = bound();
        let limit = Duration::from_millis(20);
        near.set_read_timeout(Some(limit)).unwrap();
        let start = Instant::now();
        assert_eq!(kind(near.recv(&mut [0; 8])), ErrorKind::WouldBlock);
        assert_eq!(kind(near.peek_from(&mut [0; 8])), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= 2 * limit);
        assert_eq!(kind(near.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
        near.set_read_timeout(None).unwrap();
        near.try_clone().unwrap().set_nonblocking(true).unwrap();
        assert_eq!(kind(near.recv_from(&mut [0; 8])), ErrorKind::WouldBlock);
        let std = std::net::UdpSocket::from(near);
        assert_eq!(kind(std.recv(&mut [0; 8])), ErrorKind::WouldBlock);
        std.set_read_timeout(Some(limit)).unwrap();
        let debug = format!("{std:?}");
        let near = UdpSocket::from(std);
        assert_eq!(format!("{near:?}"), debug);
        assert!(near.read_timeout().unwrap().is_some());
        // It waits again, for as long as std's would have.
        assert_eq!(kind(near.recv(&mut [0; 8])), ErrorKind::WouldBlock);
    });
}

#[test]
fn errors_are_stds() {
    everywhere(|| {
        let (near, _) = bound();
        let none: &[SocketAddr] = &[];
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", none).unwrap_err();
        let ours = near.send_to(b"x", none).unwrap_err();
        assert_eq!((ours.kind(), ours.to_string()), (theirs.kind(), theirs.to_string()));
        assert_eq!(kind(near.peer_addr()), ErrorKind::NotConnected);
        assert_eq!(kind(UdpSocket::bind(near.local_addr().unwrap())), ErrorKind::AddrInUse);
        // Nobody is there: the next call says so.
        let (gone, address) = bound();
        drop(gone);
        near.connect(address).unwrap();
        near.send(b"x").unwrap();
        assert_eq!(kind(near.recv(&mut [0; 8])), ErrorKind::ConnectionRefused);
        assert_eq!(kind(near.send(&vec![0; 70_000])), raw(libc::EMSGSIZE));
    });
}

fn raw(errno: i32) -> ErrorKind {
    io::Error::from_raw_os_error(errno).kind()
}

#[test]
fn names_and_options() {
    everywhere(|| {
        let socket = UdpSocket::bind(("localhost", 0)).unwrap();
        assert!(socket.local_addr().unwrap().ip().is_loopback());
        let (socket, _) = bound();
        socket.set_ttl(9).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_multicast_ttl_v4(7).unwrap();
        socket.set_multicast_loop_v4(false).unwrap();
        assert_eq!((socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()), (9, 7));
        assert!(socket.broadcast().unwrap() && !socket.multicast_loop_v4().unwrap());
        assert!(socket.take_error().unwrap().is_none());
        assert_eq!(socket2::SockRef::from(&socket).ttl_v4().unwrap(), 9);
        let address = SocketAddr::from((IpAddr::from([127, 0, 0, 1]), 0));
        let made = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        made.bind(&address.into()).unwrap();
        assert_ne!(UdpSocket::from(made).local_addr().unwrap().port(), 0);
    });
}

/// Guards: a datagram goes to one who waits, also if another of them was cancelled.
#[test]
fn cancelled_while_it_waits() {
    let _guard = crate::common::watchdog(30);
    for workers in crate::common::workers() {
        crate::common::on(workers, || {
            let (socket, address) = bound();
            let socket = Arc::new(socket);
            let receivers: Vec<_> = (0..8)
                .map(|_| {
                    let socket = socket.clone();
                    go!(move || socket.recv(&mut [0; 8]).unwrap())
                })
                .collect();
            for _ in 0..20 {
                layby::yield_now();
            }
            let (mut cancelled, mut waiting) = (Vec::new(), Vec::new());
            for (number, receiver) in receivers.into_iter().enumerate() {
                if number % 2 == 0 { cancelled.push(receiver) } else { waiting.push(receiver) }
            }
            cancelled.iter().for_each(|receiver| receiver.cancel());
            for receiver in cancelled {
                assert!(receiver.join().unwrap_err().is_cancelled());
            }
            let (sender, _) = bound();
            for _ in 0..4 {
                sender.send_to(b"four", address).unwrap();
            }
            for receiver in waiting {
                assert_eq!(receiver.join().unwrap(), 4);
            }
        });
    }
}
