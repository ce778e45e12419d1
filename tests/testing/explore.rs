//! Many seeds: bugs are found, a failing seed repeats its failure, and what is right passes.

use crate::bugs::BUGS;
use crate::common::{is_child, message, quiet_panics, quiet_panics_that_say, watchdog, yield_until};
use layby::sync::Mutex;
use layby::testing::{self, Explore, Seed, Strategy};
use layby::{go, scope, task};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const PCT: Strategy = Strategy::Pct { depth: 3, steps: 0 };

/// By each strategy alone, the usual ones, and from other first seeds.
fn explorations() -> Vec<Explore> {
    let random = Explore::new().strategy(Strategy::Random);
    let mut all = vec![random, Explore::new().strategy(PCT)];
    all.extend((1..6).map(|n| Explore::new().first_seed(1_000 * n)));
    all
}

#[test]
fn classic_bugs_are_found_and_repeated() {
    let _watchdog = watchdog(60);
    quiet_panics_that_say("2 seats");
    for (name, test) in BUGS {
        for exploration in explorations() {
            let failure = exploration.find(|| test(false));
            let failure = failure.unwrap_or_else(|| panic!("{name}: not found in 100 schedules"));
            assert!(failure.schedules() <= 100);
            let seed = failure.seed();
            for _ in 0..2 {
                let again = catch_unwind(|| testing::run(seed, || test(false)));
                assert_eq!(message(again.unwrap_err()), failure.message(), "{name}: {failure:?}");
            }
            let parsed: Seed = failure.seed().to_string().parse().unwrap();
            assert_eq!(parsed, failure.seed());
        }
    }
}

#[test]
fn what_is_mended_passes() {
    let _watchdog = watchdog(60);
    for (_, test) in BUGS {
        for exploration in explorations().into_iter().take(3) {
            let explored = exploration.run(|| test(true));
            assert_eq!(explored.schedules(), 100);
            assert!(explored.is_repeatable());
        }
    }
}

/// Without the yields that the seed puts in, nothing here would ever be held up between the two locks.
#[test]
fn uncontended_locks_interleave() {
    let _watchdog = watchdog(30);
    let failure = Explore::new().find(|| {
        let count = Mutex::new(0);
        scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    let before = *count.lock().unwrap();
                    *count.lock().unwrap() = before + 1;
                });
            }
        });
        assert_eq!(count.into_inner().unwrap(), 2, "expected");
    });
    assert!(failure.is_some());
}

/// One task must stand still while another does a thousand steps. A random walk has a chance of about nothing.
#[test]
fn priorities_find_what_a_random_walk_does_not() {
    let _watchdog = watchdog(30);
    quiet_panics();
    let far_behind = || {
        let (steps, lock) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(())));
        let (counted, other) = (steps.clone(), lock.clone());
        let long = go!(move || {
            for _ in 0..3_000 {
                drop(other.lock());
                counted.fetch_add(1, SeqCst);
            }
        });
        let short = go!(move || {
            drop(lock.lock());
            drop(lock.lock());
            steps.load(SeqCst)
        });
        let seen = short.join().unwrap();
        long.join().unwrap();
        assert!(seen < 3_000, "expected");
    };
    let random = Explore::new().seeds(20).strategy(Strategy::Random);
    assert!(random.find(far_behind).is_none());
    let pct = Explore::new().seeds(20).strategy(Strategy::Pct { depth: 1, steps: 0 });
    assert!(pct.find(far_behind).is_some());
}

/// The highest priority must not run for ever.
#[test]
fn who_yields_until_something_happens_lets_it_happen() {
    let _watchdog = watchdog(30);
    Explore::new().strategy(PCT).run(|| {
        let done = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let tasks: Vec<_> = (0..2)
            .map(|i| {
                let done = done.clone();
                go!(move || {
                    layby::sleep(Duration::from_micros(20));
                    done[i].store(true, SeqCst);
                    yield_until(|| done[1 - i].load(SeqCst));
                })
            })
            .collect();
        yield_until(|| done.iter().all(|done| done.load(SeqCst)));
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

/// Timers have a grain: whether two fire in the same moment must not depend on when the run began.
#[test]
fn timers_are_repeatable() {
    let _watchdog = watchdog(30);
    for first in 0..20 {
        let explored = Explore::new().first_seed(first).seeds(2).run(|| {
            let naps: Vec<_> = (0..50)
                .map(|_| {
                    let nap = Duration::from_nanos(testing::random() % 100_000);
                    go!(move || layby::sleep(nap))
                })
                .collect();
            naps.into_iter().for_each(|nap| nap.join().unwrap());
        });
        assert!(explored.is_repeatable(), "seed {first}");
    }
}

#[test]
fn a_test_that_takes_something_from_outside_is_not_repeatable() {
    let _watchdog = watchdog(30);
    let runs = AtomicU64::new(0);
    let explored = Explore::new().seeds(2).run(|| {
        for _ in 0..runs.fetch_add(1, SeqCst) {
            task::yield_now();
        }
    });
    assert!(!explored.is_repeatable());
}

#[test]
fn seeds_are_read_as_they_are_written() {
    for text in ["0", "18446744073709551615", "pct1:0", "pct3/500:42"] {
        let seed: Seed = text.parse().unwrap();
        assert_eq!(seed.to_string(), text);
    }
    for text in ["", "x", "-1", "pct0:1", "pct:1", "pct3/:1", "pct3/5", "random:1", "pct3/5:"] {
        assert!(text.parse::<Seed>().is_err(), "{text:?}");
    }
}

/// The report names what to type, and that does it.
#[test]
fn the_printed_seed_repeats_the_failure() {
    let _watchdog = watchdog(60);
    const NAME: &str = "explore::the_printed_seed_repeats_the_failure";
    if is_child() {
        let schedules = AtomicU64::new(0);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            testing::explore(200, || {
                schedules.fetch_add(1, SeqCst);
                let drawn = testing::random();
                assert!(!drawn.is_multiple_of(16), "drawn: {drawn}");
            });
        }));
        println!("schedules: {schedules:?}, message: {}", message(failed.unwrap_err()));
        return;
    }
    let run = |seed: Option<&str>| {
        // With one test thread the test would be on "main", and its name unknown.
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture", "--test-threads=2"]);
        command.env("LAYBY_TEST_CHILD", NAME).env("RUST_BACKTRACE", "0").env_remove("LAYBY_SEED");
        seed.map(|seed| command.env("LAYBY_SEED", seed));
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let line = out.lines().find_map(|line| line.split_once("schedules: ")).map(|line| line.1.to_owned());
        (line, err)
    };
    let (first, err) = run(None);
    let first = first.unwrap_or_else(|| panic!("{err}"));
    let (_, repeat) = err.split_once("to repeat it: LAYBY_SEED=").unwrap_or_else(|| panic!("{err}"));
    let (seed, rest) = repeat.split_once(' ').unwrap();
    assert!(rest.starts_with("cargo test "), "{repeat}");
    let (again, err) = run(Some(seed));
    let again = again.unwrap_or_else(|| panic!("{err}"));
    assert!(again.starts_with("1,"), "{again}");
    let drawn = |line: &str| line.split_once("message: ").unwrap().1.to_owned();
    assert_eq!(drawn(&first), drawn(&again));
    let (_, err) = run(Some("nonsense"));
    assert!(err.contains("LAYBY_SEED is \"nonsense\""), "{err}");
}
