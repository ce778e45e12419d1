//! `after`, `at`, `tick`, `never`: in virtual time, and for real.

use crate::common::watchdog;
use layby::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, never, select, tick, unbounded,
};
use layby::time::Instant;
use layby::{go, testing};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

#[test]
fn after_fires_once_when_it_is_due() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let start = Instant::now();
            let r = after(3600 * S);
            assert_eq!((r.len(), r.capacity(), r.is_full(), r.is_empty()), (0, Some(1), false, true));
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(r.recv_timeout(S), Err(RecvTimeoutError::Timeout));
            let fired = r.recv().unwrap();
            assert!(fired - start >= 3600 * S && Instant::now() >= fired);
            assert!(start.elapsed() < 3601 * S);
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(r.recv_deadline(Instant::now() + S), Err(RecvTimeoutError::Timeout));
        });
    }
}

#[test]
fn of_several_receivers_one_has_the_message() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let when = Instant::now() + 5 * S;
            let r = at(when);
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let r = r.clone();
                    go!(move || r.recv_timeout(60 * S).ok())
                })
                .collect();
            let got: Vec<_> = tasks.into_iter().filter_map(|task| task.join().unwrap()).collect();
            assert_eq!(got, [when]);
        });
    }
}

#[test]
fn ticks_wait_for_who_is_late() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let start = Instant::now();
        let ticks = tick(10 * S);
        let first: Vec<_> = ticks.iter().take(3).map(|t| (t - start).as_secs()).collect();
        assert_eq!(first, [10, 20, 30]);
        layby::sleep(100 * S);
        assert_eq!((ticks.len(), ticks.is_full()), (1, true));
        assert_eq!((ticks.try_recv().unwrap() - start).as_secs(), 40);
        assert_eq!(ticks.try_recv(), Err(TryRecvError::Empty), "the ticks that were missed are no more");
        assert_eq!((ticks.recv().unwrap() - start).as_secs(), 140);
    });
}

#[test]
fn never_is_never_ready() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let r: Receiver<u32> = never();
        assert_eq!((r.len(), r.capacity(), r.is_full(), r.is_empty()), (0, Some(0), true, true));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        let start = Instant::now();
        assert_eq!(r.recv_timeout(S), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= S);
        let mut select = Select::new();
        select.recv(&r);
        assert!(select.select_timeout(S).is_err() && select.ready_timeout(S).is_err());
        // What no clock can count comes never, too.
        assert!(after(Duration::MAX).same_channel(&never()) && tick(Duration::MAX).same_channel(&never()));
    });
}

#[test]
fn in_a_select() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let start = Instant::now();
            let (s, r) = unbounded();
            go!(move || {
                layby::sleep(25 * S);
                s.send(()).unwrap();
            });
            let (ticks, limit) = (tick(10 * S), after(60 * S));
            let mut events = Vec::new();
            let mut messages = &r;
            let silence = never();
            loop {
                select! {
                    recv(ticks) -> _ => events.push('t'),
                    recv(messages) -> message => {
                        events.push('m');
                        if message.is_err() {
                            messages = &silence;
                        }
                    }
                    recv(limit) -> _ => break,
                    default(3 * S) => events.push('.'),
                }
            }
            let text: String = events.into_iter().collect();
            assert!(text.starts_with("...t...t.m"), "{text}");
            assert!(start.elapsed() >= 60 * S && start.elapsed() < 61 * S);
        });
    }
}

// What came in between is not given back in its place.
#[test]
fn a_tick_that_is_given_back_is_the_one_that_was_taken() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let ticks = tick(S);
        layby::sleep(S);
        let mut select = Select::new();
        select.recv(&ticks);
        let operation = select.select();
        let second = ticks.recv().unwrap();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _operation = operation;
            resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        assert!(ticks.recv().unwrap() < second);
        assert!(ticks.recv().unwrap() > second);
    });
}

// `recv` would wait for ever, and the message be there.
#[test]
fn what_is_given_back_finds_those_who_wait() {
    let _watchdog = watchdog(20);
    for how in 0..3 {
        testing::run(how, || {
            let limit = after(S);
            layby::sleep(S);
            let mut select = Select::new();
            select.recv(&limit);
            let operation = select.select();
            let waiter = go!({
                let limit = limit.clone();
                move || match how {
                    0 => limit.recv().is_ok(),
                    1 => select! { recv(limit) -> time => time.is_ok() },
                    _ => {
                        let mut select = Select::new();
                        select.recv(&limit);
                        select.ready() == 0 && limit.try_recv().is_ok()
                    }
                }
            });
            layby::sleep(S);
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _operation = operation;
                resume_unwind(Box::new(()));
            }));
            assert!(unwound.is_err());
            assert!(waiter.join().unwrap());
        });
    }
}

#[test]
fn also_on_a_thread_and_in_real_time() {
    let _watchdog = watchdog(20);
    let start = std::time::Instant::now();
    let fired = after(Duration::from_millis(20)).recv().unwrap();
    assert!(fired >= start + Duration::from_millis(20) && start.elapsed() >= Duration::from_millis(20));
    assert!(r_is_shared());
}

/// Clones share the one message, and compare as one channel; others do not.
fn r_is_shared() -> bool {
    let r = after(Duration::ZERO);
    let same = r.same_channel(&r.clone()) && !r.same_channel(&after(Duration::ZERO));
    same && r.clone().recv().is_ok() && r.try_recv().is_err()
}
