//! Seeded runs for tests: one worker, virtual time, an order of the tasks that a seed decides.
//!
//! A test of concurrent code passes or fails by the order in which its tasks happen to run, and by how long they
//! sleep. Here both come from a seed: the same seed gives the same run, another seed another order, and an hour's sleep
//! takes no time.
//!
//! ```
//! use layby::{go, testing};
//! use std::time::Duration;
//!
//! for seed in 0..20 {
//!     let winner = testing::run(seed, || {
//!         let slow = go!(|| layby::sleep(Duration::from_secs(10)));
//!         let fast = go!(|| layby::sleep(Duration::from_secs(1)));
//!         fast.join().unwrap();
//!         !slow.is_finished()
//!     });
//!     assert!(winner);
//! }
//! ```
//!
//! A run is repeatable as long as what it does is: real sockets, other threads, the real clock, the random order of std's
//! `HashMap` are not.

#![forbid(unsafe_code)]

use core::panic::Location;
use std::panic::resume_unwind;

use crate::sched::{self, Config, Ran};
use crate::spawn::{self, JoinError};
use crate::util::report;

/// Runs `f` as the root task of a runtime with one worker, virtual time, and all free choices by `seed`.
///
/// As [`run`](crate::run), except:
///
/// * The clock of [`sleep`](crate::sleep()), of all timeouts and of [`time::Instant`](crate::time::Instant) is virtual. It stands
///   still while code runs (a switch counts as 100 ns), and jumps to the next timer when every task waits.
/// * The task that runs next is chosen at random among those that are ready, by the seed.
/// * If every task waits and there is no timer, and no socket or [`unblock`](crate::unblock) is waited for, the run has failed: the
///   tasks are listed on stderr, cancelled, and driven to their end.
///
/// A run that fails prints its seed. With the environment variable `LAYBY_SEED` set, that is the seed, whatever `seed`
/// says.
///
/// # Panics
/// With the panic of `f`. If nothing can happen any more. Inside a task. If `LAYBY_SEED` is no number.
///
/// # Examples
/// ```
/// use layby::{go, testing, time::Instant};
/// use std::time::Duration;
///
/// testing::run(7, || {
///     let start = Instant::now();
///     let naps: Vec<_> = (0..100).map(|i| go!(move || layby::sleep(Duration::from_secs(i)))).collect();
///     for nap in naps {
///         nap.join().unwrap();
///     }
///     assert_eq!(start.elapsed().as_secs(), 99);
/// });
/// ```
/// A task that nobody will ever wake:
/// ```should_panic
/// layby::testing::run(7, || layby::task::park());
/// ```
#[track_caller]
pub fn run<F, T>(seed: u64, f: F) -> T
where
    F: FnOnce() -> T,
{
    let seed = seed_from_env().unwrap_or(seed);
    let place = Location::caller();
    let ran = Config::from_env().and_then(|mut config| {
        config.set_workers(1)?;
        config.seed = Some(seed);
        spawn::run_root(config, place, f)
    });
    let (ran, result) = ran.unwrap_or_else(|error| panic!("testing::run: {error}"));
    if ran == Ran::ToItsEnd && result.is_ok() {
        return result.unwrap_or_else(|_| unreachable!("just looked at"));
    }
    report!("testing::run at {place} has failed with seed {seed}; LAYBY_SEED={seed} repeats it");
    match result {
        // A panic of the body says more than that its tasks were stuck.
        Err(payload) if !payload.is::<JoinError>() => resume_unwind(payload),
        _ => {
            panic!("testing::run with seed {seed}: every task waits, and no timer is set (listed on stderr)")
        }
    }
}

/// The next random number of the seeded run that the caller is in: for choices of the test's own.
///
/// # Panics
/// Outside a seeded run.
///
/// # Examples
/// ```
/// use layby::testing;
///
/// let draw = |seed| testing::run(seed, || [testing::random(), testing::random()]);
/// assert_eq!(draw(1), draw(1));
/// assert_ne!(draw(1), draw(2));
/// ```
#[track_caller]
pub fn random() -> u64 {
    sched::sim().expect("testing::random is for tasks of a testing::run").random()
}

fn seed_from_env() -> Option<u64> {
    let text = std::env::var("LAYBY_SEED").ok()?;
    match text.trim().parse() {
        Ok(seed) => Some(seed),
        Err(error) => panic!("LAYBY_SEED is {text:?}, which is not a whole number: {error}"),
    }
}
