//! A small, strict HTTP/1.1 server: `cargo run --release --example http_server [ADDR]`, then
//! `curl http://127.0.0.1:8080/` or `wrk -c1000 -d10 http://127.0.0.1:8080/`.
//!
//! `GET /` greets, `POST /echo` sends the body back. One task per connection, in plain blocking
//! style: read a head, read its body, answer, again. The parsing is `support/http.rs` (on httparse,
//! which never heard of layby) and `support/chunked.rs`; this file is the connection.
#![forbid(unsafe_code)]

#[path = "support/answer.rs"]
mod answer;
#[path = "support/chunked.rs"]
mod chunked;
#[path = "support/http.rs"]
mod http;
#[path = "support/server.rs"]
mod server;

use answer::{Date, write_answer};
use chunked::Chunked;
use http::{Body, Status};
use layby::{go, net::TcpStream};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: http_server [ADDR]    (default 127.0.0.1:8080; port 0 picks a free one)
environment: HTTP_IDLE_MS      how long a connection may rest between requests (default 15000)
             HTTP_REQUEST_MS   how long one request may take to arrive, or its answer to be read (10000)";

/// What one read asks for, and the size to which buffers go back after a large request.
const BUFFER: usize = 4 * 1024;
/// Answers to pipelined requests are collected up to about this size before they are written.
const BATCH: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Limits {
    idle: Duration,
    request: Duration,
}

fn main() -> ExitCode {
    let millis = |name, default| match std::env::var(name) {
        Err(_) => Ok(Duration::from_millis(default)),
        Ok(text) => match text.parse() {
            Ok(0) | Err(_) => Err(format!("{name} must be a number of milliseconds, not {text:?}")),
            Ok(millis) => Ok(Duration::from_millis(millis)),
        },
    };
    let (idle, request) = match (millis("HTTP_IDLE_MS", 15_000), millis("HTTP_REQUEST_MS", 10_000)) {
        (Ok(idle), Ok(request)) => (idle, request),
        (Err(message), _) | (_, Err(message)) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    layby::run(|| {
        let listener = match server::listen(USAGE, "http://") {
            Ok(listener) => listener,
            Err(code) => return code,
        };
        for stream in server::clients(&listener) {
            go!(move || Connection::new(stream, Limits { idle, request }).run());
        }
        ExitCode::SUCCESS
    })
}

/// What is kept of a head while its body is read: the head's bytes may move then.
#[derive(Clone, Copy)]
struct Asked {
    route: Route,
    /// `HEAD`: the same answer without its body.
    head_only: bool,
    body: Body,
    keep_alive: bool,
    expects_continue: bool,
}

#[derive(Clone, Copy)]
enum Route {
    Index,
    Echo,
    NotFound,
    NotAllowed { allow: &'static str },
}

fn route(method: &str, path: &str) -> Route {
    match (path, method) {
        ("/", "GET" | "HEAD") => Route::Index,
        ("/", _) => Route::NotAllowed { allow: "GET, HEAD" },
        ("/echo", "POST") => Route::Echo,
        ("/echo", _) => Route::NotAllowed { allow: "POST" },
        _ => Route::NotFound,
    }
}

/// Why a connection is not served further.
enum End {
    /// The client left, rested too long, or does not read: nobody is there to be told.
    Gone,
    Refused(Status),
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected => End::Gone,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Gone,
            _ => End::Failed(error),
        }
    }
}

struct Connection {
    stream: TcpStream,
    limits: Limits,
    /// Received and not yet used: `input[start..end]`. It grows as bytes arrive, never on the
    /// mere promise of a Content-Length.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Answers not yet sent: those to requests that came together leave together.
    output: Vec<u8>,
    /// A chunked body, decoded.
    decoded: Vec<u8>,
    /// When the request that is arriving must be complete. `None` until one is found to be
    /// incomplete, so that the usual request, all there in one read, asks no clock.
    deadline: Option<Instant>,
    /// What the socket's read timeout is set to.
    read_timeout: Duration,
    date: Date,
}

impl Connection {
    fn new(stream: TcpStream, limits: Limits) -> Connection {
        Connection {
            stream,
            limits,
            input: vec![0; BUFFER],
            start: 0,
            end: 0,
            output: Vec::new(),
            decoded: Vec::new(),
            deadline: None,
            read_timeout: Duration::ZERO,
            date: Date::default(),
        }
    }

    fn run(mut self) {
        let end = match self.serve() {
            Ok(()) => self.close(),
            Err(End::Refused(status)) => self.refuse(status),
            Err(end) => Err(end),
        };
        if let Err(End::Failed(error)) = end {
            eprintln!("a client's connection failed: {error}");
        }
    }

    fn serve(&mut self) -> Result<(), End> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(self.limits.request))?;
        loop {
            let asked = self.read_head()?;
            match asked.body {
                Body::Length(length) => {
                    self.read_body(length, asked.expects_continue)?;
                    let body = self.start..self.start + length;
                    reply(&mut self.output, asked, &self.input[body], self.date.now());
                    self.start += length;
                }
                Body::Chunked => {
                    self.read_chunked(asked.expects_continue)?;
                    reply(&mut self.output, asked, &self.decoded, self.date.now());
                    self.decoded.clear();
                    self.decoded.shrink_to(BATCH);
                }
            }
            self.deadline = None;
            if !asked.keep_alive {
                return Ok(());
            }
            if self.output.len() > BATCH {
                self.flush()?;
            }
        }
    }

    /// Reads up to the end of a request's head and takes it off the input.
    fn read_head(&mut self) -> Result<Asked, End> {
        let mut fresh = self.start;
        loop {
            // A head that drips in is looked at once a line, not once a byte; but its first bytes
            // at once, since what speaks no HTTP may never send a line end.
            let first = fresh == self.start && fresh < self.end;
            if first || self.input[fresh..self.end].contains(&b'\n') {
                let bytes = &self.input[self.start..self.end];
                if let Some((request, length)) = http::parse(bytes).map_err(End::Refused)? {
                    let asked = Asked {
                        route: route(request.method, request.path),
                        head_only: request.method == "HEAD",
                        body: request.body,
                        keep_alive: request.keep_alive,
                        expects_continue: request.expects_continue,
                    };
                    self.start += length;
                    return Ok(asked);
                }
            } else if self.end - self.start >= http::MAX_HEAD {
                // No line end came, so nothing was parsed: let the parser say what is too long.
                http::parse(&self.input[self.start..self.end]).map_err(End::Refused)?;
            }
            let seen = self.end - self.start;
            self.fill(seen > 0)?;
            fresh = self.start + seen;
        }
    }

    /// Reads until all `length` bytes are at the start of the input.
    fn read_body(&mut self, length: usize, expects_continue: bool) -> Result<(), End> {
        if expects_continue && self.end - self.start < length {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        while self.end - self.start < length {
            self.fill(true)?;
        }
        Ok(())
    }

    fn read_chunked(&mut self, expects_continue: bool) -> Result<(), End> {
        if expects_continue && self.end == self.start {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let mut chunked = Chunked::new();
        loop {
            let used = chunked
                .decode(&self.input[self.start..self.end], |data| self.decoded.extend_from_slice(data))
                .map_err(|chunked::Malformed| End::Refused(http::BAD_REQUEST))?;
            self.start += used;
            if self.decoded.len() > http::MAX_BODY {
                return Err(End::Refused(http::BODY_TOO_LARGE));
            }
            if chunked.is_done() {
                return Ok(());
            }
            self.fill(true)?;
        }
    }

    /// Reads once more, `mid_request` or between two. Sends first what there is to send: the
    /// client may wait for it before it goes on.
    fn fill(&mut self, mid_request: bool) -> Result<(), End> {
        self.flush()?;
        self.make_room();
        let timeout = if mid_request {
            // One deadline for all of the request: a client that sends a byte now and then gains
            // nothing by it.
            let now = Instant::now();
            let deadline = *self.deadline.get_or_insert(now + self.limits.request);
            deadline.saturating_duration_since(now)
        } else {
            self.limits.idle
        };
        if timeout.is_zero() {
            return Err(End::Refused(http::TIMEOUT));
        }
        if timeout != self.read_timeout {
            self.stream.set_read_timeout(Some(timeout))?;
            self.read_timeout = timeout;
        }
        loop {
            match self.stream.read(&mut self.input[self.end..]) {
                // Its sending side is closed; it may still read why it gets no answer.
                Ok(0) if mid_request => return Err(End::Refused(http::BAD_REQUEST)),
                Ok(0) => return Err(End::Gone),
                Ok(length) => {
                    self.end += length;
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if mid_request => {
                        return Err(End::Refused(http::TIMEOUT));
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Makes sure that there is room behind `end`, and gives back what a large body took.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > BATCH {
                self.input = vec![0; BUFFER];
            }
        } else if self.end == self.input.len() {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
    }

    fn flush(&mut self) -> Result<(), End> {
        let mut rest = &self.output[..];
        let mut deadline = None;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(End::Gone),
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if !rest.is_empty() {
                // The kernel's buffer is full. Here too the limit is for the whole: a client that
                // takes a byte now and then must not hold us for ever.
                let now = Instant::now();
                let deadline = *deadline.get_or_insert(now + self.limits.request);
                match deadline.saturating_duration_since(now) {
                    Duration::ZERO => return Err(End::Gone),
                    left => self.stream.set_write_timeout(Some(left))?,
                }
            }
        }
        if deadline.is_some() {
            self.stream.set_write_timeout(Some(self.limits.request))?;
        }
        self.output.clear();
        self.output.shrink_to(BATCH);
        Ok(())
    }

    /// Tells the client why it is not served, behind the answers that it still has to get.
    fn refuse(&mut self, status: Status) -> Result<(), End> {
        let date = self.date.now();
        let reason = status.0.as_bytes();
        write_answer(&mut self.output, status, "Connection: close\r\n", reason, false, date);
        self.close()
    }

    /// Closing a socket with unread bytes resets the connection, and the reset may overtake the
    /// answer. So we only say that nothing more will come, and read on for a moment.
    fn close(&mut self) -> Result<(), End> {
        self.flush()?;
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.stream.set_read_timeout(Some(left))?;
            if self.stream.read(&mut self.input)? == 0 {
                return Ok(());
            }
        }
    }
}

fn reply(out: &mut Vec<u8>, asked: Asked, body: &[u8], date: &str) {
    let fields = if asked.keep_alive { "" } else { "Connection: close\r\n" };
    let mut write = |status, body| write_answer(out, status, fields, body, asked.head_only, date);
    match asked.route {
        Route::Index => write(http::OK, b"Hello from layby!\n"),
        Route::Echo => write(http::OK, body),
        Route::NotFound => write(http::NOT_FOUND, b"There is nothing here.\n"),
        Route::NotAllowed { allow } => {
            let fields = format!("Allow: {allow}\r\n{fields}");
            write_answer(out, http::NOT_ALLOWED, &fields, b"", asked.head_only, date);
        }
    }
}
