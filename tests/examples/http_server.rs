//! `examples/http_server` as its clients see it: a real process, real sockets.

use crate::http_client;

use crate::common::{Process, Rng, example, installed, watchdog, workers};
use http_client::{Client, MAX_BODY, MAX_HEAD, chunked_post, get, impatient_server, post, server};
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn answers_by_method_and_path() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = server(workers);
        let mut client = Client::connect(server.address());

        let index = client.ask(get("/").as_bytes());
        assert_eq!(index.status, 200);
        assert_eq!(index.text(), "Hello from layby!\n");
        assert!(index.field("date").is_some_and(|date| date.ends_with(" GMT")), "{index:?}");
        assert_eq!(client.ask(get("/?a=b/c").as_bytes()).status, 200);
        assert_eq!(client.ask(get("http://any.host/").as_bytes()).status, 200);
        assert_eq!(client.ask(get("http://any.host").as_bytes()).status, 200);

        client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
        let head = client.receive_head();
        assert_eq!((head.status, head.field("content-length")), (200, Some("18")));

        // Had HEAD sent a body, it would be in the way of these.
        assert_eq!(client.ask(get("/missing").as_bytes()).status, 404);
        let wrong = client.ask(get("/echo").as_bytes());
        assert_eq!((wrong.status, wrong.field("allow")), (405, Some("POST")));
        let wrong = client.ask(b"DELETE / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!((wrong.status, wrong.field("allow")), (405, Some("GET, HEAD")));
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn keeps_connections_until_asked_to_close() {
    let _watchdog = watchdog(60);
    let server = server(2);
    let mut client = Client::connect(server.address());
    for _ in 0..100 {
        assert_eq!(client.ask(get("/").as_bytes()).field("connection"), None);
    }
    let last = client.ask(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: foo, CLOSE\r\n\r\n");
    assert_eq!((last.status, last.field("connection")), (200, Some("close")));
    client.expect_end();

    for old in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"] {
        let mut client = Client::connect(server.address());
        assert_eq!(client.ask(old.as_bytes()).status, 200);
        client.expect_end();
    }

    // What comes behind a request that closes is not answered.
    let mut client = Client::connect(server.address());
    let closing = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    client.send(&[&closing[..], get("/missing").as_bytes()].concat());
    assert_eq!(client.receive().status, 200);
    client.expect_end();

    // A client that sends no more may still read.
    let mut client = Client::connect(server.address());
    client.send(get("/").as_bytes());
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.receive().status, 200);
    client.expect_end();
}

/// Requests of all kinds in a row, and the status and body that each one's answer must have.
fn dialogue(rng: &mut Rng, length: usize) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..length {
        let length = 1 + rng.below(200);
        let body = rng.bytes(length);
        let (request, answer) = match rng.below(5) {
            0 => (get("/").into_bytes(), (200, b"Hello from layby!\n".to_vec())),
            1 => (get("/missing").into_bytes(), (404, b"There is nothing here.\n".to_vec())),
            2 => {
                let chunks: Vec<&[u8]> = body.chunks(1 + rng.below(length)).collect();
                (chunked_post(&chunks), (200, body))
            }
            _ => (post(&body), (200, body)),
        };
        requests.extend(request);
        answers.push(answer);
    }
    (requests, answers)
}

fn expect_answers(client: &mut Client, answers: &[(u16, Vec<u8>)]) {
    for (number, (status, body)) in answers.iter().enumerate() {
        let answer = client.receive();
        assert_eq!(answer.status, *status, "answer {number}");
        assert_eq!(answer.body, *body, "answer {number}");
    }
}

#[test]
fn answers_pipelined_requests_in_order() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = server(workers);
        let mut rng = Rng::new(workers as u64);
        let (requests, answers) = dialogue(&mut rng, 500);
        let mut client = Client::connect(server.address());
        // From a thread of its own: the server stops reading when nobody reads its answers.
        let mut stream = client.stream().try_clone().unwrap();
        let writer = thread::spawn(move || stream.write_all(&requests).unwrap());
        expect_answers(&mut client, &answers);
        writer.join().unwrap();
    }
}

#[test]
fn takes_requests_in_pieces_of_any_size() {
    let _watchdog = watchdog(120);
    for workers in workers() {
        let server = server(workers);
        for largest in [1, 2, 7, 100, 1500] {
            let mut rng = Rng::new(largest as u64);
            let (requests, answers) = dialogue(&mut rng, 20);
            let mut client = Client::connect(server.address());
            let mut rest = &requests[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at((1 + rng.below(largest)).min(rest.len()));
                client.send(piece);
                rest = behind;
            }
            expect_answers(&mut client, &answers);
        }
    }
}

#[test]
fn echoes_bodies_up_to_a_limit() {
    let _watchdog = watchdog(60);
    let server = server(2);
    let mut rng = Rng::new(1);
    let mut client = Client::connect(server.address());
    for length in [0, 1, 4_095, 4_096, 4_097, 65_537, 300_000, MAX_BODY, 3] {
        let body = rng.bytes(length);
        let answer = client.ask(&post(&body));
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{length} bytes came back changed");

        let chunks: Vec<&[u8]> = body.chunks(1 + length / 3).collect();
        let answer = client.ask(&chunked_post(&chunks));
        assert!(answer.body == body, "{length} bytes in chunks came back changed");
    }
    // Too large is refused on the announcement, without waiting for the bytes.
    let head = format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", MAX_BODY + 1);
    assert_eq!(client.ask(head.as_bytes()).status, 413);
    client.expect_end();

    // Chunks announce no total. The answer must reach a client that still sends.
    let mut client = Client::connect(server.address());
    let body = rng.bytes(2 * MAX_BODY);
    let chunks: Vec<&[u8]> = body.chunks(1000).collect();
    let mut stream = client.stream().try_clone().unwrap();
    let request = chunked_post(&chunks);
    let writer = thread::spawn(move || drop(stream.write_all(&request)));
    assert_eq!(client.receive().status, 413);
    client.expect_end();
    writer.join().unwrap();
}

#[test]
fn says_continue_to_who_waits_for_it() {
    let _watchdog = watchdog(60);
    let server = server(2);
    let head = "POST /echo HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n";
    for (framing, body) in
        [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]
    {
        let mut client = Client::connect(server.address());
        client.send(format!("{head}{framing}\r\n\r\n").as_bytes());
        assert_eq!(client.receive_head().status, 100, "{framing}");
        let answer = client.ask(body.as_bytes());
        assert_eq!((answer.status, answer.text()), (200, "hello"));

        // Who sends the body unasked needs no permission.
        let answer = client.ask(format!("{head}{framing}\r\n\r\n{body}").as_bytes());
        assert_eq!((answer.status, answer.text()), (200, "hello"));
    }
    // No permission for what would be refused anyway.
    let mut client = Client::connect(server.address());
    assert_eq!(client.ask(format!("{head}Content-Length: 9999999\r\n\r\n").as_bytes()).status, 413);
    client.expect_end();
    let mut client = Client::connect(server.address());
    assert_eq!(client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n").status, 417);
    client.expect_end();
}

#[test]
fn refuses_bad_requests_and_closes() {
    let _watchdog = watchdog(60);
    let server = server(2);
    let long_name = "x".repeat(MAX_HEAD);
    let many_fields = "a: b\r\n".repeat(100);
    let cases: &[(u16, &str)] = &[
        (400, "nonsense\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"), // no Host
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"), // space before the colon
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n"), // bare CR
        (400, "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
        (413, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        (
            400,
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (501, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (501, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (501, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n"),
        (400, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n"),
        (414, &format!("GET /{long_name} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (431, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long_name}\r\n\r\n")),
        (431, &format!("GET / HTTP/1.1\r\nHost: a\r\n{many_fields}\r\n")),
        (431, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long_name}")), // and no end of it in sight
    ];
    for (status, request) in cases {
        let mut client = Client::connect(server.address());
        // A good request before it is answered, one behind it must not be.
        client.send(&[get("/").as_bytes(), request.as_bytes(), get("/").as_bytes()].concat());
        assert_eq!(client.receive().status, 200, "before {request:?}");
        let answer = client.receive();
        assert_eq!((answer.status, answer.field("connection")), (*status, Some("close")), "{request:?}");
        client.expect_end();
    }
    // How a TLS client begins: it sends no line end, nor will it before it is answered.
    let mut client = Client::connect(server.address());
    assert_eq!(client.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01").status, 400);
    client.expect_end();
    // A request that breaks off.
    for start in ["GET / HT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell"] {
        let mut client = Client::connect(server.address());
        client.send(start.as_bytes());
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.receive().status, 400, "{start:?}");
        client.expect_end();
    }
    assert_eq!(Client::connect(server.address()).ask(get("/").as_bytes()).status, 200);
    assert_eq!(server.stderr(), "");
}

#[test]
fn gives_slow_requests_a_deadline_as_a_whole() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = impatient_server(workers);
        let starts: [&[u8]; 4] = [
            b"G",
            b"GET / HTTP/1.1\r\nHost: test\r\n",
            b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for (start, drips) in starts.iter().flat_map(|start| [(start, false), (start, true)]) {
            let mut client = Client::connect(server.address());
            // A request that is answered does not use up the time of the next one.
            assert_eq!(client.ask(get("/").as_bytes()).status, 200);
            let begin = Instant::now();
            client.send(start);
            let answered = AtomicBool::new(false);
            let answer = thread::scope(|scope| {
                // Far more often than any limit on a single read could mind, and for longer than
                // the request may take. That it is not read after the answer is no matter.
                let drip: &[u8] = if start.ends_with(b"chunked\r\n\r\n") { b"1\r\nx\r\n" } else { b"x" };
                let mut stream = client.stream().try_clone().unwrap();
                let (answered, begin) = (&answered, &begin);
                scope.spawn(move || {
                    let mut stop = !drips;
                    while !stop {
                        thread::sleep(Duration::from_millis(20));
                        let failed = stream.write_all(drip).is_err();
                        stop = failed || answered.load(Relaxed) || begin.elapsed() > Duration::from_secs(5);
                    }
                });
                let answer = client.receive();
                answered.store(true, Relaxed);
                answer
            });
            let took = begin.elapsed();
            assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
            client.expect_end();
            let range = Duration::from_millis(550)..Duration::from_secs(4);
            assert!(range.contains(&took), "{:?} timed out after {took:?}", String::from_utf8_lossy(start));
        }
    }
}

#[test]
fn closes_resting_connections_without_a_word() {
    let _watchdog = watchdog(60);
    for workers in workers() {
        let server = impatient_server(workers);
        let mut never = Client::connect(server.address());
        let mut once = Client::connect(server.address());
        assert_eq!(once.ask(get("/").as_bytes()).status, 200);
        let begin = Instant::now();
        never.expect_end();
        once.expect_end();
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(server.stderr(), "");
    }
}

#[test]
fn serves_curl() {
    let _watchdog = watchdog(60);
    if !installed("curl", true) {
        return;
    }
    let server = server(2);
    let url = format!("http://{}", server.address());
    let curl = |args: &[&str]| {
        let mut command = Command::new("curl");
        let finished = Process::run({
            command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]).args(args);
            command
        });
        assert!(finished.status.success(), "curl {args:?}: {finished:?}");
        finished.stdout
    };
    let (index, echo) = (format!("{url}/"), format!("{url}/echo"));
    assert_eq!(curl(&[&index]), "Hello from layby!\n");
    assert!(curl(&["--head", &index]).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(curl(&["--data-binary", "posted", &echo]), "posted");
    assert_eq!(curl(&["-H", "Transfer-Encoding: chunked", "--data-binary", "chunked", &echo]), "chunked");
    assert_eq!(curl(&["-H", "Expect: 100-continue", "--data-binary", "expected", &echo]), "expected");
    assert_eq!(curl(&["--http1.0", &index]), "Hello from layby!\n");
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&code[..], &[&format!("{url}/missing")]].concat()), "404");
    // Two transfers, one connection.
    let reuse = curl(&["-w", "%{num_connects} ", "-o", "/dev/null", &index, "-o", "/dev/null", &index]);
    assert_eq!(reuse, "1 0 ");
}

#[test]
fn says_what_is_wrong_with_its_arguments() {
    let _watchdog = watchdog(60);
    let run = |args: &[&str], idle: &str| {
        let mut command = example("http_server");
        command.args(args).env("HTTP_IDLE_MS", idle);
        Process::run(command)
    };
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let cases: &[(&[&str], &str, &str)] = &[
        (&["nonsense"], "100", "cannot listen on \"nonsense\""),
        (&["127.0.0.1:99999"], "100", "cannot listen on \"127.0.0.1:99999\""),
        (&["192.0.2.1:0"], "100", "cannot listen on"), // TEST-NET-1: never an address of ours
        (&[&taken], "100", "in use"),
        (&["127.0.0.1:0", "more"], "100", "usage:"),
        (&["--bogus"], "100", "usage:"),
        (&["127.0.0.1:0"], "soon", "HTTP_IDLE_MS"),
        (&["127.0.0.1:0"], "0", "HTTP_IDLE_MS"),
    ];
    for (args, idle, message) in cases {
        let finished = run(args, idle);
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
        assert!(finished.stderr.contains(message), "{args:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let help = run(&["--help"], "100");
    assert!(help.status.success() && help.stdout.starts_with("usage:"), "{help:?}");
}
