//! `examples/http_server` under many clients, and clients that would exhaust it.

use crate::http_client;

use crate::common::{Process, Rng, descriptors, installed, watchdog, workers};
use http_client::{Client, MAX_BODY, get, impatient_server, post, server, server_command};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn lets_go_of_clients_that_do_not_read() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = impatient_server(workers);
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = post(&Rng::new(3).bytes(MAX_BODY));
        // As much as the buffers between take, and more, until the server gives up on us.
        let failed = (0..100).find_map(|_| stream.write_all(&request).err());
        assert!(failed.is_some(), "the server took 100 MiB from a client that reads nothing");
        assert_eq!(Client::connect(server.address()).ask(get("/").as_bytes()).status, 200);
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn serves_a_thousand_connections_at_once() {
    let _watchdog = watchdog(120);
    let clients = if descriptors(1_200) { 1_000 } else { 400 };
    for workers in workers() {
        let server = server(workers);
        let address = server.address();
        let mut clients: Vec<Client> = (0..clients).map(|_| Client::connect(address)).collect();
        for round in 0..3 {
            let body = |number: usize| format!("round {round}, client {number}").into_bytes();
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(&post(&body(number)));
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let answer = client.receive();
                assert_eq!((answer.status, answer.body), (200, body(number)));
            }
        }
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn survives_running_out_of_descriptors() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let real = server_command(workers);
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 50 && exec \"$0\" \"$@\""])
            .arg(real.get_program())
            .args(real.get_args());
        command.env("LAYBY_WORKERS", workers.to_string());
        let server = Process::start(command);
        let address = server.address();
        let mut first = Client::connect(address);
        assert_eq!(first.ask(get("/").as_bytes()).status, 200);
        // The kernel completes these connections; the server can accept only some.
        let crowd: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        while !server.stderr().contains("cannot accept for now") {
            thread::sleep(Duration::from_millis(5));
        }
        let before = cpu_time(&server);
        thread::sleep(Duration::from_millis(500));
        let used = cpu_time(&server) - before;
        assert!(used < Duration::from_millis(150), "{used:?} of CPU in 500 ms with nothing to do");
        assert_eq!(first.ask(get("/").as_bytes()).status, 200);
        drop(crowd);
        assert_eq!(Client::connect(address).ask(get("/").as_bytes()).status, 200);
    }
}

/// What a process has used of the processors so far.
fn cpu_time(process: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // The command's name, in parentheses, may hold spaces; user and system time follow as fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10) // Linux counts in hundredths of a second here, on every machine
}

#[test]
fn serves_wrk() {
    let _watchdog = watchdog(60);
    if !installed("wrk", false) || !descriptors(1_200) {
        return;
    }
    let server = server(2);
    for connections in ["-c100", "-c1000"] {
        let mut command = Command::new("wrk");
        command.args([connections, "-t2", "-d2"]).arg(format!("http://{}/", server.address()));
        let report = Process::run(command).stdout;
        assert!(report.contains("Requests/sec"), "{report}");
        assert!(!report.contains("Socket errors"), "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
    }
    assert_eq!(server.stderr(), "");
}
