//! Several processes serve one port: `cargo run --release --example prefork [ADDR]`, then `nc 127.0.0.1 8080`.
//!
//! Each process listens for itself (`SO_REUSEPORT`), and the kernel deals the connections out. One that dies is started again.
//! SIGTERM or Ctrl-C drains: nobody accepts any more, and who is being served has `GRACE_MS` to come to an end. A process of its own also has
//! what threads share, as an interpreter's lock, or C code that may crash.
//!
//! A process knows its parent by its standard input: that is a pipe, whose end says that it is time to go; also when the parent is killed.
//! (Connections that wait in the queue of a process that dies are lost; those in the queue of one that drains, too.)
#![forbid(unsafe_code)]

use layby::net::{Serve, SocketAddr, TcpListener, TcpStream};
use layby::process::{Child, Command, Stdio};
use layby::signal::{SIGINT, SIGTERM, Signals};
use layby::sync::Event;
use layby::{go, io::stdin, race, scope, sleep};
use socket2::{Domain, Socket, Type};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

/// Set for the children: where to listen.
const CHILD: &str = "LAYBY_PREFORK_CHILD";

fn main() -> io::Result<()> {
    if let Ok(address) = std::env::var(CHILD) {
        return layby::Builder::new().workers(1).run(|| child(address.parse().map_err(io::Error::other)?));
    }
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    layby::Builder::new().workers(1).run(|| parent(address))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn parent(address: SocketAddr) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    // Bound, so that the port is kept between two lives of the children; it does not listen, so it gets no connections.
    let reserved = socket(address)?;
    let address = reserved.local_addr()?.as_socket().expect("an address of the internet");
    let children = std::env::var("CHILDREN").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let draining = Event::new();
    println!("listening on {address}");
    io::stdout().flush()?;
    scope(|s| {
        for number in 0..children {
            let draining = &draining;
            s.spawn(move || keep_alive(number, address, draining));
        }
        signals.wait()?;
        eprintln!("draining");
        draining.set();
        Ok(()) // the scope waits for them
    })
}

/// Starts child `number`, and again when it has died, until it is to drain.
fn keep_alive(number: usize, address: SocketAddr, draining: &Event) {
    while !draining.is_set() {
        let begin = Instant::now();
        match start(address) {
            Ok(mut child) => {
                eprintln!("child {number} is process {}", child.id());
                let pipe = child.stdin.take();
                // It ends by itself, or because its pipe does.
                let ended = race!(Some(child.wait()), {
                    draining.wait();
                    None
                });
                drop(pipe);
                let status = ended.unwrap_or_else(|| child.wait());
                eprintln!(
                    "child {number} has ended: {}",
                    status.map_or_else(|e| e.to_string(), |s| s.to_string())
                );
            }
            Err(error) => eprintln!("child {number} cannot be started: {error}"),
        }
        if begin.elapsed() < Duration::from_millis(100) {
            sleep(Duration::from_millis(100)); // one that cannot live should not keep the machine busy
        }
    }
}

fn start(address: SocketAddr) -> io::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program).env(CHILD, address.to_string()).stdin(Stdio::piped()).spawn()
}

fn child(address: SocketAddr) -> io::Result<()> {
    // Ctrl-C goes to all of a terminal's processes: it is the parent's affair.
    let _ignored = Signals::new([SIGINT])?;
    let mut asked = Signals::new([SIGTERM])?;
    let socket = socket(address)?;
    socket.listen(1024)?;
    let grace = std::env::var("GRACE_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(10_000);
    let server = Serve::new()
        .connections(10_000)
        .grace(Duration::from_millis(grace))
        .start(TcpListener::from(socket), |stream, _| answer(&stream));
    let stopper = server.stopper();
    let on_signal = stopper.clone();
    go!(move || {
        let _ = stdin().read(&mut [0]); // its end
        stopper.stop();
    });
    go!(move || {
        let _ = asked.wait();
        on_signal.stop();
    });
    let served = server.join()?;
    eprintln!("process {} has served {} connections", std::process::id(), served.accepted);
    Ok(())
}

/// Says who it is for each line.
fn answer(stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let text = format!("process {} got: {}\n", std::process::id(), line?);
        let mut writer = stream;
        writer.write_all(text.as_bytes())?;
    }
    Ok(())
}
