//! `try_scope`: the first failure cancels the rest, and none is lost.
//!
//! The rows of asyncio's `Lib/test/test_asyncio/test_taskgroups.py` (CPython 3.11; later versions give names to some):
//!
//! | asyncio | here |
//! |---|---|
//! | `test_taskgroup_01`, `02` | `without_failure_the_bodys_value` |
//! | `04`, `test_cancel_children_on_child_error` | `the_first_failure_cancels_siblings_and_body` |
//! | `test_cancellation`, `07`, `test_cancellation_in_body`, `11`, `12`, `17`, `22` | `a_cancellation_or_a_timeout_from_outside_goes_on_outwards` |
//! | `09`, `10` | `an_error_of_the_body_cancels_the_children`, `a_panic_of_the_body_is_rethrown` |
//! | `13` | `nested` |
//! | `24` | `children_spawn_into_their_scope` (`scope.rs`) |
//! | `03`, `14` to `16`, `18` to `20a`, `25` | `rows_of_asyncios_task_group` |
//! | `21a` | as `19`: an error is an error, there is no class of them that goes first |
//! | `23` | ended children leave the scope's list by themselves: `drops` in all tests |
//! | `test_taskgroup_task_name`, `_task_context` | `Builder::spawn_scoped`, `task_local!` (`task_local.rs`) |

#![allow(clippy::unit_arg, reason = "`Ok(sleep(…))` says what is meant")]

use crate::common::{Drops, OnDrop, everywhere_and_seeded, message, on, quiet_panics, seeded, watchdog};
use layby::net::{TcpListener, TcpStream};
use layby::task::{self, Failure, ScopeError, TryScope};
use layby::{go, shield, sleep, timeout, try_scope};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::MAX;

/// asyncio: `test_taskgroup_01`; JDK 21, StructuredTaskScopeTest: `testShutdownOnFailure2`.
#[test]
fn without_failure_the_bodys_value() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let total = AtomicUsize::new(0);
        let result = try_scope(|s| {
            for i in 0..10 {
                let total = &total;
                s.spawn(move || Ok(drop(total.fetch_add(i, SeqCst).to_string())));
            }
            let first = go!(s, || Ok(1)).join().unwrap();
            Ok::<_, String>(first + 1)
        });
        assert_eq!((result.unwrap(), total.load(SeqCst)), (2, 45));
    });
}

/// asyncio: `test_taskgroup_04`, `test_cancel_children_on_child_error`; trio, _core/_tests/test_run.py:
/// `test_child_crash_basic`; JDK 21: `testShutdownOnFailure3`; tokio, macros_try_join.rs: `err_abort_early`.
#[test]
fn the_first_failure_cancels_siblings_and_body() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let reached = AtomicUsize::new(0);
        let result = try_scope(|s| {
            for _ in 0..40 {
                let token = drops.token();
                s.spawn(move || {
                    let _token = token;
                    sleep(FOREVER);
                    Ok(())
                });
            }
            s.spawn(|| {
                layby::yield_now();
                Err::<(), _>("no")
            });
            let _token = drops.token();
            sleep(FOREVER);
            reached.fetch_add(1, SeqCst);
            Ok(())
        });
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "no");
        assert!(matches!(error.first(), Failure::Err("no")));
        assert_eq!((error.iter().count(), drops.count(), reached.load(SeqCst)), (1, 41, 0));
        assert!(!layby::task::is_cancelled());
        layby::yield_now();
    });
}

#[test]
fn a_child_fails_while_the_parent_waits_at_the_end_or_joins() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let result = try_scope(|s| {
            s.spawn(|| Ok(sleep(FOREVER)));
            s.spawn(|| Err::<(), _>(3));
            Ok(())
        });
        assert!(matches!(result.unwrap_err().into_iter().collect::<Vec<_>>()[..], [Failure::Err(3)]));
        let result = try_scope(|s| {
            let slow = s.spawn(|| Ok(sleep(FOREVER)));
            s.spawn(|| Err::<(), _>(3));
            slow.join().map_err(|_| 4)
        });
        assert!(matches!(result.unwrap_err().first(), Failure::Err(3)));
    });
}

/// trio: `test_child_crash_wakes_parent`, `test_two_child_crashes`; all errors are kept (asyncio's ExceptionGroup).
#[test]
fn all_failures_are_kept_in_their_order() {
    let _watchdog = watchdog(30);
    quiet_panics();
    seeded(|| {
        let result = try_scope(|s| {
            for i in 1..=3 {
                s.spawn(move || {
                    let _ = catch_unwind(|| sleep(FOREVER));
                    // Cancelled; in cleanup one waits less than the other.
                    let _ = catch_unwind(|| layby::shield(|| sleep(SEC * (4 - i))));
                    Err::<(), _>(i)
                });
            }
            s.spawn(|| -> Result<(), u32> {
                sleep(SEC);
                panic!("expected: first");
            });
            s.spawn(|| Ok(sleep(FOREVER)));
            sleep(FOREVER);
            Ok(())
        });
        let error = result.unwrap_err();
        assert!(error.to_string().ends_with("(and 3 more)"), "{error}");
        let mut failures = error.into_iter();
        let Some(Failure::Panic(first)) = failures.next() else { panic!("the panic came first") };
        assert_eq!(first.downcast_ref(), Some(&"expected: first"));
        let rest: Vec<u32> = failures
            .map(|failure| match failure {
                Failure::Err(number) => number,
                Failure::Panic(error) => panic!("{error}"),
            })
            .collect();
        assert_eq!(rest, [3, 2, 1]);
    });
}

/// asyncio: `test_taskgroup_09`, `test_taskgroup_10`; trio: `test_nursery_main_block_error_basic`.
#[test]
fn an_error_of_the_body_cancels_the_children() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let result = try_scope(|s| {
            let token = drops.token();
            s.spawn(move || {
                let _token = token;
                sleep(FOREVER);
                Ok(())
            });
            layby::yield_now();
            Err::<(), _>("body")
        });
        assert!(matches!(result.unwrap_err().first(), Failure::Err("body")));
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_panic_of_the_body_is_rethrown() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            try_scope::<_, (), ()>(|s| {
                s.spawn(|| Ok(sleep(FOREVER)));
                panic!("expected: body");
            })
        }));
        assert_eq!(message(caught.map(drop).unwrap_err()), "expected: body");
    });
}

/// asyncio: `test_cancellation`, `test_taskgroup_07` and following (cancelled from outside); trio: `test_cancel_edge_cases`.
#[test]
fn a_cancellation_or_a_timeout_from_outside_goes_on_outwards() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for in_body in [false, true] {
        seeded(|| {
            let drops = Drops::new();
            let spawn = move |drops: &Drops| {
                let token = drops.token();
                try_scope(|s| {
                    s.spawn(move || {
                        let _token = token;
                        sleep(FOREVER);
                        Ok::<_, ()>(())
                    });
                    if in_body {
                        sleep(FOREVER);
                    }
                    Ok(())
                })
            };
            assert!(timeout(SEC, || spawn(&drops)).is_err());
            assert_eq!(drops.count(), 1);
            let tokens = drops.clone();
            let task = go!(move || spawn(&tokens).is_ok());
            sleep(SEC);
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(drops.count(), 2);
            // The panic of a child goes before it.
            let task = go!(move || {
                let result = try_scope(|s| {
                    s.spawn(|| -> Result<(), ()> {
                        let _ = catch_unwind(|| sleep(FOREVER));
                        panic!("expected: child");
                    });
                    if in_body {
                        sleep(FOREVER);
                    }
                    Ok::<(), ()>(())
                });
                assert!(!in_body && result.is_err());
                panic!("expected: told");
            });
            sleep(SEC);
            task.cancel();
            assert!(task.join().map(|_: ()| ()).unwrap_err().is_panic());
        });
    }
}

/// trio: `test_task_crash_propagation`, asyncio: `test_taskgroup_13`; a failure inside ends the inner scope alone, and what it returns decides about the outer one.
#[test]
fn nested() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let result = try_scope(|outer| {
            outer.spawn(|| Ok(layby::yield_now()));
            let inner = try_scope(|inner| {
                inner.spawn(|| Err::<(), _>(1));
                sleep(FOREVER);
                Ok(())
            });
            assert!(inner.is_err());
            layby::yield_now();
            Ok::<_, u32>(7)
        });
        assert_eq!(result.unwrap(), 7);
        // A failure of the outer one, while the body is in the inner one.
        let drops = Drops::new();
        let result = try_scope(|outer| {
            let token = drops.token();
            outer.spawn(|| {
                layby::yield_now();
                Err::<(), _>(1)
            });
            let inner = try_scope(|inner| {
                inner.spawn(move || {
                    let _token = token;
                    sleep(FOREVER);
                    Ok::<_, ()>(())
                });
                Ok(())
            });
            unreachable!("{}", inner.is_ok());
            #[allow(unreachable_code)]
            Ok(())
        });
        assert!(result.is_err());
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_shield_in_the_body_and_a_body_that_has_returned() {
    let _watchdog = watchdog(30);
    seeded(|| {
        let result = try_scope(|s| {
            s.spawn(|| Err::<(), _>(1));
            let value = layby::shield(|| {
                sleep(SEC);
                5
            });
            assert_eq!(value, 5);
            layby::yield_now();
            unreachable!();
            #[allow(unreachable_code)]
            Ok(())
        });
        assert!(result.is_err());
        // In a destructor, while the task unwinds: the body is stopped there, too.
        let failed = AtomicUsize::new(0);
        let result = timeout(SEC, || {
            let _guard = OnDrop(|| {
                let result = try_scope(|s| {
                    s.spawn(|| Err::<(), _>(sleep(SEC)));
                    sleep(FOREVER);
                    Ok(())
                });
                failed.fetch_add(usize::from(result.is_err()), SeqCst);
            });
            sleep(FOREVER);
        });
        assert!(result.is_err());
        assert_eq!(failed.load(SeqCst), 1);
    });
}

/// Guards the waits of a thread that are no `park` of the core: for a token, and for a descriptor.
#[test]
fn the_body_on_a_thread_is_ended_wherever_it_waits() {
    let _watchdog = watchdog(20);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let waits: [&dyn Fn(); 4] = [
        &|| loop {
            task::park();
        },
        &|| loop {
            task::park_timeout(10 * SEC);
        },
        &|| drop((&silent).read(&mut [0; 1])),
        &|| drop(shield(|| timeout(Duration::from_millis(1), || (&silent).read(&mut [0; 1])))),
    ];
    for (number, wait) in waits.into_iter().enumerate() {
        let result = try_scope(|s| {
            s.spawn(|| {
                sleep(Duration::from_millis(20));
                Err::<(), _>(number)
            });
            wait();
            Ok(sleep(FOREVER))
        });
        assert!(matches!(result.unwrap_err().first(), Failure::Err(of) if *of == number));
        // An `unpark` that came with it is not lost.
        task::current().unpark();
        task::park();
    }
}

#[test]
fn cancel_is_no_failure() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let result = try_scope(|s| {
            let child = s.spawn(|| Ok(sleep(FOREVER)));
            let other = s.spawn(|| Ok(sleep(FOREVER)));
            other.cancel();
            assert!(other.join().unwrap_err().is_cancelled());
            s.cancel();
            assert!(child.join().unwrap_err().is_cancelled());
            Ok::<_, ()>(3)
        });
        assert_eq!(result.unwrap(), 3);
    });
}

#[test]
fn failures_from_other_workers_all_the_time() {
    let _watchdog = watchdog(60);
    on(4, || {
        for round in 0..300_u32 {
            let result = try_scope(|s| {
                for i in 0..4 {
                    s.spawn(move || {
                        (0..round % 7).for_each(|_| layby::yield_now());
                        if i == round % 5 { Err(i) } else { Ok(()) }
                    });
                }
                if round % 2 == 0 {
                    layby::yield_now();
                }
                Ok(round)
            });
            match result {
                Ok(value) => assert!(value == round && round % 5 == 4),
                Err(error) => assert!(matches!(error.first(), Failure::Err(i) if *i == round % 5)),
            }
        }
    });
}

/// The failures, in their order.
fn numbers(result: Result<(), ScopeError<u32>>) -> Vec<u32> {
    let failures = result.err().into_iter().flatten();
    failures.map(|failure| if let Failure::Err(number) = failure { number } else { u32::MAX }).collect()
}

/// asyncio, test_taskgroups.py: the rows that no other test here has. Each by the number of its `test_taskgroup_…`.
#[test]
fn rows_of_asyncios_task_group() {
    fn hydra<'scope>(s: &'scope TryScope<'scope, '_, u32>, heads: &'scope AtomicUsize) {
        s.spawn(move || {
            heads.fetch_add(1, SeqCst);
            sleep(SEC / 100);
            hydra(s, heads);
            Ok(hydra(s, heads))
        });
    }
    let _watchdog = watchdog(30);
    quiet_panics();
    seeded(|| {
        // 03: a child that is cancelled by its handle is no failure, and the others go on.
        let row = try_scope(|s| {
            let first = s.spawn(|| Ok(sleep(FOREVER)));
            sleep(SEC);
            first.cancel();
            let second = s.spawn(|| Ok(sleep(SEC)));
            assert!(first.join().unwrap_err().is_cancelled());
            Ok(second.join().unwrap())
        });
        assert_eq!(numbers(row), []);
        // 14: the failure of an inner one is the failure of the outer one's body, which cancels the outer one's children.
        let row = try_scope(|outer| {
            outer.spawn(|| Ok(sleep(FOREVER)));
            let inner = try_scope(|inner| Ok(drop(inner.spawn(|| Err::<(), u32>(7)))));
            inner.map_err(|error| error.iter().count() as u32)
        });
        assert_eq!(numbers(row), [1]);
        // 15, 16: cancelled from outside, and the body tidies up for longer than its child needs to fail. (There the child
        // fails meanwhile; here it was cancelled with the parent.)
        let task = go!(|| {
            try_scope(|s| {
                s.spawn(|| {
                    sleep(3 * SEC);
                    Err::<(), u32>(1)
                });
                let _tidy = OnDrop(|| sleep(5 * SEC));
                Ok(sleep(FOREVER))
            })
        });
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        // 18: the body makes an error of the cancellation: that is what the scope returns, and the cancellation is still to come.
        let task = go!(|| {
            let result = try_scope(|s| {
                s.spawn(|| Ok(sleep(FOREVER)));
                catch_unwind(|| sleep(FOREVER)).map_err(|_| 5)
            });
            assert!(catch_unwind(layby::yield_now).is_err());
            numbers(result)
        });
        sleep(SEC);
        task.cancel();
        assert_eq!(task.join().unwrap(), [5]);
        // 19, 20a: the failure of a child cancels the body, which fails for that: both, in their order.
        let row = try_scope(|s| {
            s.spawn(|| Err::<(), _>(1));
            catch_unwind(|| sleep(FOREVER)).map_err(|_| 2)
        });
        assert_eq!(numbers(row), [1, 2]);
        // 20: or panics, which goes before it.
        let row = catch_unwind(AssertUnwindSafe(|| {
            try_scope(|s| {
                s.spawn(|| Err::<(), _>(1));
                let _ = catch_unwind(|| sleep(FOREVER));
                panic!("expected: tidying up")
            })
        }));
        assert_eq!(message(row.map(numbers).unwrap_err()), "expected: tidying up");
        // 25: children that never cease to spawn.
        let heads = AtomicUsize::new(0);
        let row = try_scope(|s| {
            hydra(s, &heads);
            s.spawn(|| {
                while heads.load(SeqCst) < 10 {
                    sleep(SEC / 70);
                }
                Err::<(), _>(1)
            });
            Ok(())
        });
        assert_eq!(numbers(row), [1]);
        let last = heads.load(SeqCst);
        sleep(SEC);
        assert!(last >= 10 && heads.load(SeqCst) == last, "a child has outlived its scope");
    });
}
