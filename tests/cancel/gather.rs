//! `gather!` and its relatives: order, borrowing, panics, limits. (Cancelling: `gather_cancel.rs`.)

use crate::common::{Drops, OnDrop, message, on, quiet_panics, quiet_panics_that_say, watchdog, workers};
use layby::time::Instant;
use layby::{gather, gather_limit, gather_local, gather_results, testing};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// `f` by some seeds, on a runtime of one worker, of several, and on a plain thread.
fn everywhere(f: impl Fn() + Send + Sync) {
    (0..5).for_each(|seed| testing::run(seed, &f));
    in_real_time(f);
}

fn in_real_time(f: impl Fn() + Send + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().unwrap());
}

#[test]
fn order_is_that_of_the_input_not_of_the_ends() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let wait = |ms| layby::sleep(Duration::from_millis(ms));
        let all = gather!(
            {
                wait(20);
                'a'
            },
            "b",
            {
                wait(10);
                String::from("c")
            },
            {
                layby::yield_now();
                4u8
            },
        );
        assert_eq!(all, ('a', "b", String::from("c"), 4));
        let numbers: Vec<u64> = gather((0..50).map(|i| {
            move || {
                wait((50 - i) % 7);
                i
            }
        }));
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
        let limited = gather_limit(
            4,
            (0..50).map(|i| {
                move || {
                    wait((50 - i) % 7);
                    i
                }
            }),
        );
        assert_eq!(limited, numbers);
        let results = gather_results((0..50).map(|i| {
            move || {
                wait((50 - i) % 7);
                i
            }
        }));
        assert_eq!(results.into_iter().map(Result::unwrap).collect::<Vec<_>>(), numbers);
    });
}

#[test]
fn they_run_concurrently() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        // Each waits for the others to have begun.
        let begun = AtomicUsize::new(0);
        let meet = || {
            begun.fetch_add(1, SeqCst);
            while begun.load(SeqCst) < 3 {
                layby::yield_now();
            }
        };
        let ((), (), ()) = gather!(meet(), meet(), meet());
        begun.store(0, SeqCst);
        gather([meet, meet, meet]);
        begun.store(0, SeqCst);
        gather_limit(3, [meet, meet, meet]);
    });
}

#[test]
fn borrowing() {
    let _watchdog = watchdog(30);
    everywhere(|| {
        let text = String::from("borrowed");
        let (mut a, mut b) = (vec![1], [0; 4]);
        let (x, y, z) = gather!(
            {
                layby::yield_now();
                a.push(2);
                a.len()
            },
            {
                b[0] = 7;
                layby::sleep(Duration::from_millis(1));
                &text[..3]
            },
            text.len(),
        );
        assert_eq!((x, y, z), (2, "bor", 8));
        assert_eq!((a, b), (vec![1, 2], [7, 0, 0, 0]));
        let mut parts = [0u32; 100];
        gather(parts.iter_mut().enumerate().map(|(i, part)| {
            move || {
                layby::yield_now();
                *part = i as u32
            }
        }));
        assert!(parts.iter().enumerate().all(|(i, part)| *part == i as u32));
        let mut halves = [1u8; 8];
        let (left, right) = halves.split_at_mut(4);
        let ((), ()) = gather!(left.fill(2), right.fill(3));
        assert_eq!(halves, [2, 2, 2, 2, 3, 3, 3, 3]);
        // References out of it.
        let words = ["x", "yy", "zzz"];
        let found: Vec<&&str> = gather(words.iter().map(|word| move || word));
        assert_eq!(found, [&"x", &"yy", &"zzz"]);
    });
}

#[test]
fn question_mark_and_return_belong_to_the_expression() {
    let _watchdog = watchdog(20);
    fn parse(a: &str, b: &str) -> (Result<i32, std::num::ParseIntError>, Option<u8>) {
        let pair = gather!(
            {
                let n: i32 = a.parse()?;
                Ok(n * 2)
            },
            {
                if b.is_empty() {
                    return None;
                }
                let first = b.bytes().next()?;
                Some(first)
            },
        );
        assert_eq!(a.len(), pair.0.as_ref().map_or(1, |n| (n / 2).to_string().len()));
        pair
    }
    everywhere(|| {
        assert_eq!(parse("21", "z"), (Ok(42), Some(b'z')));
        let (number, byte) = parse("q", "");
        assert!(number.is_err() && byte.is_none());
    });
}

#[test]
fn from_none_to_sixteen() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        #[allow(clippy::let_unit_value)]
        let nothing: () = gather!();
        let () = nothing;
        assert_eq!(gather!(1), (1,));
        assert_eq!(gather!(1,), (1,));
        let all = gather!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        // Tuples of more than 12 cannot be compared.
        assert_eq!((all.0, all.7, all.14, all.15), (0, 7, 14, 15));
        let none: [fn() -> i32; 0] = [];
        assert!(gather(none).is_empty());
        assert!(gather_results(none).is_empty());
        assert!(gather_limit(1, none).is_empty());
    });
}

#[test]
fn nested() {
    let _watchdog = watchdog(30);
    fn fib(n: u32) -> u32 {
        if n < 2 {
            return n;
        }
        let (a, b) = gather!(fib(n - 1), fib(n - 2));
        a + b
    }
    everywhere(|| {
        assert_eq!(fib(12), 144);
        let sums =
            gather((0..20).map(|i| move || gather((0..20).map(|j| move || i * j)).into_iter().sum::<i32>()));
        assert_eq!(sums.iter().sum::<i32>(), 190 * 190);
    });
}

#[test]
fn ten_thousand() {
    let _watchdog = watchdog(60);
    // A choice by seed looks through all that are ready.
    in_real_time(|| {
        let count = AtomicUsize::new(0);
        let all = gather((0..10_000usize).map(|i| {
            let count = &count;
            move || {
                count.fetch_add(1, SeqCst);
                layby::yield_now();
                i
            }
        }));
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().enumerate().all(|(i, value)| i == *value));
        assert_eq!(count.load(SeqCst), 10_000);
    });
}

#[test]
fn local_ones_stay_here_and_need_not_be_send() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let shared = Rc::new(Cell::new(0));
            let thread = std::thread::current().id();
            let step = |by: i32| {
                for _ in 0..by {
                    layby::yield_now();
                    shared.set(shared.get() + 1);
                }
                assert_eq!(std::thread::current().id(), thread);
                shared.clone()
            };
            let (a, _b, _c) = gather_local!(step(1), step(2), step(3));
            assert_eq!((a.get(), Rc::strong_count(&shared)), (6, 4));
            assert_eq!(gather_local!(), ());
            let mut x = 1;
            let (y,) = gather_local!({
                x += 1;
                x
            });
            assert_eq!((x, y), (2, 2));
        });
    }
    quiet_panics_that_say("gather_local! on a thread");
    let caught = catch_unwind(|| gather_local!(1, 2));
    assert!(message(caught.unwrap_err()).contains("gather_local!"));
}

#[test]
fn a_panic_comes_when_all_have_ended_and_the_first_in_order_wins() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        let ended = AtomicUsize::new(0);
        let slow = || {
            layby::sleep(Duration::from_millis(10));
            ended.fetch_add(1, SeqCst);
        };
        let caught = catch_unwind(AssertUnwindSafe(|| {
            gather!(
                slow(),
                {
                    layby::sleep(Duration::from_millis(5));
                    panic!("expected: first in order")
                },
                panic!("expected: first in time"),
                slow(),
            )
        }));
        assert_eq!(message(caught.map(|_: ((), (), (), ())| ()).unwrap_err()), "expected: first in order");
        assert_eq!(ended.load(SeqCst), 2);
        for limit in [0, 2] {
            let closures = (0..10).map(|i| {
                let ended = &ended;
                move || {
                    layby::sleep(Duration::from_millis(10 - i));
                    assert!(i != 3 && i != 7, "expected: {i}");
                    ended.fetch_add(1, SeqCst);
                }
            });
            ended.store(0, SeqCst);
            let caught = catch_unwind(AssertUnwindSafe(|| match limit {
                0 => gather(closures),
                _ => gather_limit(limit, closures),
            }));
            assert_eq!(message(caught.unwrap_err()), "expected: 3");
            assert_eq!(ended.load(SeqCst), 8);
        }
        let results = gather_results((0..4).map(|i| move || assert!(i != 2, "expected: {i}")));
        let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, true, false, true]);
        assert!(results[2].as_ref().unwrap_err().to_string().contains("expected: 2"));
    });
}

#[test]
fn results_of_the_others_are_dropped_once_when_one_panics() {
    let _watchdog = watchdog(20);
    quiet_panics();
    everywhere(|| {
        let drops = Drops::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            gather((0..10).map(|i| {
                let token = drops.token();
                move || {
                    assert!(i != 5, "expected");
                    token
                }
            }))
        }));
        assert!(caught.is_err());
        assert_eq!(drops.count(), 10);
    });
}

#[test]
fn an_iterator_that_panics() {
    let _watchdog = watchdog(20);
    quiet_panics();
    everywhere(|| {
        let drops = Drops::new();
        for limit in [None, Some(2), Some(100)] {
            let before = drops.count();
            let closures = (0..10).map(|i| {
                assert!(i < 4, "expected: the iterator's");
                let token = drops.token();
                move || {
                    let _token = token;
                    layby::sleep(Duration::from_millis(1));
                }
            });
            let caught = catch_unwind(AssertUnwindSafe(|| match limit {
                None => gather(closures),
                Some(limit) => gather_limit(limit, closures),
            }));
            assert_eq!(message(caught.unwrap_err()), "expected: the iterator's");
            assert_eq!(drops.count() - before, 4);
        }
    });
}

#[test]
fn the_limit_is_reached_and_never_exceeded() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere(|| {
        for limit in [1, 3, 10, 1000] {
            let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let asked = Cell::new(0);
            let results = gather_limit(
                limit,
                (0..100usize).map(|i| {
                    asked.set(asked.get() + 1);
                    let (running, most) = (&running, &most);
                    move || {
                        most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                        let _out = OnDrop(|| {
                            running.fetch_sub(1, SeqCst);
                        });
                        for _ in 0..i % 3 {
                            layby::yield_now();
                        }
                        i
                    }
                }),
            );
            assert_eq!(results.len(), 100);
            assert!(most.load(SeqCst) <= limit, "{most:?} of {limit}");
            assert_eq!(running.load(SeqCst), 0);
        }
    });
    quiet_panics_that_say("a limit of 0");
    assert!(catch_unwind(|| gather_limit(0, [|| ()])).is_err());
    // What has panicked makes room, too.
    let caught = catch_unwind(|| gather_limit(2, (0..20).map(|_| || panic!("expected"))));
    assert!(caught.map(|_: Vec<()>| ()).is_err());
}

#[test]
fn ten_sleeps_take_as_long_as_one() {
    let _watchdog = watchdog(30);
    for seed in 0..20 {
        testing::run(seed, || {
            let start = Instant::now();
            gather((0..50).map(|_| || layby::sleep(Duration::from_millis(100))));
            assert_eq!(start.elapsed().as_millis(), 100);
        });
    }
}
