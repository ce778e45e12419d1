//! One seeded run, and what is said of one that has failed.

use core::any::Any;
use core::cell::Cell;
use core::panic::Location;
use std::panic::resume_unwind;
use std::thread;

use super::Seed;
use crate::sched::{self, Config, Ran, Trace};
use crate::spawn::{self, JoinError};

/// How a run has ended.
#[derive(Debug)]
pub(super) struct Attempt<T> {
    pub(super) result: Result<T, Fault>,
    /// Up to the end of the root.
    pub(super) trace: Trace,
}

/// Why a run has failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The root has panicked.
    Panic(Box<dyn Any + Send>),
    /// Nothing could happen any more.
    Stuck,
}

/// Runs `f` as the root of a run with that seed.
///
/// # Panics
/// On a task. If the runtime cannot start.
pub(super) fn attempt<F, T>(seed: Seed, place: &'static Location<'static>, f: F) -> Attempt<T>
where
    F: FnOnce() -> T,
{
    let trace = Cell::default();
    let root = || {
        let _note = Note(&trace);
        f()
    };
    let ran = Config::from_env().and_then(|mut config| {
        config.set_workers(1)?;
        config.seed = Some(seed);
        spawn::run_root(config, place, root)
    });
    let (ran, result) = ran.unwrap_or_else(|error| panic!("layby::testing: {error}"));
    let result = match (ran, result) {
        (Ran::ToItsEnd, Ok(value)) => Ok(value),
        // A panic of the body says more than that its tasks were stuck.
        (_, Err(payload)) if !payload.is::<JoinError>() => Err(Fault::Panic(payload)),
        _ => Err(Fault::Stuck),
    };
    Attempt { result, trace: trace.get() }
}

/// Notes how far the run has come when the root ends, however it ends.
struct Note<'a>(&'a Cell<Trace>);

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if let Some(sim) = sched::sim() {
            self.0.set(sim.trace());
        }
    }
}

impl Fault {
    /// The run's panic, or one that says that it was stuck.
    #[track_caller]
    pub(super) fn raise(self, seed: Seed) -> ! {
        match self {
            Fault::Panic(payload) => resume_unwind(payload),
            Fault::Stuck => panic!("{}", stuck(seed)),
        }
    }

    /// What it says.
    pub(super) fn message(&self, seed: Seed) -> String {
        let Fault::Panic(payload) = self else { return stuck(seed) };
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic whose payload is no text").to_owned()
    }
}

fn stuck(seed: Seed) -> String {
    format!("testing::run with seed {seed}: every task waits, and no timer is set (listed on stderr)")
}

/// How to run that seed again, from where the caller was started.
pub(super) fn how_to_repeat(seed: Seed) -> String {
    // libtest names a test's thread after it, but for --test-threads=1.
    match thread::current().name() {
        Some(test) if test != "main" => format!("LAYBY_SEED={seed} cargo test {test}"),
        _ => format!("set LAYBY_SEED={seed}"),
    }
}

/// What `LAYBY_SEED` says.
///
/// # Panics
/// If that is no seed.
pub(super) fn seed_from_env() -> Option<Seed> {
    let text = std::env::var("LAYBY_SEED").ok()?;
    match text.parse() {
        Ok(seed) => Some(seed),
        Err(error) => panic!("LAYBY_SEED is {text:?}: {error}"),
    }
}
