//! `examples/race` as a real process: who does not answer costs a head start, who refuses costs nothing.

use crate::common::{Process, example, watchdog, workers};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// An address that answers no handshake, for as long as the result lives: its listener's queue is full.
fn silent() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the kernel keeps no bound on that queue");
    }
    (address, socket, waiting)
}

/// An address where nobody listens.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The example's exit code, its lines, and how long it took.
fn race(workers: usize, stagger: u64, addresses: &[SocketAddr]) -> (Option<i32>, Vec<String>, Duration) {
    let mut command = example("race");
    command.arg("--stagger").arg(stagger.to_string());
    command.args(addresses.iter().map(SocketAddr::to_string)).env("LAYBY_WORKERS", workers.to_string());
    let start = Instant::now();
    let finished = Process::run(command);
    let lines = finished.stdout.lines().map(str::to_owned).collect();
    (finished.status.code(), lines, start.elapsed())
}

#[test]
fn the_first_that_answers() {
    let _watchdog = watchdog(60);
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = open.local_addr().unwrap();
    let (silent, _socket, _waiting) = silent();
    let bad = refusing();
    for n in workers() {
        // The head start is an hour, so nobody is waited for who need not be.
        let hour = 3_600_000;
        for addresses in [&[good, silent][..], &[bad, good, silent], &[bad, bad, bad, good]] {
            let (code, lines, _) = race(n, hour, addresses);
            assert_eq!(code, Some(0), "{lines:?}");
            assert!(lines[0].starts_with(&format!("connected to {good} after")), "{lines:?}");
        }
        let (code, lines, time) = race(n, 50, &[silent, silent, bad, good]);
        assert_eq!(code, Some(0), "{lines:?}");
        assert!(lines[0].starts_with(&format!("connected to {good} after")), "{lines:?}");
        assert!(time >= Duration::from_millis(100), "two head starts of 50 ms took {time:?}");
    }
}

#[test]
fn all_refuse() {
    let _watchdog = watchdog(60);
    let addresses = [refusing(), refusing(), refusing()];
    let (code, mut lines, _) = race(1, 3_600_000, &addresses);
    assert_eq!((code, lines.len()), (Some(1), 3), "{lines:?}");
    for address in addresses {
        let line = lines.iter().position(|line| line.starts_with(&format!("{address}: "))).expect("its line");
        assert!(lines.remove(line).contains("refused"));
    }
}

#[test]
fn explains_its_usage() {
    let _watchdog = watchdog(60);
    for args in [&[][..], &["--bogus"], &["--stagger"], &["--stagger", "soon", "localhost:1"]] {
        let mut command = example("race");
        command.args(args);
        let finished = Process::run(command);
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
        assert!(finished.stderr.starts_with("usage: race"), "{}", finished.stderr);
    }
}
