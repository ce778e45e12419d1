// What std's TCP does, as functions over whichever `net` and `thread` the parent module has in scope.
// Included several times, so there are no inner attributes and no doc comment at the top.

use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::linux::TcpStreamExt;
use super::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use super::thread;

/// Set by one thread, awaited by others, without keeping whatever they run on.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, SeqCst);
    }

    fn wait(&self) {
        while !self.0.load(SeqCst) {
            thread::yield_now();
        }
    }
}

/// Gives others the time to begin to wait. Whether they did changes no result.
fn let_them_wait() {
    (0..10).for_each(|_| thread::yield_now());
}

/// With a listener on each family's loopback.
fn each_family(case: impl Fn(TcpListener, SocketAddr)) {
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        match TcpListener::bind(loopback) {
            Ok(listener) => {
                let address = listener.local_addr().unwrap();
                case(listener, address);
            }
            // A machine without IPv6.
            Err(error) => assert!(loopback.starts_with('['), "{error}"),
        }
    }
}

/// With both ends of a connection, on each family.
fn each_pair(case: impl Fn(TcpStream, TcpStream)) {
    each_family(|listener, address| {
        let near = TcpStream::connect(address).unwrap();
        let (far, _) = listener.accept().unwrap();
        case(near, far);
    });
}

fn kind<T: Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Writes until there is no more room; returns how much that was.
fn fill(mut stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let chunk = [7; 1 << 16];
    let mut sent = 0;
    loop {
        match stream.write(&chunk) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stream.set_nonblocking(false).unwrap();
                return sent;
            }
        }
    }
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

pub(super) fn bind_errors() {
    // Set aside for documentation, so nobody's.
    assert_eq!(kind(TcpListener::bind("192.0.2.1:0")), ErrorKind::AddrNotAvailable);
    let nothing: &[SocketAddr] = &[];
    assert_eq!(kind(TcpListener::bind(nothing)), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpListener::bind("no port")), ErrorKind::InvalidInput);
}

pub(super) fn connect_errors() {
    each_family(|listener, address| {
        drop(listener);
        assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
    });
    // "This machine", where nobody listens on port 1.
    assert_eq!(kind(TcpStream::connect("0.0.0.0:1")), ErrorKind::ConnectionRefused);
    assert_eq!(kind(TcpStream::connect("255.255.255.255:1")), ErrorKind::NetworkUnreachable);
    let nothing: &[SocketAddr] = &[];
    assert_eq!(kind(TcpStream::connect(nothing)), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpStream::connect("127.0.0.1:99999")), ErrorKind::InvalidInput);
}

pub(super) fn connect_timeouts() {
    each_family(|listener, address| {
        for limit in [Duration::from_secs(20), Duration::from_secs(u64::MAX / 1000), Duration::MAX] {
            TcpStream::connect_timeout(&address, limit).unwrap();
        }
        assert_eq!(kind(TcpStream::connect_timeout(&address, Duration::ZERO)), ErrorKind::InvalidInput);
        drop(listener);
        let refused = TcpStream::connect_timeout(&address, Duration::MAX);
        assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
    });
    let broadcast = SocketAddr::from(([255; 4], 1));
    let limit = Duration::from_secs(20);
    assert_eq!(kind(TcpStream::connect_timeout(&broadcast, limit)), ErrorKind::NetworkUnreachable);
    // A listener whose queue is full answers nobody.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let limit = Duration::from_millis(30);
    let mut queued = Vec::new();
    let error = loop {
        assert!(queued.len() < 16, "the queue does not fill");
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => queued.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "connection timed out".into()));
}

pub(super) fn names() {
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(("localhost", port)).unwrap();
        stream.write_all(b"n").unwrap();
    });
    let mut byte = [0];
    listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"n");
    client.join().unwrap();
    TcpStream::connect(("localhost".to_string(), port)).unwrap();
    TcpStream::connect(format!("localhost:{port}")).unwrap();
}

pub(super) fn both_families() {
    each_family(|listener, address| {
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address);
            stream.write_all(b"x").unwrap();
            stream.local_addr().unwrap()
        });
        let (mut stream, from) = listener.accept().unwrap();
        assert_eq!(stream.local_addr().unwrap(), address);
        assert_eq!(stream.peer_addr().unwrap(), from);
        let mut byte = [0; 2];
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        assert_eq!(byte[0], b'x');
        assert_eq!(client.join().unwrap(), from);
    });
}

pub(super) fn end_of_stream() {
    each_pair(|near, mut far| {
        let closer = thread::spawn(move || drop(near));
        for _ in 0..3 {
            assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
            assert_eq!(far.peek(&mut [0; 8]).unwrap(), 0);
        }
        closer.join().unwrap();
    });
}

pub(super) fn write_to_a_closed_peer() {
    each_pair(|mut near, far| {
        drop(far);
        // The first one finds the connection open; the peer's system answers with a reset.
        let error = loop {
            match near.write(b"x") {
                Ok(n) => assert_eq!(n, 1),
                Err(error) => break error,
            }
            thread::yield_now();
        };
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    });
}

pub(super) fn one_after_the_other() {
    each_family(|listener, address| {
        let client = thread::spawn(move || {
            for number in 0..10 {
                TcpStream::connect(address).unwrap().write_all(&[number]).unwrap();
            }
        });
        for (expected, stream) in (0..10).zip(listener.incoming()) {
            let mut byte = [0];
            stream.unwrap().read_exact(&mut byte).unwrap();
            assert_eq!(byte, [expected]);
        }
        client.join().unwrap();
    });
}

/// Each client connects, lets the next one come, and only then writes.
fn nested_clients(number: u8, address: SocketAddr) {
    if number < 10 {
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            nested_clients(number + 1, address);
            stream.write_all(&[number]).unwrap();
        });
        client.join().unwrap();
    }
}

pub(super) fn greedy() {
    each_family(|listener, address| {
        let server = thread::spawn(move || {
            let serve = |(number, stream): (u8, io::Result<TcpStream>)| {
                thread::spawn(move || {
                    let mut byte = [0];
                    stream.unwrap().read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [number]);
                })
            };
            let handlers: Vec<_> = (0..10).zip(listener.incoming()).map(serve).collect();
            handlers.into_iter().for_each(|handler| handler.join().unwrap());
        });
        nested_clients(0, address);
        server.join().unwrap();
    });
}

/// As before, but each connection is served only when all have come.
pub(super) fn lazy() {
    each_family(|listener, address| {
        let server = thread::spawn(move || {
            let streams: Vec<_> = listener.incoming().take(10).map(Result::unwrap).collect();
            let mut seen: Vec<u8> = Vec::new();
            for mut stream in streams.into_iter().rev() {
                assert_eq!(stream.read_to_end(&mut seen).unwrap(), 1);
            }
            assert!(seen.into_iter().eq((0..10).rev()));
        });
        nested_clients(0, address);
        server.join().unwrap();
    });
}

pub(super) fn partial_reads() {
    each_pair(|mut near, mut far| {
        let writer = thread::spawn(move || {
            far.write_all(&[10]).unwrap();
            let mut byte = [0];
            far.read_exact(&mut byte).unwrap();
            far.write_all(&[11, 12]).unwrap();
        });
        let mut buf = [0; 10];
        assert_eq!(near.read(&mut buf).unwrap(), 1);
        near.write_all(&[1]).unwrap();
        writer.join().unwrap();
        assert_eq!(near.read(&mut buf[..1]).unwrap(), 1);
        assert_eq!(near.read(&mut buf[1..]).unwrap(), 1);
        assert_eq!(buf[..2], [11, 12]);
        assert_eq!(near.read(&mut buf).unwrap(), 0);
    });
}

pub(super) fn vectored() {
    each_pair(|mut near, mut far| {
        let parts = [IoSlice::new(&[]), IoSlice::new(&[10]), IoSlice::new(&[11, 12])];
        assert_eq!(near.write_vectored(&parts).unwrap(), 3);
        let (mut one, mut two) = ([0; 1], [0; 4]);
        let bufs = &mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(far.read_vectored(bufs).unwrap(), 3);
        assert_eq!((one, two), ([10], [11, 12, 0, 0]));
        // Of more than the kernel takes in one call, it takes the first 1024.
        let many = vec![IoSlice::new(b"xy"); 1500];
        assert_eq!(near.write_vectored(&many).unwrap(), 2048);
        let mut bytes = [0; 2048];
        far.read_exact(&mut bytes).unwrap();
    });
}

/// Buffers with no room in them: `readv` and `writev` do not even look at the socket.
pub(super) fn vectored_nothing() {
    each_pair(|mut near, far| {
        assert_eq!(near.read_vectored(&mut []).unwrap(), 0, "without waiting");
        assert_eq!(near.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        fill(&near);
        assert_eq!(near.write_vectored(&[]).unwrap(), 0, "where there is no room");
        assert_eq!(near.write(&[]).unwrap(), 0);
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.write_vectored(&[IoSlice::new(&[])]).unwrap(), 0);
        assert_eq!(kind(near.write(&[])), ErrorKind::BrokenPipe, "a plain write does look");
        drop(far);
    });
}

pub(super) fn bound_twice() {
    each_family(|listener, address| {
        assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
        drop(listener);
    });
}

pub(super) fn clone_reads_while_original_writes() {
    each_pair(|mut near, mut far| {
        let mut clone = near.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let mut byte = [0];
            clone.read_exact(&mut byte).unwrap();
            byte
        });
        let_them_wait();
        near.write_all(b"q").unwrap();
        let mut byte = [0];
        far.read_exact(&mut byte).unwrap();
        far.write_all(b"a").unwrap();
        assert_eq!((&byte, &reader.join().unwrap()), (b"q", b"a"));
    });
}

pub(super) fn clones_read() {
    each_pair(|mut near, mut far| {
        let read = |mut stream: TcpStream| {
            thread::spawn(move || {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                byte[0]
            })
        };
        let clone = far.try_clone().unwrap();
        let readers = [read(far.try_clone().unwrap()), read(clone)];
        let_them_wait();
        near.write_all(&[1]).unwrap();
        near.write_all(&[2]).unwrap();
        let sum: u8 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(sum, 3);
        near.write_all(&[3]).unwrap();
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 1);
    });
}

pub(super) fn clones_write() {
    each_pair(|near, mut far| {
        let write = |number: u8| {
            let mut clone = near.try_clone().unwrap();
            thread::spawn(move || clone.write_all(&[number; 1000]).unwrap())
        };
        let writers = [write(1), write(2)];
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        drop(near);
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 3000);
    });
}

pub(super) fn shutdown_of_write() {
    each_pair(|mut near, mut far| {
        let server = thread::spawn(move || {
            assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
            far.write_all(&[1]).unwrap();
        });
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(kind(near.write(&[1])), ErrorKind::BrokenPipe);
        let mut buf = [0; 2];
        assert_eq!(near.read(&mut buf).unwrap(), 1);
        assert_eq!(buf, [1, 0]);
        server.join().unwrap();
    });
}

pub(super) fn shutdown_reaches_all_clones() {
    each_pair(|near, far| {
        let before = near.try_clone().unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        near.shutdown(Shutdown::Read).unwrap();
        let after = near.try_clone().unwrap();
        for mut stream in [&near, &before, &after] {
            assert_eq!(kind(stream.write(&[0])), ErrorKind::BrokenPipe);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            // Again, which must not die.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(far);
    });
}

pub(super) fn shutdown_wakes_readers() {
    each_pair(|near, far| {
        for how in [Shutdown::Read, Shutdown::Both] {
            let wait = |peek: bool| {
                let mut clone = near.try_clone().unwrap();
                thread::spawn(move || if peek { clone.peek(&mut [0]) } else { clone.read(&mut [0]) })
            };
            let waiters = [wait(false), wait(true), wait(false)];
            let_them_wait();
            near.shutdown(how).unwrap();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().unwrap() == 0));
        }
        drop(far);
    });
}

pub(super) fn shutdown_wakes_a_writer() {
    each_pair(|near, far| {
        fill(&near);
        let mut clone = near.try_clone().unwrap();
        let writer = thread::spawn(move || kind(clone.write_all(&[0; 1 << 20])));
        let_them_wait();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
        drop(far);
    });
}

pub(super) fn cloned_while_reading() {
    each_pair(|mut near, far| {
        let mut clone = far.try_clone().unwrap();
        let reader = thread::spawn(move || clone.read(&mut [0; 8]).unwrap());
        let_them_wait();
        drop(far.try_clone().unwrap());
        near.write_all(&[0]).unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

pub(super) fn clones_accept() {
    each_family(|listener, address| {
        let clone = listener.try_clone().unwrap();
        let clients = [(); 2].map(|()| thread::spawn(move || TcpStream::connect(address).unwrap()));
        listener.accept().unwrap();
        clone.accept().unwrap();
        clients.into_iter().for_each(|client| drop(client.join().unwrap()));
    });
}

pub(super) fn clones_accept_at_once() {
    each_family(|listener, address| {
        let acceptors = [(); 4].map(|()| {
            let clone = listener.try_clone().unwrap();
            thread::spawn(move || clone.accept().unwrap().1)
        });
        drop(listener);
        let clients = [(); 4].map(|()| thread::spawn(move || TcpStream::connect(address).unwrap()));
        let mut accepted = acceptors.map(|acceptor| acceptor.join().unwrap());
        let mut connected = clients.map(|client| client.join().unwrap().local_addr().unwrap());
        accepted.sort();
        connected.sort();
        assert_eq!(accepted, connected);
    });
}

pub(super) fn debug_output() {
    each_family(|listener, address| {
        let fd = listener.as_raw_fd();
        assert_eq!(format!("{listener:?}"), format!("TcpListener {{ addr: {address:?}, fd: {fd} }}"));
        assert_eq!(
            format!("{:?}", listener.incoming()),
            format!("Incoming {{ listener: TcpListener {{ addr: {address:?}, fd: {fd} }} }}")
        );
        let stream = TcpStream::connect(address).unwrap();
        let (addr, fd) = (stream.local_addr().unwrap(), stream.as_raw_fd());
        let expected = format!("TcpStream {{ addr: {addr:?}, peer: {address:?}, fd: {fd} }}");
        assert_eq!(format!("{stream:?}"), expected);
        // Who is not there is left out.
        reset(listener.accept().unwrap().0);
        assert_eq!(kind((&stream).read(&mut [0])), ErrorKind::ConnectionReset);
        assert_eq!(format!("{stream:?}"), format!("TcpStream {{ addr: {addr:?}, fd: {fd} }}"));
    });
}

pub(super) fn timeouts_are_kept() {
    each_pair(|near, far| {
        let clone = near.try_clone().unwrap();
        let long = Duration::from_secs(15410);
        for dur in [Some(long), None, Some(Duration::from_millis(500)), None] {
            near.set_read_timeout(dur).unwrap();
            clone.set_write_timeout(dur).unwrap();
            assert_eq!([near.read_timeout().unwrap(), clone.read_timeout().unwrap()], [dur; 2]);
            assert_eq!([near.write_timeout().unwrap(), clone.write_timeout().unwrap()], [dur; 2]);
        }
        assert_eq!(far.read_timeout().unwrap(), None);
        // The kernel counts in ticks, of which there is at least one.
        near.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        assert!(near.read_timeout().unwrap().is_some_and(|least| least > Duration::ZERO));
        // More than it can count is no limit.
        near.set_read_timeout(Some(Duration::MAX)).unwrap();
        near.set_write_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!((near.read_timeout().unwrap(), near.write_timeout().unwrap()), (None, None));
    });
}

pub(super) fn zero_timeouts() {
    each_pair(|near, far| {
        let limit = Some(Duration::from_secs(7));
        near.set_read_timeout(limit).unwrap();
        let error = near.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
        assert_eq!(kind(near.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
        assert_eq!((near.read_timeout().unwrap(), near.write_timeout().unwrap()), (limit, None));
        drop(far);
    });
}

pub(super) fn read_timeouts() {
    each_pair(|mut near, mut far| {
        let limit = Duration::from_millis(60);
        near.set_read_timeout(Some(limit)).unwrap();
        let mut clone = near.try_clone().unwrap();
        let mut buf = [0; 11];
        far.write_all(b"hello world").unwrap();
        near.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello world");
        let start = Instant::now();
        assert_eq!(kind(near.read_exact(&mut buf)), ErrorKind::WouldBlock);
        assert_eq!(kind(clone.read(&mut buf)), ErrorKind::WouldBlock);
        assert_eq!(kind(near.peek(&mut buf)), ErrorKind::WouldBlock);
        assert_eq!(kind(near.read_vectored(&mut [IoSliceMut::new(&mut buf)])), ErrorKind::WouldBlock);
        assert!(start.elapsed() > 3 * limit);
        near.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        assert_eq!(kind(near.read(&mut buf)), ErrorKind::WouldBlock);
        near.set_read_timeout(Some(Duration::MAX)).unwrap();
        let writer = thread::spawn(move || {
            let_them_wait();
            far.write_all(b"late").unwrap();
        });
        assert_eq!(near.read(&mut buf).unwrap(), 4);
        writer.join().unwrap();
    });
}

pub(super) fn write_timeouts() {
    each_pair(|mut near, far| {
        fill(&near);
        let limit = Duration::from_millis(60);
        near.set_write_timeout(Some(limit)).unwrap();
        let start = Instant::now();
        // There may be room for a little more by now.
        assert_eq!(kind(near.write_all(&[0; 1 << 22])), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= limit);
        drop(far);
    });
}

#[expect(deprecated, reason = "what is deprecated works too")]
pub(super) fn settings() {
    each_family(|listener, address| {
        let stream = TcpStream::connect(address).unwrap();
        let clone = stream.try_clone().unwrap();
        assert!(!stream.nodelay().unwrap());
        for on in [true, false] {
            stream.set_nodelay(on).unwrap();
            assert_eq!(clone.nodelay().unwrap(), on);
            stream.set_quickack(on).unwrap();
            assert_eq!(stream.quickack().unwrap(), on);
        }
        stream.set_ttl(100).unwrap();
        listener.set_ttl(101).unwrap();
        assert_eq!((clone.ttl().unwrap(), listener.ttl().unwrap()), (100, 101));
        assert_eq!(kind(stream.set_ttl(256)), ErrorKind::InvalidInput);
        assert!(stream.take_error().unwrap().is_none());
        assert!(listener.take_error().unwrap().is_none());
        assert_eq!(listener.only_v6().is_ok(), address.is_ipv6());
        assert!(listener.set_only_v6(true).is_err(), "it is bound");
    });
}

pub(super) fn nonblocking_stream() {
    each_pair(|mut near, mut far| {
        near.set_nonblocking(false).unwrap();
        let mut clone = near.try_clone().unwrap();
        near.set_nonblocking(true).unwrap();
        assert_eq!(clone.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        assert_eq!(kind(near.peek(&mut [0])), ErrorKind::WouldBlock);
        // A limit does not make it wait.
        near.set_read_timeout(Some(Duration::from_secs(1000))).unwrap();
        assert_eq!(kind(near.read(&mut [0])), ErrorKind::WouldBlock);
        far.write_all(b"x").unwrap();
        let n = loop {
            match near.read(&mut [0; 8]) {
                Ok(n) => break n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        assert_eq!(n, 1);
        let writer = thread::spawn(move || far.write_all(b"y").unwrap());
        clone.set_nonblocking(false).unwrap();
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1, "it waits again");
        writer.join().unwrap();
    });
}

pub(super) fn nonblocking_listener() {
    each_family(|listener, address| {
        let clone = listener.try_clone().unwrap();
        clone.set_nonblocking(true).unwrap();
        assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
        assert_eq!(kind(listener.incoming().next().unwrap()), ErrorKind::WouldBlock);
        let client = TcpStream::connect(address).unwrap();
        let (mut stream, _) = loop {
            match listener.accept() {
                Ok(accepted) => break accepted,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        // The stream itself waits.
        let writer = thread::spawn(move || {
            let_them_wait();
            (&client).write_all(b"x").unwrap();
        });
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
        writer.join().unwrap();
        listener.set_nonblocking(false).unwrap();
        let acceptor = thread::spawn(move || clone.accept().unwrap().1);
        let_them_wait();
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(acceptor.join().unwrap(), client.local_addr().unwrap());
    });
}

pub(super) fn peeking() {
    each_pair(|mut near, mut far| {
        let done = Flag::default();
        let written = done.clone();
        let writer = thread::spawn(move || {
            far.write_all(&[1, 3, 3, 7]).unwrap();
            written.wait();
        });
        let mut buf = [0; 10];
        for _ in 0..3 {
            assert_eq!(near.peek(&mut buf).unwrap(), 4);
            assert_eq!(buf[..4], [1, 3, 3, 7]);
        }
        assert_eq!(near.read(&mut buf[..2]).unwrap(), 2);
        assert_eq!(near.peek(&mut buf).unwrap(), 2);
        assert_eq!(near.read(&mut buf).unwrap(), 2);
        near.set_nonblocking(true).unwrap();
        assert_eq!(kind(near.peek(&mut buf)), ErrorKind::WouldBlock);
        done.set();
        writer.join().unwrap();
    });
}

pub(super) fn half_close() {
    each_pair(|mut near, far| {
        let server = thread::spawn(move || {
            let mut question = String::new();
            (&far).read_to_string(&mut question).unwrap();
            let_them_wait();
            (&far).write_all(question.to_uppercase().as_bytes()).unwrap();
        });
        near.write_all(b"question").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "QUESTION");
        server.join().unwrap();
    });
}

pub(super) fn reset_wakes_a_reader() {
    each_pair(|near, far| {
        let reader = thread::spawn(move || (kind((&near).read(&mut [0])), near));
        let_them_wait();
        reset(far);
        let (error, mut near) = reader.join().unwrap();
        assert_eq!(error, ErrorKind::ConnectionReset);
        // It is reported once.
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        assert!(near.take_error().unwrap().is_none());
    });
}

pub(super) fn reset_wakes_a_writer() {
    each_pair(|mut near, far| {
        fill(&near);
        let writer = thread::spawn(move || kind(near.write_all(&[0; 1 << 22])));
        let_them_wait();
        reset(far);
        assert_eq!(writer.join().unwrap(), ErrorKind::ConnectionReset);
    });
}

/// That the process is still there says that nothing raised `SIGPIPE`; std has it ignored besides.
pub(super) fn broken_pipe() {
    each_pair(|mut near, far| {
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(near.write(&[0]).unwrap_err().raw_os_error(), Some(libc::EPIPE));
        assert_eq!(kind(near.write_vectored(&[IoSlice::new(&[0])])), ErrorKind::BrokenPipe);
        assert_eq!(kind(writeln!(&near, "x")), ErrorKind::BrokenPipe);
        near.flush().unwrap();
        drop(far);
    });
}

pub(super) fn after_a_reset() {
    each_pair(|near, far| {
        (&far).write_all(b"lost").unwrap();
        reset(far);
        // What came before the reset is gone with it.
        let error = loop {
            match near.take_error().unwrap() {
                Some(error) => break error,
                None => thread::yield_now(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(kind(near.peer_addr()), ErrorKind::NotConnected);
        assert_eq!(kind(near.shutdown(Shutdown::Both)), ErrorKind::NotConnected);
        assert_eq!(kind((&near).write(b"x")), ErrorKind::BrokenPipe);
        near.local_addr().unwrap();
    });
}

pub(super) fn descriptors() {
    each_family(|listener, address| {
        let number = listener.as_raw_fd();
        let listener = TcpListener::from(OwnedFd::from(listener));
        assert_eq!((listener.as_raw_fd(), listener.as_fd().as_raw_fd()), (number, number));
        // SAFETY: just given up.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        let near = TcpStream::connect(address).unwrap();
        let number = near.as_raw_fd();
        let near = TcpStream::from(OwnedFd::from(near));
        assert_eq!((near.as_raw_fd(), near.as_fd().as_raw_fd()), (number, number));
        // SAFETY: just given up.
        let mut near = unsafe { TcpStream::from_raw_fd(near.into_raw_fd()) };
        let (mut far, _) = listener.accept().unwrap();
        let reader = thread::spawn(move || near.read(&mut [0; 8]).unwrap());
        let_them_wait();
        far.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        // What is no socket at all: the calls say so.
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let mut stream = TcpStream::from(null);
        assert_eq!(stream.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(stream.local_addr().unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(format!("{stream:?}"), format!("TcpStream {{ fd: {} }}", stream.as_raw_fd()));
    });
}

/// What std builds upon `Read` and `Write`.
pub(super) fn whole_helpers() {
    each_pair(|near, far| {
        let server = thread::spawn(move || {
            let mut lines = BufReader::new(&far).lines();
            while let Some(line) = lines.next().transpose().unwrap() {
                writeln!(&far, "{}", line.len()).unwrap();
            }
            far.shutdown(Shutdown::Write).unwrap();
            lines.count()
        });
        for word in ["", "a", "ab"] {
            writeln!(&near, "{word}").unwrap();
        }
        near.shutdown(Shutdown::Write).unwrap();
        let mut copied = Vec::new();
        assert_eq!(io::copy(&mut (&near).take(4), &mut copied).unwrap(), 4);
        assert_eq!(io::read_to_string(&near).unwrap(), "2\n");
        assert_eq!(copied, b"0\n1\n");
        assert_eq!(kind((&near).read_exact(&mut [0])), ErrorKind::UnexpectedEof);
        assert_eq!(server.join().unwrap(), 0);
    });
}
