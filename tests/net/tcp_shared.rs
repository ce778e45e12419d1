//! One socket used by many: tasks of several workers and runtimes, and OS threads, at the same time.

use std::io::{ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use layby::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use layby::{Builder, go};

/// Runs the body as a root task with each number of workers.
fn on_tasks(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        Builder::new().workers(workers).run(&body);
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let near = TcpStream::connect(address).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Four tasks and four threads do the same; returns what each returned. Meanwhile `beside` runs here.
fn tasks_and_threads<T: Send + 'static>(
    work: impl Fn(u8) -> T + Clone + Send + 'static,
    beside: impl FnOnce(),
) -> Vec<T> {
    let tasks: Vec<_> = (0..4).map(|number| (number, work.clone())).map(|(n, f)| go!(move || f(n))).collect();
    let threads: Vec<_> =
        (4..8).map(|number| (number, work.clone())).map(|(n, f)| thread::spawn(move || f(n))).collect();
    beside();
    let mut results: Vec<T> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
    // Their join would keep the worker on which tasks may still have to do what they wait for.
    results.extend(threads.into_iter().map(|thread| layby::unblock(|| thread.join().unwrap())));
    results
}

/// Reads to the end by small pieces; returns how much it got. Time-outs are waited out.
fn count(mut stream: &TcpStream) -> usize {
    let mut buf = [0; 97];
    let mut sum = 0;
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return sum,
            Ok(n) => sum += n,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn readers() {
    const BYTES: usize = 200_000;
    on_tasks(|| {
        // Time-outs that come all the time must not swallow a wake-up that was meant for another.
        for limit in [None, Some(Duration::from_micros(200))] {
            let (mut near, far) = pair();
            far.set_read_timeout(limit).unwrap();
            let far = Arc::new(far);
            let counts = tasks_and_threads(
                move |_| count(&far),
                || {
                    for chunk in vec![1; BYTES].chunks(1009) {
                        near.write_all(chunk).unwrap();
                        layby::yield_now();
                    }
                    drop(near);
                },
            );
            assert_eq!(counts.into_iter().sum::<usize>(), BYTES);
        }
    });
}

/// Each byte says who has written it.
#[test]
fn writers() {
    const BYTES: usize = 300_000;
    on_tasks(|| {
        let (near, mut far) = pair();
        let near = Arc::new(near);
        let mut got = [0; 8];
        tasks_and_threads(
            move |number| (&*near).write_all(&vec![number; BYTES]).unwrap(),
            || {
                let mut buf = vec![0; 10_007];
                loop {
                    match far.read(&mut buf).unwrap() {
                        0 => break,
                        n => buf[..n].iter().for_each(|&number| got[usize::from(number)] += 1),
                    }
                    if got.iter().sum::<usize>() == 8 * BYTES {
                        break;
                    }
                }
            },
        );
        assert_eq!(got, [BYTES; 8]);
    });
}

/// Half of them by a clone of their own.
#[test]
fn acceptors() {
    const EACH: usize = 25;
    on_tasks(|| {
        let (listener, address) = listener();
        let accepted = Arc::new(AtomicUsize::new(0));
        let listener = Arc::new(listener);
        let work = {
            let accepted = Arc::clone(&accepted);
            move |number: u8| {
                let clone = listener.try_clone().unwrap();
                let listener = if number.is_multiple_of(2) { &*listener } else { &clone };
                loop {
                    let (mut stream, from) = listener.accept().unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), from);
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    if byte == *b"q" {
                        return;
                    }
                    accepted.fetch_add(1, SeqCst);
                }
            }
        };
        tasks_and_threads(work, || {
            for byte in [b"x"; 8 * EACH].into_iter().chain([b"q"; 8]) {
                TcpStream::connect(address).unwrap().write_all(byte).unwrap();
            }
        });
        assert_eq!(accepted.load(SeqCst), 8 * EACH);
    });
}

/// Two runtimes, each with a reactor of its own.
#[test]
fn tasks_of_two_runtimes() {
    const BYTES: usize = 100_000;
    let _guard = crate::common::watchdog(60);
    let (mut near, far) = pair();
    let far = Arc::new(far);
    let runtimes = [1, 2].map(|workers| Builder::new().workers(workers).build().unwrap());
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let far = Arc::clone(&far);
            runtimes[number % 2].spawn(move || count(&far))
        })
        .collect();
    for chunk in vec![1; BYTES].chunks(1009) {
        near.write_all(chunk).unwrap();
    }
    near.shutdown(Shutdown::Write).unwrap();
    let sum: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
    assert_eq!(sum, BYTES);
}

#[test]
fn shutdown_wakes_all() {
    on_tasks(|| {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (near, far) = pair();
            let clone = near.try_clone().unwrap();
            let near = Arc::new(near);
            let started = Arc::new(AtomicUsize::new(0));
            let begun = Arc::clone(&started);
            let work = move |number: u8| {
                let clone = near.try_clone().unwrap();
                let mut stream = if number.is_multiple_of(2) { &*near } else { &clone };
                begun.fetch_add(1, SeqCst);
                stream.read(&mut [0]).unwrap()
            };
            let got = tasks_and_threads(work, || {
                while started.load(SeqCst) < 8 {
                    layby::yield_now();
                }
                clone.shutdown(how).unwrap();
            });
            assert_eq!(got, [0; 8]);
            drop(far);
        }
    });
}

#[test]
fn a_reset_wakes_all() {
    on_tasks(|| {
        let (near, far) = pair();
        let near = Arc::new(near);
        far.set_linger(Some(Duration::ZERO)).unwrap();
        let work = move |_| (&*near).read(&mut [0]).map_err(|error| error.kind());
        let got = tasks_and_threads(work, || drop(far));
        // It is reported once; to the others it is the end.
        let resets = got.iter().filter(|result| **result == Err(ErrorKind::ConnectionReset)).count();
        let ends = got.iter().filter(|result| **result == Ok(0)).count();
        assert_eq!((resets, ends), (1, 7));
    });
}

/// Readers that are cancelled while bytes come: what they took, they count.
#[test]
fn cancelled_readers_lose_nothing() {
    const ROUNDS: usize = 300;
    on_tasks(|| {
        let (mut near, far) = pair();
        let far = Arc::new(far);
        let sum = Arc::new(AtomicUsize::new(0));
        let reader = || {
            let (far, sum) = (Arc::clone(&far), Arc::clone(&sum));
            go!(move || {
                let mut buf = [0; 7];
                while let n @ 1.. = (&*far).read(&mut buf).unwrap() {
                    sum.fetch_add(n, SeqCst);
                }
            })
        };
        let last = reader();
        for _ in 0..ROUNDS {
            let cancelled = [reader(), reader()];
            layby::yield_now();
            near.write_all(&[1; 20]).unwrap();
            cancelled.iter().for_each(|reader| reader.cancel());
            near.write_all(&[1; 20]).unwrap();
            cancelled.into_iter().for_each(|reader| assert!(reader.join().unwrap_err().is_cancelled()));
        }
        drop(near);
        last.join().unwrap();
        assert_eq!(sum.load(SeqCst), ROUNDS * 40);
    });
}

/// A second value for one descriptor number, never dropped, as C bindings make them. std allows it.
#[test]
fn an_alias_by_number() {
    on_tasks(|| {
        let (listener, address) = listener();
        // SAFETY: the descriptor is open for as long as `listener` lives, and the alias closes nothing.
        let alias = ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(listener.as_raw_fd()) });
        let acceptor = go!(move || (listener.accept().unwrap().1, listener));
        let connector = go!(move || [(); 2].map(|()| TcpStream::connect(address).unwrap()));
        let (_, other) = alias.accept().unwrap();
        let (one, listener) = acceptor.join().unwrap();
        let mut accepted = [one, other];
        let mut connected = connector.join().unwrap().map(|stream| stream.local_addr().unwrap());
        accepted.sort();
        connected.sort();
        assert_eq!(accepted, connected);
        drop(listener);

        let (near, mut far) = pair();
        let near = Arc::new(near);
        // SAFETY: as above.
        let alias = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(near.as_raw_fd()) });
        let reader = {
            let near = Arc::clone(&near);
            go!(move || (&*near).read_exact(&mut [0; 1]).unwrap())
        };
        layby::yield_now();
        // The reader is registered by now; this one cannot be.
        alias.set_read_timeout(Some(Duration::from_millis(120))).unwrap();
        let start = Instant::now();
        assert_eq!((&*alias).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= Duration::from_millis(120));
        alias.set_read_timeout(None).unwrap();
        let writer = go!(move || {
            far.write_all(&[1; 3]).unwrap();
            far
        });
        (&*alias).read_exact(&mut [0; 2]).unwrap();
        reader.join().unwrap();
        let far = writer.join().unwrap();
        // It can be cancelled, too.
        let waiter = go!(move || (&*alias).read(&mut [0]).unwrap());
        layby::yield_now();
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is_cancelled());
        drop(far);
    });
}

/// `close` waits in the kernel until what was written has been taken; nobody else waits with it.
#[test]
fn lingering_keeps_no_worker() {
    on_tasks(|| {
        let (near, mut far) = pair();
        assert_eq!(near.linger().unwrap(), None);
        let limit = Duration::from_secs(20);
        near.set_linger(Some(limit)).unwrap();
        assert_eq!(near.try_clone().unwrap().linger().unwrap(), Some(limit));
        let near = TcpStream::from(std::net::TcpStream::from(near));
        near.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(n) = (&near).write(&[7; 1 << 16]) {
            sent += n;
        }
        let (closing, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let start = Instant::now();
        let closer = {
            let (closing, closed) = (Arc::clone(&closing), Arc::clone(&closed));
            go!(move || {
                closing.store(true, SeqCst);
                drop(near);
                closed.store(true, SeqCst);
            })
        };
        while !closing.load(SeqCst) {
            layby::yield_now();
        }
        // There is more in it than the other end has room for, so it is not over before that is read.
        assert!(!closed.load(SeqCst));
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), sent);
        closer.join().unwrap();
        assert!(start.elapsed() < limit / 2);
    });
}

/// A task waits for ever on a socket of which another handle goes away, again and again.
#[test]
fn clones_come_and_go() {
    on_tasks(|| {
        let (near, mut far) = pair();
        let stop = Arc::new(AtomicBool::new(false));
        let clone = near.try_clone().unwrap();
        let reader = go!(move || count(&clone));
        let churn = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                near.set_read_timeout(Some(Duration::from_micros(50))).unwrap();
                let mut sum = 0;
                while !stop.load(SeqCst) {
                    let mut clone = near.try_clone().unwrap();
                    sum += clone.read(&mut [0; 16]).unwrap_or(0);
                }
                sum
            })
        };
        for _ in 0..500 {
            far.write_all(&[1; 100]).unwrap();
            layby::yield_now();
        }
        stop.store(true, SeqCst);
        let churned = layby::unblock(|| churn.join().unwrap());
        drop(far);
        assert_eq!(reader.join().unwrap() + churned, 50_000);
    });
}
