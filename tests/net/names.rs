//! Names, and connecting to one of several addresses.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use layby::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use layby::{go, testing};
use socket2::{Domain, Socket, Type};

fn everywhere(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        crate::common::on(workers, &body);
    }
    body();
}

/// A listener that does not answer: its queue is full. And what fills the queue.
fn silent() -> (SocketAddr, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let client = new();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        sockets.push(client);
    }
    (address.as_socket().unwrap(), sockets)
}

fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn names_are_stds() {
    everywhere(|| {
        let mut ours: Vec<_> = ("localhost", 80).to_socket_addrs().unwrap().collect();
        let mut theirs: Vec<_> =
            std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 80)).unwrap().collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
        assert!("localhost:7".to_socket_addrs().unwrap().all(|address| address.port() == 7));
        let ours = "no such host.invalid:1".to_socket_addrs().map(drop).unwrap_err();
        let theirs =
            std::net::ToSocketAddrs::to_socket_addrs("no such host.invalid:1").map(drop).unwrap_err();
        assert_eq!((ours.kind(), ours.to_string()), (theirs.kind(), theirs.to_string()));
    });
}

#[test]
fn many_at_once() {
    everywhere(|| {
        let tasks: Vec<_> = (0..100)
            .map(|port| go!(move || ("localhost", port).to_socket_addrs().unwrap().next().unwrap().port()))
            .collect();
        for (task, port) in tasks.into_iter().zip(0..) {
            assert_eq!(task.join().unwrap(), port);
        }
    });
}

/// Guards: virtual time does not run away from a lookup, and a lookup is something to wait for.
#[test]
fn in_virtual_time() {
    let _guard = crate::common::watchdog(30);
    testing::run(1, || {
        let start = layby::time::Instant::now();
        assert!(("localhost", 1).to_socket_addrs().unwrap().count() > 0);
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_cancelled_caller_leaves() {
    let _guard = crate::common::watchdog(30);
    crate::common::on(1, || {
        let task = go!(|| { ("localhost", 1).to_socket_addrs().map(Iterator::count).unwrap() });
        layby::yield_now();
        task.cancel();
        // It may have had its answer by then.
        if let Err(error) = task.join() {
            assert!(error.is_cancelled());
        }
        assert!(("localhost", 1).to_socket_addrs().unwrap().count() > 0);
    });
}

#[test]
fn the_first_to_answer() {
    everywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let (silent, _fill) = silent();
        let start = Instant::now();
        let stream = TcpStream::connect_race(&[silent, silent, good][..]).unwrap();
        let took = start.elapsed();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
        // Refused ones are not waited for.
        let start = Instant::now();
        let stream = TcpStream::connect_race(&[refusing(), refusing(), good][..]).unwrap();
        assert!(start.elapsed() < Duration::from_millis(240));
        assert_eq!(stream.peer_addr().unwrap(), good);
        (&stream).write_all(b"x").unwrap();
        // The one that waits is overtaken by one that fails and one that answers.
        let stream = TcpStream::connect_race(&[silent, refusing(), good][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    });
}

/// Guards: the families take turns, each with its 250 ms; and the deadline is the caller's.
#[test]
fn the_other_family_after_its_delay() {
    everywhere(|| {
        let Ok(six) = TcpListener::bind("[::1]:0") else {
            return; // a machine without IPv6
        };
        let good = six.local_addr().unwrap();
        let (silent, _fill) = silent();
        // By turns: silent, good, silent. In order it would be the third. (A busy machine may be late now and then.)
        let in_time = |_| {
            let start = Instant::now();
            let stream = TcpStream::connect_race(&[silent, silent, good][..]).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), good);
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(250), "{took:?}");
            took < Duration::from_millis(490)
        };
        assert!((0..3).any(in_time));

        let limit = Duration::from_millis(30);
        let result = layby::timeout(limit, || TcpStream::connect_race(&[silent, silent][..]).map(drop));
        assert!(result.is_err(), "{result:?}");
    });
}

#[test]
fn all_fail() {
    everywhere(|| {
        let error = TcpStream::connect_race(&[refusing(), refusing()][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect_race(none).unwrap_err().kind(), ErrorKind::InvalidInput);
        let by_name = TcpListener::bind("localhost:0").unwrap();
        let port = by_name.local_addr().unwrap().port();
        TcpStream::connect_race(("localhost", port)).unwrap();
    });
}

#[test]
fn a_cancelled_race_closes_its_sockets() {
    let _guard = crate::common::watchdog(30);
    for workers in crate::common::workers() {
        crate::common::on(workers, || {
            let (silent, _fill) = silent();
            let race = go!(move || TcpStream::connect_race(&[silent, silent][..]).map(drop));
            layby::sleep(Duration::from_millis(5));
            race.cancel();
            assert!(race.join().unwrap_err().is_cancelled());
        });
    }
}
