//! Settings, and `run`.

use core::panic::Location;
use core::time::Duration;
use std::io;
use std::panic::resume_unwind;

use super::own::Runtime;
use crate::sched::{self, Config, Ran};
use crate::spawn::{self, JoinError};

/// Runs `f` as the root task of a new runtime, on the calling thread, and returns what it returns.
///
/// The calling thread becomes worker 0; there are as many workers as the machine allows this process, or as the
/// environment variable `LAYBY_WORKERS` says. `f` and its result need be neither `Send` nor `'static`. The
/// root task has a stack of 8 MiB, since ported `main`s are deep.
///
/// When `f` returns or panics, the tasks that are still alive are cancelled (they unwind from their next
/// suspension point) and driven to their end; then `run` returns, or unwinds. What delays that is named on stderr
/// every 5 seconds.
///
/// The first runtime of a process puts a panic hook in front of the one that is there, and calls that: it marks the task that
/// panics as unwinding. Inside a panic hook no task can wait; one that would is told so, and the process ends.
///
/// # Deadlock
/// `run` cannot return before its root has ended. If nothing in the process can wake any task any more, which is looked
/// at when everything has been at rest for 100 ms, a [`dump`](super::dump()) of all tasks is printed on stderr, they are cancelled, and driven to their end; then `run` panics. If
/// that does not end them, it prints another one and aborts the process. It is said only if it is certain: where a timer, a descriptor, a
/// closure on the blocking pool, a thread that is not layby's, a handler of signals, or a `sleep` without end is there, `run` waits.
///
/// # Panics
/// With the panic of `f`. After a deadlock. Inside a task (there is a runtime already). If a worker's thread, epoll or timer
/// cannot be had, or the environment has a bad setting; [`Builder::build`] returns such errors.
///
/// # Examples
/// ```
/// let mut greeting = String::new();
/// let length = layby::run(|| {
///     greeting.push_str("hello");
///     greeting.len()
/// });
/// assert_eq!((greeting.as_str(), length), ("hello", 5));
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    Builder::new().run(f)
}

/// Settings of a runtime.
///
/// What is not set here comes from the environment (`LAYBY_WORKERS`, `LAYBY_STACK_SIZE` in bytes,
/// `LAYBY_STACK_GUARD`: `auto` or `mprotect`, `LAYBY_DEBUG`: `1` or `0`, `LAYBY_WATCHDOG` in milliseconds, or `off`), then from the
/// defaults. A variable with a bad value is an error.
///
/// # Examples
/// ```
/// let sum = layby::Builder::new().workers(2).stack_size(64 * 1024).run(|| {
///     let tasks: Vec<_> = (1..=4).map(|i| layby::spawn(move || i)).collect();
///     tasks.into_iter().map(|task| task.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(sum, 10);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `run` or `build`"]
pub struct Builder {
    workers: Option<usize>,
    stack_size: Option<usize>,
    name: Option<String>,
    watchdog: Option<Duration>,
    debug: Option<bool>,
}

impl Builder {
    /// Nothing set.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// How many workers, that is OS threads that run tasks: 1 to 1024. Default: as many as the machine allows
    /// this process ([`std::thread::available_parallelism`]).
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// The usable size of a task's stack in bytes, for tasks that ask for nothing else: 32 KiB at least,
    /// rounded up to whole pages. Default: 256 KiB. It is address space; memory is used as stacks are.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// What the worker threads are called: `NAME-0`, `NAME-1`, … Default: `layby-worker`.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Reports on stderr each task that keeps its worker longer than `limit` from one suspension point to the next, with its name, the
    /// place where it was spawned, and what its thread does: whether it computes, or in which system call it is blocked.
    ///
    /// Said when the limit has passed, again after twice that time, four times, and so on, and once more when the task lets go.
    /// What is said to have lasted for longer than the limit has; what lasts longer by a quarter is found for sure. A thread
    /// (`NAME-dog`) looks four times in a limit as long as a worker has something to do, and sleeps while none has. It
    /// costs nothing at a switch.
    ///
    /// A millisecond at least; [`Duration::MAX`] is no watchdog. Default: none; in [debug mode](Builder::debug_mode) 100 ms.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// layby::Builder::new().watchdog(Duration::from_millis(10)).run(|| {
    ///     std::thread::sleep(Duration::from_millis(30)); // blocked in clock_nanosleep
    /// });
    /// ```
    pub fn watchdog(mut self, limit: Duration) -> Builder {
        self.watchdog = Some(limit);
        self
    }

    /// Turns debug mode on, or off: more is looked at, and said on stderr.
    ///
    /// * There is a [`watchdog`](Builder::watchdog), with a limit of 100 ms if none is set.
    /// * At the end of the runtime the panics that nobody has joined are counted, by the place where their tasks were spawned.
    /// * How much of its stack each task has used is kept, for [`stack_usage`](crate::runtime::stack_usage()); a warning names the place
    ///   whose tasks use more than 80 % of it. For that no stack is used twice without being given back in between: a task
    ///   costs some microseconds more.
    /// * Under [`run`], where every task waits and only a thread that is not layby's could wake one, that is said, once in the
    ///   process, with a list of the tasks. (Where nothing at all could, see [`run`].)
    ///
    /// # Examples
    /// ```
    /// layby::Builder::new().debug_mode(true).run(|| {
    ///     drop(layby::spawn(|| panic!("nobody will know")));
    /// });
    /// ```
    pub fn debug_mode(mut self, on: bool) -> Builder {
        self.debug = Some(on);
        self
    }

    /// As [`run`], with these settings.
    ///
    /// # Panics
    /// As [`run`]; for settings out of range, too.
    #[track_caller]
    pub fn run<F, T>(self, f: F) -> T
    where
        F: FnOnce() -> T,
    {
        let place = Location::caller();
        let ran = self.config().and_then(|config| spawn::run_root(config, place, f));
        let (ran, result) = ran.unwrap_or_else(|error| panic!("layby::run: {error}"));
        if ran == Ran::Stuck && result.as_ref().err().is_none_or(|payload| payload.is::<JoinError>()) {
            panic!(
                "layby::run: deadlock: nothing was left that could wake a task (they are listed on stderr)"
            );
        }
        result.unwrap_or_else(|payload| match payload.downcast::<JoinError>() {
            // It caught the cancellation of another task and threw it on as its own.
            Ok(error) if error.is_cancelled() => panic!("layby::run: {error}"),
            Ok(error) => resume_unwind(error),
            Err(payload) => resume_unwind(payload),
        })
    }

    /// A runtime with worker threads of its own.
    ///
    /// # Errors
    /// `InvalidInput` for a setting out of range, here or in the environment. What the system says if a
    /// thread, an epoll or a timer cannot be had.
    pub fn build(self) -> io::Result<Runtime> {
        let (shared, threads) = sched::start(self.config()?)?;
        Ok(Runtime::new(shared, threads))
    }

    fn config(self) -> io::Result<Config> {
        let mut config = Config::from_env()?;
        if let Some(workers) = self.workers {
            config.set_workers(workers)?;
        }
        if let Some(bytes) = self.stack_size {
            config.set_stack_size(bytes)?;
        }
        if let Some(name) = self.name {
            config.set_name(name)?;
        }
        if let Some(limit) = self.watchdog {
            config.set_watchdog(limit)?;
        }
        if let Some(on) = self.debug {
            config.debug = on;
        }
        Ok(config)
    }
}
