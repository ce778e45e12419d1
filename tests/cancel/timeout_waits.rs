//! A timeout around each kind of wait, on tasks and on plain threads.

use crate::common::{OnDrop, on, watchdog, workers};
use layby::net::{TcpListener, TcpStream};
use layby::task;
use layby::{sleep, timeout, unblock};
use std::cell::Cell;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);

/// On a task of 1 and of several workers, and on a thread that is no task.
fn everywhere(f: impl Fn() + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| drop(scope.spawn(&f)));
}

/// That `f` is cut short, and not before the time.
#[track_caller]
fn cut<T>(what: &str, f: impl FnOnce() -> T) {
    let start = Instant::now();
    let result = timeout(SHORT, f);
    assert!(result.is_err(), "{what} was not cut short");
    assert!(start.elapsed() >= SHORT, "{what} was cut short too early");
}

#[test]
fn sleep_park_join() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        cut("sleep", || sleep(HOUR));
        cut("sleep for ever", || sleep(Duration::MAX));
        cut("park", || {
            loop {
                task::park();
            }
        });
        cut("park_timeout", || {
            loop {
                task::park_timeout(HOUR);
            }
        });
        let other = layby::spawn(|| sleep(Duration::MAX));
        let canceller = OnDrop({
            let other = other.task();
            move || other.unpark()
        });
        cut("join", move || other.join());
        drop(canceller);
        cut("gather!", || layby::gather!(sleep(HOUR), sleep(HOUR)));
        cut("gather_limit", || layby::gather_limit(1, [|| sleep(HOUR), || sleep(HOUR)]));
    });
}

#[test]
fn sockets() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        cut("accept", || listener.accept());
        cut("read", || client.read(&mut [0; 10]));
        cut("read again", || client.read(&mut [0; 10]));
        // A read timeout that is longer, and one that is shorter.
        client.set_read_timeout(Some(HOUR)).unwrap();
        cut("read with a timeout of its own", || client.read(&mut [0; 10]));
        client.set_read_timeout(Some(SHORT / 5)).unwrap();
        let own = timeout(HOUR, || client.read(&mut [0; 10]));
        assert_eq!(own.unwrap().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        client.set_read_timeout(None).unwrap();
        // Nothing was lost, and the stream is as good as before.
        server.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        timeout(HOUR, || client.read_exact(&mut bytes)).unwrap().unwrap();
        assert_eq!(&bytes, b"hello");
        cut("write", || while server.write_all(&[0; 1 << 16]).is_ok() {});
        let next = TcpStream::connect(address).unwrap();
        assert!(timeout(HOUR, || listener.accept()).unwrap().is_ok());
        drop(next);
    });
}

/// A connect to an address that does not answer, if there is one: the backlog of a listener that is full.
#[test]
fn connect() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut connected = Vec::new();
        loop {
            // 128 is the backlog; further handshakes wait.
            match timeout(10 * SHORT, || TcpStream::connect(address)) {
                Ok(stream) => connected.push(stream.unwrap()),
                Err(_) => break,
            }
            assert!(connected.len() < 10_000);
        }
    });
}

/// The closure of `unblock` cannot be left: the timeout waits for its end, and its value is not lost.
#[test]
fn unblock_is_waited_for() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let value = Cell::new(0);
            let result = timeout(SHORT, || {
                value.set(unblock(|| {
                    std::thread::sleep(4 * SHORT);
                    5
                }));
                layby::yield_now();
                unreachable!();
            });
            assert!(result.is_err());
            assert_eq!(value.get(), 5);
        });
    }
}

/// `Runtime::run` lends the caller's frame to a task: neither a task nor a thread may leave it.
#[test]
fn runtime_run_is_waited_for() {
    let _watchdog = watchdog(20);
    let runtime = layby::Builder::new().workers(1).build().unwrap();
    let check = || {
        let mut lent = 1;
        let result = timeout(SHORT, || {
            runtime.run(|| {
                sleep(3 * SHORT);
                lent = 2;
            });
        });
        assert_eq!(result, Ok(()));
        assert_eq!(lent, 2);
    };
    check();
    on(1, check);
}
