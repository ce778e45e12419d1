//! `timeout`, `timeout_at`, `timeout_with` and `shield`: what they return, what wins, and what holds what back.
//!
//! The rows of asyncio's `test_timeouts.py` and `test_waitfor.py` (CPython), of tokio's `tests/time_timeout.rs`, and of trio's
//! `_tests/test_timeouts.py`, by the tests here:
//!
//! | test | asyncio; tokio; trio |
//! |---|---|
//! | `in_time_the_value_late_the_error` | `test_timeout_basic`, `test_timeout_at_basic`, `test_timeout_not_called`, `test_outer_task_is_not_cancelled`, `test_waiter_cancelled`, `test_wait_for`; `future_and_timeout_in_future`, `deadline_future_elapses`; `test_move_on_after`, `test_fail` |
//! | `a_body_that_meets_no_suspension_point_…` | `test_wait_for_timeout_less_then_0_or_0_future_done`; `simultaneous_deadline_future_completion`, `completed_future_past_deadline` |
//! | `zero_and_past_deadlines_…` | `test_timeout_zero`, `test_timeout_zero_sleep_zero`, `test_timeout_in_the_past_sleep_zero`; `deadline_now_elapses` |
//! | `the_longest_duration_is_no_limit` | `test_timeout_disabled`, `test_timeout_at_disabled`, `test_wait_for_blocking`; `very_large_timeout` |
//! | `of_two_that_have_passed_…` | `test_nested_timeouts`, `_concurrent`, `_loop_busy` (there the inner one reports first, here the outer one) |
//! | `what_was_given_to_the_wait_is_returned` | `test_wait_for_race_condition` |
//! | `a_panic_of_the_body_wins` | `test_foreign_exception_passed`, `test_foreign_exception_on_timeout`, `test_wait_for_reraises_exception_during_cancellation` |
//! | `a_body_that_swallows_the_unwind_…` | `test_wait_for_cancel_suppressed`, `test_wait_for_cancellation_race_condition`, `test_asyncio_wait_for_timeout` |
//! | `destructors_run_and_may_wait` | `test_wait_for_waits_for_task_cancellation` |
//! | `inside_cleanup` | `test_nested_timeout_in_finally`, `test_timeout_after_cancellation`, `test_cancel_in_timeout_after_cancellation` |
//! | `a_shield_holds_back_…` | ; ; `test_context_shields_from_outer`, `test_move_on_after_moves_on_even_if_shielded` |
//! | `a_cancellation_beats_a_timeout`, `rows_of_wait_for` | `test_foreign_cancel_doesnt_timeout_if_not_expired`, `test_wait_for_self_cancellation`, `test_cancel_wait_for`, `test_asyncio_wait_for_cancelled`, `test_wait_for_issue86296` |
//! | `reschedule` | `test_reschedule`, `test_repr_*` |
//! | `a_busy_task_is_stopped_too` | ; `timeout_is_not_exhausted_by_future` |
//! | none: types see to it | `test_timeout_already_entered`, `_double_enter`, `_finished`, `_not_entered`; ; `test_invalid_access_unentered`, `test_timeouts_raise_value_error` |
//! | none: a timeout works without a task | `test_timeout_without_task` |

use crate::common::{Drops, OnDrop, on, quiet_panics, seeded, watchdog, workers, yield_until};
use layby::task;
use layby::time::Instant;
use layby::{Elapsed, shield, sleep, testing, timeout, timeout_at, timeout_with};
use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const FOREVER: Duration = Duration::MAX;

#[test]
fn in_time_the_value_late_the_error() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let start = Instant::now();
        assert_eq!(timeout(SEC, || 1), Ok(1));
        assert_eq!(timeout(2 * SEC, || sleep(SEC)), Ok(()));
        assert!(timeout(SEC, || sleep(2 * SEC)).is_err());
        let took = start.elapsed();
        assert!(2 * SEC <= took && took < 3 * SEC, "{took:?}");
        assert!(!task::is_cancelled() && !task::panicking());
        sleep(SEC); // nothing is left behind
        task::check_cancelled();
    });
}

/// tokio, time_timeout.rs: `simultaneous_deadline_future_completion`, `completed_future_past_deadline`: the value wins.
#[test]
fn a_body_that_meets_no_suspension_point_past_the_deadline_returns_its_value() {
    let _watchdog = watchdog(20);
    seeded(|| {
        assert_eq!(timeout(Duration::ZERO, || 5), Ok(5));
        assert_eq!(timeout_at(Instant::now() - SEC, || 5), Ok(5));
    });
    on(1, || {
        let value = timeout(Duration::from_millis(1), || std::thread::sleep(Duration::from_millis(5)));
        assert_eq!(value, Ok(()));
    });
}

/// asyncio: `test_timeout_zero`, `test_timeout_in_the_past_sleep_zero`.
#[test]
fn zero_and_past_deadlines_end_at_the_first_suspension_point() {
    let _watchdog = watchdog(20);
    let points: [(&str, fn()); 7] = [
        ("check_cancelled", task::check_cancelled),
        ("yield_now", layby::yield_now),
        ("sleep", || sleep(HOUR)),
        ("sleep(0)", || sleep(Duration::ZERO)),
        ("park", task::park),
        ("park with a token", || {
            task::current().unpark();
            task::park();
        }),
        ("join", || layby::spawn(|| ()).join().unwrap()),
    ];
    let check = || {
        for (name, point) in points {
            let reached = Cell::new(0);
            let body = || {
                reached.set(1);
                point();
                reached.set(2);
            };
            assert!(timeout(Duration::ZERO, body).is_err(), "{name}");
            assert_eq!(reached.get(), 1, "{name}");
            assert!(timeout_at(Instant::now() - SEC, body).is_err(), "{name}");
            assert_eq!(reached.get(), 1, "{name}");
            if name.starts_with("park") {
                task::park_timeout(Duration::ZERO); // the token is there still
            }
        }
    };
    seeded(check);
    on(2, check);
    check(); // on a plain thread
}

/// asyncio: `test_timeout_disabled`.
#[test]
fn the_longest_duration_is_no_limit() {
    let _watchdog = watchdog(20);
    let check = || {
        assert_eq!(timeout(FOREVER, || 7), Ok(7));
        assert_eq!(timeout(FOREVER, || sleep(Duration::from_millis(1))), Ok(()));
        assert_eq!(timeout(FOREVER - SEC, layby::yield_now), Ok(()));
    };
    seeded(check);
    check();
}

/// asyncio: `test_nested_timeouts`; trio, _core/_tests/test_run.py: `test_cancel_scope_nesting`.
#[test]
fn of_two_that_have_passed_the_outer_one_reports() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let inner = Cell::new(None);
        let outer = timeout(SEC, || {
            inner.set(Some(timeout(SEC, || sleep(HOUR)).is_err()));
        });
        assert!(outer.is_err());
        assert_eq!(inner.get(), None, "the inner one was passed over");
        // The inner one first, by time.
        let outer = timeout(2 * SEC, || {
            let inner = timeout(SEC, || sleep(HOUR));
            assert!(inner.is_err());
            sleep(HOUR);
        });
        assert!(outer.is_err());
        // The outer one first: the inner one, which is longer, does not hold it back.
        let outer = timeout(SEC, || timeout(HOUR, || sleep(FOREVER)));
        assert!(outer.is_err());
        // Both are over when the task looks up.
        let outer = timeout(2 * SEC, || {
            timeout(SEC, || {
                shield(|| sleep(3 * SEC));
                sleep(HOUR);
            })
        });
        assert!(outer.is_err());
    });
}

#[test]
fn many_nested() {
    let _watchdog = watchdog(20);
    fn nest(depth: u64, lowest: u64) -> u64 {
        // The deepest ends first. Each that ends is told so, and sleeps on to the next one's end.
        let result = timeout(SEC * u32::try_from(depth).unwrap(), || {
            if depth > lowest {
                nest(depth - 1, lowest);
            }
            sleep(HOUR);
        });
        assert!(result.is_err());
        depth
    }
    testing::run(1, || {
        let start = Instant::now();
        assert_eq!(nest(60, 1), 60);
        assert_eq!(start.elapsed().as_secs(), 60);
    });
}

#[test]
fn what_was_given_to_the_wait_is_returned() {
    let _watchdog = watchdog(20);
    // The token and the deadline come at the same moment, in either order: the token is taken, or still there.
    for seed in 0..100 {
        testing::run(seed, || {
            let parker = layby::go!(|| {
                let parked = timeout(SEC, task::park);
                if parked.is_err() {
                    task::park(); // no token is lost
                }
            });
            let task = parker.task().clone();
            let waker = layby::go!(move || {
                sleep(SEC - Duration::from_nanos(testing::random() % 10_000));
                task.unpark();
            });
            waker.join().unwrap();
            parker.join().unwrap();
            // A join that is over in the same moment.
            let value = Cell::new(None);
            let child = layby::go!(|| {
                sleep(SEC);
                9
            });
            let joined = timeout(SEC, || value.set(Some(child.join().unwrap())));
            assert_eq!(joined.is_ok(), value.get().is_some());
        });
    }
}

/// asyncio: `test_foreign_exception_passed`, `test_foreign_exception_on_timeout`: an exception of the body wins.
#[test]
fn a_panic_of_the_body_wins() {
    let _watchdog = watchdog(20);
    quiet_panics();
    let check = || {
        let result = catch_unwind(|| timeout(Duration::ZERO, || panic!("expected: mine")));
        assert_eq!(crate::common::message(result.map(|_: Result<(), _>| ()).unwrap_err()), "expected: mine");
        // While it unwinds from the timeout: caught, and another one instead.
        let result = catch_unwind(|| {
            timeout(Duration::ZERO, || {
                let _ = catch_unwind(layby::yield_now);
                panic!("expected: instead");
            })
        });
        assert_eq!(
            crate::common::message(result.map(|_: Result<(), _>| ()).unwrap_err()),
            "expected: instead"
        );
        assert!(!task::panicking());
        assert!(timeout(Duration::ZERO, layby::yield_now).is_err());
    };
    seeded(check);
    check();
}

#[test]
fn a_body_that_swallows_the_unwind_meets_it_again_and_may_return() {
    let _watchdog = watchdog(20);
    let check = || {
        let result = timeout(Duration::ZERO, || {
            for _ in 0..5 {
                let payload = catch_unwind(layby::yield_now).unwrap_err();
                assert!(task::is_cancellation(&*payload));
                assert!(!task::is_cancelled());
            }
            3
        });
        assert_eq!(result, Ok(3));
        // And may keep the payload.
        let mut kept = None;
        let result = timeout(Duration::ZERO, || kept = catch_unwind(layby::yield_now).err());
        assert_eq!(result, Ok(()));
        layby::yield_now();
        assert!(timeout(Duration::ZERO, || kept = catch_unwind(layby::yield_now).err()).is_ok());
        // A payload of an earlier timeout is not one of this.
        let old = kept.take().unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| timeout(HOUR, || panic::resume_unwind(old))));
        assert!(result.map(|_: Result<(), Elapsed>| ()).is_err());
        layby::yield_now();
    };
    seeded(check);
    check();
}

#[test]
fn destructors_run_and_may_wait() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let drops = Drops::new();
        let start = Instant::now();
        let result = timeout(SEC, || {
            let _token = drops.token();
            let _guard = OnDrop(|| {
                assert!(task::panicking());
                sleep(SEC);
                assert_eq!(layby::go!(|| 4).join().unwrap(), 4);
                task::check_cancelled();
            });
            sleep(HOUR);
        });
        assert!(result.is_err());
        assert_eq!(drops.count(), 1);
        assert!(!task::panicking());
        assert_eq!(start.elapsed().as_secs(), 2);
    });
}

/// A `timeout` that is entered while the task unwinds works, once; those outside of the unwinding do not reach in.
#[test]
fn inside_cleanup() {
    let _watchdog = watchdog(20);
    quiet_panics();
    let step = |ended: &Cell<u32>| {
        let start = Instant::now();
        assert!(timeout(SEC, || sleep(HOUR)).is_err());
        // Nested ones: the inner one has its say, and then the outer one.
        let outer = timeout(3 * SEC, || {
            assert!(timeout(SEC, || sleep(HOUR)).is_err());
            let _guard = OnDrop(|| {
                sleep(SEC); // is not thrown into
                assert!(timeout(SEC, || sleep(HOUR)).is_err());
            });
            sleep(HOUR);
        });
        assert!(outer.is_err());
        assert!(task::panicking());
        assert_eq!(start.elapsed().as_secs(), 6);
        ended.set(ended.get() + 1);
    };
    seeded(|| {
        let ended = Cell::new(0);
        // From a timeout.
        let result = timeout(SEC, || {
            let _guard = OnDrop(|| step(&ended));
            sleep(HOUR);
        });
        assert!(result.is_err());
        // From a panic.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _guard = OnDrop(|| step(&ended));
            panic!("expected");
        }));
        assert!(result.map(|_: ()| ()).is_err());
        assert_eq!(ended.get(), 2);
        // From a cancellation.
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let task = layby::go!(move || {
            let ended = Cell::new(0);
            let _count = OnDrop(|| {
                count.fetch_add(1, SeqCst);
            });
            let _guard = OnDrop(|| step(&ended));
            sleep(FOREVER);
        });
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(done.load(SeqCst), 1);
    });
}

/// Guards the mark of the unwinding around, which is on again when the payload of a throw inside of it is dropped: off, the
/// task's cancellation would come out of the destructor, which ends the process; of another number, the timeout would not come again.
#[test]
fn inside_cleanup_a_body_that_swallows_the_unwind_meets_it_again() {
    let _watchdog = watchdog(20);
    quiet_panics();
    const LIMIT: Duration = Duration::from_millis(10);
    let step = |ended: &AtomicUsize| {
        sleep(LIMIT); // waits: from here on std's count says nothing
        let mut caught = 0;
        let result = timeout(LIMIT, || {
            for _ in 0..3 {
                caught += usize::from(catch_unwind(|| sleep(HOUR)).is_err());
            }
            sleep(HOUR);
        });
        assert!(result.is_err() && caught == 3 && task::panicking());
        sleep(LIMIT); // is not thrown into
        ended.fetch_add(1, SeqCst);
    };
    let after_a_panic = || {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _guard = OnDrop(|| step(&ended));
            panic!("expected");
        }));
        assert!(result.map(|_: ()| ()).is_err());
        assert_eq!(ended.load(SeqCst), 1);
    };
    seeded(|| {
        after_a_panic();
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let task = layby::go!(move || {
            let _guard = OnDrop(|| step(&count));
            sleep(FOREVER);
        });
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(ended.load(SeqCst), 1);
    });
    // On a thread that is no task.
    after_a_panic();
}

#[test]
fn a_shield_holds_back_what_is_outside_of_it() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let start = Instant::now();
        let mut value = None;
        let result = timeout(SEC, || {
            value = Some(shield(|| {
                // A deadline set inside works.
                assert!(timeout(SEC, || sleep(HOUR)).is_err());
                // Also when the outer one is over already, and when one more shield is between.
                assert!(timeout(SEC, || shield(|| timeout(SEC, || sleep(HOUR)).is_err())).unwrap());
                task::check_cancelled();
                sleep(SEC);
                8
            }));
            layby::yield_now();
            unreachable!();
        });
        assert!(result.is_err());
        assert_eq!(value, Some(8));
        assert_eq!(start.elapsed().as_secs(), 3);
    });
}

/// trio, _core/_tests/test_run.py: `test_cancel_shielding`, `test_cancel_shield_abort`.
#[test]
fn a_shield_holds_back_a_cancellation() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (inside, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (flag, wait) = (inside.clone(), go.clone());
            let after = Arc::new(AtomicUsize::new(0));
            let count = after.clone();
            let task = layby::spawn(move || {
                let value = shield(|| {
                    flag.store(true, SeqCst);
                    yield_until(|| wait.load(SeqCst));
                    assert!(task::is_cancelled());
                    assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
                    6
                });
                count.fetch_add(value, SeqCst);
                layby::yield_now();
                count.fetch_add(100, SeqCst);
            });
            yield_until(|| inside.load(SeqCst));
            task.cancel();
            (0..10).for_each(|_| layby::yield_now());
            go.store(true, SeqCst);
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(after.load(SeqCst), 6);
        });
    }
}

/// asyncio: `test_foreign_cancel_doesnt_timeout_if_not_expired`, `test_wait_for_self_cancellation`: the cancellation is from
/// further out.
#[test]
fn a_cancellation_beats_a_timeout() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let told = Arc::new(AtomicBool::new(false));
        let set = told.clone();
        let task = layby::go!(move || {
            let result = timeout(SEC, || shield(|| sleep(2 * SEC)));
            assert!(result.is_ok(), "the body has ended");
            let result = timeout(SEC, || {
                shield(|| sleep(2 * SEC));
                layby::yield_now();
            });
            set.store(true, SeqCst);
            let _ = result;
        });
        sleep(3 * SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(!told.load(SeqCst));
        // Cancelled while it unwinds to the timeout: that reports, and the cancellation comes next.
        let told = Arc::new(AtomicUsize::new(0));
        let count = told.clone();
        let task = layby::go!(move || {
            let result = timeout(SEC, || {
                let _guard = OnDrop(|| sleep(SEC));
                sleep(HOUR);
            });
            assert!(result.is_err());
            count.fetch_add(1, SeqCst);
            layby::yield_now();
            count.fetch_add(10, SeqCst);
        });
        sleep(SEC + SEC / 2);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(told.load(SeqCst), 1);
    });
}

/// asyncio: `test_reschedule`, `test_repr_*`, `test_timeout_disabled`; tokio: `reset` of a `Sleep`.
#[test]
fn reschedule() {
    let _watchdog = watchdog(20);
    let unit = Duration::from_millis(1);
    let check = || {
        let start = Instant::now();
        let result = timeout_with(unit, |deadline| {
            assert!(!deadline.has_passed());
            assert!(deadline.when().unwrap() <= Instant::now() + unit);
            deadline.extend(HOUR).unwrap();
            sleep(2 * unit);
            deadline.reschedule(None).unwrap();
            assert_eq!(deadline.when(), None);
            sleep(2 * unit);
            let when = Instant::now() + unit;
            deadline.reschedule(Some(when)).unwrap();
            assert_eq!(deadline.when(), Some(when));
            sleep(HOUR);
        });
        assert!(result.is_err());
        assert!(start.elapsed() >= 5 * unit);
        // Into the past; and what has passed stays so.
        let result = timeout_with(HOUR, |deadline| {
            deadline.reschedule(Some(Instant::now() - unit)).unwrap();
            assert!(deadline.has_passed());
            assert!(deadline.extend(HOUR).is_err());
            assert!(deadline.reschedule(None).is_err());
            sleep(HOUR);
        });
        assert!(result.is_err());
        // From never, nearer.
        let result = timeout_with(FOREVER, |deadline| {
            assert_eq!(deadline.when(), None);
            deadline.extend(unit).unwrap();
            sleep(HOUR);
        });
        assert!(result.is_err());
        assert_eq!(timeout_with(HOUR, |deadline| deadline.extend(HOUR)), Ok(Ok(())));
    };
    seeded(check);
    on(1, check);
    check();
}

/// The handle in the hands of another task of the same worker, which `gather_local!` lends it to.
#[test]
fn rescheduled_by_another_task() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let start = Instant::now();
        let result = timeout_with(SEC, |deadline| {
            layby::gather_local!(
                {
                    sleep(SEC / 2);
                    deadline.extend(SEC).unwrap();
                },
                sleep(HOUR),
            );
        });
        assert!(result.is_err());
        assert_eq!(start.elapsed().as_millis(), 1500);
        let result = timeout_with(HOUR, |deadline| {
            layby::gather_local!(deadline.extend(Duration::ZERO).unwrap(), sleep(FOREVER));
        });
        assert!(result.is_err());
    });
}

#[test]
fn the_error_is_an_io_error_too() {
    fn read() -> io::Result<u32> {
        timeout(Duration::ZERO, || {
            layby::yield_now();
            Ok(1)
        })?
    }
    let error = read().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.get_ref().unwrap().is::<Elapsed>());
    assert_eq!(error.to_string(), "the deadline has passed");
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Elapsed>();
}

/// A computation keeps the worker from looking at the timers; its `check_cancelled` looks itself.
#[test]
fn a_busy_task_is_stopped_too() {
    let _watchdog = watchdog(20);
    let dur = Duration::from_millis(5);
    for n in workers() {
        on(n, || {
            let busy = timeout(dur, || {
                loop {
                    task::check_cancelled();
                }
            });
            assert!(busy.is_err());
            // Operations that never have to wait.
            let busy = timeout(dur, || {
                loop {
                    task::current().unpark();
                    task::park();
                }
            });
            assert!(busy.is_err());
            let yielding = timeout(dur, || yield_until(|| false));
            assert!(yielding.is_err());
        });
    }
    let thread = timeout(dur, || {
        loop {
            task::check_cancelled();
        }
    });
    assert!(thread.is_err());
}

#[test]
fn tasks_time_out_side_by_side() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let tasks: Vec<_> = (0..500_u64)
                .map(|i| {
                    layby::go!(move || {
                        for round in 0..4 {
                            let limit = Duration::from_micros(50 + 37 * (i + round) % 400);
                            let nap = Duration::from_micros(50 + 53 * (i + round) % 400);
                            let start = std::time::Instant::now();
                            match timeout(limit, || sleep(nap)) {
                                Ok(()) => assert!(start.elapsed() >= nap),
                                Err(_) => assert!(start.elapsed() >= limit),
                            }
                        }
                        layby::yield_now();
                        i
                    })
                })
                .collect();
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.join().unwrap(), i as u64);
            }
        });
    }
}

/// While a worker mate waits in a destructor, which makes std's `panicking` useless.
#[test]
fn while_a_mate_waits_mid_unwind() {
    let _watchdog = watchdog(20);
    seeded(|| {
        let mate = layby::go!(|| {
            let _guard = OnDrop(|| sleep(100 * SEC));
            sleep(FOREVER);
        });
        sleep(SEC);
        mate.cancel();
        sleep(SEC);
        let start = Instant::now();
        assert!(timeout(SEC, || sleep(HOUR)).is_err());
        assert!(timeout(SEC, || timeout(HOUR, || sleep(HOUR))).is_err());
        let kept = timeout(SEC, || catch_unwind(|| sleep(HOUR)).unwrap_err());
        assert!(timeout(SEC, || sleep(HOUR)).is_err());
        drop(kept);
        assert!(timeout(SEC, || sleep(HOUR)).is_err());
        assert_eq!(start.elapsed().as_secs(), 5);
        assert!(mate.join().unwrap_err().is_cancelled());
    });
}

/// Guards the timer of a wait that begins with the word of an expired frame that was closed meanwhile: the word used to
/// end the wait before its timer was set, and then it waited without.
#[test]
fn a_wait_after_a_timeout_that_came_too_late_has_its_timer() {
    let _watchdog = watchdog(20);
    on(1, || {
        for wait in [|| sleep(Duration::from_millis(1)), || task::park_timeout(Duration::from_millis(1))] {
            let value = timeout(Duration::from_millis(1), || {
                shield(|| {
                    let start = std::time::Instant::now();
                    // Ready all the time, never parked, until the timer has fired.
                    yield_until(|| start.elapsed() > Duration::from_millis(5));
                    2
                })
            });
            assert_eq!(value, Ok(2));
            wait();
        }
    });
}

/// asyncio, test_waitfor.py: `test_asyncio_wait_for_cancelled`, `test_cancel_wait_for`, `test_wait_for_issue86296`.
#[test]
fn rows_of_wait_for() {
    let _watchdog = watchdog(20);
    seeded(|| {
        // Cancelled from outside, and the body goes on to its end: its value, and the cancellation at the next suspension point.
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let task = layby::go!(move || {
            let result = timeout(4 * SEC, || {
                let _ = catch_unwind(|| sleep(HOUR));
                let _ = catch_unwind(|| shield(|| sleep(SEC)));
                count.fetch_add(1, SeqCst)
            });
            assert_eq!(result, Ok(0));
            layby::yield_now();
            count.fetch_add(10, SeqCst);
        });
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(ended.load(SeqCst), 1);
        // Cancelled while it waits in the timeout, which is not over; and when what it waits for is there already.
        for limit in [60 * SEC, FOREVER] {
            for there in [false, true] {
                let ended = Arc::new(AtomicUsize::new(0));
                let count = ended.clone();
                let task = layby::go!(move || {
                    timeout(limit, || if there { task::park() } else { sleep(HOUR) }).unwrap();
                    count.fetch_add(1, SeqCst);
                    sleep(SEC);
                    count.fetch_add(10, SeqCst);
                });
                sleep(SEC);
                task.task().unpark();
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
                assert!(ended.load(SeqCst) <= usize::from(there));
            }
        }
    });
}
