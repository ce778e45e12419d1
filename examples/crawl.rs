//! Crawls a site: `cargo run --release --example crawl [OPTIONS] http://HOST:PORT/PATH`.
//!
//! Follows the links of each page to others of the same host: a task for each page, a few requests at a time (a `Semaphore`), a limit
//! for each request and one for all of it (`timeout`). When the time is over, or at Ctrl-C, everything under way is cancelled, and
//! what was found until then is shown.
#![forbid(unsafe_code)]

use layby::net::TcpStream;
use layby::signal::{SIGINT, Signals};
use layby::sync::{Mutex, Semaphore};
use layby::task::Scope;
use layby::{race, scope, timeout};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: crawl [OPTIONS] http://HOST[:PORT]/PATH
options: --limit N           requests at a time (default 8)
         --timeout SECONDS   for each request (default 10)
         --deadline SECONDS  for all of it (default 60)";
const MAX_PAGES: usize = 10_000;
const MAX_BYTES: u64 = 1 << 20;

struct Settings {
    host: String,
    path: String,
    limit: usize,
    timeout: Duration,
    deadline: Duration,
}

/// What the tasks share.
struct Crawl {
    host: String,
    timeout: Duration,
    slots: Semaphore,
    seen: Mutex<BTreeSet<String>>,
    found: Mutex<BTreeMap<String, Result<Page, String>>>,
}

struct Page {
    status: String,
    bytes: usize,
}

enum End {
    Whole,
    Interrupted,
}

fn main() -> ExitCode {
    let Some(settings) = arguments(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let crawl = Crawl {
        host: settings.host,
        timeout: settings.timeout,
        slots: Semaphore::new(settings.limit),
        seen: Mutex::default(),
        found: Mutex::default(),
    };
    let end = layby::run(|| {
        // From here on Ctrl-C does not end the process.
        let mut signals = Signals::new([SIGINT])?;
        Ok(timeout(settings.deadline, || {
            race!(
                {
                    scope(|s| visit(s, &crawl, settings.path));
                    Ok(End::Whole)
                },
                signals.wait().map(|_| End::Interrupted),
            )
        }))
    });
    let code = match &end {
        Ok(Ok(Ok(End::Whole))) => ExitCode::SUCCESS,
        Ok(Ok(Ok(End::Interrupted))) => complain("interrupted"),
        Ok(Err(_)) => complain("out of time"),
        Ok(Ok(Err(error))) | Err(error) => complain(&error.to_string()),
    };
    match show(&crawl) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE, // stdout was closed
    }
}

fn complain(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn show(crawl: &Crawl) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let found = crawl.found.lock().expect("nobody panics");
    for (path, page) in &*found {
        // A path is somebody's text and may hold anything; a terminal should not obey it.
        let path = path.replace(char::is_control, "?");
        match page {
            Ok(page) => writeln!(out, "{} {:>8} B  {path}", page.status, page.bytes)?,
            Err(reason) => writeln!(out, "failed      -    {path}: {reason}")?,
        }
    }
    let failed = found.values().filter(|page| page.is_err()).count();
    let seen = crawl.seen.lock().expect("nobody panics").len();
    writeln!(out, "{} pages, {failed} failed, {} not visited", found.len() - failed, seen - found.len())
}

/// A task for that page, unless there was one.
fn visit<'scope>(s: &'scope Scope<'scope, '_>, crawl: &'scope Crawl, path: String) {
    {
        let mut seen = crawl.seen.lock().expect("nobody panics");
        if seen.len() == MAX_PAGES || !seen.insert(path.clone()) {
            return;
        }
    }
    s.spawn(move || {
        let slot = crawl.slots.acquire(1).expect("never closed");
        let answer = timeout(crawl.timeout, || get(&crawl.host, &path));
        drop(slot);
        let answer = answer.map_err(|_| format!("no answer within {:?}", crawl.timeout));
        let found = answer.and_then(|answer| answer.map_err(|error| error.to_string()));
        let page = found.map(|(status, body)| {
            links(&body).for_each(|link| visit(s, crawl, link.to_owned()));
            Page { status, bytes: body.len() }
        });
        crawl.found.lock().expect("nobody panics").insert(path, page);
    });
}

/// The status and the body of a page.
fn get(host: &str, path: &str) -> io::Result<(String, String)> {
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(address)?;
    // HTTP/1.0: the body goes up to the end of the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let mut words = head.split(' ');
    let status = match (words.next(), words.next()) {
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => status,
        _ => return Err(malformed()),
    };
    Ok((status.to_owned(), body.to_owned()))
}

/// The paths that a page links to by `href="/…"`. (A crawler that means it has a parser for HTML.)
fn links(body: &str) -> impl Iterator<Item = &str> {
    let starts = body.split("href=\"").skip(1);
    let paths = starts.filter_map(|rest| rest.split(['"', '#']).next());
    paths.filter(|path| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(|c: char| c <= ' ' || c == '\x7f')
    })
}

fn arguments(mut args: impl Iterator<Item = String>) -> Option<Settings> {
    let (mut limit, mut timeout, mut deadline) = (8, 10.0, 60.0);
    let mut url = None;
    while let Some(arg) = args.next() {
        match &*arg {
            "--limit" => limit = args.next()?.parse().ok().filter(|limit| *limit > 0)?,
            "--timeout" => timeout = args.next()?.parse().ok()?,
            "--deadline" => deadline = args.next()?.parse().ok()?,
            option if option.starts_with('-') => return None,
            _ if url.is_some() => return None,
            _ => url = Some(arg),
        }
    }
    let url = url?;
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let clean = |text: &str| !text.contains(|c: char| c <= ' ' || c == '\x7f');
    (!host.is_empty() && clean(host) && clean(path)).then_some(())?;
    Some(Settings {
        host: host.to_owned(),
        path: path.to_owned(),
        limit,
        timeout: Duration::try_from_secs_f64(timeout).ok()?,
        deadline: Duration::try_from_secs_f64(deadline).ok()?,
    })
}
