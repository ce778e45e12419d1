//! `scope`: what it returns, who is cancelled when, and that it is never left before the last child has ended.

use crate::common::{
    Drops, OnDrop, everywhere_and_seeded, message, on, quiet_panics, seeded, watchdog, workers, yield_until,
};
use layby::task::{self, ScopedJoinHandle};
use layby::{go, scope, sleep, testing, timeout};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::MAX;

#[test]
fn children_borrow_and_have_ended() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let mut numbers = vec![1, 2, 3];
        let ended = AtomicUsize::new(0);
        let sum = scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    layby::yield_now();
                    ended.fetch_add(1, SeqCst);
                });
            }
            let named = task::Builder::new().name("adder".into());
            let sum = named.spawn_scoped(s, || numbers.iter().sum::<i32>()).unwrap();
            assert_eq!(sum.task().name(), Some("adder"));
            assert_eq!(go!(s, || numbers.len()).join().unwrap(), 3);
            sum.join().unwrap()
        });
        assert_eq!((sum, ended.load(SeqCst)), (6, 20));
        numbers.push(4);
        assert_eq!(scope(|_| 5), 5);
    });
}

/// trio, _core/_tests/test_run.py: `test_nursery_main_block_error_basic`; JDK 21, StructuredTaskScopeTest:
/// `testShutdownInterruptsThreads1`.
#[test]
fn a_panic_of_the_body_cancels_the_children() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..50 {
                    let token = drops.token();
                    s.spawn(move || {
                        let _token = token;
                        sleep(FOREVER);
                    });
                }
                layby::yield_now();
                panic!("expected: body");
            })
        }));
        assert_eq!(message(caught.map(|_: ()| ()).unwrap_err()), "expected: body");
        assert_eq!(drops.count(), 50);
        assert!(!task::panicking());
        layby::yield_now();
    });
}

/// std: a panic of an unjoined child panics the scope, when all have ended; unlike trio's it cancels no sibling.
#[test]
fn a_panic_of_an_unjoined_child_goes_on_when_all_have_ended() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let ended = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| panic!("expected: child"));
                s.spawn(|| {
                    (0..10).for_each(|_| layby::yield_now());
                    ended.fetch_add(1, SeqCst);
                });
            });
        }));
        assert_eq!(message(caught.unwrap_err()), "expected: child");
        assert_eq!(ended.load(SeqCst), 1);
        // Dropped when it has ended already.
        let caught = catch_unwind(|| {
            scope(|s| {
                let child = s.spawn(|| panic!("expected: late"));
                while !child.is_finished() {
                    layby::yield_now();
                }
            });
        });
        assert_eq!(message(caught.unwrap_err()), "expected: late");
        // Joined: it is the joiner's.
        let joined = scope(|s| s.spawn(|| panic!("expected: joined")).join().map(|_: ()| ()).unwrap_err());
        assert!(joined.is_panic());
    });
}

#[test]
fn the_panic_of_the_body_goes_before_those_of_the_children() {
    let _watchdog = watchdog(30);
    quiet_panics();
    seeded(|| {
        let caught = catch_unwind(|| {
            scope(|s| {
                s.spawn(|| panic!("expected: child"));
                sleep(SEC);
                panic!("expected: body");
            })
        });
        assert_eq!(message(caught.map(|_: ()| ()).unwrap_err()), "expected: body");
    });
}

/// trio: `test_cancel_inheritance`; JDK: `testForkAfterJoinInterrupted`, an interrupt of the owner. The parent is in the body, or waits at the end.
#[test]
fn a_cancel_of_the_parent_reaches_every_leaf_and_is_waited_for() {
    let _watchdog = watchdog(30);
    fn tree(depth: u32, drops: &Drops, in_body: bool) {
        scope(|s| {
            for _ in 0..3 {
                s.spawn(move || {
                    let _token = drops.token();
                    let _slow = OnDrop(|| sleep(SEC));
                    if depth > 0 { tree(depth - 1, drops, in_body) } else { sleep(FOREVER) }
                });
            }
            if in_body {
                sleep(FOREVER);
            }
        });
    }
    for in_body in [false, true] {
        seeded(|| {
            let drops = Drops::new();
            let tokens = drops.clone();
            let parent = go!(move || tree(2, &tokens, in_body));
            sleep(SEC);
            assert_eq!(drops.count(), 0);
            let start = layby::time::Instant::now();
            parent.cancel();
            assert!(parent.join().unwrap_err().is_cancelled());
            assert_eq!(drops.count(), 3 + 9 + 27);
            assert_eq!(start.elapsed().as_secs(), 3); // one second for each level
        });
    }
}

#[test]
fn a_timeout_around_it() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let limit = Duration::from_millis(5);
        let result = timeout(limit, || {
            scope(|s| {
                for _ in 0..10 {
                    let token = drops.token();
                    s.spawn(move || {
                        let _token = token;
                        sleep(FOREVER);
                    });
                }
            });
        });
        assert!(result.is_err());
        assert_eq!(drops.count(), 10);
        // And in the body.
        let result = timeout(limit, || {
            scope(|s| {
                s.spawn(|| sleep(FOREVER));
                sleep(FOREVER);
            });
        });
        assert!(result.is_err());
    });
}

/// Issue: "a panic beats a cancel".
#[test]
fn an_unjoined_panic_goes_before_a_cancellation() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for in_body in [false, true] {
        seeded(|| {
            let parent = go!(move || {
                scope(|s| {
                    s.spawn(|| {
                        let _guard = OnDrop(|| ());
                        let _ = catch_unwind(|| sleep(FOREVER));
                        panic!("expected: child");
                    });
                    if in_body {
                        sleep(FOREVER);
                    }
                });
            });
            sleep(SEC);
            parent.cancel();
            let error = parent.join().unwrap_err();
            assert!(error.is_panic(), "{error}");
        });
    }
}

/// trio: `nursery.cancel_scope.cancel()`, but the body goes on; JDK: `testForkAfterCancel2`, what is forked then does not run.
#[test]
fn cancel_ends_the_children_those_to_come_and_not_the_body() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let ran = AtomicUsize::new(0);
        let drops = Drops::new();
        let value = scope(|s| {
            let children: Vec<_> = (0..100)
                .map(|_| {
                    let token = drops.token();
                    s.spawn(move || {
                        let _token = token;
                        sleep(FOREVER);
                    })
                })
                .collect();
            layby::yield_now();
            s.cancel();
            s.cancel();
            for child in children {
                assert!(child.join().unwrap_err().is_cancelled());
            }
            let token = drops.token();
            let late = s.spawn(|| {
                let _token = token;
                ran.fetch_add(1, SeqCst);
            });
            assert!(late.join().unwrap_err().is_cancelled());
            layby::yield_now();
            task::check_cancelled();
            8
        });
        assert_eq!((value, ran.load(SeqCst), drops.count()), (8, 0, 101));
    });
}

#[test]
fn children_spawn_into_their_scope() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let ended = AtomicUsize::new(0);
        /// Spawns on until `left` is 0; from the result's destructor, if `late`.
        fn spawn<'scope, 'env>(
            s: &'scope task::Scope<'scope, 'env>,
            ended: &'scope AtomicUsize,
            left: u32,
            late: bool,
        ) {
            s.spawn(move || {
                ended.fetch_add(1, SeqCst);
                if left == 0 {
                    return None;
                }
                if !late {
                    spawn(s, ended, left - 1, late);
                    spawn(s, ended, left - 1, late);
                    return None;
                }
                Some(OnDrop(move || {
                    layby::yield_now();
                    spawn(s, ended, left - 1, late);
                }))
            });
        }
        scope(|s| spawn(s, &ended, 6, false));
        assert_eq!(ended.swap(0, SeqCst), 127);
        scope(|s| spawn(s, &ended, 6, true));
        assert_eq!(ended.swap(0, SeqCst), 7);
        // While it is cancelled.
        scope(|s| {
            spawn(s, &ended, 6, true);
            s.cancel();
        });
    });
}

#[test]
fn forgotten_handles_and_handles_in_children() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let mut text = String::from("a");
        scope(|s| {
            let child = s.spawn(|| {
                layby::yield_now();
                text.push('b');
                &text
            });
            std::mem::forget(child);
        });
        text.push('c');
        assert_eq!(text, "abc");
        // A child holds the handle of another one, joins it, or drops it when it has ended.
        let drops = Drops::new();
        scope(|s| {
            let first = s.spawn(|| drops.token());
            let second = s.spawn(move || drop(first.join().unwrap()));
            let third = s.spawn(|| drops.token());
            s.spawn(move || {
                second.join().unwrap();
                drop(third);
            });
        });
        assert_eq!(drops.count(), 2);
    });
}

/// Each scope waits for its own children, whatever becomes of the handles' types.
#[test]
fn nested_scopes_and_swapped_handles() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let order = Mutex::new(Vec::new());
        let log = |text| order.lock().unwrap().push(text);
        scope(|outer| {
            let mut mine = outer.spawn(|| {
                (0..5).for_each(|_| layby::yield_now());
                log("outer child");
            });
            scope(|inner| {
                let mut theirs = inner.spawn(|| log("inner child"));
                // The types are the same, up to the lifetime: a shorter one cannot go where the longer one is.
                let mut shorter: Vec<ScopedJoinHandle<'_, ()>> = vec![inner.spawn(|| ())];
                std::mem::swap(&mut theirs, &mut shorter[0]);
            });
            assert!(order.lock().unwrap().contains(&"inner child"));
            let again = outer.spawn(|| ());
            drop(std::mem::replace(&mut mine, again));
        });
        assert_eq!(order.lock().unwrap().len(), 2);
    });
}

#[test]
fn a_scope_in_a_destructor_while_the_task_unwinds() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let done = AtomicUsize::new(0);
        let in_destructor = || {
            let _guard = OnDrop(|| {
                let sum: i32 = scope(|s| {
                    let parts: Vec<_> = (0..4)
                        .map(|i| {
                            s.spawn(move || {
                                layby::yield_now();
                                i
                            })
                        })
                        .collect();
                    parts.into_iter().map(|part| part.join().unwrap()).sum()
                });
                assert_eq!(sum, 6);
                done.fetch_add(1, SeqCst);
            });
            panic!("expected");
        };
        assert!(catch_unwind(AssertUnwindSafe(in_destructor)).map(|_: ()| ()).is_err());
        assert_eq!(done.load(SeqCst), 1);
    });
    seeded(|| {
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        let task = go!(move || {
            let _guard = OnDrop(|| {
                scope(|s| {
                    s.spawn(|| sleep(SEC));
                });
                set.store(true, SeqCst);
            });
            sleep(FOREVER);
        });
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(done.load(SeqCst));
    });
}

#[test]
fn a_cancel_while_it_exits() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let drops = Drops::new();
            let tokens = drops.clone();
            let parent = go!(move || {
                scope(|s| {
                    for _ in 0..4 {
                        let token = tokens.token();
                        s.spawn(move || {
                            sleep(Duration::from_micros(testing::random() % 100));
                            drop(token);
                        });
                    }
                });
            });
            sleep(Duration::from_micros(testing::random() % 120));
            parent.cancel();
            let result = parent.join();
            assert!(result.is_ok() || result.unwrap_err().is_cancelled());
            assert_eq!(drops.count(), 4);
        });
    }
}

#[test]
fn local_children_need_not_be_send() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let count = Cell::new(0);
            let sum: i32 = scope(|s| {
                let tasks: Vec<_> = (0..10)
                    .map(|i| {
                        s.spawn_local({
                            let count = &count;
                            move || {
                                layby::yield_now();
                                count.set(count.get() + 1);
                                std::rc::Rc::new(i)
                            }
                        })
                    })
                    .collect();
                tasks.into_iter().map(|task| *task.join().unwrap()).sum()
            });
            assert_eq!((sum, count.get()), (45, 10));
        });
    }
    quiet_panics();
    crate::common::quiet_panics_that_say("no worker");
    assert!(catch_unwind(|| scope(|s| drop(s.spawn_local(|| ())))).is_err());
}

/// Many scopes at once, whose children run and end on other workers while their parents return: what is borrowed lives
/// on stacks that are used again at once. (For sanitizers, too.)
#[test]
fn the_last_childs_wake_against_the_parents_return() {
    let _watchdog = watchdog(60);
    on(4, || {
        let tasks: Vec<_> = (0..8_u64)
            .map(|seed| {
                go!(move || {
                    let mut total = 0;
                    for round in 0..500_u64 {
                        let mut parts = [0_u64; 4];
                        scope(|s| {
                            for part in &mut parts {
                                s.spawn(move || *part = seed + round);
                            }
                            if round % 3 == 0 {
                                layby::yield_now();
                            }
                        });
                        total += parts.iter().sum::<u64>();
                    }
                    total
                })
            })
            .collect();
        for (seed, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), 4 * (500 * seed as u64 + 499 * 500 / 2));
        }
    });
}

#[test]
fn the_end_of_the_runtime_ends_scopes() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let drops = Drops::new();
        let tokens = drops.clone();
        on(n, || {
            let up = Arc::new(AtomicUsize::new(0));
            let count = up.clone();
            drop(go!(move || scope(|s| {
                for _ in 0..10 {
                    let (token, count) = (tokens.token(), count.clone());
                    s.spawn(move || {
                        let _token = token;
                        count.fetch_add(1, SeqCst);
                        sleep(FOREVER);
                    });
                }
            })));
            yield_until(|| up.load(SeqCst) == 10);
        });
        assert_eq!(drops.count(), 10);
    }
}
