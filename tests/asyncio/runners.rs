//! Python's `test_asyncio/test_runners.py`, and of `test_streams.py` what std's traits do; where they apply.

use crate::common::{Drops, OnDrop, on, quiet_panics, watchdog, workers};
use layby::net::{TcpListener, TcpStream};
use layby::{Builder, Runtime, go, sleep, task, task_local, unblock};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// `RunTests.test_asyncio_run_return`, `…_raises`, `…_from_running_loop`, `…_cancels_hanging_tasks`.
#[test]
fn run() {
    let _watchdog = watchdog(60);
    quiet_panics();
    crate::common::quiet_panics_that_say("a task has a runtime already");
    for n in workers() {
        assert_eq!(on(n, || 42), 42);
        assert!(catch_unwind(|| on(n, || panic!("expected"))).is_err());
        on(n, || assert!(catch_unwind(|| layby::run(|| ())).is_err()));
        let drops = Drops::new();
        on(n, || {
            let token = drops.token();
            go!(move || {
                let _token = token;
                sleep(Duration::MAX);
            });
            layby::yield_now();
        });
        assert_eq!(drops.count(), 1);
    }
}

/// `test_asyncio_run_cancels_hanging_tasks`, whose cleanup may wait. (With errors: Rust ends a process in which a destructor panics while it unwinds.)
#[test]
fn run_ends_its_tasks() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let waited = Arc::new(AtomicUsize::new(0));
        on(n, || {
            let count = waited.clone();
            go!(move || {
                let _cleanup = OnDrop(move || {
                    sleep(Duration::from_millis(2));
                    count.store(1, SeqCst);
                });
                sleep(Duration::MAX);
            });
            layby::yield_now();
            sleep(Duration::from_millis(1));
        });
        assert_eq!(waited.load(SeqCst), 1);
    }
}

task_local!(static CALLS: Cell<u32> = const { Cell::new(0) });

/// `RunnerTests`: `test_run`, `test_non_debug`, `test_close`, `test_run_keeps_context` (each run is a task with values of its own), `test_recursive_run`.
#[test]
fn one_runtime_runs_again_and_again() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for n in workers() {
        let runtime: Runtime = Builder::new().workers(n).build().unwrap();
        let mut words = vec![String::from("lay")];
        let lasting = runtime.spawn(|| sleep(Duration::MAX));
        for call in 0..3 {
            // It may borrow, and the tasks of one run live on to the next.
            let len = runtime.run(|| {
                words.push(format!("by{call}"));
                CALLS.set(CALLS.get() + 1);
                assert_eq!(CALLS.get(), 1);
                go!(|| 7).join().unwrap();
                words.len()
            });
            assert_eq!(len, call + 2);
            assert!(!lasting.is_finished());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| runtime.run(|| panic!("expected")))).is_err());
        assert_eq!(runtime.run(|| 1), 1, "a panic harms it not");
        // From a task, and from several threads.
        assert_eq!(runtime.run(|| runtime.run(|| 2)), 2);
        std::thread::scope(|s| {
            for i in 0..4 {
                let runtime = &runtime;
                s.spawn(move || assert_eq!(runtime.run(|| i), i));
            }
        });
        drop(runtime);
        assert!(lasting.join().unwrap_err().is_cancelled());
    }
}

/// `run_in_executor`, `to_thread`, `run_coroutine_threadsafe`.
#[test]
fn to_threads_and_from_threads() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let here = std::thread::current().id();
            let text = String::from("borrowed");
            assert!(unblock(|| std::thread::current().id() != here && text.len() == 8));
        });
        let runtime = Builder::new().workers(n).build().unwrap();
        let task = std::thread::scope(|s| s.spawn(|| runtime.spawn(|| task::current().id())).join().unwrap());
        assert_ne!(task.join().unwrap(), task::current().id());
    }
}

/// A client that writes these pieces, a millisecond apart, and the server's end.
fn pieces(pieces: &'static [&'static str]) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    go!(move || -> io::Result<()> {
        for piece in pieces {
            client.write_all(piece.as_bytes())?;
            sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    listener.accept().unwrap().0
}

/// `test_readline*`, `test_readuntil*`, `test_readexactly*`, `test_read_until_eof`, `test_at_eof`, by `BufRead` and `Read`.
#[test]
fn streams() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            // Lines that come in pieces, several at once, and one without an end.
            let reader =
                BufReader::new(pieces(&["chunk1 ", "chunk2 ", "\n chunk4\nline", "three\n", "rest"]));
            let lines: Vec<_> = reader.lines().map(Result::unwrap).collect();
            assert_eq!(lines, ["chunk1 chunk2 ", " chunk4", "linethree", "rest"]);

            // readuntil, with a separator of one byte; of more: `read_until` its last one, and look.
            let mut reader = BufReader::new(pieces(&["lineA", "A", "AA", "xyz"]));
            let mut text = vec![];
            for end in ["lineA", "A", "A", "A", "xyz", ""] {
                text.clear();
                reader.read_until(b'A', &mut text).unwrap();
                assert_eq!(text, end.as_bytes());
            }

            // readexactly: as many as asked for, or an error at the end.
            let mut reader = BufReader::new(pieces(&["1234", "56"]));
            let mut five = [0; 5];
            reader.read_exact(&mut five).unwrap();
            assert_eq!(&five, b"12345");
            let error = reader.read_exact(&mut five).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "IncompleteReadError");

            // read(-1), and a limit (LimitOverrunError): `take`.
            let mut rest = String::new();
            pieces(&["a", "b", "c"]).read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "abc");
            let mut line = String::new();
            BufReader::new(pieces(&["0123456789\n"]).take(4)).read_line(&mut line).unwrap();
            assert_eq!(line, "0123");
        });
    }
}
