//! `Condvar` and `Barrier`: as std's; no notification is lost, whatever comes with it.

#![cfg(not(loom))] // whose atomics are not for statics

use crate::common::{Rng, on, spawn_each, watchdog, workers, yield_until};
use layby::sync::{Arc, Barrier, Condvar, Mutex};
use layby::testing::{self, random};
use layby::{JoinHandle, go, task, time::Instant};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

type Pair<T> = Arc<(Mutex<T>, Condvar)>;

fn pair<T>(value: T) -> Pair<T> {
    Arc::new((Mutex::new(value), Condvar::new()))
}

#[test]
fn as_std() {
    static CONDVAR: Condvar = Condvar::new();
    CONDVAR.notify_one();
    CONDVAR.notify_all();
    assert_eq!(format!("{CONDVAR:?}"), format!("{:?}", std::sync::Condvar::new()));
    let mutex = Mutex::new(0);
    let (guard, result) = CONDVAR.wait_timeout(mutex.lock().unwrap(), MS).unwrap();
    assert!(result.timed_out());
    assert_eq!(format!("{result:?}"), "WaitTimeoutResult(true)");
    let (guard, result) = CONDVAR.wait_timeout_while(guard, Duration::ZERO, |_| false).unwrap();
    assert!(!result.timed_out());
    let (guard, result) = CONDVAR.wait_timeout_while(guard, MS, |_| true).unwrap();
    assert!(result.timed_out());
    #[allow(deprecated)]
    let (_guard, notified) = CONDVAR.wait_timeout_ms(guard, 1).unwrap();
    assert!(!notified);
}

#[test]
fn a_notification_wakes_one_and_in_order() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let shared = pair((Vec::new(), Vec::new()));
            let other = shared.clone();
            let waiters = spawn_each(5, move |i| {
                let mut lists = other.0.lock().unwrap();
                lists.0.push(i);
                let mut lists = other.1.wait(lists).unwrap();
                lists.1.push(i);
            });
            layby::sleep(MS);
            for count in 1..=3 {
                shared.1.notify_one();
                layby::sleep(MS);
                assert_eq!(shared.0.lock().unwrap().1.len(), count);
            }
            shared.1.notify_all();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
            let lists = shared.0.lock().unwrap();
            assert_eq!(lists.0[..3], lists.1[..3]);
            assert_eq!(lists.1.len(), 5);
        });
    }
}

#[test]
fn threads_and_tasks_notify_each_other() {
    let _watchdog = watchdog(60);
    for n in workers() {
        // A token goes round: whose turn it is.
        let shared = pair(0);
        let turn = |me: usize| {
            let shared = shared.clone();
            move || {
                for _ in 0..100 {
                    let guard = shared.0.lock().unwrap();
                    let mut turn = shared.1.wait_while(guard, |turn| *turn != me).unwrap();
                    *turn = (me + 1) % 6;
                    shared.1.notify_all();
                }
            }
        };
        std::thread::scope(|s| {
            (0..2).for_each(|me| drop(s.spawn(turn(me))));
            on(n, || {
                let tasks: Vec<_> = (2..6).map(|me| go!(turn(me))).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        });
    }
}

#[test]
fn limits_are_kept_by_the_virtual_clock() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let shared = pair(false);
        let start = Instant::now();
        let guard = shared.0.lock().unwrap();
        let (guard, result) = shared.1.wait_timeout(guard, 5 * MS).unwrap();
        assert!(result.timed_out() && start.elapsed() >= 5 * MS);
        let other = shared.clone();
        let notifier = go!(move || {
            for _ in 0..3 {
                layby::sleep(2 * MS);
                other.1.notify_all(); // the condition is still true
            }
            *other.0.lock().unwrap() = true;
            other.1.notify_all();
        });
        let (guard, result) = shared.1.wait_timeout_while(guard, 5 * MS, |done| !*done).unwrap();
        assert!(result.timed_out(), "the limit is for all waits together");
        let guard = shared.1.wait_while(guard, |done| !*done).unwrap();
        drop(guard);
        notifier.join().unwrap();
    });
}

/// After a notification the lock is taken whatever comes, and the cancellation is not forgotten.
#[test]
fn a_notified_waiter_is_not_cancelled_before_it_returns() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let shared = pair(0);
            let other = shared.clone();
            let waiter = go!(move || {
                let mut value = other.0.lock().unwrap();
                *value = 1;
                let mut value = other.1.wait(value).unwrap();
                *value = 2;
                drop(value);
                layby::sleep(MS);
                unreachable!();
            });
            yield_until(|| *shared.0.lock().unwrap() == 1);
            let guard = shared.0.lock().unwrap();
            shared.1.notify_one();
            waiter.cancel();
            layby::sleep(MS); // it waits for the lock, cancelled
            drop(guard);
            assert!(waiter.join().unwrap_err().is_cancelled());
            assert_eq!(*shared.0.lock().unwrap(), 2);
        });
    }
}

/// A cancelled wait leaves the mutex free and unpoisoned, and its notification to the next.
#[test]
fn a_cancelled_waiter_takes_no_notification() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let shared = pair(0);
            let other = shared.clone();
            let waiters = spawn_each(3, move |_| {
                let mut value = other.0.lock().unwrap();
                *value += 1;
                drop(other.1.wait(value).unwrap());
            });
            yield_until(|| *shared.0.lock().unwrap() == 3);
            waiters.iter().take(2).for_each(JoinHandle::cancel);
            shared.1.notify_one();
            let ended: Vec<_> =
                waiters.into_iter().map(|waiter| waiter.is_finished().then_some(waiter)).collect();
            drop(ended); // detached; the count below is what is looked at
            assert!(shared.0.try_lock().is_ok_and(|value| *value == 3));
        });
    }
}

/// A queue of items by notifications, one for each; some takers are cancelled or time out. If a notification were lost, an item
/// would stay while a taker waits for ever.
#[test]
fn every_item_finds_a_taker_by_any_seed() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let shared = pair(VecDeque::new());
            let taken = Arc::new(AtomicUsize::new(0));
            let (other, count) = (shared.clone(), taken.clone());
            let take = move |fickle: bool| {
                loop {
                    let mut items = other.0.lock().unwrap();
                    while items.is_empty() {
                        items = if fickle && random().is_multiple_of(2) {
                            let limit = Duration::from_nanos(random() % 3_000);
                            other.1.wait_timeout(items, limit).unwrap().0
                        } else {
                            other.1.wait(items).unwrap()
                        };
                    }
                    if items.pop_front() == Some(false) {
                        return;
                    }
                    count.fetch_add(1, SeqCst);
                }
            };
            let takes = take.clone();
            let fickle = spawn_each(4, move |_| takes(true));
            let steady = go!(move || take(false));
            for _ in 0..20 {
                (0..random() % 4).for_each(|_| task::yield_now());
                shared.0.lock().unwrap().push_back(true);
                shared.1.notify_one();
                if random().is_multiple_of(4) {
                    fickle[(random() % 4) as usize].cancel();
                }
            }
            fickle.iter().for_each(JoinHandle::cancel);
            for taker in fickle {
                assert!(taker.join().unwrap_err().is_cancelled());
            }
            // A taker that is cancelled with a notification in hand has passed the loop once more: here it is the steady one's.
            shared.1.notify_one();
            yield_until(|| shared.0.lock().unwrap().is_empty());
            shared.0.lock().unwrap().push_back(false);
            shared.1.notify_one();
            steady.join().unwrap();
            assert_eq!(taken.load(SeqCst), 20);
        });
    }
}

#[test]
fn notify_all_wakes_all_that_wait_and_none_that_comes_later() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let shared = pair((0, 0));
            let other = shared.clone();
            // Each waits twice.
            let waiters = spawn_each(50, move |_| {
                let mut counts = other.0.lock().unwrap();
                for _ in 0..2 {
                    counts.0 += 1;
                    counts = other.1.wait(counts).unwrap();
                    counts.1 += 1;
                }
            });
            for (waiting, woken) in [(50, 50), (100, 100)] {
                layby::sleep(MS);
                assert_eq!(shared.0.lock().unwrap().0, waiting);
                shared.1.notify_all();
                layby::sleep(MS);
                assert_eq!(shared.0.lock().unwrap().1, woken);
            }
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}

#[test]
fn a_barrier_has_one_leader_each_time() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let barrier = Arc::new(Barrier::new(6));
        let (leaders, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let rounds = || {
            let (barrier, leaders, passed) = (barrier.clone(), leaders.clone(), passed.clone());
            move || {
                for round in 0..50 {
                    assert!(passed.load(SeqCst) >= round * 6, "let through before all had come");
                    passed.fetch_add(1, SeqCst);
                    leaders.fetch_add(usize::from(barrier.wait().is_leader()), SeqCst);
                    assert!(passed.load(SeqCst) >= (round + 1) * 6);
                }
            }
        };
        std::thread::scope(|s| {
            (0..2).for_each(|_| drop(s.spawn(rounds())));
            on(n, || {
                let tasks: Vec<_> = (0..4).map(|_| go!(rounds())).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        });
        assert_eq!(leaders.load(SeqCst), 50);
    }
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        let result = barrier.wait();
        assert_eq!(format!("{barrier:?} {result:?}"), "Barrier { .. } BarrierWaitResult { is_leader: true }");
    }
}

/// Who is cancelled at a barrier has not come; who has been let through is not cancelled there.
#[test]
fn a_barrier_counts_only_those_who_wait() {
    let _watchdog = watchdog(20);
    for seed in 0..200 {
        testing::run(seed, || {
            let barrier = Arc::new(Barrier::new(3));
            let other = barrier.clone();
            let passed = Arc::new(AtomicUsize::new(0));
            let count = passed.clone();
            let tasks = spawn_each(5, move |_| {
                other.wait();
                count.fetch_add(1, SeqCst);
            });
            for task in &tasks {
                (0..random() % 4).for_each(|_| task::yield_now());
                if random().is_multiple_of(3) {
                    task.cancel();
                }
            }
            layby::sleep(MS);
            assert_eq!(passed.load(SeqCst) % 3, 0, "let through in threes");
            tasks.iter().for_each(JoinHandle::cancel);
            tasks.into_iter().for_each(|task| drop(task.join()));
            assert_eq!(passed.load(SeqCst) % 3, 0);
            // And it is as new.
            let other = barrier.clone();
            let others = spawn_each(2, move |_| {
                let _ = other.wait();
            });
            barrier.wait();
            others.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

#[test]
fn items_and_takers_on_real_workers() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for seed in 0..3 {
            let shared = pair(0_usize);
            let taken = Arc::new(AtomicUsize::new(0));
            on(n, || {
                let (other, count) = (shared.clone(), taken.clone());
                let takers = spawn_each(10, move |i| {
                    let mut rng = Rng::new(seed * 10 + i as u64);
                    loop {
                        let mut items = other.0.lock().unwrap();
                        while *items == 0 {
                            let limit = Duration::from_micros(rng.below(100) as u64);
                            items = match rng.below(2) {
                                0 => other.1.wait(items).unwrap(),
                                _ => other.1.wait_timeout(items, limit).unwrap().0,
                            };
                        }
                        *items -= 1;
                        count.fetch_add(1, SeqCst);
                    }
                });
                for i in 0..500 {
                    *shared.0.lock().unwrap() += 1;
                    shared.1.notify_one();
                    if i % 100 == 50 {
                        takers[i / 100].cancel();
                    }
                    if i % 16 == 0 {
                        task::yield_now();
                    }
                }
                shared.1.notify_all();
                yield_until(|| *shared.0.lock().unwrap() == 0);
                takers.iter().for_each(JoinHandle::cancel);
                for taker in takers {
                    assert!(taker.join().unwrap_err().is_cancelled());
                }
            });
            assert_eq!(taken.load(SeqCst), 500, "seed {seed}");
        }
    }
}
