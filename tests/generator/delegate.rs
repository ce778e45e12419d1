//! `delegate`: values, results, panics and closes through any number of generators, as Python's PEP 380 has it.

use crate::common::{Drops, OnDrop, message, on, quiet_panics, quiet_panics_that_say, watchdog, workers};
use layby::generator::{Generator, GeneratorState, Yielder, gen_iter, is_close};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use GeneratorState::{Complete, Yielded};

type Y = Yielder<u32, u32>;
type Innermost = Box<dyn FnOnce(&Y, u32) -> u32>;

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

/// Where the innermost of `depth` delegating generators runs `f`; each adds 1 to the result.
fn nest(depth: u32, f: impl FnOnce(&Y, u32) -> u32 + 'static) -> Generator<u32, u32, u32> {
    let f: Innermost = Box::new(f);
    if depth == 0 {
        return Generator::new(f);
    }
    Generator::new(move |y: &Y, first| y.delegate(nest(depth - 1, f), first) + 1)
}

/// PEP 380, "Any values that the iterator yields are passed directly to the caller", "Any values sent … are passed directly to
/// the iterator", "The value of the yield from expression is the first argument to the StopIteration".
#[test]
fn values_and_results_pass_through() {
    let _watchdog = watchdog(60);
    everywhere(|| {
        for depth in [0, 1, 2, 7, 200] {
            let mut generator = nest(depth, |y, first| {
                let mut sum = first;
                for n in 0..5 {
                    sum += y.suspend(sum * 10 + n);
                }
                sum
            });
            let mut sum = 1;
            assert_eq!(generator.resume(1), Yielded(10));
            for n in 1..5 {
                sum += n;
                assert_eq!(generator.resume(n), Yielded(sum * 10 + n));
            }
            assert_eq!(generator.resume(100), Complete(sum + 100 + depth), "depth {depth}");
        }
    });
}

/// CPython's `test_pep380.py`, `test_delegating_yield_from_to_non_none_return`-like: before, between and after.
#[test]
fn delegating_is_one_statement_among_others() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let mut generator = Generator::new(|y: &Y, first| {
            let a = y.suspend(first + 1);
            let b = y.delegate(Generator::new(|y: &Y, first| y.suspend(first) + 1), a);
            let c = y.suspend(b);
            let d = y.delegate(Generator::new(|_: &Y, first| first * 2), c); // suspends never
            y.delegate(nest(3, |y, first| y.suspend(first)), d)
        });
        let out: Vec<_> = [1, 10, 20, 30, 40].map(|n| generator.resume(n)).into();
        assert_eq!(out, [Yielded(2), Yielded(10), Yielded(21), Yielded(60), Complete(43)]);
    });
}

/// PEP 380: an exception of the subgenerator "is propagated to the delegating generator", which may go on.
#[test]
fn panics_pass_outwards_and_may_be_caught_on_the_way() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut generator = nest(5, move |y, first| {
            let _token = token;
            y.suspend(first);
            panic!("expected: inside");
        });
        assert_eq!(generator.resume(1), Yielded(1));
        assert_eq!(caught(|| generator.resume(2)), Err("expected: inside".to_owned()));
        assert!(generator.is_finished() && drops.count() == 1);

        let mut catcher = Generator::new(|y: &Y, first| {
            let inner = nest(3, |_, _| panic!("expected: caught"));
            let text = caught(|| y.delegate(inner, first)).unwrap_err();
            let sent = y.suspend(text.len() as u32);
            y.delegate(nest(3, |y, first| y.suspend(first)), sent)
        });
        assert_eq!(catcher.resume(1), Yielded("expected: caught".len() as u32));
        assert_eq!(catcher.resume(5), Yielded(5));
        assert_eq!(catcher.resume(6), Complete(9));
    });
}

/// `throw` is a panic here, which comes from within: what is sent may be a `Result`. PEP 380: "Exceptions other than
/// GeneratorExit thrown into the delegating generator are passed to the throw() method of the iterator."
#[test]
fn errors_are_sent_inwards_as_values() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        type Sent = Result<u32, &'static str>;
        let inner = || {
            Generator::new(|y: &Yielder<Sent, u32>, first: Sent| -> Sent {
                let mut sum = first?;
                for _ in 0..3 {
                    sum += y.suspend(sum)?;
                }
                Ok(sum)
            })
        };
        let mut outer =
            Generator::new(move |y: &Yielder<Sent, u32>, first| match y.delegate(inner(), first) {
                Err(error) => y.suspend(error.len() as u32),
                ended => ended,
            });
        assert_eq!(outer.resume(Ok(1)), Yielded(1));
        assert_eq!(outer.resume(Ok(1)), Yielded(2));
        assert_eq!(outer.resume(Err("thrown")), Yielded(6));
        assert_eq!(outer.resume(Ok(8)), Complete(Ok(8)));
    });
}

/// PEP 380: "If a GeneratorExit exception is thrown into the delegating generator, or close() is called, then close() of the iterator is
/// called"; then GeneratorExit is raised in the delegating one. So from the innermost outwards.
#[test]
fn a_close_unwinds_from_the_innermost() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        for (depth, by_drop) in [(0, false), (1, true), (4, false), (100, true)] {
            let order = Rc::new(RefCell::new(Vec::new()));
            fn level(n: u32, order: Rc<RefCell<Vec<u32>>>) -> Generator<u32, u32, ()> {
                Generator::new(move |y: &Y, first| {
                    let noted = order.clone();
                    let _note = OnDrop(move || noted.borrow_mut().push(n));
                    if n == 0 {
                        y.suspend(first);
                    } else {
                        y.delegate(level(n - 1, order), first);
                    }
                    unreachable!("it is closed before");
                })
            }
            let mut generator = level(depth, order.clone());
            assert_eq!(generator.resume(7), Yielded(7));
            if by_drop {
                drop(generator);
            } else {
                assert_eq!(generator.close(), None);
            }
            assert_eq!(*order.borrow(), (0..=depth).collect::<Vec<_>>());
            assert!(!std::thread::panicking() && !layby::task::panicking());
        }
    });
}

/// CPython's `test_pep380.py`, "close with a subgenerator that catches it": the delegating one is closed all the same.
#[test]
fn one_that_keeps_the_close_to_itself_does_not_save_the_others() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let reached = Rc::new(Cell::new(0));
        let inside = reached.clone();
        let mut generator = Generator::new(move |y: &Y, first| {
            let outside = inside.clone();
            let inner = Generator::new(move |y: &Y, first| {
                let swallowed = catch_unwind(AssertUnwindSafe(|| y.suspend(first))).is_err();
                inside.set(inside.get() + u32::from(swallowed));
                5
            });
            y.delegate(inner, first);
            outside.set(100);
        });
        assert_eq!(generator.resume(3), Yielded(3));
        assert_eq!(generator.close(), None);
        assert_eq!(reached.get(), 1);
    });
}

/// CPython's `test_pep380.py`, "delegation of close to a generator that raises".
#[test]
fn a_panic_during_the_close_wins() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut generator = Generator::new(move |y: &Y, first| {
            let _token = token;
            y.delegate(
                Generator::new(|y: &Y, first| {
                    let _ = catch_unwind(AssertUnwindSafe(|| y.suspend(first)));
                    panic!("expected: from the close");
                }),
                first,
            )
        });
        assert_eq!(generator.resume(3), Yielded(3));
        assert_eq!(caught(|| generator.close()), Err("expected: from the close".to_owned()));
        assert_eq!(drops.count(), 1);
    });
}

/// Python's `yield from` a generator that has been iterated for a while goes on with it.
#[test]
fn one_that_has_begun_is_resumed_with_the_first_value() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        for depth in [0, 1, 5] {
            let mut inner = nest(depth, |y, first| {
                let a = y.suspend(first);
                let b = y.suspend(a);
                y.suspend(b)
            });
            assert_eq!(inner.resume(1), Yielded(1));
            let mut outer = Generator::new(move |y: &Y, first| y.delegate(inner, first) + 1000);
            assert_eq!(outer.resume(2), Yielded(2));
            assert_eq!(outer.resume(3), Yielded(3));
            assert_eq!(outer.resume(4), Complete(4 + depth + 1000));
        }
    });
}

/// As above, and closed or dropped in the midst: what it delegates to knows of the outer ones only through it.
#[test]
fn one_that_has_begun_is_closed_with_its_nest() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say("out of a timeout, scope");
    layby::task_local!(static NAME: u8 = const { 1 });
    everywhere(|| {
        for (depth, how) in [(0, 0), (3, 0), (0, 1), (3, 1), (0, 2), (3, 2)] {
            let drops = Drops::new();
            let token = drops.token();
            let mut inner = nest(depth, move |y, first| {
                let _token = token;
                // Caught at first, so that it comes again.
                let mut next = first;
                loop {
                    next = match catch_unwind(AssertUnwindSafe(|| y.suspend(next))) {
                        Ok(next) => next,
                        Err(_) => y.suspend(99),
                    }
                }
            });
            assert_eq!(inner.resume(1), Yielded(1));
            let mut outer = Generator::new(move |y: &Y, first| match how {
                // The delegation fails, and drops it.
                2 => NAME.with(|_| y.delegate(inner, first)),
                _ => y.delegate(inner, first),
            });
            if how == 2 {
                assert!(caught(|| outer.resume(2)).is_err());
            } else {
                assert_eq!(outer.resume(2), Yielded(2));
                assert_eq!(outer.resume(3), Yielded(3));
            }
            assert_eq!(drops.count(), u32::from(how == 2) as usize);
            if how == 1 {
                outer.close();
            }
            drop(outer);
            assert_eq!(drops.count(), 1, "{depth} {how}");
        }
    });
}

/// As above: it is closed by its own drop, and the outer one goes on, so it must not look to that one for what to do.
#[test]
fn one_that_is_left_behind_meets_its_own_close() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say("out of a timeout, scope");
    layby::task_local!(static NAME: u8 = const { 1 });
    everywhere(|| {
        let closes = Rc::new(Cell::new(0));
        let count = closes.clone();
        let mut inner = Generator::new(move |y: &Y, first| {
            loop {
                let first = first + 1;
                let delegated = AssertUnwindSafe(|| {
                    y.delegate(Generator::new(|y: &Y, n| (0..9).fold(n, |n, _| y.suspend(n))), first)
                });
                let Err(payload) = catch_unwind(delegated) else { continue };
                assert!(is_close(&*payload));
                count.set(count.get() + 1);
                if count.get() == 3 {
                    return 0;
                }
                let again = catch_unwind(AssertUnwindSafe(|| y.suspend(5))).unwrap_err();
                assert!(is_close(&*again), "{:?}", message(again));
                count.set(count.get() + 1);
            }
        });
        assert_eq!(inner.resume(0), Yielded(1));
        let mut outer = Generator::new(move |y: &Y, first| {
            assert!(caught(|| NAME.with(|_| y.delegate(inner, first))).is_err());
            y.suspend(7)
        });
        assert_eq!(outer.resume(2), Yielded(7));
        assert_eq!(closes.get(), 3);
        assert_eq!(outer.resume(8), Complete(8));
    });
}

#[test]
fn delegating_to_a_finished_one_panics() {
    let _watchdog = watchdog(30);
    quiet_panics_that_say("a generator that has finished");
    everywhere(|| {
        let mut done = Generator::new(|_: &Y, first| first);
        done.resume(1);
        let mut outer = Generator::new(|y: &Y, first| y.delegate(done, first));
        assert!(caught(|| outer.resume(1)).unwrap_err().contains("finished"));
    });
}

/// A tree, deeper than wide: what took a number of switches that grows with the depth would show.
#[test]
fn a_deep_nest_in_which_each_level_hands_out_values() {
    let _watchdog = watchdog(60);
    everywhere(|| {
        fn level(n: u32) -> Generator<(), u32, ()> {
            gen_iter(move |y| {
                y.suspend(n);
                if n > 0 {
                    y.delegate(level(n - 1), ());
                }
                y.suspend(n);
            })
        }
        let values: Vec<u32> = level(300).collect();
        let expected: Vec<u32> = (0..=300).rev().chain(0..=300).collect();
        assert_eq!(values, expected);
        // Left in the midst, at any depth.
        for taken in (1..600).step_by(37) {
            assert_eq!(level(300).take(taken).count(), taken);
        }
    });
}

/// The parts of a nest may wait, too.
#[test]
fn a_nest_may_yield_to_other_tasks() {
    let _watchdog = watchdog(60);
    everywhere(|| {
        let mut generator = nest(20, |y, first| {
            let mut next = first;
            for _ in 0..10 {
                layby::yield_now();
                next = y.suspend(next);
                layby::sleep(std::time::Duration::from_micros(10));
            }
            next
        });
        for n in 0..10 {
            assert_eq!(generator.resume(n), Yielded(n));
            layby::yield_now();
        }
        assert_eq!(generator.resume(1), Complete(21));
    });
}
