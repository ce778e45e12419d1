//! `examples/prefork` as real processes: one is killed and started again; SIGTERM drains.

use crate::common::{Process, example, watchdog};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Option<Client> {
        TcpStream::connect(address).ok().map(|stream| Client(BufReader::new(stream)))
    }

    /// Which process has answered.
    fn ask(&mut self) -> Option<u32> {
        self.0.get_mut().write_all(b"who?\n").ok()?;
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        line.strip_prefix("process ")?.strip_suffix(" got: who?\n")?.parse().ok()
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// The processes that were started, in order.
fn children(parent: &Process) -> Vec<u32> {
    let ids = parent.stderr();
    ids.lines().filter_map(|line| line.split_once(" is process ")?.1.parse().ok()).collect()
}

fn until<T>(mut f: impl FnMut() -> Option<T>) -> T {
    loop {
        match f() {
            Some(value) => return value,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn start(grace_ms: u32) -> (Process, SocketAddr) {
    let mut command = example("prefork");
    command.arg("127.0.0.1:0").env("CHILDREN", "2").env("GRACE_MS", grace_ms.to_string());
    let parent = Process::start(command);
    let address = parent.address();
    (parent, address)
}

#[test]
fn a_child_that_dies_is_replaced_and_sigterm_drains() {
    let _watchdog = watchdog(60);
    let (parent, address) = start(60_000);
    // The kernel deals by the client's port: both are reached after some connections.
    let first = until(|| Client::connect(address)?.ask());
    let second = until(|| Client::connect(address)?.ask().filter(|id| *id != first));
    let before = children(&parent);
    assert!(before.contains(&first) && before.contains(&second));
    signal("-KILL", first);
    let third = until(|| children(&parent).into_iter().find(|id| !before.contains(id)));
    until(|| Client::connect(address)?.ask().filter(|id| *id == third));

    // One that is connected is served to its end, nobody new is.
    let mut client = until(|| {
        let mut client = Client::connect(address)?;
        client.ask().map(|_| client)
    });
    signal("-TERM", parent.id());
    until(|| TcpStream::connect(address).is_err().then_some(()));
    assert!(client.ask().is_some());
    client.0.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
    let finished = parent.finish();
    assert!(finished.status.success(), "{}", finished.stderr);
    assert_eq!(finished.stderr.matches("has served").count(), 2, "{}", finished.stderr);
}

/// The children of a parent that is killed go too, as soon as nobody is served.
#[test]
fn children_do_not_outlive_their_parent() {
    let _watchdog = watchdog(60);
    let (parent, address) = start(50);
    let mut client = until(|| {
        let mut client = Client::connect(address)?;
        client.ask().map(|_| client)
    });
    signal("-KILL", parent.id());
    until(|| TcpStream::connect(address).is_err().then_some(()));
    // The grace period is short, and it does not go by itself.
    assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
}
