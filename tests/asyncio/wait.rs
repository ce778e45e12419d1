//! `Group::wait_until` and `try_next`, `as_completed`: asyncio's `wait` and `as_completed`.

use crate::common::{Drops, on, quiet_panics, watchdog, workers};
use layby::task::{Group, as_completed};
use layby::{JoinError, go, sleep, testing, timeout, yield_now};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

fn after(seconds: u32) -> impl FnOnce() -> u32 + Send + 'static {
    move || {
        sleep(seconds * S);
        assert!(!seconds.is_multiple_of(10), "expected of {seconds}");
        seconds
    }
}

fn values(results: Vec<Result<u32, JoinError>>) -> Vec<Option<u32>> {
    results.into_iter().map(Result::ok).collect()
}

/// Each kind of asyncio's `return_when`, as in its `test_wait_first_completed`, `test_wait_first_exception`, `test_wait_really_done`.
#[test]
fn until_the_first_the_first_failure_and_all() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for seed in 0..50 {
        testing::run(seed, || {
            let mut group = as_completed([3, 1, 20, 2, 40, 50].map(after));
            assert_eq!(values(group.wait_until(|_| true)), [Some(1)]);
            assert_eq!(values(group.wait_until(Result::is_err)), [Some(2), Some(3), None]);
            assert_eq!(group.len(), 2);
            assert_eq!(values(group.wait_until(|_| false)), [None, None]);
            assert!(group.is_empty() && group.wait_until(|_| true).is_empty());
            // Those that have ended meanwhile come along (test_wait_really_done).
            go!(group, after(1));
            go!(group, after(2));
            go!(group, after(9));
            sleep(3 * S);
            assert_eq!(values(group.wait_until(|_| true)), [Some(1), Some(2)]);
            assert_eq!(values(group.join_all()), [Some(9)]);
        });
    }
}

#[test]
fn nothing_is_lost_by_a_wait_that_is_cut_short() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for seed in 0..50 {
        testing::run(seed, || {
            let mut group = as_completed([1, 2, 4].map(after));
            assert!(timeout(3 * S, || group.wait_until(|_| false)).is_err());
            assert_eq!((group.len(), group.is_empty()), (3, false));
            // The predicate may panic, at the first of those that are kept.
            let panics = std::panic::AssertUnwindSafe(|| group.wait_until(|_| panic!("expected")));
            assert!(std::panic::catch_unwind(panics).is_err());
            assert_eq!(group.try_next().unwrap().unwrap(), 1);
            assert_eq!(group.next().unwrap().unwrap(), 2);
            assert!(group.try_next().is_none());
            assert_eq!(values(group.join_all()), [Some(4)]);
        });
    }
}

/// `try_next` takes results whose bells have rung, or have not; `next` after it does not take those for its own.
#[test]
fn looking_and_waiting_in_turn() {
    let _watchdog = watchdog(60);
    let story = || {
        let mut group = Group::new();
        let (mut taken, mut spawned) = (0, 0);
        for round in 0..200 {
            for _ in 0..round % 4 {
                let n = spawned;
                group.spawn(move || {
                    (0..n % 3).for_each(|_| yield_now());
                    n
                });
                spawned += 1;
            }
            taken += usize::from(group.try_next().is_some());
            if round % 3 == 0 {
                yield_now();
                taken += usize::from(group.try_next().is_some());
            }
            if round % 5 == 0 {
                taken += usize::from(group.next().is_some());
            }
            assert_eq!(group.len(), spawned - taken);
        }
        assert_eq!(group.join_all().len(), spawned - taken);
    };
    for seed in 0..50 {
        testing::run(seed, story);
    }
    for n in workers() {
        on(n, story);
    }
}

/// Of asyncio's: an iterator that is left early (here: dropped) leaves nobody waiting; layby cancels the others.
#[test]
fn as_completed_is_an_iterator_and_ends_the_rest() {
    let _watchdog = watchdog(60);
    for seed in 0..20 {
        testing::run(seed, || {
            let drops = Drops::new();
            let tasks = [3u32, 1, 2].map(|seconds| {
                let token = drops.token();
                move || {
                    let _token = token;
                    sleep(seconds * S);
                    seconds
                }
            });
            let mut order = as_completed(tasks);
            assert_eq!(order.size_hint(), (3, Some(3)));
            assert_eq!(order.next().unwrap().unwrap(), 1);
            drop(order);
            sleep(Duration::from_millis(1));
            assert_eq!(drops.count(), 3);
            assert_eq!(as_completed(Vec::<fn() -> u32>::new()).count(), 0);
        });
    }
}
