//! `race`, `race!`, `try_gather`, `try_gather!` and `Group`.

#![allow(clippy::unit_arg, reason = "`Ok(sleep(…))` says what is meant")]

use crate::common::{
    Drops, OnDrop, everywhere_and_seeded, message, on, quiet_panics, seeded, watchdog, workers,
};
use layby::task::{self, Group};
use layby::{go, race, sleep, testing, timeout, try_gather};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const SEC: Duration = Duration::from_secs(1);
const FOREVER: Duration = Duration::MAX;

/// tokio, macros_select.rs: `one_ready`; JDK 21, StructuredTaskScopeTest: `testShutdownOnSuccess2` to `4` (but a failure is a finish, too).
#[test]
fn the_first_wins_and_the_others_have_ended() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let winner = race((0..20).map(|i| {
            let drops = &drops;
            move || {
                let _token = drops.token();
                if i != 13 {
                    sleep(FOREVER);
                }
                i
            }
        }));
        assert_eq!(winner, 13);
        // Those that were cancelled before they started made none.
        let name = String::from("abc");
        let value = race!(
            {
                let _token = drops.token();
                sleep(FOREVER);
                1
            },
            name.len(),
            {
                task::park_timeout(FOREVER);
                2
            },
        );
        assert_eq!(value, 3);
        assert_eq!(race!(4), 4);
        assert!(drops.count() >= 1);
    });
}

#[test]
fn by_time() {
    let _watchdog = watchdog(30);
    seeded(|| {
        let start = layby::time::Instant::now();
        let drops = Drops::new();
        let winner = race([3, 1, 2].map(|i| {
            let token = drops.token();
            move || {
                let _token = token;
                let _slow = OnDrop(|| sleep(SEC)); // a loser that takes its time is waited for
                sleep(i * SEC);
                i
            }
        }));
        assert_eq!((winner, drops.count()), (1, 3));
        assert_eq!(start.elapsed().as_secs(), 3); // the winner's own destructor, then the losers'
    });
}

#[test]
fn panics_and_a_race_of_nobody() {
    let _watchdog = watchdog(30);
    quiet_panics();
    crate::common::quiet_panics_that_say("a race of nobody");
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            race!(
                {
                    let _token = drops.token();
                    sleep(FOREVER);
                    1
                },
                panic!("expected: first"),
            )
        }));
        assert_eq!(message(caught.map(drop).unwrap_err()), "expected: first");
        assert!(catch_unwind(|| race(Vec::<fn()>::new())).is_err());
    });
    // A loser's panic takes the place of the value.
    seeded(|| {
        let caught = catch_unwind(|| {
            race!(
                {
                    let _ = catch_unwind(|| sleep(FOREVER));
                    panic!("expected: loser")
                },
                {
                    sleep(SEC);
                    1
                },
            )
        });
        assert_eq!(message(caught.map(drop).unwrap_err()), "expected: loser");
    });
}

#[test]
fn cancelled_and_timed_out_with_their_caller() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let drops = Drops::new();
        let limit = Duration::from_millis(5);
        let lanes = |_| {
            || {
                let _token = drops.token();
                sleep(FOREVER);
                Ok::<_, ()>(())
            }
        };
        assert!(timeout(limit, || race((0..5).map(lanes))).is_err());
        let raced = drops.count();
        assert!(timeout(limit, || try_gather((0..5).map(lanes))).is_err());
        assert!(raced <= 5 && drops.count() <= 10);
    });
    seeded(|| {
        let drops = Drops::new();
        let tokens = drops.clone();
        let task = go!(move || race!(
            {
                let _token = tokens.token();
                sleep(FOREVER);
            },
            sleep(FOREVER),
        ));
        sleep(SEC);
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 1);
    });
}

/// tokio, macros_try_join.rs: `err_abort_early`; JDK 21: `testShutdownOnFailure3`; asyncio's `gather` cancels nobody.
#[test]
fn try_gather_returns_all_or_the_first_error() {
    let _watchdog = watchdog(30);
    everywhere_and_seeded(|| {
        let numbers = [1, 2, 3];
        assert_eq!(try_gather(numbers.iter().map(|n| move || Ok::<_, ()>(n * n))), Ok(vec![1, 4, 9]));
        assert_eq!(try_gather(Vec::<fn() -> Result<u8, ()>>::new()), Ok(vec![]));
        let text = String::from("12");
        let both = layby::try_gather!(text.parse::<u32>(), {
            layby::yield_now();
            Ok(text.len())
        });
        assert_eq!(both, Ok((12, 2)));
        let failed = try_gather((0..10).map(|i| {
            move || {
                if i == 7 {
                    return Err(i);
                }
                sleep(FOREVER);
                Ok(())
            }
        }));
        assert_eq!(failed, Err(7));
        let failed: Result<((), u8), _> = layby::try_gather!(Ok(sleep(FOREVER)), Err("no"));
        assert_eq!(failed, Err("no"));
    });
    seeded(|| {
        // The first by time, not by place.
        let failed = try_gather([3, 1, 2].map(|i| {
            move || {
                sleep(i * SEC);
                Err::<(), _>(i)
            }
        }));
        assert_eq!(failed, Err(1));
    });
}

#[test]
fn a_panic_in_try_gather_cancels_the_others_and_goes_on() {
    let _watchdog = watchdog(30);
    quiet_panics();
    everywhere_and_seeded(|| {
        let caught = catch_unwind(|| -> Result<((), ()), ()> {
            layby::try_gather!(Ok(sleep(FOREVER)), panic!("expected: child"))
        });
        assert_eq!(message(caught.map(drop).unwrap_err()), "expected: child");
    });
}

/// tokio, task_join_set.rs: `test_with_sleep`, `alternating`, `abort_tasks`, `abort_all`, `task_panics`, `join_all`.
#[test]
fn group_gives_results_in_order_of_their_ends() {
    let _watchdog = watchdog(30);
    seeded(|| {
        let mut group = Group::new();
        assert!(group.next().is_none());
        for i in [5_u32, 1, 3] {
            go!(group, move || {
                sleep(i * SEC);
                i
            });
        }
        assert_eq!(group.len(), 3);
        assert_eq!(group.next().unwrap().unwrap(), 1);
        go!(group, || 10);
        let rest: Vec<_> = group.join_all().into_iter().map(Result::unwrap).collect();
        assert_eq!(rest, [10, 3, 5]);
    });
    quiet_panics();
    for n in workers() {
        on(n, || {
            let mut group = Group::new();
            for i in 0..100 {
                group.spawn(move || if i % 10 == 0 { panic!("expected: {i}") } else { i });
            }
            let results: Vec<_> = group.by_ref().collect();
            assert_eq!(results.iter().filter(|result| result.is_err()).count(), 10);
            assert_eq!(results.into_iter().flatten().sum::<i32>(), 4950 - 450);
            assert!(group.is_empty() && group.next().is_none());
            // Cancelled: some of them before they start.
            for _ in 0..50 {
                group.spawn(|| {
                    sleep(FOREVER);
                    1
                });
            }
            group.cancel_all();
            assert!(group.join_all().into_iter().all(|result| result.unwrap_err().is_cancelled()));
        });
    }
}

/// tokio, task_join_set.rs: `test_abort_on_drop`.
#[test]
fn a_group_that_is_dropped_cancels_and_one_that_times_out_loses_nothing() {
    let _watchdog = watchdog(30);
    seeded(|| {
        let drops = Drops::new();
        let mut group = Group::new();
        for i in 1..=4 {
            let token = drops.token();
            group.spawn(move || {
                let _token = token;
                sleep(i * SEC);
                i
            });
        }
        let mut seen = Vec::new();
        while seen.len() < 3 {
            // Cut short again and again, at the very moment that a task ends, too.
            let wait = Duration::from_nanos(testing::random() % 2_000_000_000);
            if let Ok(Some(result)) = timeout(wait, || group.next()) {
                seen.push(result.unwrap());
            }
        }
        assert_eq!(seen, [1, 2, 3]);
        drop(group);
        layby::yield_now();
        sleep(Duration::from_millis(1));
        assert_eq!(drops.count(), 4);
    });
}

#[test]
fn groups_and_races_of_many() {
    let _watchdog = watchdog(60);
    on(4, || {
        let won = AtomicUsize::new(0);
        for round in 0..200 {
            let winner = race((0..4).map(|i| {
                move || {
                    (0..(i + round) % 3).for_each(|_| layby::yield_now());
                    i
                }
            }));
            won.fetch_add(winner, SeqCst);
        }
        assert!(won.load(SeqCst) <= 600);
    });
}

/// tokio, task_join_set.rs: `runtime_gone`: the tasks say that they were cancelled.
#[test]
fn a_group_outlives_its_runtime() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let mut group = Group::new();
        on(n, || {
            for _ in 0..10 {
                group.spawn(|| sleep(FOREVER));
            }
            layby::yield_now();
        });
        assert_eq!(group.len(), 10);
        assert!(group.next().unwrap().unwrap_err().is_cancelled());
        assert!(group.join_all().into_iter().all(|result| result.unwrap_err().is_cancelled()));
    }
}
