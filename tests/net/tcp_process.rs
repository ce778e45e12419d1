//! What needs a process of its own: a default `SIGPIPE`, and too few descriptors.
//!
//! Each test starts this program again, with itself as the only test and a variable that says so.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::common::Process;
use layby::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use layby::{Builder, go};

const CHILD: &str = "LAYBY_TEST_CHILD";

/// Runs the test called `name` in a process of its own, with each number of workers.
fn in_own_process(name: &str, body: fn(usize)) {
    let _guard = crate::common::watchdog(60);
    if let Ok(workers) = std::env::var(CHILD) {
        body(workers.parse().unwrap());
        println!("the child has done it");
        return;
    }
    for workers in crate::common::workers() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = format!("tcp_process::{name}");
        command.args([&name, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, workers.to_string());
        let child = Process::run(command);
        assert!(child.status.success(), "{:?}\n{}\n{}", child.status, child.stdout, child.stderr);
        assert!(child.stdout.contains("the child has done it"), "{}", child.stdout);
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn broken_pipes_raise_no_signal() {
    fn body(workers: usize) {
        // SAFETY: sets a disposition, and no handler of ours runs. Rust's start-up code had it ignored.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let write = || {
            let (mut near, far) = pair();
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
            let vectored = near.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")]);
            assert_eq!(vectored.unwrap_err().kind(), ErrorKind::BrokenPipe);
            // The first write finds the connection open, and is answered by a reset.
            drop(near);
            let mut far = far;
            while far.write(b"x").is_ok() {}
            assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        };
        Builder::new().workers(workers).run(write);
        thread::spawn(write).join().unwrap();
    }
    in_own_process("broken_pipes_raise_no_signal", body);
}

fn is_emfile<T: std::fmt::Debug>(result: std::io::Result<T>) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}

/// Takes every descriptor there is.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn accept_without_descriptors_recovers() {
    fn body(workers: usize) {
        Builder::new().workers(workers).run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let connect = |socket: socket2::Socket| {
                socket.connect(&address.into()).unwrap();
                TcpStream::from(std::net::TcpStream::from(socket))
            };
            // A connection that goes on all the while.
            let beat = Arc::new(AtomicUsize::new(0));
            let (mut ping, mut pong) = pair();
            let beating = {
                let beat = Arc::clone(&beat);
                go!(move || {
                    let mut byte = [0];
                    while pong.read(&mut byte).unwrap() == 1 {
                        pong.write_all(&byte).unwrap();
                        beat.fetch_add(1, SeqCst);
                    }
                })
            };
            let sockets = [socket(), socket(), socket()];
            // The acceptor waits when the descriptors go.
            let errors = Arc::new(AtomicUsize::new(0));
            let acceptor = {
                let errors = Arc::clone(&errors);
                go!(move || {
                    let mut accepted = Vec::new();
                    while accepted.len() < 3 {
                        match listener.accept() {
                            Ok((stream, _)) => accepted.push(stream),
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                                errors.fetch_add(1, SeqCst);
                            }
                        }
                    }
                    (listener, accepted)
                })
            };
            ping.write_all(b"x").unwrap();
            ping.read_exact(&mut [0]).unwrap();
            rlimit::Resource::NOFILE.set(64, rlimit::Resource::NOFILE.get_hard().unwrap()).unwrap();
            let taken = take_all();
            assert!(!taken.is_empty());
            let clients = sockets.map(connect);
            // It fails again and again, and keeps nobody: not its worker mates either.
            let before = beat.load(SeqCst);
            while errors.load(SeqCst) < 100 || beat.load(SeqCst) < before + 20 {
                ping.write_all(b"x").unwrap();
                ping.read_exact(&mut [0]).unwrap();
            }
            is_emfile(TcpStream::connect(address));
            is_emfile(TcpStream::connect_timeout(&address, std::time::Duration::from_secs(1)));
            is_emfile(TcpListener::bind("127.0.0.1:0"));
            is_emfile(ping.try_clone());
            is_emfile(thread::scope(|s| s.spawn(|| ping.try_clone()).join().unwrap()));
            // None was lost.
            drop(taken);
            let (listener, accepted) = acceptor.join().unwrap();
            let mut from: Vec<SocketAddr> = accepted.iter().map(|s| s.peer_addr().unwrap()).collect();
            let mut here = clients.each_ref().map(|client| client.local_addr().unwrap());
            from.sort();
            here.sort();
            assert_eq!(from, here);
            // And it goes on as before.
            let later = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1, later.local_addr().unwrap());
            drop(ping);
            beating.join().unwrap();
        });
    }
    in_own_process("accept_without_descriptors_recovers", body);
}
