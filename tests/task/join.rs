//! Handles: joining, what is dropped and when, panics and what carries them.

use crate::common::{Drops, OnDrop, on, quiet_panics, quiet_panics_that_say, watchdog, workers, yield_until};
use layby::task::{self, Builder};
use layby::{JoinError, JoinHandle};
use std::any::Any;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn is_finished_says_so_exactly_once_it_has_ended() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let go = Arc::new(AtomicBool::new(false));
            let flag = go.clone();
            let task = layby::spawn(move || yield_until(|| flag.load(SeqCst)));
            for _ in 0..10 {
                layby::yield_now();
                assert!(!task.is_finished());
            }
            go.store(true, SeqCst);
            yield_until(|| task.is_finished());
            task.join().unwrap();
        });
    }
}

#[test]
fn a_result_is_dropped_exactly_once_whatever_becomes_of_the_handle() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for _ in 0..50 {
            let results = Drops::new();
            let closures = Drops::new();
            let task = |results: &Drops, closures: &Drops, yields: usize| {
                let (result, closure) = (results.token(), closures.token());
                layby::spawn(move || {
                    let _closure = closure;
                    (0..yields).for_each(|_| layby::yield_now());
                    result
                })
            };
            on(n, || {
                // joined
                let token = task(&results, &closures, 1).join().unwrap();
                assert_eq!(results.count(), 0);
                drop(token);
                assert_eq!(results.count(), 1);
                // the handle goes before the start
                drop(task(&results, &closures, 1));
                // ... in the midst
                let handle = task(&results, &closures, 5);
                layby::yield_now();
                layby::yield_now();
                drop(handle);
                // ... after the end
                let handle = task(&results, &closures, 1);
                yield_until(|| handle.is_finished());
                drop(handle);
                yield_until(|| results.count() == 4);
                // from another task, at any time
                let handle = task(&results, &closures, 3);
                layby::spawn(move || drop(handle));
                yield_until(|| results.count() == 5);
                // forgotten: the task ends, the result stays
                std::mem::forget(task(&results, &closures, 0));
                yield_until(|| closures.count() == 6);
            });
            assert_eq!((results.count(), closures.count()), (5, 6));
        }
    }
}

#[test]
fn handles_dropped_from_threads_while_their_tasks_end() {
    let _watchdog = watchdog(30);
    let results = Drops::new();
    let runtime = layby::Builder::new().workers(2).build().unwrap();
    let (sender, receiver) = mpsc::channel::<JoinHandle<crate::common::Token>>();
    let dropper = std::thread::spawn(move || receiver.into_iter().for_each(drop));
    for _ in 0..5000 {
        let result = results.token();
        sender.send(runtime.spawn(move || result)).unwrap();
    }
    drop(sender);
    dropper.join().unwrap();
    drop(runtime); // those that have not started are cancelled, and their closures dropped
    assert_eq!(results.count(), 5000);
}

#[test]
fn a_panic_stays_inside_and_comes_out_of_join() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let token = drops.token();
            let task = Builder::new()
                .name("unlucky".into())
                .spawn(move || {
                    let _token = token;
                    layby::yield_now();
                    panic!("expected: {}", std::hint::black_box(13))
                })
                .unwrap();
            let id = task.task().id();
            let error: JoinError = task.join().map(|_: ()| ()).unwrap_err();
            assert_eq!(drops.count(), 1);
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(error.downcast_ref::<String>().unwrap(), "expected: 13");
            assert_eq!(error.downcast_ref::<i32>(), None);
            let display = error.to_string();
            assert!(display.contains("unlucky") && display.contains("expected: 13"), "{display}");
            let debug = format!("{error:?}");
            assert!(debug.contains("unlucky") && debug.contains(&format!("{id:?}")), "{debug}");
            assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "expected: 13");

            let unnamed = layby::spawn(|| panic!("expected")).join().map(|_: ()| ()).unwrap_err();
            assert!(unnamed.to_string().contains("expected"));
            let boxed: Box<dyn Any + Send> = unnamed.into();
            assert_eq!(boxed.downcast_ref::<&str>(), Some(&"expected"));

            // A payload of any type, without a message.
            let odd =
                layby::spawn(|| panic::resume_unwind(Box::new(17u8))).join().map(|_: ()| ()).unwrap_err();
            assert_eq!(odd.downcast_ref::<u8>(), Some(&17));
            assert!(odd.to_string().ends_with("panicked"), "{odd}");
            let error: Box<dyn std::error::Error + Send + Sync> = Box::new(odd);
            assert!(error.source().is_none());
            // The worker goes on.
            assert_eq!(layby::spawn(|| 1).join().unwrap(), 1);
            assert!(!task::panicking());
        });
    }
}

#[test]
fn the_error_of_a_cancelled_task() {
    let _watchdog = watchdog(20);
    quiet_panics();
    on(1, || {
        let task = Builder::new().name("gone".into()).spawn(|| ()).unwrap();
        task.cancel();
        let error = task.join().unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
        assert!(error.to_string().contains("gone") && error.to_string().contains("cancelled"), "{error}");
        assert!(format!("{error:?}").contains("Cancelled"), "{error:?}");
        assert_eq!(error.downcast_ref::<&str>(), None);
        let boxed: Box<dyn Any + Send> = error.into();
        assert!(boxed.downcast_ref::<JoinError>().unwrap().is_cancelled());
        let task = layby::spawn(|| ());
        task.cancel();
        let error = task.join().unwrap_err();
        quiet_panics_that_say("into_panic on the error");
        assert!(catch_unwind(AssertUnwindSafe(|| error.into_panic())).is_err());
    });
}

#[test]
fn a_payload_that_panics_when_dropped() {
    let _watchdog = watchdog(20);
    quiet_panics();
    struct Bomb(#[allow(dead_code)] crate::common::Token);
    impl Drop for Bomb {
        fn drop(&mut self) {
            layby::yield_now(); // a destructor may park
            panic!("expected: a payload's drop");
        }
    }
    for n in workers() {
        let drops = Drops::new();
        on(n, || {
            let bomb = |token| move || panic::resume_unwind(Box::new(Bomb(token)));
            // detached before the end
            drop(layby::spawn::<_, ()>(bomb(drops.token())));
            yield_until(|| drops.count() == 1);
            // dropped after the end
            let handle = layby::spawn::<_, ()>(bomb(drops.token()));
            yield_until(|| handle.is_finished());
            drop(handle);
            assert_eq!(drops.count(), 2);
            // joined: it is the joiner's
            let error = layby::spawn::<_, ()>(bomb(drops.token())).join().unwrap_err();
            assert!(catch_unwind(AssertUnwindSafe(move || drop(error))).is_err());
            assert_eq!(drops.count(), 3);
            // the same as a result, and as a capture of a closure that never runs
            let token = drops.token();
            drop(layby::spawn(move || Bomb(token)));
            yield_until(|| drops.count() == 4);
            let captured = Bomb(drops.token());
            let task = layby::spawn(move || drop(captured));
            task.cancel();
            let error = task.join().unwrap_err();
            assert!(error.is_cancelled() || error.is_panic());
            yield_until(|| drops.count() == 5);
            assert_eq!(layby::spawn(|| 5).join().unwrap(), 5);
        });
    }
}

#[test]
fn a_result_that_parks_when_dropped_does_so_on_a_task() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let done = Arc::new(AtomicUsize::new(0));
        on(n, || {
            let count = done.clone();
            drop(layby::spawn(move || {
                OnDrop(move || {
                    layby::sleep(Duration::from_millis(1));
                    let inner = layby::spawn(|| 1).join().unwrap();
                    count.fetch_add(inner, SeqCst);
                })
            }));
            yield_until(|| done.load(SeqCst) == 1);
        });
        assert_eq!(done.load(SeqCst), 1);
    }
}

#[test]
fn a_task_that_joins_itself_is_told_so() {
    let _watchdog = watchdog(20);
    quiet_panics_that_say("join itself");
    on(1, || {
        let (sender, receiver) = mpsc::channel::<JoinHandle<()>>();
        let (result, results) = mpsc::channel();
        let task = layby::spawn(move || {
            let me = receiver.recv().unwrap();
            let caught = catch_unwind(AssertUnwindSafe(|| me.join()));
            result.send(caught.unwrap_err()).unwrap();
        });
        sender.send(task).unwrap();
        yield_until(|| match results.try_recv() {
            Ok(payload) => {
                assert!(payload.downcast_ref::<String>().unwrap().contains("join itself"));
                true
            }
            Err(_) => false,
        });
        drop(results);
    });
}

#[test]
fn handles_go_through_tasks_and_threads() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            // A chain: each joins the one before.
            let mut last = layby::spawn(|| 0u32);
            for _ in 0..500 {
                let before = last;
                last = layby::spawn(move || before.join().unwrap() + 1);
            }
            assert_eq!(last.join().unwrap(), 500);
            let task = layby::spawn(|| 8);
            assert_eq!(layby::unblock(move || task.join().unwrap()), 8);
        });
    }
    // Joined after its runtime has ended.
    let (done, never) = on(2, || {
        let done = layby::spawn(|| 9);
        yield_until(|| done.is_finished());
        (done, layby::spawn(|| layby::sleep(Duration::MAX)))
    });
    assert_eq!(done.join().unwrap(), 9);
    never.cancel();
    never.task().unpark();
    assert!(never.is_finished());
    assert!(never.join().unwrap_err().is_cancelled());
}
