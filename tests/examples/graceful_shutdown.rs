//! `examples/graceful_shutdown` as a real process, which gets real signals while it serves.

use crate::http_client as http;

use crate::common::{Process, example, watchdog, workers};
use http::{Client, get};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

fn server(workers: usize, slow: u64, grace: u64) -> Process {
    let mut command = example("graceful_shutdown");
    command.arg("127.0.0.1:0").env("LAYBY_WORKERS", workers.to_string());
    command.env("SLOW_MS", slow.to_string()).env("GRACE_MS", grace.to_string());
    Process::start(command)
}

fn signal(server: &Process, name: &str) {
    let status = Command::new("kill").args([name, &server.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

fn wait_for(server: &Process, line: &str) {
    while !server.stderr().contains(line) {
        assert!(server.status().is_none(), "it has ended: {}", server.stderr());
        thread::sleep(Duration::from_millis(2));
    }
}

/// A request that the server has begun to answer.
fn ask_slowly(server: &Process) -> Client {
    let mut client = Client::connect(server.address());
    client.send(get("/slow").as_bytes());
    let mut other = Client::connect(server.address());
    while other.ask(get("/busy").as_bytes()).text() != "2 in flight\n" {}
    client
}

#[test]
fn what_is_in_flight_is_finished() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for name in ["-INT", "-TERM"] {
            let server = server(n, 600, 60_000);
            let address = server.address();
            let mut resting = Client::connect(address);
            assert_eq!(resting.ask(get("/").as_bytes()).text(), "hello\n");
            let mut slow = ask_slowly(&server);
            signal(&server, name);
            wait_for(&server, "closing; 1 in flight");
            // Who rests is sent away, who comes is refused.
            resting.expect_end();
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let answer = slow.receive();
            assert_eq!((answer.text(), answer.field("connection")), ("at last\n", Some("close")));
            slow.expect_end();
            let finished = server.finish();
            assert!(finished.status.success());
            assert!(finished.stderr.contains("all done: "), "{}", finished.stderr);
        }
    }
}

/// A request whose head arrives in pieces is in flight, too.
#[test]
fn what_has_begun_to_arrive_is_finished() {
    let _watchdog = watchdog(60);
    let server = server(1, 1, 60_000);
    let mut client = Client::connect(server.address());
    assert_eq!(client.ask(get("/").as_bytes()).text(), "hello\n");
    client.send(b"GET / HTTP/1.1\r\n");
    thread::sleep(Duration::from_millis(100));
    signal(&server, "-INT");
    wait_for(&server, "closing;");
    assert_eq!(client.ask(b"Host: test\r\n\r\n").text(), "hello\n");
    assert!(server.finish().stderr.contains("all done: 2 answered"));
}

#[test]
fn what_takes_too_long_is_cancelled() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let start = Instant::now();
        let server = server(n, 3_600_000, 100);
        let mut slow = ask_slowly(&server);
        signal(&server, "-INT");
        slow.expect_end();
        let finished = server.finish();
        assert!(finished.status.success() && start.elapsed() < Duration::from_secs(30));
        assert!(finished.stderr.contains(" answered, 1 cancelled"), "{}", finished.stderr);
    }
}

#[test]
fn the_second_signal_is_impatient() {
    let _watchdog = watchdog(60);
    let server = server(2, 3_600_000, 3_600_000);
    let mut slow = ask_slowly(&server);
    signal(&server, "-INT");
    wait_for(&server, "closing; 1 in flight");
    signal(&server, "-INT");
    slow.expect_end();
    let finished = server.finish();
    assert!(finished.status.success());
    assert!(finished.stderr.contains(" answered, 1 cancelled"), "{}", finished.stderr);
}
