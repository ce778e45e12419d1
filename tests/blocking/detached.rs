//! `unblock_detached`: closures on the pool whose task need not wait for them.

use crate::common::{Drops, OnDrop, in_own_process, on, quiet_panics, watchdog, workers};
use layby::{go, shield, sleep, timeout, unblock_detached, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(2);

fn here() -> ThreadId {
    thread::current().id()
}

#[test]
fn it_returns_and_panics_as_unblock_does() {
    let _watchdog = watchdog(20);
    quiet_panics();
    assert_eq!(unblock_detached(here), here());
    for n in workers() {
        on(n, || {
            assert_ne!(unblock_detached(here), here());
            let (outer, inner) = unblock_detached(|| (here(), unblock_detached(here)));
            assert_eq!(outer, inner);
            let drops = Drops::new();
            let token = drops.token();
            let token = unblock_detached(move || token);
            assert_eq!(drops.count(), 0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                unblock_detached(move || {
                    let _token = token;
                    panic!("expected")
                })
            }));
            assert_eq!(caught.map(|(): ()| ()).unwrap_err().downcast_ref(), Some(&"expected"));
            assert_eq!(drops.count(), 1);
            let sum: usize = layby::gather((0..40).map(|i| move || unblock_detached(move || i))).iter().sum();
            assert_eq!(sum, 780);
        });
    }
}

/// The wait ends at once; the closure goes on, and its result is dropped on its thread.
#[test]
fn cancelled_or_timed_out_it_ends_at_once() {
    let _watchdog = watchdog(20);
    struct SaysWhere(mpsc::Sender<ThreadId>);
    impl Drop for SaysWhere {
        fn drop(&mut self) {
            self.0.send(here()).unwrap();
        }
    }
    for n in workers() {
        for cancel in [false, true] {
            let (begun, begin) = mpsc::channel();
            let (open, gate) = mpsc::channel::<()>();
            let (said, heard) = mpsc::channel();
            on(n, move || {
                let body = move || {
                    unblock_detached(move || {
                        begun.send(here()).unwrap();
                        gate.recv().unwrap();
                        SaysWhere(said)
                    })
                };
                if cancel {
                    let task = go!(body);
                    let thread = layby::unblock(move || begin.recv().unwrap());
                    task.cancel();
                    assert!(task.join().map(drop).unwrap_err().is_cancelled());
                    assert!(heard.try_recv().is_err());
                    open.send(()).unwrap();
                    assert_eq!(layby::unblock(move || heard.recv()), Ok(thread));
                } else {
                    assert!(timeout(MOMENT, body).is_err());
                    assert!(heard.try_recv().is_err());
                    open.send(()).unwrap();
                    let thread = layby::unblock(move || begin.recv().unwrap());
                    assert_eq!(layby::unblock(move || heard.recv()), Ok(thread));
                }
            });
        }
    }
}

/// One that is cancelled already gives nothing away.
#[test]
fn cancelled_before_it_never_runs() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (ran, drops) = (Arc::new(AtomicBool::new(false)), Drops::new());
        let (flag, token) = (ran.clone(), drops.token());
        let task = go!(move || {
            shield(yield_now);
            unblock_detached(move || {
                let _token = token;
                flag.store(true, SeqCst);
            });
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!((ran.load(SeqCst), drops.count()), (false, 1));
    });
}

/// In a shield, and in a destructor of a cancelled task, it waits.
#[test]
fn where_nothing_is_thrown_it_waits() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let slow = || {
                thread::sleep(MOMENT);
                7
            };
            let result = timeout(MOMENT / 4, || {
                assert_eq!(shield(|| unblock_detached(slow)), 7);
            });
            assert_eq!(result, Ok(()));
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            let task = go!(move || {
                let _last = OnDrop(|| _ = count.fetch_add(unblock_detached(slow), SeqCst));
                sleep(Duration::MAX);
            });
            yield_now();
            let begun = timeout(MOMENT, || task.task().id());
            task.cancel();
            let ended = task.join();
            assert!(ended.unwrap_err().is_cancelled() && begun.is_ok());
            // Not if it was cancelled before it began, on another worker.
            assert!([0, 7].contains(&seen.load(SeqCst)));
        });
    }
}

/// A panic that nobody waits for, of the closure or of its result's destructor, is said.
#[test]
fn panics_that_nobody_gets_are_said() {
    let _watchdog = watchdog(60);
    let ended = in_own_process("panics_that_nobody_gets_are_said", || {
        struct Bomb(Arc<AtomicUsize>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
                panic!("expected: the bomb");
            }
        }
        quiet_panics();
        let exploded = Arc::new(AtomicUsize::new(0));
        on(1, || {
            for kind in 0..2 {
                let (open, gate) = mpsc::channel::<()>();
                let bomb = Bomb(exploded.clone());
                let result = timeout(MOMENT, || {
                    unblock_detached(move || {
                        gate.recv().unwrap();
                        if kind == 1 {
                            core::mem::forget(bomb);
                            panic!("expected: the closure");
                        }
                        bomb
                    })
                });
                assert!(result.map(core::mem::forget).is_err());
                open.send(()).unwrap();
            }
            // The pool goes on. What it says comes right after.
            let until = Instant::now() + Duration::from_secs(10);
            while exploded.load(SeqCst) == 0 && Instant::now() < until {
                assert_eq!(unblock_detached(|| 1), 1);
            }
        });
        thread::sleep(Duration::from_millis(200));
    });
    ended.expect_success();
    let mut said = ended.reports();
    said.sort_unstable();
    let end = " given to unblock_detached has panicked, and the task that gave it has not waited";
    assert_eq!(
        said,
        [format!("a closure{end}"), format!("dropping the result of a closure{end}")],
        "{}",
        ended.stderr
    );
}

/// Cancels race with ends: each result is returned, or dropped by the pool, and once. (Guards `abandon` against `settle`.)
#[test]
fn results_are_dropped_once() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let (drops, returned) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
        let rounds = 300;
        on(n, || {
            for round in 0..rounds {
                let (token, count) = (drops.token(), returned.clone());
                let task = go!(move || {
                    let token = unblock_detached(move || token);
                    count.fetch_add(1, SeqCst);
                    drop(token);
                });
                (0..round % 40).for_each(|_| yield_now());
                task.cancel();
                let _ = task.join();
            }
        });
        let until = Instant::now() + Duration::from_secs(30);
        while drops.count() < rounds && Instant::now() < until {
            thread::yield_now();
        }
        assert_eq!(drops.count(), rounds);
        assert!(returned.load(SeqCst) <= rounds);
    }
}

/// With virtual time a closure takes none, so no timeout passes meanwhile; a cancellation ends the wait as ever.
#[test]
fn in_a_seeded_run() {
    let _watchdog = watchdog(20);
    for seed in 0..5 {
        layby::testing::run(seed, || {
            let slow = || unblock_detached(|| thread::sleep(MOMENT));
            assert!(timeout(MOMENT / 2, slow).is_ok());
            let (open, gate) = mpsc::channel::<()>();
            let task = go!(move || unblock_detached(move || gate.recv().is_err()));
            (0..5).for_each(|_| yield_now());
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            drop(open);
        });
    }
}
