//! Generators: values, results, iteration, panics, what is captured and sent, stacks. (Closing, delegating and what
//! happens in tasks: the other `generator_*.rs`.)

use crate::common::{Drops, in_own_process, message, on, quiet_panics, watchdog, workers};
use layby::generator::{Generator, GeneratorState, Yielder, gen_iter};
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use GeneratorState::{Complete, Yielded};

/// `f` in a task of one worker, of several, and on a plain thread without any runtime.
fn everywhere(f: impl Fn() + Send + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().unwrap());
}

#[test]
fn values_go_in_and_out_in_turn() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let mut sum = Generator::new(|y, first: u64| {
            let mut sum = first;
            for _ in 0..3 {
                sum += y.suspend(sum);
            }
            format!("{sum} in all")
        });
        assert!(!sum.is_finished());
        assert_eq!(sum.resume(1), Yielded(1));
        assert_eq!(sum.resume(10), Yielded(11));
        assert_eq!(sum.resume(100), Yielded(111));
        assert_eq!(sum.resume(1000), Complete("1111 in all".to_owned()));
        assert!(sum.is_finished());
    });
}

#[test]
fn nothing_runs_before_the_first_resume() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let begun = Rc::new(Cell::new(false));
        let mut generator = {
            let begun = begun.clone();
            gen_iter(move |y| {
                begun.set(true);
                y.suspend(());
            })
        };
        assert!(!begun.get());
        generator.next();
        assert!(begun.get());
    });
}

#[test]
fn an_iterator_like_any_other() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let squares = || gen_iter(|y| (0..5_u32).for_each(|n| y.suspend(n * n)));
        assert_eq!(squares().collect::<Vec<_>>(), [0, 1, 4, 9, 16]);
        let mut seen = Vec::new();
        for square in squares() {
            seen.push(square);
        }
        assert_eq!(seen, [0, 1, 4, 9, 16]);
        assert_eq!(squares().zip(squares().skip(1)).map(|(a, b)| b - a).sum::<u32>(), 16);
        let mut empty = gen_iter(|_: &Yielder<(), u8>| ());
        assert_eq!((empty.next(), empty.next()), (None, None));
        // With a result, which iterating drops.
        let drops = Drops::new();
        let token = drops.token();
        let mut one = Generator::new(move |y, ()| {
            y.suspend(1);
            token
        });
        assert_eq!((one.next(), one.next(), one.next()), (Some(1), None, None));
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn what_is_captured_sent_and_returned_may_be_of_any_size() {
    let _watchdog = watchdog(30);
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);

    fn echo<V: Clone + PartialEq + std::fmt::Debug + 'static>(a: V, b: V) {
        let captured = a.clone();
        let mut echo = Generator::new(move |y: &Yielder<V, V>, first| {
            assert_eq!(first, captured);
            assert_eq!(std::ptr::from_ref(&captured).addr() % align_of::<V>(), 0);
            let second = y.suspend(first);
            y.suspend(second);
            captured
        });
        assert_eq!(echo.resume(a.clone()), Yielded(a.clone()));
        assert_eq!(echo.resume(b.clone()), Yielded(b));
        assert_eq!(echo.resume(a.clone()), Complete(a));
    }
    everywhere(|| {
        echo((), ());
        echo(7_u8, 9);
        echo(1_u128, u128::MAX);
        echo("lay".to_owned(), "by".to_owned());
        echo(Aligned(1), Aligned(2));
        echo([1_u64; 60], [2; 60]);
        echo([1_u8; 3000], [2; 3000]);
        echo(Some(Rc::new(3)), None);
    });
}

#[test]
fn each_value_is_dropped_once() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let (captured, sent, result) = (Drops::new(), Drops::new(), Drops::new());
        let make = || {
            let (captured, result) = (captured.token(), result.clone());
            Generator::new(move |y, first| {
                let _captured = captured;
                let mut value = first;
                for _ in 0..3 {
                    value = y.suspend(value);
                }
                drop(value);
                result.token()
            })
        };
        // Never resumed; suspended; finished.
        for (resumes, ended) in [(0, false), (2, false), (4, true)] {
            let mut generator = make();
            for _ in 0..resumes {
                generator.resume(sent.token());
            }
            assert_eq!(generator.is_finished(), ended);
            drop(generator);
        }
        assert_eq!((captured.count(), sent.count(), result.count()), (3, 6, 1));
    });
}

#[test]
fn a_panic_reaches_the_resumer_and_finishes() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut generator = gen_iter(move |y| {
            let _token = &token;
            y.suspend(1);
            panic!("expected: no more");
        });
        assert_eq!(generator.next(), Some(1));
        let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
        assert_eq!(message(payload), "expected: no more");
        assert!(!std::thread::panicking());
        assert_eq!(drops.count(), 1);
        assert!(generator.is_finished());
        assert_eq!(generator.next(), None);
    });
}

#[test]
fn a_finished_one_says_so() {
    let _watchdog = watchdog(30);
    crate::common::quiet_panics_that_say("a generator that has finished");
    everywhere(|| {
        let mut generator = Generator::new(|_: &Yielder<u8, u8>, first| first);
        assert_eq!(generator.resume(3), Complete(3));
        for _ in 0..2 {
            let payload = catch_unwind(AssertUnwindSafe(|| generator.resume(4))).unwrap_err();
            assert_eq!(message(payload), "a generator that has finished cannot be resumed");
        }
    });
}

/// `resume` takes it by `&mut`, so who shares one meets the cell's panic.
#[test]
fn one_that_resumes_itself_panics() {
    let _watchdog = watchdog(30);
    crate::common::quiet_panics_that_say("already borrowed");
    crate::common::quiet_panics_that_say("already mutably borrowed");
    everywhere(|| {
        let own: Rc<RefCell<Option<Generator<(), u8, ()>>>> = Rc::default();
        let again = own.clone();
        *own.borrow_mut() = Some(gen_iter(move |_| {
            again.borrow_mut().as_mut().unwrap().next();
        }));
        let payload =
            catch_unwind(AssertUnwindSafe(|| own.borrow_mut().as_mut().unwrap().next())).unwrap_err();
        assert!(message(payload).contains("borrowed"));
        assert!(own.borrow().as_ref().unwrap().is_finished());
        own.take();
    });
}

#[test]
fn thousands_at_once_and_one_inside_another() {
    let _watchdog = watchdog(60);
    everywhere(|| {
        let mut all: Vec<_> = (0..2000_u32)
            .map(|n| {
                gen_iter(move |y| {
                    let inner = gen_iter(move |y| (n..n + 100).for_each(|m| y.suspend(m)));
                    inner.for_each(|m| y.suspend(m * 2));
                })
            })
            .collect();
        for round in 0..3 {
            for (n, generator) in all.iter_mut().enumerate() {
                assert_eq!(generator.next(), Some((n as u32 + round) * 2));
            }
        }
        // In an order that is not that of their making.
        let (odd, even): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(n, _)| n % 2 == 1);
        drop(odd);
        for (n, mut generator) in even {
            assert_eq!(generator.next(), Some((n as u32 + 3) * 2));
        }
    });
}

#[test]
fn a_stack_as_large_as_asked_for() {
    let _watchdog = watchdog(60);
    fn deep(n: u32) -> u32 {
        let frame = black_box([n; 250]);
        if n == 0 { 0 } else { deep(n - 1) + frame[100] - n + 1 }
    }
    everywhere(|| {
        let mut large = Generator::with_stack_size(16 << 20, |y, ()| y.suspend(deep(4000)));
        assert_eq!(large.next(), Some(4000));
        let mut small = Generator::with_stack_size(1, |y, ()| y.suspend(deep(3)));
        assert_eq!(small.next(), Some(3));
    });
}

#[test]
fn one_that_cannot_have_a_stack_says_why() {
    let _watchdog = watchdog(30);
    crate::common::quiet_panics_that_say("there is no stack for a generator");
    let make = || drop(Generator::with_stack_size(1 << 60, |y: &Yielder<(), ()>, ()| y.suspend(())));
    assert!(message(catch_unwind(make).unwrap_err()).starts_with("there is no stack for a generator: "));
}

#[test]
fn a_forgotten_one_leaks_and_no_more() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let drops = Drops::new();
        for resumes in [0, 1] {
            let token = drops.token();
            let mut generator = gen_iter(move |y| {
                let _token = &token;
                y.suspend(1);
            });
            (0..resumes).for_each(|_| assert_eq!(generator.next(), Some(1)));
            std::mem::forget(generator);
        }
        assert_eq!(gen_iter(|y| y.suspend(2)).next(), Some(2));
        assert_eq!(drops.count(), 0);
    });
}

/// Guards the order of thread-locals' destructors: the generator's may run before and after that of the stacks.
#[test]
fn in_thread_locals_they_are_dropped_with_the_thread() {
    let _watchdog = watchdog(30);
    thread_local! {
        static BEFORE: RefCell<Vec<Generator<(), u8, ()>>> = const { RefCell::new(Vec::new()) };
        static AFTER: RefCell<Vec<Generator<(), u8, ()>>> = const { RefCell::new(Vec::new()) };
        static MAKER: Maker = const { Maker(Cell::new(None)) };
    }
    /// Makes and drops some when it is dropped.
    struct Maker(Cell<Option<Drops>>);

    impl Drop for Maker {
        fn drop(&mut self) {
            let drops = self.0.take().unwrap();
            for _ in 0..3 {
                let mut generator = suspended(&drops);
                assert_eq!(generator.next(), Some(2));
            }
        }
    }
    fn suspended(drops: &Drops) -> Generator<(), u8, ()> {
        let token = drops.token();
        let mut generator = gen_iter(move |y| {
            let _token = token;
            (1..100).for_each(|n| y.suspend(n));
        });
        assert_eq!(generator.next(), Some(1));
        generator
    }
    for _ in 0..20 {
        let drops = Drops::new();
        let inside = drops.clone();
        std::thread::spawn(move || {
            MAKER.with(|maker| maker.0.set(Some(inside.clone())));
            BEFORE.with_borrow_mut(|before| before.extend((0..3).map(|_| suspended(&inside))));
            AFTER.with_borrow_mut(|after| after.extend((0..40).map(|_| suspended(&inside))));
        })
        .join()
        .unwrap();
        assert_eq!(drops.count(), 46);
    }
}

#[test]
fn idle_stacks_are_given_back() {
    let _watchdog = watchdog(60);
    let finished = in_own_process("idle_stacks_are_given_back", || {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
        };
        let before = resident();
        let mut all: Vec<_> = (0..1000)
            .map(|_| {
                gen_iter(|y| {
                    black_box([1_u8; 30_000]);
                    y.suspend(());
                })
            })
            .collect();
        all.iter_mut().for_each(|generator| assert_eq!(generator.next(), Some(())));
        let most = resident() - before;
        drop(all);
        let left = resident().saturating_sub(before);
        assert!(most > 30_000 && left < 10_000, "{most} KiB, {left} KiB after their end");
    });
    finished.expect_success();
}

#[test]
fn overflows_are_reported() {
    let _watchdog = watchdog(60);
    fn endless(n: u64) -> u64 {
        let frame = black_box([n; 20]);
        if black_box(true) { endless(n + 1) + frame[3] } else { n }
    }
    let finished = in_own_process("overflows_are_reported", || {
        gen_iter(|y| y.suspend(endless(0))).next();
    });
    let (said, advice) = ("layby: a generator has overflowed its stack of ", "Generator::with_stack_size");
    assert!(finished.stderr.contains(said) && finished.stderr.contains(advice), "{}", finished.stderr);
    assert!(!finished.status.success());
}

#[test]
fn overflows_in_a_task_are_reported_with_the_task() {
    let _watchdog = watchdog(60);
    fn endless(n: u64) -> u64 {
        let frame = black_box([n; 20]);
        if black_box(true) { endless(n + 1) + frame[3] } else { n }
    }
    let finished = in_own_process("overflows_in_a_task_are_reported_with_the_task", || {
        layby::run(|| {
            let mut generator = Generator::with_stack_size(128 << 10, |y, ()| {
                y.suspend(1);
                layby::yield_now();
                y.suspend(endless(0));
            });
            assert_eq!(generator.next(), Some(1));
            layby::yield_now();
            generator.next();
        });
    });
    let said = "layby: a generator, resumed by task 'main' (#";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    assert!(
        finished.stderr.contains(" has overflowed its stack of 131072 bytes (128 KiB)"),
        "{}",
        finished.stderr
    );
}
