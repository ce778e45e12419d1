//! What a runtime is started with, and the environment's say in it.

use core::time::Duration;
use std::io;

use super::seed::Seed;
use super::watchdog;
use crate::stack::{self, Guard};

/// The settings of one runtime.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How many workers; at least 1.
    pub(crate) workers: usize,
    /// Usable bytes of stack of a task that asks for nothing else.
    pub(crate) stack_size: usize,
    /// How stacks are guarded.
    pub(crate) guard: Guard,
    /// What the worker threads are called: `NAME-0`, `NAME-1`, …
    pub(crate) name: String,
    /// For a seeded run, its seed.
    pub(crate) seed: Option<Seed>,
    /// Debug mode (see `debug`).
    pub(crate) debug: bool,
    /// For how long a task may keep its worker without being reported; `Duration::MAX`: for ever. None: nothing was said.
    watchdog: Option<Duration>,
}

/// More workers than this are refused as a mistake.
const MAX_WORKERS: usize = 1024;

impl Config {
    /// Without any extras.
    pub(super) fn bare(workers: usize, stack_size: usize) -> Config {
        Config {
            workers,
            stack_size,
            guard: Guard::Protect,
            name: String::from("layby-worker"),
            seed: None,
            debug: false,
            watchdog: None,
        }
    }

    /// The defaults, then what the environment says.
    ///
    /// # Errors
    /// `InvalidInput` that names the variable, the value and what is allowed.
    pub(crate) fn from_env() -> io::Result<Config> {
        let mut config = Config::bare(0, stack::DEFAULT_SIZE);
        if let Some(text) = variable("LAYBY_WORKERS")? {
            config.set_workers(number("LAYBY_WORKERS", &text)?)?;
        } else {
            config.workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_WORKERS);
        }
        if let Some(text) = variable("LAYBY_STACK_SIZE")? {
            config.set_stack_size(number("LAYBY_STACK_SIZE", &text)?)?;
        }
        config.debug = match variable("LAYBY_DEBUG")?.as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => {
                return Err(invalid(format!("LAYBY_DEBUG is {other:?}: it may be `1` (debug mode) or `0`")));
            }
        };
        match variable("LAYBY_WATCHDOG")?.as_deref() {
            None => {}
            Some("off") => config.watchdog = Some(Duration::MAX),
            Some(text) => {
                let limit = text.trim().parse().ok().filter(|&limit| limit > 0);
                let limit = limit.ok_or_else(|| {
                    invalid(format!(
                        "LAYBY_WATCHDOG is {text:?}: it may be a number of milliseconds, 1 at least, or `off`"
                    ))
                })?;
                config.set_watchdog(Duration::from_millis(limit))?;
            }
        }
        config.guard = match variable("LAYBY_STACK_GUARD")?.as_deref() {
            None | Some("auto") => Guard::detect(),
            Some("mprotect") => Guard::Protect,
            Some(other) => {
                return Err(invalid(format!(
                    "LAYBY_STACK_GUARD is {other:?}: it may be `auto` (guard markers where the kernel \
                     has them) or `mprotect`"
                )));
            }
        };
        Ok(config)
    }

    /// # Errors
    /// `InvalidInput` if it is not in 1..=1024.
    pub(crate) fn set_workers(&mut self, workers: usize) -> io::Result<()> {
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(invalid(format!(
                "the number of workers is {workers}: it must be from 1 to {MAX_WORKERS}"
            )));
        }
        self.workers = workers;
        Ok(())
    }

    /// # Errors
    /// `InvalidInput` for a name that no thread can have.
    pub(crate) fn set_name(&mut self, name: String) -> io::Result<()> {
        if name.contains('\0') {
            return Err(invalid(format!("the name {name:?} has a null character in it")));
        }
        self.name = name;
        Ok(())
    }

    /// [`Duration::MAX`]: no watchdog, not in debug mode either.
    ///
    /// # Errors
    /// `InvalidInput` if it is less than a millisecond.
    pub(crate) fn set_watchdog(&mut self, limit: Duration) -> io::Result<()> {
        if limit < watchdog::LEAST_LIMIT {
            return Err(invalid(format!("the watchdog's limit is {limit:?}: it must be 1 ms at least")));
        }
        self.watchdog = Some(limit);
        Ok(())
    }

    /// For how long a task may keep its worker, if there is to be a watchdog.
    pub(super) fn watchdog_limit(&self) -> Option<Duration> {
        let limit = self.watchdog.or(self.debug.then_some(watchdog::DEFAULT_LIMIT));
        limit.filter(|&limit| limit != Duration::MAX)
    }

    /// # Errors
    /// As [`check_stack_size`].
    pub(crate) fn set_stack_size(&mut self, bytes: usize) -> io::Result<()> {
        check_stack_size(bytes)?;
        self.stack_size = bytes;
        Ok(())
    }
}

/// # Errors
/// `InvalidInput` if a stack of that size is too small to work with or larger than the address space
/// can be expected to have.
pub(crate) fn check_stack_size(bytes: usize) -> io::Result<()> {
    let (min, max) = (stack::MIN_SIZE, stack::MAX_SIZE);
    if !(min..=max).contains(&bytes) {
        return Err(invalid(format!("the stack size is {bytes} bytes: it must be from {min} to {max}")));
    }
    Ok(())
}

fn variable(name: &str) -> io::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(text)) => {
            Err(invalid(format!("{name} is {text:?}, which is not Unicode")))
        }
    }
}

fn number(name: &str, text: &str) -> io::Result<usize> {
    text.trim()
        .parse()
        .map_err(|error| invalid(format!("{name} is {text:?}, which is not a whole number: {error}")))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
