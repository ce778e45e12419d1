//! Fetches many URLs at once: `cargo run --release --example fetch http://127.0.0.1:8080/ …`.
//!
//! One task per URL, each an HTTP/1.1 GET written by hand over a blocking-style `TcpStream`. The
//! results come in the order of the URLs, whoever answers first. Any answer counts as a success, a
//! 404 too; redirects are shown, not followed.
#![forbid(unsafe_code)]

#[path = "support/chunked.rs"]
mod chunked;

use chunked::Chunked;
use layby::net::TcpStream;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: fetch [--timeout SECONDS] URL...    (http:// only; default 30 s for each URL)";
const MAX_HEAD: usize = 64 * 1024;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let (urls, timeout) = match arguments(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // One descriptor a URL. Where the limit cannot be raised, the URLs beyond it say so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let jobs = urls.iter().map(|url| {
        move || {
            let start = Instant::now();
            let answer = get(url, start + timeout).map_err(|error| describe(&*error, timeout));
            (answer, start.elapsed())
        }
    });
    let results = layby::run(|| layby::gather_results(jobs));

    let mut failed = 0;
    let mut out = io::stdout().lock();
    for (url, result) in urls.iter().zip(results) {
        let line = match result {
            Ok((Ok(Answer { status, bytes }), time)) => line(status, bytes, Some(time), url),
            Ok((Err(reason), time)) => {
                failed += 1;
                line("failed", "-", Some(time), &format!("{url}: {reason}"))
            }
            // A bug in `get` costs its own URL, not the others'.
            Err(panic) => {
                failed += 1;
                line("failed", "-", None, &format!("{url}: {panic}"))
            }
        };
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE; // stdout was closed, as by `head`
        }
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{failed} of {} failed", urls.len());
    ExitCode::FAILURE
}

/// The URLs and the timeout; `None` where help was asked for.
fn arguments(mut args: impl Iterator<Item = String>) -> Result<Option<(Vec<String>, Duration)>, String> {
    let mut timeout = Duration::from_secs(30);
    let mut urls = Vec::new();
    while let Some(arg) = args.next() {
        match &*arg {
            "-h" | "--help" => return Ok(None),
            "--timeout" => {
                let text = args.next().ok_or("--timeout needs a number of seconds")?;
                timeout = text
                    .parse()
                    .ok()
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                    .filter(|timeout| !timeout.is_zero() && timeout.as_secs() < 1_000_000)
                    .ok_or_else(|| format!("--timeout needs a number of seconds, not {text:?}"))?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option:?}")),
            _ => urls.push(arg),
        }
    }
    if urls.is_empty() { Err("no URL given".to_owned()) } else { Ok(Some((urls, timeout))) }
}

fn line(status: impl Display, bytes: impl Display, time: Option<Duration>, what: &str) -> String {
    let time = time.map_or("-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3));
    // A URL is the caller's text and may hold anything; a terminal should not obey it.
    let what: String = what.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("{status:>6} {bytes:>12} B {time:>10} ms  {what}")
}

fn describe(error: &(dyn Error + 'static), timeout: Duration) -> String {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::TimedOut | ErrorKind::WouldBlock) => format!("timed out after {timeout:?}"),
        _ => error.to_string(),
    }
}

struct Answer {
    status: u16,
    bytes: u64,
}

fn get(url: &str, deadline: Instant) -> Result<Answer> {
    let url = Url::parse(url)?;
    let mut stream = connect(url.host, url.port, deadline)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: layby-fetch\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.target, url.authority
    );
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Incoming { stream, deadline, buffer: vec![0; 16 * 1024], start: 0, end: 0 };
    let head = loop {
        let head = answer.read_head()?;
        // 100 and 103 come before the answer proper.
        if !(100..200).contains(&head.status) || head.status == 101 {
            break head;
        }
    };
    let bytes = match head.body {
        Body::Length(length) => answer.count_exactly(length)?,
        Body::Chunked => answer.count_chunked()?,
        Body::UntilClose => answer.count_all()?,
    };
    Ok(Answer { status: head.status, bytes })
}

struct Url<'a> {
    /// Host and port as written, for the Host field.
    authority: &'a str,
    host: &'a str,
    port: u16,
    target: String,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Url<'a>> {
        // More than good manners: a line end in a URL would let it write header fields.
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL is ASCII without spaces; percent-encode the rest".into());
        }
        let (scheme, rest) = url.split_once("://").ok_or("no scheme; write http://...")?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!("{scheme}:// is not supported, only http:// is").into());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("user names in URLs are not supported".into());
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or("'[' without ']'")?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if host.is_empty() {
            return Err("no host".into());
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 80,
            Some("") => 80,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| format!("there is no port {digits}"))?
            }
            _ => return Err("what follows the host is no port".into()),
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { authority, host, port, target: format!("{slash}{target}") })
    }
}

fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream> {
    // The system's resolver blocks its thread, so it gets one that no task waits for.
    let addrs: Vec<SocketAddr> = layby::unblock(|| (host, port).to_socket_addrs().map(Iterator::collect))?;
    let mut outcome = Err("the name has no address".into());
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => outcome = Err(error.into()),
        }
    }
    outcome
}

/// One deadline for all that a URL takes: a server that drips gains no time by it.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

struct Head {
    status: u16,
    body: Body,
}

enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What the server sends. Bodies are counted and let go, so their size costs no memory.
struct Incoming {
    stream: TcpStream,
    deadline: Instant,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Reads more behind what is there; 0 at the end of the stream.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            self.stream.set_read_timeout(Some(left(self.deadline)?))?;
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(length) => {
                    self.end += length;
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read_head(&mut self) -> Result<Head> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut head = httparse::Response::new(&mut fields);
            let bytes = &self.buffer[self.start..self.end];
            let parsed = head.parse(bytes).map_err(|error| format!("no HTTP answer: {error}"))?;
            if let httparse::Status::Complete(length) = parsed {
                let status = head.code.unwrap_or_default();
                let body = framing(status, head.headers)?;
                self.start += length;
                return Ok(Head { status, body });
            }
            if bytes.len() > MAX_HEAD {
                return Err("the answer's header section is too long".into());
            }
            let nothing_yet = bytes.is_empty();
            if self.fill()? == 0 {
                let when = if nothing_yet { "without an answer" } else { "inside the header section" };
                return Err(format!("the server closed the connection {when}").into());
            }
        }
    }

    fn count_exactly(&mut self, length: u64) -> Result<u64> {
        let mut count = 0;
        loop {
            // What a server sends beyond its Content-Length is no part of the answer.
            count += (self.end - self.start) as u64;
            self.start = self.end;
            if count >= length {
                return Ok(length);
            }
            if self.fill()? == 0 {
                return Err(format!("the body ended after {count} of {length} bytes").into());
            }
        }
    }

    fn count_chunked(&mut self) -> Result<u64> {
        let (mut chunked, mut count) = (Chunked::new(), 0);
        loop {
            self.start += chunked
                .decode(&self.buffer[self.start..self.end], |data| count += data.len() as u64)
                .map_err(|chunked::Malformed| "the chunked body is malformed")?;
            if chunked.is_done() {
                return Ok(count);
            }
            if self.fill()? == 0 {
                return Err(format!("the chunked body broke off after {count} bytes").into());
            }
        }
    }

    fn count_all(&mut self) -> Result<u64> {
        let mut count = 0;
        loop {
            count += (self.end - self.start) as u64;
            self.start = self.end;
            if self.fill()? == 0 {
                return Ok(count);
            }
        }
    }
}

/// Where an answer's body ends (RFC 9112, section 6.3).
fn framing(status: u16, fields: &[httparse::Header<'_>]) -> Result<Body> {
    let values = |name: &'static str| {
        let named = move |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        fields.iter().filter(named).map(|field| field.value.trim_ascii())
    };
    if matches!(status, 100..200 | 204 | 304) {
        return Ok(Body::Length(0));
    }
    if let Some(coding) = values("transfer-encoding").next() {
        if values("transfer-encoding").count() == 1 && coding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Body::Chunked);
        }
        return Err("a Transfer-Encoding other than chunked is not supported".into());
    }
    let Some(first) = values("content-length").next() else { return Ok(Body::UntilClose) };
    let digits = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !digits || values("content-length").any(|value| value != first) {
        return Err("the answer's Content-Length makes no sense".into());
    }
    Ok(Body::Length(std::str::from_utf8(first)?.parse()?))
}
