//! `layby::net`'s TCP, from tasks on one and on several workers and from plain OS threads.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use layby::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use layby::{Builder, go};

/// Runs the body as a root task with each number of workers, then on a plain thread (whose `go!`s
/// are tasks of the default runtime).
fn everywhere(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        Builder::new().workers(workers).run(&body);
    }
    body();
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let near = TcpStream::connect(address).unwrap();
    let (far, from) = listener.accept().unwrap();
    assert_eq!(from, near.local_addr().unwrap());
    (near, far)
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Sends back whatever comes, until the end.
fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match (&*stream).read(&mut buf)? {
            0 => return Ok(()),
            n => (&*stream).write_all(&buf[..n])?,
        }
    }
}

#[test]
fn echoes() {
    everywhere(|| {
        let (listener, address) = listener();
        let server = go!(move || echo(&listener.accept().unwrap().0));
        let mut client = TcpStream::connect(address).unwrap();
        for round in 0..100_u32 {
            client.write_all(&round.to_le_bytes()).unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(u32::from_le_bytes(answer), round);
        }
        drop(client);
        server.join().unwrap().unwrap();
    });
}

#[test]
fn five_hundred_connections_at_once() {
    const CONNECTIONS: usize = 500;
    // With those of the tests that run beside it.
    if !crate::common::descriptors(2 * CONNECTIONS as u64 + 500) {
        return;
    }
    everywhere(|| {
        let (listener, address) = listener();
        let server = go!(move || {
            let handlers: Vec<_> = listener
                .incoming()
                .take(CONNECTIONS)
                .map(|stream| {
                    let stream = stream.unwrap();
                    go!(move || echo(&stream).unwrap())
                })
                .collect();
            handlers.into_iter().for_each(|handler| handler.join().unwrap());
        });
        let connected = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let connected = Arc::clone(&connected);
                go!(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    connected.fetch_add(1, SeqCst);
                    for round in 0..10 {
                        let word = format!("{number}.{round}");
                        stream.write_all(word.as_bytes()).unwrap();
                        let mut answer = vec![0; word.len()];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(answer, word.as_bytes());
                    }
                    // Nobody leaves before all have come.
                    while connected.load(SeqCst) < CONNECTIONS {
                        layby::yield_now();
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        server.join().unwrap();
    });
}

#[test]
fn incoming_yields_every_connection() {
    everywhere(|| {
        let (listener, address) = listener();
        let clients = go!(move || {
            for number in 0..20_u8 {
                TcpStream::connect(address).unwrap().write_all(&[number]).unwrap();
            }
        });
        let mut seen: Vec<u8> = listener
            .incoming()
            .take(20)
            .map(|stream| {
                let mut byte = [0];
                stream.unwrap().read_exact(&mut byte).unwrap();
                byte[0]
            })
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..20));
        clients.join().unwrap();
    });
}

/// Several tasks accept on one listener and on its clones; each connection goes to exactly one.
#[test]
fn many_accept_on_one_listener() {
    const ACCEPTORS: usize = 8;
    const CONNECTIONS: usize = 100;
    everywhere(|| {
        let (listener, address) = listener();
        let listener = Arc::new(listener);
        let accepted = Arc::new(AtomicUsize::new(0));
        let acceptors: Vec<_> = (0..ACCEPTORS)
            .map(|number| {
                let shared = Arc::clone(&listener);
                let clone = listener.try_clone().unwrap();
                let accepted = Arc::clone(&accepted);
                go!(move || {
                    let listener = if number % 2 == 0 { &*shared } else { &clone };
                    loop {
                        let (mut stream, _) = listener.accept().unwrap();
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        if byte == *b"q" {
                            return;
                        }
                        accepted.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..CONNECTIONS {
            TcpStream::connect(address).unwrap().write_all(b"x").unwrap();
        }
        for _ in 0..ACCEPTORS {
            TcpStream::connect(address).unwrap().write_all(b"q").unwrap();
        }
        acceptors.into_iter().for_each(|acceptor| acceptor.join().unwrap());
        assert_eq!(accepted.load(SeqCst), CONNECTIONS);
    });
}

#[test]
fn refused() {
    everywhere(|| {
        let (listener, address) = listener();
        drop(listener);
        assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
        let timeout = Duration::from_secs(20);
        let refused = TcpStream::connect_timeout(&address, timeout);
        assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
        // A later address may still do.
        let (listener, good) = self::listener();
        let stream = TcpStream::connect(&[address, good][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        drop(listener);
    });
}

/// A listener whose queue is full answers no SYN, so that connecting takes for ever.
#[test]
fn connecting_times_out() {
    everywhere(|| {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let timeout = Duration::from_millis(50);
        let mut queued = Vec::new();
        let (error, waited) = loop {
            let start = Instant::now();
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => queued.push(stream),
                Err(error) => break (error, start.elapsed()),
            }
            assert!(queued.len() < 16, "the queue does not fill");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "connection timed out");
        assert!(waited >= timeout, "{waited:?}");
        let zero = TcpStream::connect_timeout(&address, Duration::ZERO);
        assert_eq!(kind(zero), ErrorKind::InvalidInput);
    });
}

#[test]
fn read_timeout() {
    everywhere(|| {
        let (mut near, mut far) = pair();
        assert_eq!(near.read_timeout().unwrap(), None);
        assert_eq!(kind(near.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
        let limit = Duration::from_millis(40);
        // The setting is the connection's, whichever clone it is made by.
        near.try_clone().unwrap().set_read_timeout(Some(limit)).unwrap();
        assert!(near.read_timeout().unwrap().unwrap() >= limit);
        for _ in 0..3 {
            let start = Instant::now();
            let error = near.read(&mut [0; 8]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "what std says on Unix");
            assert!(start.elapsed() >= limit);
        }
        assert_eq!(kind(near.peek(&mut [0; 8])), ErrorKind::WouldBlock);
        // Nothing is left of the waits that ended so.
        far.write_all(b"late").unwrap();
        near.set_read_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 4);
        near.set_read_timeout(None).unwrap();
        assert_eq!(near.read_timeout().unwrap(), None);
        let late = go!(move || far.write_all(b"later").unwrap());
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 5);
        late.join().unwrap();
    });
}

#[test]
fn write_timeout() {
    everywhere(|| {
        let (mut near, mut far) = pair();
        assert_eq!(kind(near.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
        let limit = Duration::from_millis(40);
        near.set_write_timeout(Some(limit)).unwrap();
        assert!(near.write_timeout().unwrap().unwrap() >= limit);
        let chunk = [7; 1 << 16];
        let mut sent = 0;
        let error = loop {
            match near.write(&chunk) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "what std says on Unix");
        assert_eq!(near.write(&[]).unwrap(), 0, "nothing needs no room");
        drop(near);
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), sent, "what was reported as sent, and no more");
    });
}

#[test]
fn peek_takes_nothing() {
    everywhere(|| {
        let (mut near, mut far) = pair();
        let writer = go!(move || far.write_all(b"abc").unwrap());
        let mut buf = [0; 2];
        assert_eq!(near.peek(&mut buf[..1]).unwrap(), 1);
        writer.join().unwrap();
        let mut buf = [0; 8];
        for _ in 0..3 {
            assert_eq!(near.peek(&mut buf).unwrap(), 3);
        }
        assert_eq!(near.read(&mut buf).unwrap(), 3);
        assert_eq!(&buf[..3], b"abc");
        assert_eq!(near.peek(&mut buf).unwrap(), 0, "the writer is gone");
        assert_eq!(near.read(&mut buf).unwrap(), 0);
    });
}

#[test]
fn vectored() {
    everywhere(|| {
        let (mut near, mut far) = pair();
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(near.write_vectored(&parts).unwrap(), 5);
        drop(near);
        let (mut one, mut two) = ([0; 1], [0; 9]);
        let mut got: Vec<u8> = Vec::new();
        loop {
            let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            match far.read_vectored(&mut bufs).unwrap() {
                0 => break,
                n => got.extend(one.iter().chain(&two).take(n)),
            }
        }
        assert_eq!(got, b"abcde");
        // More than the kernel takes at once.
        let (mut near, mut far) = pair();
        let many = vec![IoSlice::new(b"x"); 5000];
        let sent = near.write_vectored(&many).unwrap();
        assert!((1..=5000).contains(&sent));
        drop(near);
        assert_eq!(far.read_to_end(&mut Vec::new()).unwrap(), sent);
    });
}

#[test]
fn half_close() {
    everywhere(|| {
        let (mut near, mut far) = pair();
        let server = go!(move || {
            let mut question = String::new();
            far.read_to_string(&mut question).unwrap();
            far.write_all(question.to_uppercase().as_bytes()).unwrap();
        });
        near.write_all(b"question").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "QUESTION");
        assert_eq!(kind(near.write(b"more")), ErrorKind::BrokenPipe);
        assert_eq!(kind(near.write_vectored(&[IoSlice::new(b"more")])), ErrorKind::BrokenPipe);
        server.join().unwrap();
    });
}

#[test]
fn shutdown_ends_waiting_calls() {
    everywhere(|| {
        let (near, far) = pair();
        let near = Arc::new(near);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let near = Arc::clone(&near);
                go!(move || (&*near).read(&mut [0; 8]).unwrap())
            })
            .collect();
        // One reader at least has had the chance to wait.
        layby::yield_now();
        near.shutdown(Shutdown::Read).unwrap();
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 0));
        drop(far);
    });
}

/// Guards: a short read tells that the next would block, except that an end may have come with it.
#[test]
fn data_and_end_at_once() {
    everywhere(|| {
        let (listener, address) = listener();
        let clients = go!(move || {
            for _ in 0..300 {
                TcpStream::connect(address).unwrap().write_all(b"last words").unwrap();
            }
        });
        for stream in listener.incoming().take(300) {
            let mut stream = stream.unwrap();
            let mut buf = [0; 64];
            let mut total = 0;
            loop {
                match stream.read(&mut buf).unwrap() {
                    0 => break,
                    n => total += n,
                }
            }
            assert_eq!(total, 10);
            assert_eq!(stream.read(&mut buf).unwrap(), 0, "the end stays");
        }
        clients.join().unwrap();
    });
}

/// Guards: a read stops short before urgent data, though there is more behind it.
#[test]
fn urgent_data_hides_nothing() {
    everywhere(|| {
        for _ in 0..20 {
            let (mut near, far) = pair();
            let writer = go!(move || {
                let socket = socket2::SockRef::from(&far);
                socket.send(b"before").unwrap();
                socket.send_out_of_band(b"!").unwrap();
                socket.send(b"after").unwrap();
                far
            });
            let mut got = Vec::new();
            let mut buf = [0; 64];
            while got.len() < 11 {
                let n = near.read(&mut buf).unwrap();
                assert_ne!(n, 0);
                got.extend_from_slice(&buf[..n]);
            }
            assert_eq!(got, b"beforeafter");
            writer.join().unwrap();
        }
    });
}

#[test]
fn reset_by_the_peer() {
    everywhere(|| {
        let (mut near, far) = pair();
        let reader = go!(move || (near.read(&mut [0; 8]), near));
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let (result, mut near) = reader.join().unwrap();
        assert_eq!(kind(result), ErrorKind::ConnectionReset);
        assert_eq!(kind(near.write(b"x")), ErrorKind::BrokenPipe);
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 0);
        assert!(near.take_error().unwrap().is_none());
    });
}

#[test]
fn several_tasks_read_one_socket() {
    const BYTES: usize = 100_000;
    everywhere(|| {
        let (mut near, far) = pair();
        let far = Arc::new(far);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let far = Arc::clone(&far);
                go!(move || {
                    let mut sum = 0;
                    let mut buf = [0; 97];
                    loop {
                        match (&*far).read(&mut buf).unwrap() {
                            0 => return sum,
                            n => sum += n,
                        }
                    }
                })
            })
            .collect();
        for chunk in vec![1; BYTES].chunks(1009) {
            near.write_all(chunk).unwrap();
            layby::yield_now();
        }
        drop(near);
        let sum: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert_eq!(sum, BYTES);
    });
}

/// 64 MB each way at the same time, over one connection.
#[test]
fn large_transfers_both_ways() {
    const CHUNK: usize = 1 << 16;
    const CHUNKS: usize = 1 << 10;
    fn pattern(number: usize, seed: u8) -> [u8; CHUNK] {
        let mut chunk = [seed.wrapping_add(u8::try_from(number % 251).unwrap()); CHUNK];
        chunk[..8].copy_from_slice(&number.to_le_bytes());
        chunk
    }
    fn send(mut stream: &TcpStream, seed: u8) {
        (0..CHUNKS).for_each(|number| stream.write_all(&pattern(number, seed)).unwrap());
        stream.shutdown(Shutdown::Write).unwrap();
    }
    fn receive(mut stream: &TcpStream, seed: u8) {
        let mut chunk = vec![0; CHUNK];
        for number in 0..CHUNKS {
            stream.read_exact(&mut chunk).unwrap();
            assert!(chunk == pattern(number, seed), "chunk {number} differs");
        }
        assert_eq!(stream.read(&mut chunk).unwrap(), 0);
    }
    everywhere(|| {
        let (near, far) = pair();
        let (near, far) = (Arc::new(near), Arc::new(far));
        let ends = [(near, 1, 2), (far, 2, 1)].map(|(stream, mine, theirs)| {
            let sender = Arc::clone(&stream);
            (go!(move || send(&sender, mine)), go!(move || receive(&stream, theirs)))
        });
        for (sender, receiver) in ends {
            sender.join().unwrap();
            receiver.join().unwrap();
        }
    });
}

#[test]
fn a_clone_outlives_the_original() {
    everywhere(|| {
        for round in 0..100_u8 {
            let (mut near, mut far) = pair();
            // The original waits first, so that it is registered with this worker, if not by chance
            // the byte comes sooner.
            let starter = go!(move || {
                far.write_all(b"s").unwrap();
                far
            });
            near.read_exact(&mut [0]).unwrap();
            let mut far = starter.join().unwrap();
            let mut clone = near.try_clone().unwrap();
            let reader = go!(move || {
                let mut byte = [0];
                clone.read_exact(&mut byte).unwrap();
                byte[0]
            });
            let other = near.try_clone().unwrap();
            let waiter = go!(move || other.peek(&mut [0]).map(drop));
            layby::yield_now();
            drop(near);
            // Takes the descriptor's number again.
            let next = pair();
            far.write_all(&[round]).unwrap();
            assert_eq!(reader.join().unwrap(), round);
            drop(far);
            waiter.join().unwrap().unwrap();
            drop(next);
        }
    });
}

#[test]
fn addresses_and_names() {
    everywhere(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(("localhost", address.port())).unwrap();
        let (far, from) = listener.accept().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert_eq!(far.local_addr().unwrap(), address);
        assert_eq!(far.peer_addr().unwrap(), from);
        assert_eq!(stream.local_addr().unwrap(), from);

        assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
        assert_eq!(kind(TcpStream::connect("no port here")), ErrorKind::InvalidInput);
        let nobody: &[SocketAddr] = &[];
        assert_eq!(kind(TcpListener::bind(nobody)), ErrorKind::InvalidInput);
        assert!(("::1", 80).to_socket_addrs().unwrap().eq([([0, 0, 0, 0, 0, 0, 0, 1], 80).into()]));
        // Too long for a name, so that no name server is asked.
        assert!(("x".repeat(300), 1).to_socket_addrs().is_err());
    });
}

#[test]
fn settings() {
    everywhere(|| {
        let (near, _far) = pair();
        for on in [true, false] {
            near.set_nodelay(on).unwrap();
            assert_eq!(near.nodelay().unwrap(), on);
        }
        near.set_ttl(42).unwrap();
        assert_eq!(near.ttl().unwrap(), 42);
        assert!(near.take_error().unwrap().is_none());
        let (listener, _) = listener();
        listener.set_ttl(43).unwrap();
        assert_eq!(listener.ttl().unwrap(), 43);
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn nonblocking() {
    everywhere(|| {
        let (listener, address) = listener();
        listener.try_clone().unwrap().set_nonblocking(true).unwrap();
        assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
        let mut near = TcpStream::connect(address).unwrap();
        // The handshake is over, so the connection is in the queue.
        let (mut far, _) = listener.accept().unwrap();
        assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);

        near.set_nonblocking(true).unwrap();
        assert_eq!(kind(near.read(&mut [0; 8])), ErrorKind::WouldBlock);
        assert_eq!(near.read(&mut [0; 8]).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        let writer = go!(move || {
            far.write_all(b"x").unwrap();
            far
        });
        let far = writer.join().unwrap();
        // Sees what has come since, though nobody has waited for it.
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
        let chunk = [0; 1 << 16];
        while near.write(&chunk).is_ok() {}
        assert_eq!(kind(near.write(&chunk)), ErrorKind::WouldBlock);

        near.set_nonblocking(false).unwrap();
        drop(far);
        assert!(near.read(&mut [0; 8]).is_ok_and(|n| n == 0) || near.take_error().is_ok());
    });
}

#[test]
fn from_std_and_back() {
    everywhere(|| {
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        let listener = TcpListener::from(plain);
        let theirs = std::net::TcpStream::connect(address).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut far, _) = listener.accept().unwrap();

        // Waits, whatever mode it was in; the timeout comes along.
        let mut near = TcpStream::from(theirs);
        assert_eq!(near.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        let writer = go!(move || {
            far.write_all(b"ours").unwrap();
            far
        });
        let mut word = [0; 4];
        near.read_exact(&mut word).unwrap();
        let mut far = writer.join().unwrap();

        // Blocks; nothing is registered any more; the timeout goes along.
        near.set_write_timeout(Some(Duration::from_secs(8))).unwrap();
        let mut theirs = std::net::TcpStream::from(near);
        assert_eq!(theirs.read_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(theirs.write_timeout().unwrap(), Some(Duration::from_secs(8)));
        let reader = std::thread::spawn(move || {
            let mut word = [0; 6];
            theirs.read_exact(&mut word).unwrap();
            word
        });
        far.write_all(b"theirs").unwrap();
        assert_eq!(&reader.join().unwrap(), b"theirs");

        // Unless it was told not to.
        let (near, _far) = pair();
        near.set_nonblocking(true).unwrap();
        let mut theirs = std::net::TcpStream::from(near);
        assert_eq!(kind(theirs.read(&mut word)), ErrorKind::WouldBlock);

        // Listeners too: std's accept blocks until the client comes.
        let theirs = std::net::TcpListener::from(listener);
        let acceptor = std::thread::spawn(move || theirs.accept().unwrap().1);
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(acceptor.join().unwrap(), client.local_addr().unwrap());
    });
}

/// Guards: std's clone makes the common open file blocking, and with it our accept.
#[test]
fn a_listener_whose_clone_went_to_std_blocks_no_worker() {
    let _guard = crate::common::watchdog(60);
    Builder::new().workers(1).run(|| {
        let (listener, address) = listener();
        let theirs = std::net::TcpListener::from(listener.try_clone().unwrap());
        let acceptor = go!(move || listener.accept().unwrap().1);
        layby::yield_now();
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(acceptor.join().unwrap(), client.local_addr().unwrap());
        drop(theirs);
    });
}

#[test]
fn descriptors() {
    everywhere(|| {
        let (near, mut far) = pair();
        let number = near.as_raw_fd();
        assert_eq!(near.as_fd().as_raw_fd(), number);
        let near = TcpStream::from(OwnedFd::from(near));
        assert_eq!(near.as_raw_fd(), number);
        let number = near.into_raw_fd();
        // SAFETY: just got from a stream that gave it up.
        let mut near = unsafe { TcpStream::from_raw_fd(number) };
        far.write_all(b"x").unwrap();
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);

        let (listener, address) = listener();
        let number = listener.into_raw_fd();
        // SAFETY: just got from a listener that gave it up.
        let listener = unsafe { TcpListener::from_raw_fd(number) };
        let listener = TcpListener::from(OwnedFd::from(listener));
        assert_eq!((listener.as_raw_fd(), listener.as_fd().as_raw_fd()), (number, number));
        let _client = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();

        // What is no such socket says so at the first call.
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(TcpStream::from(file.try_clone().unwrap()).read(&mut [0; 8]).is_err());
        assert!(TcpListener::from(file).accept().is_err());
    });
}

#[test]
fn debug_is_that_of_std() {
    everywhere(|| {
        let (near, _far) = pair();
        let ours = format!("{near:?} {near:#?}");
        let near = std::net::TcpStream::from(near);
        assert_eq!(ours, format!("{near:?} {near:#?}"));
        let (listener, _) = listener();
        let ours = format!("{listener:?} {listener:#?}");
        let incoming = format!("{:?}", listener.incoming());
        let listener = std::net::TcpListener::from(listener);
        assert_eq!(ours, format!("{listener:?} {listener:#?}"));
        assert_eq!(incoming, format!("{:?}", listener.incoming()));
    });
}

/// Threads and tasks on both ends of the same connections.
#[test]
fn threads_are_clients_of_tasks() {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        Builder::new().workers(workers).run(|| {
            let (listener, address) = listener();
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    std::thread::spawn(move || {
                        let mut stream = TcpStream::connect(address).unwrap();
                        for round in 0..50_u32 {
                            stream.write_all(&round.to_le_bytes()).unwrap();
                            let mut answer = [0; 4];
                            stream.read_exact(&mut answer).unwrap();
                            assert_eq!(u32::from_le_bytes(answer), round);
                        }
                    })
                })
                .collect();
            let handlers: Vec<_> = listener
                .incoming()
                .take(8)
                .map(|stream| {
                    let stream = stream.unwrap();
                    go!(move || echo(&stream).unwrap())
                })
                .collect();
            handlers.into_iter().for_each(|handler| handler.join().unwrap());
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
    }
}

/// One stream, used by a task of one runtime, then of another, then by a thread.
#[test]
fn a_stream_wanders() {
    let _guard = crate::common::watchdog(60);
    let (mut near, mut far) = pair();
    for round in 0..20_u8 {
        let (a, b) = Builder::new().workers(1).run(move || {
            let writer = go!(move || {
                far.write_all(&[round]).unwrap();
                far
            });
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [round]);
            (near, writer.join().unwrap())
        });
        (near, far) = (a, b);
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
    }
}
