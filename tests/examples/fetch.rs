//! `examples/fetch` as a real process, against a server of std's threads that also misbehaves.

use crate::common::{Process, example, watchdog, workers};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Serves until the test's process ends.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || serve(stream, &seen)); // its errors are the client's doing
            }
        });
        Server { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(request);
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = match path.as_str() {
        "/length" => format!("{ok}Content-Length: 5\r\n\r\nhello"),
        "/slow" => {
            thread::sleep(Duration::from_millis(400));
            format!("{ok}Content-Length: 4\r\n\r\nslow")
        }
        "/chunked" => format!("{chunked}5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\n"),
        "/close" => format!("{ok}\r\nuntil the end"),
        "/large" => format!("{ok}Content-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000)),
        "/nothing" => "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n".to_owned(),
        "/missing" => "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".to_owned(),
        "/moved" => "HTTP/1.0 301 Moved\r\nLocation: /length\r\n\r\n".to_owned(),
        "/hints" => format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{ok}Content-Length: 1\r\n\r\nx"),
        "/beyond" => format!("{ok}Content-Length: 3\r\n\r\nabcdef"),
        "/short" => format!("{ok}Content-Length: 10\r\n\r\nhello"),
        "/short-chunk" => format!("{chunked}5\r\nhel"),
        "/bad-chunk" => format!("{chunked}five\r\nhello\r\n0\r\n\r\n"),
        "/bad-length" => format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        "/garbage" => "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "/half-head" => "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
        "/long-head" => format!("{ok}X: {}\r\n\r\n", "x".repeat(200_000)),
        "/silent" => {
            thread::sleep(Duration::from_secs(60));
            String::new()
        }
        // A little now and then: no single read takes long, but the whole never ends.
        "/drip" => loop {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            thread::sleep(Duration::from_millis(50));
        },
        _ => String::new(), // closes without an answer
    };
    stream.write_all(answer.as_bytes())
}

fn fetch<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = example("fetch");
    command.args(args);
    command
}

/// The words in a line of output: status, bytes, "B", milliseconds, "ms", URL and reason.
fn columns(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace().collect()
}

#[test]
fn prints_results_in_the_order_of_the_urls() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = Server::start();
        let expected = [
            ("/slow", "200", "4"),
            ("/length", "200", "5"),
            ("/chunked", "200", "11"),
            ("/close", "200", "13"),
            ("/large", "200", "3000000"),
            ("/nothing", "204", "0"),
            ("/missing", "404", "2"),
            ("/moved", "301", "0"),
            ("/hints", "200", "1"),
            ("/beyond", "200", "3"),
        ];
        let urls: Vec<String> = expected.iter().map(|(path, ..)| server.url(path)).collect();
        let mut command = fetch(&urls);
        command.env("LAYBY_WORKERS", workers.to_string());
        let finished = Process::run(command);
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert_eq!(finished.stderr, "");
        let lines: Vec<Vec<&str>> = finished.stdout.lines().map(columns).collect();
        assert_eq!(lines.len(), expected.len(), "{}", finished.stdout);
        for (line, (path, status, bytes)) in lines.iter().zip(expected) {
            assert_eq!((line[0], line[1], line[5]), (status, bytes, &*server.url(path)));
        }
        let slow: f64 = lines[0][3].parse().unwrap();
        assert!((390.0..10_000.0).contains(&slow), "{slow} ms");
    }
}

#[test]
fn asks_as_a_client_should() {
    let _watchdog = watchdog(60);
    let server = Server::start();
    let finished = Process::run(fetch([server.url("/length?a=b#fragment"), server.url("?c")]));
    assert_eq!(finished.status.code(), Some(1), "neither path exists: {finished:?}");
    let mut requests = server.requests.lock().unwrap().clone();
    requests.sort();
    let lines = |request: &str| request.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&requests[0])[0], "GET /?c HTTP/1.1");
    let first = lines(&requests[1]);
    assert_eq!(first[0], "GET /length?a=b HTTP/1.1");
    assert!(first.contains(&format!("Host: {}", server.address)), "{first:?}");
    assert!(first.contains(&"Connection: close".to_owned()), "{first:?}");
}

#[test]
fn fetches_all_at_once() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = Server::start();
        let mut command = fetch((0..50).map(|_| server.url("/slow")));
        command.env("LAYBY_WORKERS", workers.to_string());
        let start = Instant::now();
        let finished = Process::run(command);
        let took = start.elapsed();
        assert!(finished.status.success(), "{finished:?}");
        // One after the other they take 20 s.
        assert!(took < Duration::from_secs(5), "50 answers after 400 ms each took {took:?}");
    }
}

#[test]
fn a_failure_costs_only_its_own_url() {
    let _watchdog = watchdog(60);
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for workers in workers() {
        let server = Server::start();
        let here = |path| server.url(path);
        let cases = [
            (here("/length"), ""),
            (here("/short"), "ended after 5 of 10 bytes"),
            (here("/short-chunk"), "broke off after 3 bytes"),
            (here("/bad-chunk"), "malformed"),
            (here("/bad-length"), "Content-Length"),
            (here("/garbage"), "no HTTP answer"),
            (here("/half-head"), "inside the header section"),
            (here("/long-head"), "too long"),
            (here("/hang-up"), "without an answer"),
            (here("/silent"), "timed out after 1s"),
            (here("/drip"), "timed out after 1s"),
            (format!("http://{refusing}/"), "refused"),
            ("https://localhost/".to_owned(), "https:// is not supported"),
            ("localhost/".to_owned(), "no scheme"),
            ("http://".to_owned(), "no host"),
            ("http://:80/".to_owned(), "no host"),
            ("http://localhost:99999/".to_owned(), "no port 99999"),
            ("http://localhost:http/".to_owned(), "no port"),
            ("http://[::1/".to_owned(), "']'"),
            ("http://user@localhost/".to_owned(), "user names"),
            ("http://localhost/a b".to_owned(), "percent-encode"),
            ("http://localhost/\r\nX: y\x1b[31m".to_owned(), "percent-encode"),
            // Longer than a name can be, so that no resolver is asked, however slow it may be here.
            (format!("http://{}/", "long.".repeat(60)), "long./: "),
            (here("/chunked"), ""),
        ];
        let mut command = fetch(["--timeout", "1"]);
        command.args(cases.iter().map(|(url, _)| url)).env("LAYBY_WORKERS", workers.to_string());
        let finished = Process::run(command);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains("22 of 24 failed"), "{}", finished.stderr);
        let clean = |c: char| c == '\n' || !c.is_control();
        assert!(finished.stdout.chars().all(clean), "{:?}", finished.stdout);
        let lines: Vec<&str> = finished.stdout.lines().collect();
        assert_eq!(lines.len(), cases.len(), "{}", finished.stdout);
        for (line, (url, reason)) in lines.iter().zip(&cases) {
            let status = if reason.is_empty() { "200" } else { "failed" };
            assert_eq!(columns(line)[0], status, "{url:?}: {line}");
            assert!(line.contains(reason), "{url:?}: {line}");
        }
    }
}

#[test]
fn resolves_names() {
    let _watchdog = watchdog(60);
    let server = Server::start();
    // Whether localhost has an IPv6 address too (that nobody listens on) is the machine's affair.
    let finished = Process::run(fetch([format!("http://localhost:{}/length", server.address.port())]));
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[test]
fn explains_its_usage() {
    let _watchdog = watchdog(60);
    let cases: [(&[&str], &str); 6] = [
        (&[], "no URL given"),
        (&["--bogus", "http://a/"], "unknown option \"--bogus\""),
        (&["--timeout"], "--timeout needs"),
        (&["--timeout", "soon", "http://a/"], "--timeout needs"),
        (&["--timeout", "-1", "http://a/"], "--timeout needs"),
        (&["--timeout", "nan", "http://a/"], "--timeout needs"),
    ];
    for (args, message) in cases {
        let finished = Process::run(fetch(args));
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
        assert!(finished.stderr.contains(message), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("usage: fetch"), "{args:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let help = Process::run(fetch(["--help"]));
    assert!(help.status.success() && help.stdout.starts_with("usage: fetch"), "{help:?}");
}
