//! Sleeping: never early, from nothing to for ever. How late is nobody's promise, so no test asks.

use crate::common::{Rng, on, watchdog, workers};
use layby::{sleep, sleep_until, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// On a runtime of one worker, of several, and on a plain thread.
fn everywhere(f: impl Fn() + Send + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().unwrap());
}

fn slept_enough(dur: Duration) {
    let start = Instant::now();
    sleep(dur);
    let took = start.elapsed();
    assert!(took >= dur, "slept {took:?} instead of {dur:?}");
}

#[test]
fn never_early() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        for nanos in [1, 100, 999, 1_000, 50_000, 99_999, 100_001, 999_999, 1_000_001, 5_000_000, 17_000_001]
        {
            slept_enough(Duration::from_nanos(nanos));
        }
    });
}

#[test]
fn never_early_among_many_and_over_the_levels_of_the_wheel() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let mut rng = Rng::new(7);
            let tasks: Vec<_> = (0..2000)
                .map(|_| {
                    let nanos = 1u64 << rng.below(28);
                    let nanos = nanos + rng.next() % nanos; // up to half a second
                    layby::spawn(move || slept_enough(Duration::from_nanos(nanos)))
                })
                .collect();
            for task in tasks {
                task.join().unwrap();
            }
        });
    }
}

#[test]
fn zero_and_the_past_are_a_yield() {
    let _watchdog = watchdog(20);
    on(1, || {
        for call in [
            || sleep(Duration::ZERO),
            || sleep_until(Instant::now()),
            || sleep_until(Instant::now() - Duration::from_millis(5)),
        ] {
            let ran = Arc::new(AtomicBool::new(false));
            let set = ran.clone();
            let task = layby::spawn(move || set.store(true, SeqCst));
            call(); // lets it run, as a yield does
            yield_now();
            assert!(ran.load(SeqCst));
            task.join().unwrap();
        }
    });
    sleep(Duration::ZERO);
    sleep_until(Instant::now() - Duration::from_secs(1));
}

#[test]
fn sleep_until_an_instant() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        for micros in [1, 300, 5_000] {
            let deadline = Instant::now() + Duration::from_micros(micros);
            sleep_until(deadline);
            assert!(Instant::now() >= deadline);
        }
    });
}

#[test]
fn for_ever_neither_panics_nor_fires() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let woken = Arc::new(AtomicUsize::new(0));
        on(n, || {
            for dur in [
                Duration::MAX,
                Duration::MAX - Duration::from_nanos(1),
                Duration::from_secs(u64::MAX),
                Duration::from_nanos(u64::MAX),
                Duration::from_nanos(u64::MAX - 1),
                Duration::from_nanos(u64::MAX / 2),
                Duration::from_nanos(i64::MAX as u64),
                Duration::from_secs(100 * 365 * 86_400),
                Duration::from_secs(1 << 33),
            ] {
                let count = woken.clone();
                drop(layby::spawn(move || {
                    sleep(dur);
                    count.fetch_add(1, SeqCst);
                }));
                let count = woken.clone();
                drop(layby::spawn(move || {
                    layby::task::park_timeout(dur);
                    count.fetch_add(1, SeqCst);
                }));
                if let Some(deadline) = Instant::now().checked_add(dur) {
                    let count = woken.clone();
                    drop(layby::spawn(move || {
                        sleep_until(deadline);
                        count.fetch_add(1, SeqCst);
                    }));
                }
            }
            // Others still wake beside them.
            for _ in 0..20 {
                slept_enough(Duration::from_millis(1));
            }
        });
        assert_eq!(woken.load(SeqCst), 0);
    }
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let _watchdog = watchdog(30);
    on(1, || {
        let mut rng = Rng::new(11);
        let log = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now() + Duration::from_millis(10);
        let tasks: Vec<_> = (0..500)
            .map(|_| {
                let deadline = start + Duration::from_micros(rng.below(200_000) as u64);
                let log = log.clone();
                layby::spawn_local(move || {
                    sleep_until(deadline);
                    log.borrow_mut().push(deadline);
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        // On one worker: the wheel's slots and the spacing of wake-ups may swap neighbours, no more.
        let log = log.borrow();
        assert_eq!(log.len(), 500);
        let mut latest = log[0];
        for &deadline in log.iter() {
            latest = latest.max(deadline);
            let swapped = latest - deadline;
            assert!(swapped < Duration::from_millis(50), "woken {swapped:?} after a later one");
        }
    });
}

#[test]
fn short_sleepers_are_not_held_up_by_long_ones_and_the_reverse() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let long: Vec<_> = (0..200)
                .map(|i| layby::spawn(move || slept_enough(Duration::from_millis(150 + i % 7))))
                .collect();
            let start = Instant::now();
            for _ in 0..20 {
                slept_enough(Duration::from_micros(200));
            }
            assert!(start.elapsed() < Duration::from_secs(5));
            for task in long {
                task.join().unwrap();
            }
        });
    }
}

#[test]
fn a_thousand_sleeps_of_a_task_in_a_row() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let tasks: Vec<_> = (0..10)
                .map(|i| {
                    layby::spawn(move || {
                        for _ in 0..100 {
                            slept_enough(Duration::from_micros(10 * i));
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

#[test]
fn cancelled_timers_leave_nothing_behind() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            for _ in 0..20 {
                let tasks: Vec<_> = (0..200)
                    .map(|i| layby::spawn(move || sleep(Duration::from_micros(500 + 37 * i))))
                    .collect();
                yield_now();
                for task in tasks.iter().step_by(2) {
                    task.cancel();
                }
                for (i, task) in tasks.into_iter().enumerate() {
                    let result = task.join();
                    assert!(i % 2 == 0 || result.is_ok());
                }
            }
        });
    }
}
