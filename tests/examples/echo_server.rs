//! `examples/echo_server` as its clients see it: a real process, real sockets.

use crate::common::{Process, Rng, descriptors, example, watchdog, workers};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

fn server(workers: usize) -> Process {
    let mut command = example("echo_server");
    command.arg("127.0.0.1:0").env("LAYBY_WORKERS", workers.to_string());
    Process::start(command)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends and reads at the same time, as one must with more than the buffers between can hold;
/// then says that no more will come, and returns all that came back.
fn echo_of(stream: TcpStream, sent: Vec<u8>) -> Vec<u8> {
    let mut reader = stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let mut stream = stream;
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    received
}

#[test]
fn returns_all_and_ends_when_the_client_does() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = server(workers);
        for length in [0, 1, 16 * 1024, 16 * 1024 + 1, 5_000_000] {
            let sent = Rng::new(length as u64).bytes(length);
            assert!(echo_of(connect(server.address()), sent.clone()) == sent, "of {length} bytes");
        }
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn answers_clients_side_by_side() {
    let _watchdog = watchdog(60);
    let clients = if descriptors(1_200) { 1_000 } else { 400 };
    for workers in workers() {
        let server = server(workers);
        let address = server.address();
        let mut clients: Vec<TcpStream> = (0..clients).map(|_| connect(address)).collect();
        for round in 0..3_u64 {
            // Last come, first served: nobody waits for a client that was there before.
            for (number, client) in clients.iter_mut().enumerate().rev() {
                let sent = Rng::new(round << 32 | number as u64).bytes(100);
                client.write_all(&sent).unwrap();
                let mut received = [0; 100];
                client.read_exact(&mut received).unwrap();
                assert_eq!(received[..], sent[..]);
            }
        }
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn outlives_clients_that_hang_up() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = server(workers);
        let mut patient = connect(server.address());
        for _ in 0..100 {
            let mut rude = connect(server.address());
            rude.write_all(&[b'x'; 100_000]).unwrap();
            drop(rude); // with its echo unread, so the server's next write or read fails
        }
        patient.write_all(b"still there?").unwrap();
        let mut answer = [0; 12];
        patient.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"still there?");
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn says_what_is_wrong_with_its_address() {
    let _watchdog = watchdog(60);
    let server = server(1);
    let taken = server.address().to_string();
    for (arg, message) in [("nonsense", "cannot listen on \"nonsense\""), (&*taken, "in use")] {
        let mut command = example("echo_server");
        command.arg(arg);
        let finished = Process::run(command);
        assert_eq!(finished.status.code(), Some(2));
        assert!(finished.stderr.contains(message), "{}", finished.stderr);
    }
}
