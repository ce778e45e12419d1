//! Soundness attempts: what belongs to a thread stays on it, and what other threads do to a task, whenever they do it,
//! does no harm.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::common::{Drops, OnDrop, Rng, on, quiet_panics, watchdog, workers};
use layby::{Builder, go, spawn_local, task};

const TASKS: usize = 200;

/// One way of waiting, by a number.
fn wait(way: usize) {
    match way % 6 {
        0 | 1 => layby::yield_now(),
        2 => layby::sleep(Duration::from_micros(50)),
        3 => task::park_timeout(Duration::from_micros(20)),
        4 => go!(layby::yield_now).join().unwrap(),
        _ => drop(layby::gather!(layby::yield_now(), layby::yield_now())),
    }
}

#[test]
fn what_is_not_send_stays_on_its_thread_over_every_wait() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let tasks: Vec<_> = (0..TASKS)
                .map(|i| {
                    go!(move || {
                        let (home, shared) = (thread::current().id(), Rc::new(Cell::new(0)));
                        for round in 0..12 {
                            let other = shared.clone();
                            wait(i + round);
                            other.set(other.get() + 1);
                            assert_eq!(thread::current().id(), home);
                            // And so do those that it spawns for this thread.
                            let local = spawn_local(move || (other, thread::current().id()));
                            let (other, there) = local.join().unwrap();
                            assert_eq!((there, other.get()), (home, round + 1));
                        }
                        assert_eq!(Rc::strong_count(&shared), 1);
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

/// std's guards remember, or check, the thread: pthread mutexes, reentrant locks.
#[test]
fn std_guards_are_unlocked_on_the_thread_that_locked() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let locks: Vec<_> = (0..TASKS).map(|_| (Mutex::new(0), RwLock::new(0))).collect();
        on(n, || {
            layby::gather(locks.iter().enumerate().map(|(i, (mutex, rwlock))| {
                move || {
                    for round in 0..6 {
                        // Its own locks: a mate that wants the same would block the worker.
                        let (mut a, b) = (mutex.lock().unwrap(), rwlock.read().unwrap());
                        wait(i + round);
                        *a += 1 + *b;
                    }
                }
            }));
        });
        assert!(locks.iter().all(|(mutex, _)| *mutex.lock().unwrap() == 6));
    }
}

/// stdout's lock is reentrant by *thread*: worker mates get in. What they share is behind a `RefCell`, so no harm is done.
#[test]
fn a_reentrant_lock_over_a_wait() {
    let _watchdog = watchdog(60);
    on(1, || {
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                go!(move || {
                    let mut out = std::io::stderr().lock();
                    wait(i);
                    write!(out, "").unwrap();
                    layby::yield_now();
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

thread_local! {
    static HERE: Cell<Option<ThreadId>> = const { Cell::new(None) };
    static COUNT: RefCell<HashMap<usize, usize>> = RefCell::default();
    static BIG: [u8; 256] = const { [7; 256] };
}

/// The compiler may keep a thread-local's address over the wait.
#[test]
fn thread_locals_before_and_after_a_wait_are_the_same() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let tasks: Vec<_> = (0..TASKS)
                .map(|i| {
                    go!(move || {
                        for round in 0..12 {
                            let before = HERE.with(|here| {
                                here.set(Some(thread::current().id()));
                                // A reference to it lives over the wait.
                                wait(i + round);
                                assert_eq!(here.get(), Some(thread::current().id()));
                                std::ptr::from_ref(here).addr()
                            });
                            COUNT.with_borrow_mut(|map| *map.entry(i).or_default() += 1);
                            wait(round);
                            assert_eq!(HERE.with(|here| std::ptr::from_ref(here).addr()), before);
                            assert_eq!(COUNT.with_borrow(|map| map[&i]), round + 1);
                            assert!(BIG.with(|big| big.iter().all(|b| *b == 7)));
                        }
                        COUNT.with_borrow_mut(|map| map.remove(&i));
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

/// The known remainder: what a thread-local lends over a wait is lent to the thread, so a mate meets a panic. No more than that.
#[test]
fn a_refcell_borrowed_over_a_wait_stops_the_next_task() {
    thread_local!(static CELL: RefCell<u32> = const { RefCell::new(0) });
    let _watchdog = watchdog(60);
    on(1, || {
        let borrower = go!(|| CELL.with_borrow_mut(|n| {
            *n += 1;
            task::park();
            *n += 1;
        }));
        layby::yield_now();
        assert!(go!(|| CELL.with(|cell| cell.try_borrow().is_err())).join().unwrap());
        borrower.task().unpark();
        borrower.join().unwrap();
        assert_eq!(go!(|| CELL.take()).join().unwrap(), 2);
    });
}

/// Tokens and cancellations for tasks that live, end just now, and are gone, as is their runtime.
#[test]
fn storms_from_threads_before_at_and_after_the_end_of_tasks() {
    let _watchdog = watchdog(60);
    let (stop, current) = (AtomicBool::new(false), Mutex::new(Vec::<task::Task>::new()));
    let storms = AtomicUsize::new(0);
    thread::scope(|s| {
        for seed in 0..3 {
            let (stop, current, storms) = (&stop, &current, &storms);
            s.spawn(move || {
                let mut rng = Rng::new(seed);
                while !stop.load(SeqCst) {
                    let tasks = current.lock().unwrap().clone();
                    for _ in 0..50 {
                        if let Some(task) = tasks.get(rng.below(tasks.len().max(1))) {
                            task.unpark();
                            storms.fetch_add(1, SeqCst);
                        }
                    }
                    thread::yield_now();
                }
            });
        }
        for round in 0..60 {
            on(1 + round % 3, || {
                let tasks: Vec<_> = (0..16)
                    .map(|i| {
                        go!(move || {
                            for _ in 0..i {
                                task::park_timeout(Duration::from_micros(30));
                            }
                        })
                    })
                    .collect();
                current.lock().unwrap().extend(tasks.iter().map(|task| task.task()));
                for (i, task) in tasks.into_iter().enumerate() {
                    if i % 3 == 0 {
                        task.join().unwrap();
                    }
                }
            });
            // Those of the last four runtimes stay targets.
            let mut current = current.lock().unwrap();
            let gone = current.len().saturating_sub(64);
            current.drain(..gone);
        }
        stop.store(true, SeqCst);
    });
    assert!(storms.load(SeqCst) > 0);
}

#[test]
fn cancelled_by_many_threads_while_it_starts_waits_and_ends() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let drops = Drops::new();
        let runtime = Builder::new().workers(n).build().unwrap();
        const ROUNDS: usize = 150;
        for round in 0..ROUNDS {
            let token = drops.token();
            let victim = runtime.spawn(move || {
                let _token = token;
                let _waits = OnDrop(|| wait(round));
                (0..round % 7).for_each(wait);
            });
            thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        for _ in 0..4 {
                            victim.cancel();
                            let _ = victim.is_finished();
                            victim.task().unpark();
                        }
                    });
                }
            });
            match victim.join() {
                Ok(()) => {}
                Err(error) => assert!(error.is_cancelled()),
            }
            assert_eq!(drops.count(), round + 1);
        }
        drop(runtime);
    }
}

/// The result is dropped once, by the task or by who drops the handle; its destructor may wait, and panic.
#[test]
fn handles_dropped_on_other_threads_while_the_task_ends() {
    struct Result(crate::common::Token, bool);
    impl Drop for Result {
        fn drop(&mut self) {
            layby::yield_now();
            assert!(!self.1, "expected: in the result's destructor");
            let _ = &self.0;
        }
    }
    let _watchdog = watchdog(60);
    quiet_panics();
    for n in workers() {
        let drops = Drops::new();
        let runtime = Builder::new().workers(n).build().unwrap();
        const ROUNDS: usize = 300;
        for round in 0..ROUNDS {
            let token = drops.token();
            let handle = runtime.spawn(move || {
                (0..round % 3).for_each(|_| layby::yield_now());
                Result(token, round % 100 == 0)
            });
            thread::spawn(move || {
                (0..round % 11).for_each(|_| std::hint::spin_loop());
                drop(handle);
            });
        }
        // Ends what is not over; the threads may still drop some.
        drop(runtime);
        while drops.count() < ROUNDS {
            thread::yield_now();
        }
        assert_eq!(drops.count(), ROUNDS);
    }
}

/// A join, a cancel and an unpark at once, each from a place of its own.
#[test]
fn joined_by_a_task_that_is_cancelled_while_the_other_ends() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            for round in 0..300 {
                let inner = go!(move || (0..round % 5).for_each(wait));
                let outer = go!(move || inner.join().unwrap());
                (0..round % 4).for_each(|_| layby::yield_now());
                let (outer, other) = (Arc::new(outer), thread::current().id());
                let canceller = go!({
                    let outer = outer.clone();
                    move || {
                        outer.cancel();
                        thread::current().id()
                    }
                });
                let _ = canceller.join().unwrap() == other;
                let outer = Arc::into_inner(outer).expect("the canceller has ended");
                let _ = outer.join().map_err(|error| assert!(error.is_cancelled()));
            }
        });
    }
}

/// A thread that was a worker is one again while its thread-locals are destroyed.
#[test]
fn a_worker_in_a_destructor_of_a_thread_local() {
    let _watchdog = watchdog(20);
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            on(1, later);
        }
    }
    fn later() {
        layby::task::spawn_after(std::time::Duration::from_micros(1), || ()).join().unwrap();
    }
    thread_local!(static LATE: Late = const { Late });
    std::thread::spawn(|| {
        // First in, last out.
        LATE.with(|_| on(1, later));
    })
    .join()
    .unwrap();
}
