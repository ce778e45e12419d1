//! `examples/crawl` as a real process, against a site of std's threads.

use crate::common::{Finished, Process, example, watchdog, workers};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

/// A site of 40 pages, in which page n links to 2n, to 2n + 1 and back to 0. `/silent` links nowhere, and never comes; `/trap` links to it.
fn site() -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let shared = counts.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counts = shared.clone();
            thread::spawn(move || {
                counts.most.fetch_max(counts.now.fetch_add(1, SeqCst) + 1, SeqCst);
                counts.all.fetch_add(1, SeqCst);
                let _ = serve(stream, &counts);
            });
        }
    });
    (address, counts)
}

fn serve(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request)? > 0 {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    thread::sleep(Duration::from_millis(5));
    let body = match path.trim_start_matches('/').parse::<usize>() {
        Ok(n @ 0..40) => {
            let link = |n: usize| format!("<a href=\"/{n}#top\">{n}</a> ");
            [link(2 * n), link(2 * n + 1), link(0)].concat()
        }
        _ if path == "/trap" => "<a href=\"/silent\"> <a href=\"//elsewhere/\"> <a href=\"/1\">".to_owned(),
        _ if path == "/silent" => {
            thread::sleep(Duration::from_secs(60));
            String::new()
        }
        _ => String::new(),
    };
    let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
    counts.now.fetch_sub(1, SeqCst); // before the answer: the client may go on at once
    write!(stream, "HTTP/1.0 {status}\r\n\r\n{body}")
}

fn crawl(workers: usize, options: &[&str], url: &str) -> Command {
    let mut command = example("crawl");
    command.args(options).arg(url).env("LAYBY_WORKERS", workers.to_string());
    command
}

fn lines_with(finished: &Finished, text: &str) -> usize {
    finished.stdout.lines().filter(|line| line.starts_with(text)).count()
}

#[test]
fn each_page_once_and_few_at_a_time() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let (address, counts) = site();
        let finished = Process::run(crawl(n, &["--limit", "3"], &format!("http://{address}/1")));
        assert!(finished.status.success(), "{finished:?}");
        // 0 to 79, of which 40 are there.
        assert_eq!((lines_with(&finished, "200 "), lines_with(&finished, "404 ")), (40, 40), "{finished:?}");
        assert!(finished.stdout.ends_with("80 pages, 0 failed, 0 not visited\n"), "{finished:?}");
        assert_eq!(counts.all.load(SeqCst), 80);
        let most = counts.most.load(SeqCst);
        assert!((2..=3).contains(&most), "{most} requests at once");
    }
}

#[test]
fn a_request_has_its_limit() {
    let _watchdog = watchdog(60);
    let (address, _) = site();
    let options = ["--timeout", "0.5", "--limit", "20"];
    let finished = Process::run(crawl(2, &options, &format!("http://{address}/trap")));
    assert!(finished.status.success(), "{finished:?}");
    assert!(finished.stdout.contains("/silent: no answer within 500ms"), "{finished:?}");
    assert!(finished.stdout.ends_with("81 pages, 1 failed, 0 not visited\n"), "{finished:?}");
}

/// What was found until then is shown.
#[test]
fn all_of_it_has_a_deadline() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let (address, _) = site();
        let finished = Process::run(crawl(n, &["--deadline", "1"], &format!("http://{address}/trap")));
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert_eq!(finished.stderr, "out of time\n");
        assert!(finished.stdout.ends_with("81 pages, 0 failed, 1 not visited\n"), "{finished:?}");
    }
}

#[test]
fn ctrl_c_shows_what_was_found() {
    let _watchdog = watchdog(60);
    let (address, counts) = site();
    let crawl = Process::start(crawl(2, &["--timeout", "60"], &format!("http://{address}/trap")));
    // All but the silent one were asked for, and most of them answered; the last ones may not have arrived.
    while counts.all.load(SeqCst) < 82 {
        thread::sleep(Duration::from_millis(2));
    }
    let killed = Command::new("kill").args(["-INT", &crawl.id().to_string()]).status().expect("kill");
    assert!(killed.success());
    let finished = crawl.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert_eq!(finished.stderr, "interrupted\n");
    assert!(lines_with(&finished, "200 ") >= 30, "{finished:?}");
    assert!(finished.stdout.ends_with(" not visited\n"), "{finished:?}");
}

#[test]
fn explains_its_usage() {
    let _watchdog = watchdog(60);
    let url = "http://localhost/";
    for args in
        [&[][..], &["--bogus"], &["--limit", "0", url], &["https://localhost/"], &["http:///"], &[url, url]]
    {
        let finished = Process::run({
            let mut command = example("crawl");
            command.args(args);
            command
        });
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
        assert!(finished.stderr.starts_with("usage: crawl"), "{}", finished.stderr);
    }
}
