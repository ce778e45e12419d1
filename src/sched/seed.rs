//! What a seeded run goes by: a number, and how the number chooses.

#![forbid(unsafe_code)]

use core::fmt;
use core::str::FromStr;
use std::error::Error;

/// How a seeded run chooses which task runs next, and where one gives way.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// A random walk: of the tasks that are ready any, with the same chance. At a suspension point that need not wait a task
    /// gives way one time in 2, 4, 16 or 64, which of these by the seed.
    #[default]
    Random,
    /// Probabilistic concurrency testing: each task has a priority by chance, and of those that are ready the highest runs. At
    /// `depth - 1` moments the one that would run next falls below the others.
    ///
    /// A bug that takes `depth` events in a certain order, of `n` tasks, is found with a chance of at least
    /// 1 in `n` · `steps`<sup>`depth - 1`</sup>, however unlikely it is in a random walk. Most bugs have a depth of 1 to 3. (Burckhardt, Kothari,
    /// Musuvathi, Nagarakatte: *A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs*, 2010.)
    ///
    /// A task that calls [`yield_now`](crate::yield_now()), or goes on for 10,000 steps, falls below all others: else one that waits for
    /// them by asking again and again would run for ever.
    Pct {
        /// How many events must be in order: 1 for bugs that the priorities alone bring out. Not 0.
        depth: u32,
        /// Among how many of the run's first choices the moments are. 0: [`Explore`](crate::testing::Explore) takes as many as
        /// the longest schedule had so far; others 1,000.
        steps: u32,
    },
}

/// What makes a seeded run the one that it is: a number, and the [`Strategy`] that it stands for.
///
/// A number alone stands for a [random](Strategy::Random) walk. Written, and in `LAYBY_SEED`, it is `42`, or
/// `pct3/500:42` for the 42nd run by [`Strategy::Pct`] of depth 3 and 500 steps (`pct3:42`: of 1,000).
///
/// # Examples
/// ```
/// use layby::testing::{Seed, Strategy};
///
/// let seed: Seed = "pct3/500:42".parse()?;
/// assert_eq!(seed, Seed { strategy: Strategy::Pct { depth: 3, steps: 500 }, number: 42 });
/// assert_eq!(seed.to_string(), "pct3/500:42");
/// assert_eq!(Seed::from(7).to_string(), "7");
/// # Ok::<(), layby::testing::ParseSeedError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seed {
    /// How the number chooses.
    pub strategy: Strategy,
    /// The number.
    pub number: u64,
}

/// A text is no [`Seed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSeedError(());

/// Where [`Strategy::Pct`] does not say.
pub(super) const USUAL_STEPS: u32 = 1_000;

impl From<u64> for Seed {
    fn from(number: u64) -> Seed {
        Seed { strategy: Strategy::Random, number }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.strategy {
            Strategy::Random => {}
            Strategy::Pct { depth, steps: 0 } => write!(f, "pct{depth}:")?,
            Strategy::Pct { depth, steps } => write!(f, "pct{depth}/{steps}:")?,
        }
        write!(f, "{}", self.number)
    }
}

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(text: &str) -> Result<Seed, ParseSeedError> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ParseSeedError(()));
        let small = |text: &str| text.parse::<u32>().map_err(|_| ParseSeedError(()));
        let Some((strategy, seed)) = text.trim().split_once(':') else {
            return Ok(Seed::from(number(text.trim())?));
        };
        let pct = strategy.strip_prefix("pct").ok_or(ParseSeedError(()))?;
        let (depth, steps) = match pct.split_once('/') {
            Some((depth, steps)) => (small(depth)?, small(steps)?),
            None => (small(pct)?, 0),
        };
        if depth == 0 {
            return Err(ParseSeedError(()));
        }
        Ok(Seed { strategy: Strategy::Pct { depth, steps }, number: number(seed)? })
    }
}

impl fmt::Display for ParseSeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a seed is a whole number, or one after pctDEPTH: or pctDEPTH/STEPS:, as in pct3/500:42")
    }
}

impl Error for ParseSeedError {}
