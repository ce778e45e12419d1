//! Closing and dropping generators, as Python's PEP 342 has it; and what suspends where it must not.

use crate::common::{Drops, OnDrop, in_own_process, message, on, quiet_panics, watchdog, workers};
use layby::generator::{Generator, GeneratorState, Yielder, gen_iter, is_close};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

/// `f` in a task of one worker, of several, and on a plain thread without any runtime.
fn everywhere(f: impl Fn() + Send + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().unwrap());
}

fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

/// PEP 342, "close": "Raises a GeneratorExit at the point where the generator function was paused."
#[test]
fn close_unwinds_at_the_suspend() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let (order, drops) = (Rc::new(RefCell::new(Vec::new())), Drops::new());
        for by_drop in [false, true] {
            order.borrow_mut().clear();
            let (noted, token) = (order.clone(), drops.token());
            let mut generator = gen_iter(move |y| {
                let note = |text| {
                    OnDrop({
                        let noted = noted.clone();
                        move || noted.borrow_mut().push(text)
                    })
                };
                let _token = token;
                let _outer = note("outer");
                y.suspend(1);
                let _inner = note("inner");
                y.suspend(2);
                let _never = note("never");
                y.suspend(3);
            });
            assert_eq!(generator.by_ref().take(2).collect::<Vec<_>>(), [1, 2]);
            if by_drop {
                drop(generator);
            } else {
                assert_eq!(generator.close(), None);
                assert!(generator.is_finished());
            }
            assert_eq!(*order.borrow(), ["inner", "outer"]);
            assert!(!layby::task::panicking() && !std::thread::panicking());
        }
        assert_eq!(drops.count(), 2);
    });
}

/// PEP 342: "If the generator has already exited (due to an exception or normal exit), close() does nothing"; and one that has not
/// begun never does (CPython's `gen_close`).
#[test]
fn close_of_a_finished_or_unstarted_one_does_nothing() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut unstarted = Generator::new(move |y: &Yielder<(), ()>, ()| {
            let _token = &token;
            y.suspend(());
            unreachable!("it never begins");
        });
        assert!(unstarted.close().is_none());
        assert_eq!(drops.count(), 1);
        assert!(unstarted.is_finished() && unstarted.close().is_none() && unstarted.next().is_none());
        let mut finished = Generator::new(|_: &Yielder<(), ()>, ()| 7);
        assert_eq!(finished.resume(()), GeneratorState::Complete(7));
        assert_eq!((finished.close(), finished.close()), (None, None));
    });
}

/// Python 3.13: "If a generator returns a value upon being closed, the value is returned by close()".
#[test]
fn close_returns_what_a_body_returns_that_catches_it() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let mut generator = Generator::new(|y, ()| {
            let payload = catch_unwind(AssertUnwindSafe(|| y.suspend(1))).unwrap_err();
            assert!(is_close(&*payload) && !layby::task::is_cancellation(&*payload));
            "caught"
        });
        assert_eq!(generator.next(), Some(1));
        assert_eq!(generator.close(), Some("caught"));
        assert_eq!(generator.close(), None);
        assert!(!layby::task::panicking());
    });
}

/// PEP 342: "If the generator yields a value, a RuntimeError is raised". Here it does not get that far: the close comes again.
#[test]
fn a_suspend_that_swallows_the_close_throws_again() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let thrown = Rc::new(Cell::new(0));
        let counted = thrown.clone();
        let mut generator = gen_iter(move |y| {
            y.suspend(1);
            for _ in 0..5 {
                let payload = catch_unwind(AssertUnwindSafe(|| y.suspend(2))).unwrap_err();
                assert!(is_close(&*payload));
                counted.set(counted.get() + 1);
            }
            y.suspend(3);
            unreachable!("thrown once more");
        });
        assert_eq!(generator.next(), Some(1));
        // Not begun with the loop, so the close comes at the first suspend, which is not caught.
        assert_eq!(generator.next(), Some(2));
        assert_eq!(generator.close(), None);
        assert_eq!(thrown.get(), 5);
    });
}

/// PEP 342: "If the generator raises any other exception, it is propagated to the caller."
#[test]
fn a_panic_on_the_way_out_goes_on() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let make = || {
            let mut generator = gen_iter(|y| {
                if catch_unwind(AssertUnwindSafe(|| y.suspend(1))).is_err() {
                    panic!("expected: on the way out");
                }
            });
            assert_eq!(generator.next(), Some(1));
            generator
        };
        let mut closed = make();
        assert_eq!(caught(|| closed.close()), Err("expected: on the way out".to_owned()));
        assert!(closed.is_finished());
        let dropped = make();
        assert_eq!(caught(|| drop(dropped)), Err("expected: on the way out".to_owned()));
        // Who drops it unwinds already: there the first panic goes on.
        let dropped = make();
        let first = caught(|| {
            let _dropped = dropped;
            panic!("expected: first");
        });
        assert_eq!(first, Err::<(), _>("expected: first".to_owned()));
        assert!(!layby::task::panicking() && !std::thread::panicking());
    });
}

/// Somebody else's close, carried out of its generator, is a panic like any other.
#[test]
fn a_payload_that_is_thrown_elsewhere_closes_nothing() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let mut giver = Generator::new(|y, ()| catch_unwind(AssertUnwindSafe(|| y.suspend(1))).unwrap_err());
        giver.next();
        let payload = giver.close().unwrap();
        let mut taker = gen_iter(move |y| {
            y.suspend(1);
            resume_unwind(payload);
        });
        assert_eq!(taker.next(), Some(1));
        let payload = catch_unwind(AssertUnwindSafe(|| taker.next())).unwrap_err();
        assert!(is_close(&*payload) && taker.is_finished());
    });
}

#[test]
fn a_close_resumes_others_that_are_iterated_on_the_way() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        let mut generator = gen_iter(move |y| {
            let mut other = gen_iter(|y| (1..1000).for_each(|n| y.suspend(n)));
            other.next();
            let noted = noted.clone();
            // Dropped while this unwinds, and it unwinds nothing.
            let _resumes = OnDrop(move || noted.borrow_mut().extend(other.by_ref().take(3)));
            y.suspend(0);
        });
        assert_eq!(generator.next(), Some(0));
        drop(generator);
        assert_eq!(*seen.borrow(), [2, 3, 4]);
    });
}

/// A generator may be resumed in a destructor, while its resumer unwinds, and go on afterwards.
#[test]
fn resumed_by_who_unwinds() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let generator = RefCell::new(gen_iter(|y| (1..1000).for_each(|n| y.suspend(n))));
        assert_eq!(generator.borrow_mut().next(), Some(1));
        let seen = Cell::new(None);
        let panicked = caught(|| {
            let _resume = OnDrop(|| seen.set(generator.borrow_mut().next()));
            panic!("expected");
        });
        assert_eq!((panicked, seen.get()), (Err::<(), _>("expected".to_owned()), Some(2)));
        assert_eq!(generator.borrow_mut().next(), Some(3));
    });
}

#[test]
fn suspending_in_a_destructor_that_unwinds_is_refused() {
    let _watchdog = watchdog(30);
    quiet_panics();
    crate::common::quiet_panics_that_say("while it unwinds");
    everywhere(|| {
        for closed in [false, true] {
            let refused = Rc::new(Cell::new(false));
            let noted = refused.clone();
            let mut generator = Generator::new(move |y: &Yielder<bool, u8>, _| {
                let _tries = OnDrop(|| {
                    let text = caught(|| y.suspend(9)).unwrap_err();
                    noted.set(text == "a generator cannot be suspended while it unwinds: a destructor has to do without");
                });
                if y.suspend(1) {
                    panic_any("expected: unwinds");
                }
            });
            assert_eq!(generator.resume(false), GeneratorState::Yielded(1));
            if closed {
                generator.close();
            } else {
                assert_eq!(caught(|| generator.resume(true)), Err("expected: unwinds".to_owned()));
            }
            assert!(refused.get());
            assert!(!std::thread::panicking() && !layby::task::panicking());
        }
    });
}

/// Not caught in the destructor, the refusal is a panic in a destructor during an unwinding: Rust ends the process, after the message.
#[test]
fn a_refusal_that_leaves_a_destructor_ends_the_process() {
    let _watchdog = watchdog(30);
    let finished = in_own_process("a_refusal_that_leaves_a_destructor_ends_the_process", || {
        let mut generator = gen_iter(|y| {
            let _suspends = OnDrop(|| y.suspend(2));
            y.suspend(1);
        });
        generator.next();
        drop(generator);
    });
    assert!(!finished.status.success());
    let message = "a generator cannot be suspended while it unwinds";
    assert!(finished.stderr.contains(message), "{}", finished.stderr);
}
