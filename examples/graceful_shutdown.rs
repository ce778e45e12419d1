//! A server that ends well: `cargo run --release --example graceful_shutdown [ADDR]`, then `curl http://127.0.0.1:8080/slow`
//! and, meanwhile, Ctrl-C.
//!
//! At the first Ctrl-C (or SIGTERM) it stops accepting: new clients are refused, connections that rest are closed. Requests in
//! flight are finished, for a grace period; what is left then, or at the second Ctrl-C, is cancelled. `main` returns when all
//! tasks have ended, whichever way.
#![forbid(unsafe_code)]

#[path = "support/answer.rs"]
mod answer;
#[path = "support/http.rs"]
#[expect(dead_code, reason = "this server takes no bodies and does not send each status")]
mod http;
#[path = "support/server.rs"]
mod server;

use answer::{Date, write_answer};
use http::Body;
use layby::net::TcpStream;
use layby::signal::{SIGINT, SIGTERM, Signals};
use layby::sync::{Event, WaitGroup};
use layby::{race, scope, sleep};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const USAGE: &str = "usage: graceful_shutdown [ADDR]    (default 127.0.0.1:8080; port 0 picks a free one)
environment: GRACE_MS   how long requests in flight may take after Ctrl-C (default 5000)
             SLOW_MS    how long an answer of /slow takes (default 2000)";

/// What the connections share.
struct Server {
    slow: Duration,
    /// Set at the first Ctrl-C.
    closing: Event,
    answered: AtomicUsize,
    busy: AtomicUsize,
}

/// How the grace period ends.
enum End {
    AllDone,
    TimeIsUp,
    Again,
}

fn main() -> ExitCode {
    let (Some(grace), Some(slow)) = (millis("GRACE_MS", 5000), millis("SLOW_MS", 2000)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let server =
        Server { slow, closing: Event::new(), answered: AtomicUsize::new(0), busy: AtomicUsize::new(0) };
    match layby::run(|| serve(&server, grace)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("no signals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn millis(name: &str, default: u64) -> Option<Duration> {
    let millis = std::env::var(name).map_or(Ok(default), |text| text.parse());
    millis.ok().map(Duration::from_millis)
}

fn serve(server: &Server, grace: Duration) -> io::Result<ExitCode> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listener = match server::listen(USAGE, "http://") {
        Ok(listener) => listener,
        Err(code) => return Ok(code),
    };
    // It returns when each connection's task has ended.
    scope(|s| {
        let connections = WaitGroup::new();
        let connection = connections.clone();
        let door = s.spawn(move || {
            for stream in server::clients(&listener) {
                let connection = connection.clone();
                s.spawn(move || {
                    // A client that goes away harms nobody else.
                    let _ = converse(stream, server);
                    drop(connection);
                });
            }
        });
        signals.wait()?;
        // The listener is the door's, so it is closed by this: who comes now is refused, not kept waiting.
        door.cancel();
        let _ = door.join();
        server.closing.set();
        eprintln!("closing; {} in flight", server.busy.load(Relaxed));
        let end = race!(
            {
                connections.wait();
                Ok(End::AllDone)
            },
            {
                sleep(grace);
                Ok(End::TimeIsUp)
            },
            signals.wait().map(|_| End::Again),
        )?;
        let answered = server.answered.load(Relaxed);
        match end {
            End::AllDone => eprintln!("all done: {answered} answered"),
            End::TimeIsUp | End::Again => {
                eprintln!("{answered} answered, {} cancelled", server.busy.load(Relaxed));
                s.cancel();
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// One request after the other, until the client goes, or the server closes.
fn converse(mut stream: TcpStream, server: &Server) -> io::Result<()> {
    let mut date = Date::default();
    let mut input = Vec::new();
    let mut output = Vec::new();
    loop {
        let request = loop {
            match http::parse(&input) {
                Ok(None) => {}
                // What would come behind the head is not understood here.
                Ok(Some((request, _))) if request.body != Body::Length(0) => break Err(http::BAD_REQUEST),
                Ok(Some((request, length))) => {
                    break Ok((length, request.path.to_owned(), request.keep_alive));
                }
                Err(status) => break Err(status),
            }
            if !read_more(&mut stream, &mut input, server)? {
                return Ok(());
            }
        };
        let (length, path, keep_alive) = match request {
            Ok(request) => request,
            Err(status) => {
                write_answer(&mut output, status, "Connection: close\r\n", b"", false, date.now());
                return stream.write_all(&output);
            }
        };
        input.drain(..length);
        let _busy = Count::new(&server.busy);
        let (status, body) = match &*path {
            "/" => (http::OK, "hello\n".to_owned()),
            "/slow" => {
                sleep(server.slow);
                (http::OK, "at last\n".to_owned())
            }
            "/busy" => (http::OK, format!("{} in flight\n", server.busy.load(Relaxed))),
            _ => (http::NOT_FOUND, "not found\n".to_owned()),
        };
        let keep_alive = keep_alive && !server.closing.is_set();
        let fields = if keep_alive { "" } else { "Connection: close\r\n" };
        write_answer(&mut output, status, fields, body.as_bytes(), false, date.now());
        stream.write_all(&output)?;
        output.clear();
        server.answered.fetch_add(1, Relaxed);
        if !keep_alive {
            return Ok(());
        }
    }
}

/// Waits for bytes of a request. False: none will come.
fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>, server: &Server) -> io::Result<bool> {
    let rests = input.is_empty();
    let mut read = || {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes)?;
        input.extend_from_slice(&bytes[..length]);
        Ok(length > 0)
    };
    if !rests {
        // A request that has begun to arrive is in flight.
        return read();
    }
    // Kept outside of the race: what has arrived at the very moment that the server closes is answered still.
    let mut came = Ok(false);
    race!(came = read(), server.closing.wait());
    came
}

/// Counts one more while it lives, however its task ends.
struct Count<'a>(&'a AtomicUsize);

impl<'a> Count<'a> {
    fn new(count: &'a AtomicUsize) -> Count<'a> {
        count.fetch_add(1, Relaxed);
        Count(count)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
