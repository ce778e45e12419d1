//! `Once`, `OnceLock` and `LazyLock`: as std's; closures that wait, panic or are cancelled.

#![cfg(not(loom))] // whose atomics are not for statics

use crate::common::{OnDrop, on, quiet_panics, watchdog, workers, yield_until};
use layby::generator::gen_iter;
use layby::sync::{Arc, Event, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore};
use layby::testing::{self, random};
use layby::{JoinHandle, go, task};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn as_std() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ());
    ONCE.call_once_force(|_| unreachable!());
    ONCE.wait();
    ONCE.wait_force();
    assert!(ONCE.is_completed());
    assert_eq!(format!("{ONCE:?}"), format!("{:?}", std::sync::Once::new()));

    let mut cell = OnceLock::new();
    assert!(cell.get().is_none() && cell.get_mut().is_none());
    assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
    assert_eq!((cell.set(1), cell.set(2)), (Ok(()), Err(2)));
    assert_eq!((cell.get(), *cell.get_or_init(|| 3), *cell.wait()), (Some(&1), 1, 1));
    *cell.get_mut().unwrap() += 1;
    assert_eq!(format!("{cell:?}"), "OnceLock(2)");
    assert!(cell.clone() == OnceLock::from(2) && cell != OnceLock::default());
    assert_eq!((cell.take(), cell.take(), cell.set(5), cell.into_inner()), (Some(2), None, Ok(()), Some(5)));

    static LAZY: LazyLock<String> = LazyLock::new(|| "made".into());
    assert_eq!((LazyLock::get(&LAZY), LazyLock::force(&LAZY).as_str()), (None, "made"));
    let mut lazy = LazyLock::new(|| vec![1]);
    assert_eq!((format!("{lazy:?}").as_str(), LazyLock::get_mut(&mut lazy)), ("LazyLock(<uninit>)", None));
    lazy.push(2);
    LazyLock::force_mut(&mut lazy).push(3);
    assert_eq!(format!("{lazy:?}"), "LazyLock([1, 2, 3])");
    assert!(LazyLock::<String>::default().is_empty());
}

/// As std's cells, which the compiler lets hold what dies with them. (Compiles, or not.)
#[test]
fn a_cell_may_hold_what_dies_before_it() {
    let cell = OnceLock::new();
    let value = String::from("shorter");
    cell.set(&value).unwrap();
}

#[test]
fn values_are_dropped_once() {
    let drops = crate::common::Drops::new();
    let cell = OnceLock::from(drops.token());
    assert!(cell.set(drops.token()).is_err());
    assert_eq!(drops.count(), 1);
    drop(cell);
    drop(LazyLock::new(|| drops.token()));
    let token = drops.token();
    drop(LazyLock::new(move || token)); // never called
    assert_eq!(drops.count(), 3);
}

/// One runs it, and it waits; the others, tasks and threads, see what it did.
#[test]
fn all_wait_for_the_one_that_runs_it() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for _ in 0..20 {
            let (once, cell) = (Once::new(), OnceLock::new());
            let runs = AtomicUsize::new(0);
            let ask = |i: usize| {
                once.call_once(|| {
                    task::yield_now();
                    runs.fetch_add(1, SeqCst);
                });
                assert_eq!(runs.load(SeqCst), 1);
                if i == 0 {
                    assert_eq!(*cell.wait(), 7);
                }
                assert_eq!(*cell.get_or_init(|| (task::yield_now(), 7).1), 7);
            };
            let lazy = LazyLock::new(|| (task::yield_now(), 9).1);
            std::thread::scope(|s| {
                let ask = &ask;
                (1..3).for_each(|i| drop(s.spawn(move || ask(i))));
                on(n, || {
                    let (ask, lazy) = (&ask, &lazy);
                    let each = |i| {
                        move || {
                            ask(i);
                            **lazy
                        }
                    };
                    let asked = layby::gather((0..10).map(each));
                    assert_eq!(asked, [9; 10]);
                });
            });
        }
    }
}

/// Whoever runs it is cancelled; the next runs its own, and those who only wait do not stand in the way.
#[test]
fn a_cancelled_closure_gives_way_to_the_next() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let shared = Arc::new((Once::new(), OnceLock::new()));
            let spawn = |i: usize| {
                let shared = shared.clone();
                go!(move || {
                    match i {
                        0 => shared.0.wait(),
                        1 => shared.0.wait_force(),
                        _ => shared.0.call_once(|| layby::sleep(10 * MS)),
                    }
                    *shared.1.get_or_init(|| {
                        layby::sleep(10 * MS);
                        i
                    })
                })
            };
            let first = spawn(9);
            layby::sleep(MS);
            let others: Vec<_> = (0..5).map(spawn).collect();
            layby::sleep(MS);
            first.cancel();
            assert!(first.join().unwrap_err().is_cancelled());
            let values: Vec<_> = others.into_iter().map(|other| other.join().unwrap()).collect();
            assert!(values[0] < 5 && values.iter().all(|value| *value == values[0]), "{values:?}");
        });
    }
}

#[test]
fn a_cancelled_waiter_leaves() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let shared = Arc::new((Once::new(), AtomicBool::new(false)));
            let other = shared.clone();
            let runner = go!(move || other.0.call_once(|| yield_until(|| other.1.load(SeqCst))));
            (0..3).for_each(|_| task::yield_now());
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let other = shared.clone();
                    go!(move || other.0.wait())
                })
                .collect();
            (0..3).for_each(|_| task::yield_now());
            waiters[1].cancel();
            yield_until(|| waiters[1].is_finished());
            shared.1.store(true, SeqCst);
            runner.join().unwrap();
            let ends: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().is_ok()).collect();
            assert_eq!(ends, [true, false, true]);
        });
    }
}

/// The closure of a `LazyLock` is there once: it is driven to its end.
#[test]
fn a_lazy_closure_is_shielded() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let lazy = Arc::new(LazyLock::new(|| {
            layby::sleep(5 * MS);
            5
        }));
        let other = lazy.clone();
        let task = go!(move || {
            let _seen = OnDrop(|| assert_eq!(LazyLock::get(&other), Some(&5)));
            assert_eq!(**other, 5);
            layby::sleep(MS);
            unreachable!();
        });
        layby::sleep(MS);
        task.cancel();
        assert_eq!(**lazy, 5);
        assert!(task.join().map(|_: ()| ()).unwrap_err().is_cancelled());
    });
}

#[test]
fn a_lazy_closure_that_panics_has_no_second_try() {
    quiet_panics();
    crate::common::quiet_panics_that_say("LazyLock instance has previously been poisoned");
    let mut lazy: LazyLock<u8> = LazyLock::new(|| panic!("expected: first"));
    let text = |caught: Result<u8, _>| crate::common::message(caught.unwrap_err());
    assert_eq!(text(catch_unwind(AssertUnwindSafe(|| *lazy))), "expected: first");
    let again = "LazyLock instance has previously been poisoned";
    assert_eq!(text(catch_unwind(AssertUnwindSafe(|| *lazy))), again);
    assert_eq!(text(catch_unwind(AssertUnwindSafe(|| *LazyLock::force_mut(&mut lazy)))), again);
    assert!(LazyLock::get(&lazy).is_none() && LazyLock::get_mut(&mut lazy).is_none());
}

// A close is no panic. (Nor does it poison a mutex.)
#[test]
fn the_close_of_a_generator_does_not_poison() {
    let _watchdog = watchdog(20);
    let once = Arc::new(Once::new());
    let mut numbers = gen_iter({
        let once = once.clone();
        move |y| once.call_once(|| y.suspend(1))
    });
    assert_eq!(numbers.next(), Some(1));
    numbers.close();
    let mut ran = false;
    once.call_once(|| ran = true);
    assert!(ran);
}

// The closure is inside a mask, which belongs to the task: suspended out of it, the generator would end another task's.
#[test]
fn a_generator_is_not_suspended_out_of_a_lazy_closure() {
    let _watchdog = watchdog(20);
    quiet_panics();
    crate::common::quiet_panics_that_say("a generator cannot be suspended out of");
    on(1, || {
        let mut numbers = gen_iter(|y| {
            let lazy = LazyLock::new(|| y.suspend(1));
            LazyLock::force(&lazy);
        });
        let result = catch_unwind(AssertUnwindSafe(|| numbers.next()));
        assert!(
            crate::common::message(result.unwrap_err()).starts_with("a generator cannot be suspended out of")
        );
    });
}

// A kept cancellation, thrown again, is none of the lock's.
#[test]
fn a_lazy_closure_that_was_left_is_not_taken_for_complete() {
    let _watchdog = watchdog(20);
    crate::common::quiet_panics_that_say("LazyLock instance has previously been poisoned");
    on(1, || {
        let ready = Arc::new(AtomicBool::new(false));
        let task = go!({
            let ready = ready.clone();
            move || {
                ready.store(true, SeqCst);
                let kept = catch_unwind(|| layby::sleep(Duration::from_secs(3600))).unwrap_err();
                let kept = std::cell::Cell::new(Some(kept));
                let lazy: LazyLock<u8, _> = LazyLock::new(|| resume_unwind(kept.take().unwrap()));
                assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
                catch_unwind(AssertUnwindSafe(|| *lazy)).map_err(crate::common::message)
            }
        });
        yield_until(|| ready.load(SeqCst));
        task.cancel();
        let again = "LazyLock instance has previously been poisoned";
        assert_eq!(task.join().unwrap(), Err(again.into()));
    });
}

/// Cancellations and panics by the seed: exactly one value is made, and all who are left get it.
#[test]
fn by_any_seed_all_get_the_one_value() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for seed in 0..300 {
        testing::run(seed, || {
            let cell = Arc::new(OnceLock::new());
            let made = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..8)
                .map(|i| {
                    let (cell, made) = (cell.clone(), made.clone());
                    go!(move || {
                        (0..random() % 3).for_each(|_| task::yield_now());
                        *cell.get_or_init(|| {
                            (0..random() % 3).for_each(|_| task::yield_now());
                            assert!(!random().is_multiple_of(3), "expected");
                            made.fetch_add(1, SeqCst);
                            i
                        })
                    })
                })
                .collect();
            for task in &tasks {
                (0..random() % 3).for_each(|_| task::yield_now());
                if random().is_multiple_of(3) {
                    task.cancel();
                }
            }
            let values: Vec<usize> =
                tasks.into_iter().filter_map(|task| JoinHandle::join(task).ok()).collect();
            assert!(made.load(SeqCst) == usize::from(cell.get().is_some()));
            assert!(values.iter().all(|value| Some(value) == cell.get()));
        });
    }
}

/// The closure is shielded, so it runs once whoever is cancelled; who is cancelled while another runs it leaves, and that is all.
#[test]
fn a_lazy_value_is_made_once_by_any_seed() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let made = Arc::new(AtomicUsize::new(0));
            let count = made.clone();
            let lazy = Arc::new(LazyLock::new(move || {
                (0..random() % 4).for_each(|_| task::yield_now());
                count.fetch_add(1, SeqCst) + 7
            }));
            let tasks: Vec<_> = (0..6)
                .map(|_| {
                    let lazy = lazy.clone();
                    go!(move || {
                        (0..random() % 3).for_each(|_| task::yield_now());
                        **lazy
                    })
                })
                .collect();
            for task in &tasks {
                (0..random() % 3).for_each(|_| task::yield_now());
                if random().is_multiple_of(2) {
                    task.cancel();
                }
            }
            let values = tasks.into_iter().filter_map(|task| JoinHandle::join(task).ok());
            assert!(values.into_iter().all(|value| value == 7));
            assert_eq!((**lazy, made.load(SeqCst)), (7, 1), "seed {seed}");
        });
    }
}

/// A task that asks until it is so lets the others make it so. Guards: `OnceLock::get` in a loop kept the only worker for ever.
#[test]
fn asking_in_vain_lets_others_run() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (cell, event) = (Arc::new(OnceLock::new()), Arc::new(Event::new()));
        let (once, lock) = (Arc::new(Once::new()), Arc::new(RwLock::new(())));
        let (mutex, semaphore) = (Arc::new(Mutex::new(())), Arc::new(Semaphore::new(0)));
        let (read, held) = (lock.read().unwrap(), mutex.lock().unwrap());
        let asks = go!({
            let (cell, event, once) = (cell.clone(), event.clone(), once.clone());
            let (lock, mutex, semaphore) = (lock.clone(), mutex.clone(), semaphore.clone());
            move || {
                while cell.get().is_none() {}
                while !event.is_set() {}
                while !once.is_completed() {}
                while lock.try_write().is_err() {}
                while mutex.try_lock().is_err() {}
                while semaphore.try_acquire(1).is_err() {}
            }
        });
        (0..3).for_each(|_| task::yield_now());
        cell.set(()).unwrap();
        task::yield_now();
        event.set();
        task::yield_now();
        once.call_once(|| ());
        task::yield_now();
        drop(read);
        task::yield_now();
        drop(held);
        task::yield_now();
        semaphore.add(1);
        asks.join().unwrap();

        // And it can be cancelled.
        let asks = go!(|| while OnceLock::<()>::new().get().is_none() {});
        task::yield_now();
        asks.cancel();
        assert!(asks.join().unwrap_err().is_cancelled());
    });
}
