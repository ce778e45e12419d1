//! `Mutex`: as std's, by tasks and threads; its queue, its fairness, and waits that are given up.

#![cfg(not(loom))] // whose atomics are not for statics

use crate::common::{Rng, cancel_some, on, spawn_each, watchdog, workers, yield_until};
use layby::sync::{Arc, Mutex, TryLockError};
use layby::testing::{self, random};
use layby::{JoinHandle, go, task, time::Instant};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn join(tasks: Vec<JoinHandle<()>>) {
    tasks.into_iter().for_each(|task| task.join().unwrap());
}

#[test]
fn as_std() {
    static STATIC: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    STATIC.lock().unwrap().push(1);
    assert!(size_of::<Mutex<()>>() <= 16);
    assert_eq!(size_of::<layby::sync::MutexGuard<'_, u8>>(), 16);
    let unsized_one: &Mutex<[i32]> = &Mutex::new([1, 2, 3]);
    unsized_one.lock().unwrap()[0] = 4;
    assert_eq!(*unsized_one.lock().unwrap(), [4, 2, 3]);
    let mut mutex = Mutex::from(5);
    *mutex.get_mut().unwrap() += 1;
    let guard = mutex.try_lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    assert_eq!(format!("{guard} {guard:?}"), "6 6");
    drop(guard);
    assert_eq!(mutex.into_inner().unwrap(), 6);
    assert_eq!(*Mutex::<u8>::default().lock().unwrap(), 0);
}

/// Free, held and poisoned, the same text as std's.
#[test]
fn debug_is_stds() {
    crate::common::quiet_panics();
    macro_rules! texts {
        ($mutex:ty) => {{
            let mutex = <$mutex>::new("text");
            let free = format!("{mutex:?}");
            let guard = mutex.lock().unwrap();
            let held = format!("{mutex:#?}");
            drop(guard);
            std::thread::scope(|s| {
                let panics = || {
                    let _guard = mutex.lock().unwrap();
                    panic!("expected");
                };
                assert!(s.spawn(panics).join().map(|_: ()| ()).is_err());
            });
            (free, held, format!("{mutex:?} {:?} {}", mutex.lock(), mutex.try_lock().unwrap_err()))
        }};
    }
    assert_eq!(texts!(Mutex<&str>), texts!(std::sync::Mutex<&str>));
}

#[test]
fn tasks_and_threads_exclude_each_other() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let counter = Arc::new(Mutex::new((0, 0)));
        let add = |rounds: usize, wait: bool| {
            let counter = counter.clone();
            move || {
                for i in 0..rounds {
                    let mut pair = counter.lock().unwrap();
                    pair.0 += 1;
                    if wait && i % 8 == 0 {
                        task::yield_now();
                    }
                    pair.1 += 1;
                    assert_eq!(pair.0, pair.1);
                }
            }
        };
        std::thread::scope(|s| {
            (0..2).for_each(|_| drop(s.spawn(add(500, false))));
            on(n, || join((0..20).map(|i| go!(add(100, i % 2 == 0))).collect()));
        });
        assert_eq!(counter.lock().unwrap().0, 2 * 500 + 20 * 100);
    }
}

/// The holder sleeps with the lock, and meanwhile the worker runs others.
#[test]
fn a_parked_holder_keeps_nobody_but_those_who_want_the_lock() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let other = mutex.clone();
        let waiters = spawn_each(1_000, move |_| drop(other.lock().unwrap()));
        let free = go!(|| layby::sleep(MS));
        layby::sleep(10 * MS);
        assert!(free.is_finished() && waiters.iter().all(|task| !task.is_finished()));
        drop(guard);
        join(waiters);
    });
}

#[test]
fn waiters_are_served_in_order_of_arrival() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let order = Arc::new((Mutex::new(Vec::new()), Mutex::new(Vec::new())));
            let guard = order.1.lock().unwrap();
            let each = order.clone();
            let tasks = spawn_each(20, move |i| {
                // One by one: each can be held up by the seed before it has queued.
                layby::sleep(MS * ((7 * i as u32 + seed as u32) % 20));
                each.0.lock().unwrap().push(i);
                each.1.lock().unwrap().push(i);
            });
            layby::sleep(30 * MS);
            drop(guard);
            join(tasks);
            assert_eq!(*order.0.lock().unwrap(), *order.1.lock().unwrap());
        });
    }
}

/// The bound: one that takes the lock again whenever it has released it, without a pause, is stopped after three wakes in vain.
#[test]
fn a_greedy_task_starves_nobody() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let mutex = Arc::new(Mutex::new(0));
            let greedy = mutex.clone();
            let greedy = go!(move || {
                loop {
                    let mut taken = greedy.lock().unwrap();
                    *taken += 1;
                    task::yield_now(); // whoever waits runs, and is in vain
                }
            });
            yield_until(|| mutex.try_lock().is_err());
            let waiters: Vec<_> = (0..5)
                .map(|_| {
                    let mutex = mutex.clone();
                    go!(move || *mutex.lock().unwrap())
                })
                .collect();
            for waiter in waiters {
                // Each of the five waits for those before it: 4 turns of the greedy one for each, and the seed's detours.
                assert!(waiter.join().unwrap() < 400, "overtaken without a bound");
            }
            greedy.cancel();
        });
    }
}

/// Exactly: the lock is taken in vain three times, and handed over at the next release.
#[test]
fn after_three_wakes_in_vain_the_lock_is_handed_over() {
    let _watchdog = watchdog(20);
    on(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let mut guard = mutex.lock().unwrap();
        let other = mutex.clone();
        let waiter = go!(move || drop(other.lock().unwrap()));
        (0..3).for_each(|_| task::yield_now()); // it queues
        for _ in 0..3 {
            task::yield_now();
            drop(guard); // wakes it
            guard = mutex.try_lock().expect("it has not run yet"); // and passes it
        }
        task::yield_now(); // the third time in vain
        drop(guard);
        assert!(mutex.try_lock().is_err(), "it was handed over, nobody can pass");
        assert!(!waiter.is_finished());
        waiter.join().unwrap();
        assert!(mutex.try_lock().is_ok());
    });
}

#[test]
fn try_lock_for_waits_so_long() {
    let _watchdog = watchdog(20);
    testing::run(3, || {
        let mutex = Arc::new(Mutex::new(()));
        let guard = mutex.lock().unwrap();
        let start = Instant::now();
        assert!(matches!(mutex.try_lock_for(5 * MS), Err(TryLockError::WouldBlock)));
        assert!((5..7).contains(&start.elapsed().as_millis()));
        assert!(mutex.try_lock_until(start).is_err());
        assert!(mutex.try_lock_until(start + 20 * MS).is_err());
        assert!((20..22).contains(&start.elapsed().as_millis()));
        let other = mutex.clone();
        let taker = go!(move || other.try_lock_for(Duration::MAX).map(drop).unwrap());
        layby::sleep(MS);
        drop(guard);
        taker.join().unwrap();
        assert!(mutex.try_lock_for(Duration::ZERO).is_ok());
    });
    // On threads, too.
    let mutex = std::sync::Arc::new(Mutex::new(()));
    let guard = mutex.lock().unwrap();
    std::thread::scope(|s| {
        assert!(s.spawn(|| mutex.try_lock_for(MS).is_err()).join().unwrap());
        let taker = s.spawn(|| mutex.try_lock_for(Duration::from_secs(60)).is_ok());
        drop(guard);
        assert!(taker.join().unwrap());
    });
}

#[test]
fn a_cancelled_waiter_leaves_the_queue() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let mutex = Arc::new(Mutex::new(()));
            let guard = mutex.lock().unwrap();
            let other = mutex.clone();
            let waiters = spawn_each(3, move |_| drop(other.lock().unwrap()));
            (0..5).for_each(|_| task::yield_now());
            waiters[1].cancel();
            let mut waiters = waiters.into_iter();
            let first = waiters.next().unwrap();
            assert!(waiters.next().unwrap().join().unwrap_err().is_cancelled());
            drop(guard);
            first.join().unwrap();
            waiters.next().unwrap().join().unwrap();
        });
    }
}

/// Before it takes anything.
#[test]
fn a_free_lock_is_a_suspension_point() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let mutex = Arc::new(Mutex::new(0));
        for kind in 0..2 {
            let (other, started) = (mutex.clone(), Arc::new(AtomicUsize::new(0)));
            let starts = started.clone();
            let task = go!(move || {
                starts.store(1, SeqCst);
                while !task::is_cancelled() {
                    let _ = std::panic::catch_unwind(task::yield_now);
                }
                // `try_lock` is none.
                *other.try_lock().unwrap() += 1;
                match kind {
                    0 => drop(other.lock()),
                    _ => drop(other.try_lock_for(MS)),
                }
                unreachable!();
            });
            yield_until(|| started.load(SeqCst) == 1);
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
        }
        assert_eq!(*mutex.try_lock().unwrap(), 2);
    });
}

/// Locks, limits and cancellations by the seed: the count is what it must be, and the lock is free at the end.
#[test]
fn nothing_is_lost_by_any_seed() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let mutex = Arc::new(Mutex::new(0));
            let taken = Arc::new(AtomicUsize::new(0));
            let (each, count) = (mutex.clone(), taken.clone());
            let tasks = spawn_each(8, move |_| {
                for _ in 0..5 {
                    let guard = match random() % 3 {
                        0 => each.lock().ok(),
                        1 => each.try_lock_for(Duration::from_nanos(random() % 2_000)).ok(),
                        _ => each.try_lock().ok(),
                    };
                    let Some(mut guard) = guard else { continue };
                    *guard += 1;
                    count.fetch_add(1, SeqCst);
                    (0..random() % 3).for_each(|_| task::yield_now());
                }
            });
            cancel_some(tasks, |n| random() as usize % n);
            let total = *mutex.try_lock().expect("it is free, and not poisoned");
            assert_eq!(total, taken.load(SeqCst));
        });
    }
}

/// The same with real workers and threads, and cancellations from outside.
#[test]
fn nothing_is_lost_on_real_workers() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for seed in 0..4 {
            let mutex = Arc::new(Mutex::new(0));
            let taken = Arc::new(AtomicUsize::new(0));
            let work = |seed: u64| {
                let (mutex, taken) = (mutex.clone(), taken.clone());
                move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..200 {
                        let guard = match rng.below(3) {
                            0 => mutex.lock().ok(),
                            1 => mutex.try_lock_for(Duration::from_micros(rng.below(50) as u64)).ok(),
                            _ => mutex.try_lock().ok(),
                        };
                        let Some(mut guard) = guard else { continue };
                        *guard += 1;
                        taken.fetch_add(1, SeqCst);
                        if rng.below(4) == 0 {
                            task::yield_now();
                        }
                    }
                }
            };
            std::thread::scope(|s| {
                (0..2).for_each(|i| drop(s.spawn(work(seed * 100 + i))));
                on(n, || {
                    let mut rng = Rng::new(seed);
                    let tasks: Vec<_> = (0..30).map(|i| go!(work(seed * 100 + 10 + i))).collect();
                    cancel_some(tasks, |n| rng.below(n));
                });
            });
            let total = *mutex.try_lock().expect("it is free, and not poisoned");
            assert_eq!(total, taken.load(SeqCst), "seed {seed}");
        }
    }
}
