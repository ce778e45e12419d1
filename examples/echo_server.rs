//! Sends back what it gets: `cargo run --release --example echo_server [ADDR]`, then
//! `nc 127.0.0.1 8080`.
//!
//! One task per client, in plain blocking style. A task that waits for its client costs a page or
//! two of memory and no thread.
#![forbid(unsafe_code)]

#[path = "support/server.rs"]
mod server;

use layby::{go, net::TcpStream};
use std::io::{self, Read, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: echo_server [ADDR]    (default 127.0.0.1:8080; port 0 picks a free one)";

fn main() -> ExitCode {
    layby::run(|| {
        let listener = match server::listen(USAGE, "") {
            Ok(listener) => listener,
            Err(code) => return code,
        };
        for stream in server::clients(&listener) {
            go!(move || {
                if let Err(error) = echo(&stream) {
                    eprintln!("a client's connection failed: {error}");
                }
            });
        }
        ExitCode::SUCCESS
    })
}

fn echo(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // On the heap: on the task's stack it would touch four more pages of every client.
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let outcome = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => stream.write_all(&buffer[..length]),
            Err(error) => Err(error),
        };
        match outcome.map_err(|error| (error.kind(), error)) {
            Ok(()) | Err((io::ErrorKind::Interrupted, _)) => {}
            // Clients that hang up in the middle are everyday life, nothing to report.
            Err((io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, _)) => return Ok(()),
            Err((_, error)) => return Err(error),
        }
    }
}
