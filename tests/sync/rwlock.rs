//! `RwLock`: as std's; readers together, writers alone, in order; waits that are given up.

#![cfg(not(loom))] // whose atomics are not for statics

use crate::common::{Rng, cancel_some, on, watchdog, workers, yield_until};
use layby::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use layby::testing::{self, random};
use layby::{go, task};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn as_std() {
    static STATIC: RwLock<u8> = RwLock::new(1);
    *STATIC.write().unwrap() += 1;
    assert_eq!(*STATIC.read().unwrap(), 2);
    let unsized_one: &RwLock<[i32]> = &RwLock::new([1, 2]);
    unsized_one.write().unwrap()[0] = 4;
    assert_eq!(*unsized_one.read().unwrap(), [4, 2]);
    let mut lock = RwLock::from(5);
    *lock.get_mut().unwrap() += 1;
    {
        let (one, two) = (lock.read().unwrap(), lock.try_read().unwrap());
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        assert_eq!(format!("{one} {two:?}"), "6 6");
    }
    let write = lock.write().unwrap();
    assert!(lock.try_read().is_err() && lock.try_write().is_err());
    assert_eq!(format!("{write} {write:?}"), "6 6");
    drop(write);
    assert_eq!(lock.into_inner().unwrap(), 6);
    assert_eq!(*RwLock::<u8>::default().read().unwrap(), 0);
}

#[test]
fn debug_is_stds() {
    macro_rules! texts {
        ($lock:ty) => {{
            let lock = <$lock>::new(5);
            let free = format!("{lock:?}");
            let guard = lock.write().unwrap();
            let held = format!("{lock:#?}");
            drop(guard);
            let _guard = lock.read();
            (free, held, format!("{lock:?}"))
        }};
    }
    assert_eq!(texts!(RwLock<u8>), texts!(std::sync::RwLock<u8>));
}

/// Compiles only if the guard is covariant.
#[test]
fn read_guards_are_covariant() {
    fn shortened<'a>(guard: RwLockReadGuard<'_, &'a str>, short: &'a str) -> usize {
        guard.len() + short.len()
    }
    let lock = RwLock::new("static");
    let short = String::from("short");
    assert_eq!(shortened(lock.read().unwrap(), &short), 11);
}

#[test]
fn readers_together_and_writers_alone() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let lock = Arc::new(RwLock::new(0));
        // Readers inside, or -1 for a writer.
        let inside = Arc::new(AtomicIsize::new(0));
        let work = |seed: u64| {
            let (lock, inside) = (lock.clone(), inside.clone());
            move || {
                let mut rng = Rng::new(seed);
                for _ in 0..80 {
                    if rng.below(4) == 0 {
                        let mut value = lock.write().unwrap();
                        assert_eq!(inside.swap(-1, SeqCst), 0);
                        if rng.below(4) == 0 {
                            task::yield_now();
                        }
                        *value += 1;
                        assert_eq!(inside.swap(0, SeqCst), -1);
                        if rng.below(2) == 0 {
                            let now = *value;
                            let value = RwLockWriteGuard::downgrade(value);
                            task::yield_now();
                            assert_eq!(*value, now, "somebody wrote between");
                        }
                    } else {
                        let value = lock.read().unwrap();
                        assert!(inside.fetch_add(1, SeqCst) >= 0);
                        let before = *value;
                        if rng.below(4) == 0 {
                            task::yield_now();
                        }
                        assert_eq!(*value, before);
                        assert!(inside.fetch_sub(1, SeqCst) > 0);
                    }
                }
            }
        };
        std::thread::scope(|s| {
            (0..2).for_each(|i| drop(s.spawn(work(i))));
            on(n, || {
                let tasks: Vec<_> = (2..20).map(|i| go!(work(i))).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        });
        assert!(lock.try_write().is_ok());
    }
}

#[test]
fn in_order_of_arrival_and_readers_next_to_each_other_together() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let lock = Arc::new(RwLock::new(()));
        let log = Arc::new(Mutex::new(String::new()));
        let guard = lock.read().unwrap();
        let mut tasks = Vec::new();
        for name in "WrrWWr".chars() {
            let (lock, log) = (lock.clone(), log.clone());
            let note = move |begin: bool| {
                log.lock().unwrap().push(if begin { name } else { '.' });
            };
            tasks.push(go!(move || {
                if name == 'W' {
                    let _guard = lock.write().unwrap();
                    note(true);
                    layby::sleep(MS);
                    note(false);
                } else {
                    let _guard = lock.read().unwrap();
                    note(true);
                    layby::sleep(MS);
                    note(false);
                }
            }));
            layby::sleep(MS);
        }
        assert!(lock.try_read().is_err(), "a reader does not pass the writer that waits");
        drop(guard);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*log.lock().unwrap(), "W.rr..W.W.r.");
    });
}

/// Guards against a reader that waits for a writer which waits no more.
#[test]
fn a_cancelled_writer_lets_the_readers_behind_it_in() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let lock = Arc::new(RwLock::new(()));
            let _held = lock.read().unwrap();
            let other = lock.clone();
            let writer = go!(move || drop(other.write().unwrap()));
            layby::sleep(MS);
            let other = lock.clone();
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let other = other.clone();
                    go!(move || drop(other.read().unwrap()))
                })
                .collect();
            layby::sleep(MS);
            assert!(readers.iter().all(|reader| !reader.is_finished()));
            writer.cancel();
            assert!(writer.join().unwrap_err().is_cancelled());
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }
}

#[test]
fn a_downgrade_lets_waiting_readers_in_and_writers_not() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let lock = Arc::new(RwLock::new(0));
            let mut write = lock.write().unwrap();
            let other = lock.clone();
            let reader = go!(move || *other.read().unwrap());
            layby::sleep(MS);
            let other = lock.clone();
            let writer = go!(move || *other.write().unwrap() = 9);
            layby::sleep(MS);
            *write = 5;
            let read = RwLockWriteGuard::downgrade(write);
            assert_eq!(reader.join().unwrap(), 5);
            layby::sleep(MS);
            assert!(!writer.is_finished());
            assert_eq!(*read, 5);
            drop(read);
            writer.join().unwrap();
        });
    }
}

/// Among the tasks of one worker a reader that waits is not passed at all: it is given the lock when that is released.
#[test]
fn a_reader_that_waits_is_next() {
    let _watchdog = watchdog(20);
    on(1, || {
        let lock = Arc::new(RwLock::new(()));
        let guard = lock.write().unwrap();
        let other = lock.clone();
        let reader = go!(move || drop(other.read().unwrap()));
        (0..3).for_each(|_| task::yield_now()); // it queues
        drop(guard);
        assert!(lock.try_write().is_err(), "the reader has it");
        assert!(!reader.is_finished());
        reader.join().unwrap();
        assert!(lock.try_write().is_ok());
    });
}

/// Neither starves: readers that always overlap let a writer in, writers that always wait let a reader in.
#[test]
fn neither_side_starves_the_other() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let lock = Arc::new(RwLock::new(()));
            let stream = |write: bool| {
                let lock = lock.clone();
                go!(move || {
                    loop {
                        if write {
                            let _guard = lock.write().unwrap();
                            task::yield_now();
                        } else {
                            let _guard = lock.read().unwrap();
                            layby::sleep((random() % 3) as u32 * MS);
                        }
                    }
                })
            };
            let readers: Vec<_> = (0..4).map(|_| stream(false)).collect();
            layby::sleep(10 * MS);
            drop(lock.write().unwrap());
            let writers: Vec<_> = (0..4).map(|_| stream(true)).collect();
            readers.iter().for_each(|reader| reader.cancel());
            layby::sleep(10 * MS);
            drop(lock.read().unwrap());
            writers.iter().for_each(|writer| writer.cancel());
        });
    }
}

#[test]
fn nothing_is_lost_by_any_seed() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let lock = Arc::new(RwLock::new(0));
            let written = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let (lock, written) = (lock.clone(), written.clone());
                    go!(move || {
                        for _ in 0..5 {
                            if random().is_multiple_of(2) {
                                let mut value = lock.write().unwrap();
                                *value += 1;
                                written.fetch_add(1, SeqCst);
                                (0..random() % 3).for_each(|_| task::yield_now());
                            } else {
                                let _value = lock.read().unwrap();
                                (0..random() % 3).for_each(|_| task::yield_now());
                            }
                        }
                    })
                })
                .collect();
            cancel_some(tasks, |n| random() as usize % n);
            assert_eq!(*lock.try_write().expect("free"), written.load(SeqCst));
        });
    }
}

#[test]
fn nothing_is_lost_on_real_workers() {
    let _watchdog = watchdog(60);
    for n in workers() {
        for seed in 0..4 {
            let lock = Arc::new(RwLock::new(0));
            let written = Arc::new(AtomicUsize::new(0));
            on(n, || {
                let mut rng = Rng::new(seed);
                let tasks: Vec<_> = (0..30)
                    .map(|i| {
                        let (lock, written) = (lock.clone(), written.clone());
                        go!(move || {
                            let mut rng = Rng::new(seed * 100 + i);
                            for _ in 0..100 {
                                if rng.below(3) == 0 {
                                    let mut value = lock.write().unwrap();
                                    *value += 1;
                                    written.fetch_add(1, SeqCst);
                                    task::yield_now();
                                } else {
                                    let _value = lock.read().unwrap();
                                    task::yield_now();
                                }
                            }
                        })
                    })
                    .collect();
                cancel_some(tasks, |n| rng.below(n));
            });
            assert_eq!(*lock.try_write().expect("free"), written.load(SeqCst), "seed {seed}");
        }
    }
}

#[test]
fn a_thread_waits_for_tasks_and_they_for_it() {
    let _watchdog = watchdog(20);
    let lock = Arc::new(RwLock::new(0));
    let held = lock.write().unwrap();
    std::thread::scope(|s| {
        let thread = s.spawn(|| *lock.read().unwrap());
        let tasks = s.spawn(|| {
            on(1, || {
                let other = lock.clone();
                go!(move || *other.read().unwrap()).join().unwrap()
            })
        });
        drop(held);
        assert_eq!(thread.join().unwrap() + tasks.join().unwrap(), 0);
    });
    yield_until(|| lock.try_write().is_ok());
}
