//! What Go's tests of channels and select hold their runtime to: here as tasks, as threads, and as some of each.

use crate::common::{everywhere, on, watchdog};
use layby::channel::{Receiver, RecvError, bounded, never, select, unbounded};
use layby::{go, testing};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn fifo_buffered_and_not() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        let (s, r) = bounded(10);
        (0..10).for_each(|i| s.send(i).unwrap());
        assert_eq!((0..10).map(|_| r.recv().unwrap()).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        // A chain: each waits for its predecessor, then takes its turn.
        let (s, r) = bounded(0);
        let mut before: Option<Receiver<()>> = None;
        for i in 0..10 {
            let (done, next) = bounded(0);
            let (r, last) = (r.clone(), before.replace(next));
            actors.start(move || {
                if let Some(last) = last {
                    last.recv().unwrap();
                }
                assert_eq!(r.recv(), Ok(i));
                let _ = done.send(());
            });
        }
        (0..10).for_each(|i| s.send(i).unwrap());
        before.unwrap().recv().unwrap();
    });
}

#[test]
fn waiters_are_served_in_order_of_arrival() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (s, r) = bounded(0);
        let receivers: Vec<_> = (0..10)
            .map(|_| {
                let r = r.clone();
                let task = go!(move || r.recv().unwrap());
                (0..3).for_each(|_| layby::yield_now());
                task
            })
            .collect();
        (0..10).for_each(|i| s.send(i).unwrap());
        for (i, receiver) in receivers.into_iter().enumerate() {
            assert_eq!(receiver.join().unwrap(), i);
        }
    });
}

/// What blocks for ever, and what does not: in virtual time, a sleep is long enough for all that does not.
#[test]
fn select3() {
    let _watchdog = watchdog(60);
    for seed in 0..20 {
        testing::run(seed, || {
            let blocks = |f: Box<dyn FnOnce() + Send>| {
                let task = go!(f);
                layby::sleep(5 * MS);
                let blocked = !task.is_finished();
                task.cancel();
                let _ = task.join();
                blocked
            };
            let (s, r) = bounded::<u32>(0);
            let (full_s, full_r) = bounded(1);
            full_s.send(5).unwrap();
            let (s2, r2, full_s2, s3) = (s.clone(), r.clone(), full_s.clone(), s.clone());
            assert!(blocks(Box::new(move || s2.send(1).unwrap())));
            assert!(blocks(Box::new(move || assert!(r2.recv().is_ok()))));
            assert!(blocks(Box::new(move || full_s2.send(1).unwrap())));
            assert!(blocks(Box::new(|| assert!(never::<u32>().recv().is_ok()))));
            assert!(blocks(Box::new(move || select! {
                recv(never::<u32>()) -> _ => {},
                send(s3, 1) -> _ => {},
            })));
            assert!(!blocks(Box::new(move || assert_eq!(full_r.recv(), Ok(5)))));
            drop(s);
            assert!(!blocks(Box::new(move || select! { recv(r) -> m => assert_eq!(m, Err(RecvError)) })));
        });
    }
}

#[test]
fn closedchan() {
    let _watchdog = watchdog(20);
    for (s, r) in [bounded(0), bounded(2), unbounded()] {
        let left = s.capacity() != Some(0);
        if left {
            s.send(7).unwrap();
        }
        drop(s);
        if left {
            assert_eq!(r.recv(), Ok(7));
        }
        for _ in 0..3 {
            assert_eq!(r.recv(), Err(RecvError));
            assert!(select! { recv(r) -> message => message.is_err(), default => false });
            assert_eq!(r.iter().next(), None);
        }
    }
}

#[test]
fn chanbarrier_and_doubleselect() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        // Both sides select over the same channels: no message comes twice, none is lost.
        let channels: Vec<_> = (0..4).map(|_| bounded::<usize>(0)).collect();
        let s: Vec<_> = channels.iter().map(|c| c.0.clone()).collect();
        let sender = actors.start(move || {
            for i in 0..1_000 {
                select! {
                    send(s[0], i) -> sent => sent.unwrap(),
                    send(s[1], i) -> sent => sent.unwrap(),
                    send(s[2], i) -> sent => sent.unwrap(),
                    send(s[3], i) -> sent => sent.unwrap(),
                }
            }
        });
        let (r, silent): (Vec<_>, Vec<_>) = channels.into_iter().map(|(s, r)| (r, s)).unzip();
        for want in 0..1_000 {
            let got = select! {
                recv(r[0]) -> message => message,
                recv(r[1]) -> message => message,
                recv(r[2]) -> message => message,
                recv(r[3]) -> message => message,
            };
            assert_eq!(got, Ok(want));
        }
        sender.join();
        drop(silent);
        r.iter().for_each(|r| assert_eq!(r.recv(), Err(RecvError)));
    });
}

/// How long the thread has run: others may have the machine in between.
fn on_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into the timespec given.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Waking one of n waiters takes no longer for a large n. Guards against looking through the queue, also where it is full
/// of selects that were decided elsewhere.
#[test]
fn chanlinear() {
    let _watchdog = watchdog(120);
    on(1, || {
        let run = |n: usize| {
            let (hot_s, hot_r) = bounded::<()>(0);
            let (cold_s, cold_r) = bounded::<()>(0);
            let tasks: Vec<_> = (0..n)
                .map(|_| {
                    let (hot, cold) = (hot_r.clone(), cold_r.clone());
                    go!(move || for _ in 0..5 {
                        select! { recv(hot) -> m => m.unwrap(), recv(cold) -> m => m.unwrap() }
                    })
                })
                .collect();
            (0..3).for_each(|_| layby::yield_now());
            let start = on_cpu();
            (0..5 * n).for_each(|_| hot_s.send(()).unwrap());
            tasks.into_iter().for_each(|task| task.join().unwrap());
            drop(cold_s);
            (on_cpu() - start) / n as u32
        };
        run(100);
        let shortest = |n| (0..3).map(|_| run(n)).min().unwrap();
        let (few, many) = (shortest(300), shortest(3_000));
        assert!(many < 6 * few, "each of 300 took {few:?}, each of 3,000 {many:?}");
    });
}

#[test]
fn a_ring_of_selects() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        let channels: Vec<_> = (0..5).map(|_| bounded::<u32>(0)).collect();
        let nodes: Vec<_> = (0..5)
            .map(|i| {
                let (r, s) = (channels[i].1.clone(), channels[(i + 1) % 5].0.clone());
                actors.start(move || {
                    loop {
                        select! {
                            recv(r) -> hops => match hops.unwrap() {
                                0 => return s.send(0).unwrap(),
                                hops => s.send(hops - 1).unwrap(),
                            },
                            recv(never::<u32>()) -> _ => unreachable!(),
                        }
                    }
                })
            })
            .collect();
        channels[0].0.send(500).unwrap();
        let mut nodes = nodes.into_iter();
        nodes.by_ref().take(4).for_each(crate::common::Actor::join);
        // The last zero has gone all around, to us.
        assert_eq!(channels[0].1.recv(), Ok(0));
        nodes.for_each(crate::common::Actor::join);
    });
}
