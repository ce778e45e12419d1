//! What cancellation and timeouts do in a program built with `panic = "abort"`, where nothing can unwind.
//!
//! ```sh
//! cargo run --profile abort --example panic_abort
//! ```
//! Operations that return an `io::Result` fail; all others wait on; a `timeout` waits for its body.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use layby::net::unix::UnixStream;
use layby::net::{TcpListener, TcpStream};
use layby::{channel, fs, go, shield, sleep, task, timeout, yield_now};

const MOMENT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

fn main() -> io::Result<()> {
    if cfg!(panic = "unwind") {
        println!("built with panic = \"unwind\": use `cargo run --profile abort --example panic_abort`");
        return Ok(());
    }
    for workers in [1, 2] {
        layby::Builder::new().workers(workers).run(|| -> io::Result<()> {
            a_cancelled_task_is_told_by_errors()?;
            a_timeout_is_told_by_an_error()?;
            what_cannot_fail_waits_on();
            Ok(())
        })?;
        a_shutdown_names_what_waits_on(workers)?;
    }
    // On a thread that is no task.
    a_timeout_is_told_by_an_error()?;
    println!("panic = \"abort\": all as documented");
    Ok(())
}

/// Whatever it waits in: reading, accepting, copying.
fn a_cancelled_task_is_told_by_errors() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut silent = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let (mut near, _other) = UnixStream::pair()?;
    let waits: Vec<layby::JoinHandle<io::Error>> = vec![
        go!(move || silent.read_exact(&mut [0; 8]).unwrap_err()),
        go!(move || listener.accept().map(drop).unwrap_err()),
        go!(move || io::copy(&mut near, &mut io::sink()).unwrap_err()),
    ];
    sleep(MOMENT);
    for wait in waits {
        assert!(!wait.is_finished());
        wait.cancel();
        assert_eq!(wait.join().unwrap().kind(), ErrorKind::Other);
    }

    let cancelled = go!(move || {
        while !task::is_cancelled() {
            yield_now();
        }
        // At once, and each time.
        assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(fs::read("Cargo.toml").unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.accept()).unwrap_err().kind(),
            ErrorKind::Other
        );
        // What must be whole is.
        shield(|| far.write_all(b"goodbye").and_then(|()| fs::read("Cargo.toml").map(drop)))
    });
    yield_now();
    while !cancelled.is_finished() {
        cancelled.cancel();
        yield_now();
    }
    match cancelled.join() {
        Ok(result) => result?,
        Err(early) => assert!(early.is_cancelled(), "on another worker it may not have begun"),
    }

    // Before it starts: it never does. (On another worker it may have.)
    let ran = Arc::new(AtomicBool::new(false));
    let flag = ran.clone();
    let never = go!(move || flag.store(true, Ordering::Relaxed));
    never.cancel();
    assert_eq!(never.join().is_ok(), ran.load(Ordering::Relaxed));
    Ok(())
}

fn a_timeout_is_told_by_an_error() -> io::Result<()> {
    let (mut near, mut far) = UnixStream::pair()?;
    let begin = Instant::now();
    let result = timeout(MOMENT, || near.read(&mut [0; 8]));
    let error = result.expect("the body has returned").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(begin.elapsed() >= MOMENT && begin.elapsed() < LONG);
    // Of two, the outer one.
    let result = timeout(MOMENT, || timeout(LONG, || near.read(&mut [0; 8])).expect("not the inner one"));
    assert_eq!(result.expect("the body has returned").unwrap_err().kind(), ErrorKind::TimedOut);
    // Then all is as before, and nothing is lost.
    far.write_all(b"late")?;
    let mut bytes = [0; 4];
    near.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"late");
    // A listener that nobody calls, and what is awaited by a name.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let accepted = timeout(MOMENT, || listener.accept()).expect("the body has returned");
    assert_eq!(accepted.map(drop).unwrap_err().kind(), ErrorKind::TimedOut);
    Ok(())
}

fn what_cannot_fail_waits_on() {
    let begin = Instant::now();
    assert_eq!(timeout(MOMENT / 4, || sleep(MOMENT)), Ok(()));
    assert!(begin.elapsed() >= MOMENT);

    let (sender, receiver) = channel::bounded(0);
    let (begun, begin) = channel::bounded(1);
    let task = go!(move || {
        begun.send(()).unwrap();
        receiver.recv()
    });
    begin.recv().unwrap();
    task.cancel();
    sleep(MOMENT);
    assert!(!task.is_finished());
    sender.send(7).unwrap();
    assert_eq!(task.join().unwrap(), Ok(7));
}

fn a_shutdown_names_what_waits_on(workers: usize) -> io::Result<()> {
    let runtime = layby::Builder::new().workers(workers).build()?;
    let (sender, receiver) = channel::bounded::<()>(0);
    let (begun, begin) = channel::bounded(2);
    let started = begun.clone();
    let deaf = runtime.spawn(move || {
        started.send(()).unwrap();
        receiver.recv()
    });
    let (mut near, _far) = UnixStream::pair()?;
    let told = runtime.spawn(move || {
        begun.send(()).unwrap();
        near.read(&mut [0; 8]).unwrap_err().kind()
    });
    (0..2).for_each(|_| begin.recv().unwrap());
    let unfinished = runtime.shutdown(MOMENT).unwrap_err();
    assert_eq!(unfinished.tasks().len(), 1, "{unfinished}");
    assert_eq!(unfinished.tasks()[0].id(), deaf.task().id());
    assert_eq!(told.join().unwrap(), ErrorKind::Other);
    drop(sender);
    runtime.shutdown(LONG).map_err(io::Error::other)?;
    assert!(deaf.join().unwrap().is_err());
    Ok(())
}
