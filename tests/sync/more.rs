//! `Semaphore`, `Event`, `WaitGroup`: what std lacks. Rows of tokio's, asyncio's and crossbeam's suites are marked.

#![cfg(not(loom))] // whose atomics are not for statics

use crate::common::{Rng, on, watchdog, workers, yield_until};
use layby::sync::{Arc, Event, Mutex, Semaphore, WaitGroup};
use layby::testing::{self, random};
use layby::{JoinHandle, go, task};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

// tokio: try_acquire, try_acquire_many, forget, merge, split, close, debug
#[test]
fn permits_come_and_go() {
    static STATIC: Semaphore = Semaphore::new(1);
    assert!(STATIC.try_acquire(1).is_ok() && STATIC.try_acquire(2).is_err());
    let semaphore = Arc::new(Semaphore::new(5));
    let mut permit = semaphore.try_acquire(3).unwrap();
    assert_eq!((permit.permits(), semaphore.available()), (3, 2));
    let error = semaphore.try_acquire(3).unwrap_err();
    assert!(!error.is_closed());
    assert_eq!(error.to_string(), "no permits available");
    let part = permit.split(1).unwrap();
    assert!(permit.split(3).is_none());
    assert_eq!((permit.permits(), part.permits()), (2, 1));
    permit.merge(part);
    permit.forget();
    assert_eq!(semaphore.available(), 2);
    semaphore.add(1);
    let owned = semaphore.clone().acquire_owned(2).unwrap();
    assert!(semaphore.clone().try_acquire_owned(2).is_err());
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 1, closed: false, .. }");
    drop(semaphore);
    drop(owned);
    let none = Semaphore::new(0);
    assert_eq!(none.acquire(0).unwrap().permits(), 0);
}

// tokio: add_max_amount_permits, add_more_than_max_amount_permits1
#[test]
#[should_panic(expected = "too many permits")]
fn too_many_permits() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
    semaphore.add(1);
}

#[test]
#[should_panic(expected = "permits of two semaphores")]
fn strangers_are_not_merged() {
    let (one, two) = (Semaphore::new(1), Semaphore::new(1));
    let mut permit = one.acquire(1).unwrap();
    permit.merge(two.acquire(1).unwrap());
}

#[test]
fn closing_sends_everyone_away() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let semaphore = Arc::new(Semaphore::new(1));
            let held = semaphore.acquire(1).unwrap();
            let waiters: Vec<_> = (0..3)
                .map(|i| {
                    let semaphore = semaphore.clone();
                    go!(move || semaphore.acquire(i + 1).is_err())
                })
                .collect();
            (0..5).for_each(|_| task::yield_now());
            semaphore.close();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
            assert!(semaphore.is_closed() && semaphore.acquire(0).is_err());
            assert!(semaphore.try_acquire(0).unwrap_err().is_closed());
            drop(held);
            assert_eq!(semaphore.available(), 1);
        });
    }
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let semaphore = Arc::new(Semaphore::new(4));
            let small: Vec<_> = (0..8)
                .map(|_| {
                    let semaphore = semaphore.clone();
                    go!(move || {
                        loop {
                            let _permit = semaphore.acquire(1).unwrap();
                            layby::sleep(Duration::from_micros(random() % 100));
                        }
                    })
                })
                .collect();
            layby::sleep(MS);
            let large = semaphore.acquire(4).unwrap();
            assert_eq!(semaphore.available(), 0);
            assert!(semaphore.try_acquire(1).is_err());
            drop(large);
            small.iter().for_each(JoinHandle::cancel);
            small.into_iter().for_each(|task| drop(task.join()));
            assert_eq!(semaphore.available(), 4);
        });
    }
}

#[test]
fn a_cancelled_waiter_passes_its_turn_on() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let semaphore = Arc::new(Semaphore::new(2));
            let held = semaphore.acquire(1).unwrap();
            let other = semaphore.clone();
            let large = go!(move || drop(other.acquire(2)));
            layby::sleep(MS);
            let other = semaphore.clone();
            let small = go!(move || drop(other.acquire(1)));
            layby::sleep(MS);
            assert!(!small.is_finished(), "it is behind");
            large.cancel();
            small.join().unwrap();
            assert!(large.join().unwrap_err().is_cancelled());
            drop(held);
            assert_eq!(semaphore.available(), 2);
        });
    }
}

#[test]
fn first_come_first_served() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let semaphore = Arc::new(Semaphore::new(0));
            let log = Arc::new(Mutex::new((vec![], vec![])));
            let tasks: Vec<_> = (0..10)
                .map(|i| {
                    let (semaphore, log) = (semaphore.clone(), log.clone());
                    go!(move || {
                        // One by one: each can be held up by the seed before it has queued.
                        layby::sleep(MS * ((7 * i as u32 + seed as u32) % 10));
                        log.lock().unwrap().0.push(i);
                        semaphore.acquire(i % 3 + 1).unwrap().forget();
                        log.lock().unwrap().1.push(i);
                    })
                })
                .collect();
            layby::sleep(20 * MS);
            for _ in 0..19 {
                semaphore.add(1);
                layby::sleep(MS);
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let log = log.lock().unwrap();
            assert_eq!(log.0, log.1);
        });
    }
}

#[test]
fn no_permit_is_lost_by_any_seed() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let semaphore = Arc::new(Semaphore::new(3));
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let semaphore = semaphore.clone();
                    go!(move || {
                        for _ in 0..5 {
                            let permit = match random() % 4 {
                                0 => semaphore.try_acquire(1).ok(),
                                n => semaphore.acquire(n as usize).ok(),
                            };
                            (0..random() % 3).for_each(|_| task::yield_now());
                            drop(permit);
                        }
                    })
                })
                .collect();
            for task in &tasks {
                (0..random() % 8).for_each(|_| task::yield_now());
                if random().is_multiple_of(2) {
                    task.cancel();
                }
            }
            tasks.into_iter().for_each(|task| drop(task.join()));
            assert_eq!(semaphore.available(), 3);
            assert!(semaphore.try_acquire(3).is_ok(), "somebody is still queued");
        });
    }
}

// tokio: stresstest
#[test]
fn no_permit_is_lost_on_real_workers() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for seed in 0..4 {
            let semaphore = Arc::new(Semaphore::new(5));
            let inside = Arc::new(AtomicUsize::new(0));
            let work = |seed: u64| {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                move || {
                    let mut rng = Rng::new(seed);
                    for _ in 0..100 {
                        let permit = semaphore.acquire(1 + rng.below(5)).unwrap();
                        assert!(inside.fetch_add(permit.permits(), SeqCst) + permit.permits() <= 5);
                        if rng.below(3) == 0 && !task::is_cancelled() {
                            std::thread::yield_now();
                        }
                        inside.fetch_sub(permit.permits(), SeqCst);
                    }
                }
            };
            std::thread::scope(|s| {
                (0..2).for_each(|i| drop(s.spawn(work(seed * 100 + i))));
                on(n, || {
                    let tasks: Vec<_> = (0..20).map(|i| go!(work(seed * 100 + 10 + i))).collect();
                    for (i, task) in tasks.iter().enumerate() {
                        task::yield_now();
                        if i % 3 == 0 {
                            task.cancel();
                        }
                    }
                    for task in tasks {
                        assert!(task.join().map_or_else(|error| error.is_cancelled(), |()| true));
                    }
                });
            });
            assert!(semaphore.try_acquire(5).is_ok(), "seed {seed}: {semaphore:?}");
        }
    }
}

// asyncio: test_wait, test_wait_on_set, test_clear, test_clear_with_waiters, test_wait_cancel
#[test]
fn an_event_wakes_those_who_wait_even_if_cleared_at_once() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let event = Arc::new(Event::default());
            let wait = || {
                let event = event.clone();
                go!(move || event.wait())
            };
            let waiters: Vec<_> = (0..5).map(|_| wait()).collect();
            layby::sleep(MS);
            waiters[2].cancel();
            event.set();
            assert!(event.is_set());
            event.clear();
            assert!(!event.is_set());
            let late = wait();
            let ends: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().is_ok()).collect();
            // The third was cancelled before the event was set, or, its wake being under way, after.
            assert!(ends[0] && ends[1] && ends[3] && ends[4]);
            layby::sleep(MS);
            assert!(!late.is_finished());
            event.set();
            event.set();
            late.join().unwrap();
            event.wait();
            let cancelled = wait();
            cancelled.cancel();
            assert!(cancelled.join().is_err(), "a suspension point also when it is set");
        });
    }
}

/// Set and cleared while waiters come, go and are cancelled: whoever saw it unset before a set has gone on after it.
#[test]
fn no_set_is_lost() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let event = Arc::new(Event::new());
        let rounds = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|s| {
            let (set, counted) = (event.clone(), rounds.clone());
            s.spawn(move || {
                while counted.load(SeqCst) < 10 * 50 {
                    set.set();
                    set.clear();
                    std::thread::yield_now();
                }
            });
            on(n, || {
                let tasks: Vec<_> = (0..20)
                    .map(|i| {
                        let (event, rounds) = (event.clone(), rounds.clone());
                        go!(move || {
                            for _ in 0..50 {
                                event.wait();
                                rounds.fetch_add(usize::from(i % 2 == 0), SeqCst);
                            }
                        })
                    })
                    .collect();
                for (i, task) in tasks.iter().enumerate() {
                    if i % 2 == 1 {
                        task::yield_now();
                        task.cancel();
                    }
                }
                for (i, task) in tasks.into_iter().enumerate() {
                    assert!(task.join().is_ok() || i % 2 == 1);
                }
            });
        });
    }
}

// crossbeam: wait, wait_and_drop
#[test]
fn a_wait_group_waits_for_all() {
    let _watchdog = watchdog(20);
    for n in workers() {
        for _ in 0..20 {
            let done = Arc::new(AtomicUsize::new(0));
            let group = WaitGroup::new();
            assert_eq!(format!("{group:?}"), "WaitGroup { count: 1 }");
            let member = |waits: bool| {
                let (group, done) = (group.clone(), done.clone());
                move || {
                    task::yield_now();
                    done.fetch_add(1, SeqCst);
                    if waits {
                        group.wait();
                        assert_eq!(done.load(SeqCst), 8);
                    }
                }
            };
            let threads = [true, false].map(member);
            let tasks: Vec<_> = (0..6).map(|i| member(i % 2 == 0)).collect();
            std::thread::scope(|s| {
                threads.into_iter().for_each(|f| drop(s.spawn(f)));
                on(n, || {
                    let tasks: Vec<_> = tasks.into_iter().map(|f| go!(f)).collect();
                    group.wait_in_a_task();
                    tasks.into_iter().for_each(|task| task.join().unwrap());
                });
            });
        }
    }
    WaitGroup::default().wait();
}

/// Who gives up waits no more, and is no member any more; the others are let through when all have gone, and not before.
#[test]
fn who_gives_up_is_not_waited_for() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let (group, gone) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
            let start = |waits: bool| {
                let (group, gone) = (group.clone(), gone.clone());
                go!(move || {
                    layby::sleep(random() as u32 % 3 * US);
                    if !waits {
                        gone.fetch_add(1, SeqCst);
                        return; // the last touch of `group` is its drop
                    }
                    let limit = [US, 3 * US, 100 * US][random() as usize % 3];
                    if layby::timeout(limit, || group.wait()).is_ok() {
                        assert_eq!(gone.load(SeqCst), 2);
                    }
                })
            };
            let members = [start(false), start(false)];
            let waiters = [start(true), start(true), start(true)];
            layby::sleep(random() as u32 % 5 * US);
            waiters[0].cancel();
            group.wait();
            assert_eq!(gone.load(SeqCst), 2);
            members.into_iter().for_each(|member| member.join().unwrap());
            let went: Vec<_> = waiters.into_iter().map(JoinHandle::join).collect();
            assert!(went[1..].iter().all(Result::is_ok), "seed {seed}");
        });
    }
}

trait InATask {
    fn wait_in_a_task(self);
}

impl InATask for WaitGroup {
    /// A task that waits and is cancelled: its own is gone nevertheless.
    fn wait_in_a_task(self) {
        let task = go!(move || self.wait());
        (0..3).for_each(|_| task::yield_now());
        task.cancel();
        yield_until(|| task.is_finished());
    }
}
