//! Seeded runs for tests: one worker, virtual time, an order of the tasks that a seed decides; and connections in memory.
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
//! * [`run`] is one run, by one seed. [`explore()`] and [`Explore`] run many, to find the order in which a test fails, and say how to have
//!   it again.
//! * [`stream_pair`], [`Link`] and [`Network`] are connections in memory, for code that is generic over its streams. They are as
//!   slow and as bad as the test wants them.
//!
//! A run is repeatable as long as what it does is: real sockets, other threads, the real clock, the random order of std's
//! `HashMap` are not.

#![forbid(unsafe_code)]

mod attempt;
mod bells;
mod datagram;
mod explore;
mod lane;
mod link;
mod network;
mod stream;

pub use self::datagram::Datagrams;
pub use self::explore::{Explore, Explored, Failure, explore};
pub use self::link::Link;
pub use self::network::{Incoming, Listener, Network};
pub use self::stream::{Stream, stream_pair};
pub use crate::sched::{ParseSeedError, Seed, Strategy};

use core::panic::Location;

use self::attempt::{attempt, how_to_repeat, seed_from_env};
use crate::sched;
use crate::util::report;

/// Runs `f` as the root task of a runtime with one worker, virtual time, and all free choices by `seed`.
///
/// As [`run`](crate::run), except:
///
/// * The clock of [`sleep`](crate::sleep()), of all timeouts and of [`time::Instant`](crate::time::Instant) is virtual. It stands
///   still while code runs (a switch counts as 100 ns), and jumps to the next timer when every task waits.
/// * The task that runs next is chosen among those that are ready by the seed; and at a suspension point that need not wait (an
///   uncontended lock, a message that is there) others may come first, by the seed, too.
/// * If every task waits and there is no timer, and no socket or [`unblock`](crate::unblock) is waited for, the run has failed: the
///   tasks are listed on stderr, cancelled, and driven to their end.
///
/// A run that fails prints its seed, and how to repeat it. With the environment variable `LAYBY_SEED` set, that is the seed,
/// whatever `seed` says. A number stands for a random walk; see [`Seed`] for others, and [`explore()`] for running many.
///
/// # Panics
/// With the panic of `f`. If nothing can happen any more. Inside a task. If `LAYBY_SEED` is no seed.
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
pub fn run<F, T>(seed: impl Into<Seed>, f: F) -> T
where
    F: FnOnce() -> T,
{
    let seed = seed_from_env().unwrap_or_else(|| seed.into());
    let place = Location::caller();
    attempt(seed, place, f).result.unwrap_or_else(|fault| {
        report!("testing::run at {place} has failed with seed {seed}; to repeat it: {}", how_to_repeat(seed));
        fault.raise(seed)
    })
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
