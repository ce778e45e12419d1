//! Many seeds, until one fails.

use core::any::Any;
use core::fmt;
use core::panic::Location;

use super::attempt::{Attempt, Fault, attempt, how_to_repeat, seed_from_env};
use super::{Seed, Strategy};
use crate::util::report;

/// Runs `f` under `seeds` seeds, and fails with the first that fails.
///
/// As [`Explore`] with its usual strategies: random walks and [`Strategy::Pct`] of depth 2 and 3 in turn.
///
/// # Panics
/// With the panic of `f`, or if every task of a run waits and no timer is set; stderr says for which seed, and how to repeat
/// it. Inside a task. If `LAYBY_SEED` is no seed.
///
/// # Examples
/// ```
/// use layby::{scope, sync::Mutex, testing};
///
/// testing::explore(100, || {
///     let account = Mutex::new(100);
///     scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 let mut balance = account.lock().unwrap();
///                 if *balance >= 80 {
///                     *balance -= 80;
///                 }
///             });
///         }
///     });
///     assert!(account.into_inner().unwrap() >= 0);
/// });
/// ```
/// Two locks for what should be one:
/// ```should_panic
/// use layby::{scope, sync::Mutex, testing};
///
/// testing::explore(100, || {
///     let account = Mutex::new(100);
///     scope(|s| {
///         for _ in 0..2 {
///             s.spawn(|| {
///                 if *account.lock().unwrap() >= 80 {
///                     *account.lock().unwrap() -= 80;
///                 }
///             });
///         }
///     });
///     assert!(account.into_inner().unwrap() >= 0);
/// });
/// ```
#[track_caller]
pub fn explore<F>(seeds: u64, f: F) -> Explored
where
    F: Fn(),
{
    Explore::new().seeds(seeds).run(f)
}

/// Runs a test under many seeds: how many, which, and how they choose.
///
/// With the environment variable `LAYBY_SEED` set, only that seed is run.
///
/// The first seed is run twice. If it does not take the same way again, stderr says so: then something from outside decides in
/// the test, and a seed that has failed need not fail again.
///
/// # Examples
/// ```
/// use layby::testing::{Explore, Strategy};
///
/// let explored = Explore::new().seeds(50).strategy(Strategy::Pct { depth: 3, steps: 0 }).run(|| {
///     // what is to hold in every order
/// });
/// assert_eq!(explored.schedules(), 50);
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `run`"]
pub struct Explore {
    first: u64,
    seeds: u64,
    strategies: Vec<Strategy>,
    only: Option<Seed>,
}

/// What an exploration that has not failed has done.
#[derive(Clone, Debug)]
pub struct Explored {
    schedules: u64,
    repeatable: bool,
}

/// A schedule that has failed.
pub struct Failure {
    seed: Seed,
    schedules: u64,
    fault: Fault,
}

impl Explore {
    /// 100 seeds from 0 on, random walks and [`Strategy::Pct`] of depth 2 and 3 in turn.
    pub fn new() -> Explore {
        let pct = |depth| Strategy::Pct { depth, steps: 0 };
        Explore {
            first: 0,
            seeds: 100,
            strategies: vec![Strategy::Random, pct(2), Strategy::Random, pct(3)],
            only: None,
        }
    }

    /// How many seeds.
    pub fn seeds(self, seeds: u64) -> Explore {
        Explore { seeds, ..self }
    }

    /// The first seed's number.
    pub fn first_seed(self, first: u64) -> Explore {
        Explore { first, ..self }
    }

    /// Every seed stands for that strategy.
    pub fn strategy(self, strategy: Strategy) -> Explore {
        Explore { strategies: vec![strategy], ..self }
    }

    /// That seed and no other, as with `LAYBY_SEED`, which goes before.
    pub fn only(self, seed: impl Into<Seed>) -> Explore {
        Explore { only: Some(seed.into()), ..self }
    }

    /// Runs `f` under one seed after the other, and fails with the first that fails. A line on stderr says how many there were.
    ///
    /// # Panics
    /// As [`explore`].
    #[track_caller]
    pub fn run<F>(self, f: F) -> Explored
    where
        F: Fn(),
    {
        let place = Location::caller();
        match self.search(place, f) {
            Ok(explored) => {
                // Not `report!`: this is for who asks the test harness for a test's output.
                eprintln!("testing::explore at {place}: {explored}");
                explored
            }
            Err(failure) => {
                report!(
                    "testing::explore at {place}: {failure}; to repeat it: {}",
                    how_to_repeat(failure.seed)
                );
                failure.fault.raise(failure.seed)
            }
        }
    }

    /// As [`run`](Explore::run), but returns the first failure: for tests of tests. (The panic hook has printed it.)
    ///
    /// # Panics
    /// Inside a task. If `LAYBY_SEED` is no seed.
    ///
    /// # Examples
    /// ```
    /// use layby::testing::{self, Explore};
    ///
    /// let test = || assert!(testing::random() % 8 != 0);
    /// let failure = Explore::new().find(test).unwrap();
    /// let again = Explore::new().only(failure.seed()).find(test).unwrap();
    /// assert_eq!(failure.message(), again.message());
    /// ```
    #[track_caller]
    pub fn find<F>(self, f: F) -> Option<Failure>
    where
        F: Fn(),
    {
        self.search(Location::caller(), f).err()
    }

    fn search(self, place: &'static Location<'static>, f: impl Fn()) -> Result<Explored, Failure> {
        if let Some(seed) = seed_from_env().or(self.only) {
            let Attempt { result, .. } = attempt(seed, place, &f);
            return match result {
                Ok(()) => Ok(Explored { schedules: 1, repeatable: true }),
                Err(fault) => Err(Failure { seed, schedules: 1, fault }),
            };
        }
        let (mut longest, mut repeatable) = (0, true);
        for index in 0..self.seeds {
            let seed = self.seed(index, longest);
            let Attempt { result, trace } = attempt(seed, place, &f);
            if let Err(fault) = result {
                return Err(Failure { seed, schedules: index + 1, fault });
            }
            longest = longest.max(trace.steps);
            if index == 0 && self.seeds > 1 {
                let again = attempt(seed, place, &f);
                repeatable = again.trace == trace;
                if let Err(fault) = again.result {
                    warn_unrepeatable(place, seed, "has failed the second time");
                    return Err(Failure { seed, schedules: 1, fault });
                }
                if !repeatable {
                    warn_unrepeatable(place, seed, "took another way the second time");
                }
            }
        }
        Ok(Explored { schedules: self.seeds, repeatable })
    }

    /// The seed of that index, if the longest schedule so far had `longest` steps.
    fn seed(&self, index: u64, longest: u64) -> Seed {
        let strategy = match self.strategies[(index % self.strategies.len() as u64) as usize] {
            Strategy::Pct { depth, steps: 0 } => {
                Strategy::Pct { depth, steps: u32::try_from(longest).unwrap_or(u32::MAX) }
            }
            strategy => strategy,
        };
        Seed { strategy, number: self.first.wrapping_add(index) }
    }
}

fn warn_unrepeatable(place: &Location<'_>, seed: Seed, what: &str) {
    report!(
        "testing::explore at {place}: this test is not repeatable: seed {seed}, run twice, {what}. Something from outside decides \
         in it (a real socket or clock, another thread, the order of a HashMap, what an earlier run has left), so a seed that fails \
         need not fail again"
    );
}

impl Default for Explore {
    fn default() -> Explore {
        Explore::new()
    }
}

impl Explored {
    /// How many schedules were run, each by a seed of its own.
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// Whether the first seed took the same way when it was run again.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.schedules == 1 { "" } else { "s" };
        write!(f, "{} schedule{plural}, none has failed", self.schedules)
    }
}

impl Failure {
    /// What repeats it: [`run`](super::run) with this seed, or `LAYBY_SEED`.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// How many schedules were run; this was the last.
    pub fn schedules(&self) -> u64 {
        self.schedules
    }

    /// The panic's message; or that every task waits.
    pub fn message(&self) -> String {
        self.fault.message(self.seed)
    }

    /// What the test has panicked with; `None` if every task waited.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self.fault {
            Fault::Panic(payload) => Some(payload),
            Fault::Stuck => None,
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("seed", &self.seed.to_string())
            .field("schedules", &self.schedules)
            .field("message", &self.message())
            .finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schedule {} has failed with seed {}", self.schedules, self.seed)
    }
}
