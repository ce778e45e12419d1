//! Starting and ending runtimes.

use core::ptr::NonNull;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;

use super::config::Config;
use super::hook;
use super::shared::Shared;
use super::sim::Sim;
use super::watchdog;
use super::worker::{Entered, Worker};
use crate::fiber::Header;
use crate::util::report;

/// A worker thread's own stack. The scheduler needs little, but destructors of thread-locals run there.
const THREAD_STACK: usize = 8 * 1024 * 1024;

/// Ends the process if the scheduler itself panics: its tasks would stay suspended, and what they lent
/// would be freed under them.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if thread::panicking() {
            report!("a worker cannot go on, the process ends");
            std::process::abort();
        }
    }
}

/// A runtime with worker threads of its own, and those threads.
///
/// # Errors
/// A thread, an epoll, an eventfd or a timerfd could not be had. Nothing is left running.
pub(crate) fn start(config: Config) -> io::Result<(Arc<Shared>, Vec<JoinHandle<()>>)> {
    hook::install();
    let shared = Shared::new(config);
    let threads = start_threads(&shared, 0)?;
    Ok((shared, threads))
}

/// Starts the workers from index `first` on, each on a thread of its own, and waits until each has what
/// it needs.
fn start_threads(shared: &Arc<Shared>, first: usize) -> io::Result<Vec<JoinHandle<()>>> {
    let (report, reports) = crossbeam_channel::unbounded();
    let mut threads = Vec::new();
    let mut failure = None;
    for index in first..shared.workers() {
        let (shared, report) = (shared.clone(), report.clone());
        let builder =
            thread::Builder::new().name(format!("{}-{index}", shared.config.name)).stack_size(THREAD_STACK);
        match builder.spawn(move || work(shared, index, &report)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                let message = format!(
                    "layby: a worker thread cannot be started: {error} (raise `ulimit -u`, the cgroup's pids.max, \
                     or, for its 8 MiB of addresses, `ulimit -v`; or start fewer workers)"
                );
                failure = Some(io::Error::new(error.kind(), message));
                break;
            }
        }
    }
    drop(report);
    for _ in 0..threads.len() {
        if let Ok(Err(error)) = reports.recv() {
            failure.get_or_insert(error);
        }
    }
    if failure.is_none() && shared.watchdog.is_some() {
        match start_watchdog(shared) {
            Ok(thread) => threads.push(thread),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        None => Ok(threads),
        Some(error) => {
            shared.begin_shutdown();
            for thread in threads {
                let _ = thread.join();
            }
            Err(error)
        }
    }
}

/// Starts the watchdog, which ends with the runtime.
fn start_watchdog(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let name = format!("{}-dog", shared.config.name);
    let own = shared.clone();
    let thread = thread::Builder::new().name(name).spawn(move || watchdog::watch(&own)).map_err(|error| {
        let message = format!(
            "layby: the watchdog's thread cannot be started: {error} (raise `ulimit -u`, or do without it)"
        );
        io::Error::new(error.kind(), message)
    })?;
    if let Some(bell) = &shared.watchdog {
        bell.set_watchdog(thread.thread());
    }
    Ok(thread)
}

/// A worker thread's life.
fn work(shared: Arc<Shared>, index: usize, report: &Sender<io::Result<()>>) {
    let guard = AbortOnUnwind;
    match Worker::new(shared.clone(), index) {
        Ok(worker) => {
            // The starter waits for all reports, so it is there.
            let _ = report.send(Ok(()));
            let entered = Entered::new(&worker);
            worker.run();
            drop(entered);
        }
        Err(error) => {
            let _ = report.send(Err(error));
        }
    }
    shared.leave();
    core::mem::forget(guard);
}

/// Runs `root` on the calling thread, as worker 0 of a new runtime, and returns when it and all other
/// tasks have ended.
///
/// # Safety
/// The scheduler takes over one reference to `root`, which was never submitted before.
///
/// # Errors
/// As [`start`]; `root` was not touched and the reference stays with the caller.
pub(crate) unsafe fn run_root(config: Config, root: NonNull<Header>) -> io::Result<Ran> {
    hook::install();
    let shared = Shared::new(config);
    let worker = Worker::new(shared.clone(), 0)?;
    // SAFETY: alive, by this function's contract.
    worker.reserve_root(unsafe { root.as_ref() }.stack_size)?;
    let threads = start_threads(&shared, 1)?;
    let guard = AbortOnUnwind;
    worker.root.set(root.as_ptr());
    let entered = Entered::new(&worker);
    // SAFETY: by this function's contract.
    unsafe { worker.submit_local(root) };
    worker.run();
    drop(entered);
    for thread in threads {
        thread.join().expect("a worker that panics ends the process");
    }
    core::mem::forget(guard);
    shared.report_end();
    let stuck = shared.is_stuck() || worker.sim.as_ref().is_some_and(Sim::was_stuck);
    Ok(if stuck { Ran::Stuck } else { Ran::ToItsEnd })
}

/// How a runtime with a root has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// With its root.
    ToItsEnd,
    /// Nothing could happen any more, so all tasks were cancelled.
    Stuck,
}

static DEFAULT: OnceLock<Arc<Shared>> = OnceLock::new();

/// The process-wide runtime, if anybody has needed it so far.
pub(crate) fn default_runtime_if_started() -> Option<&'static Arc<Shared>> {
    DEFAULT.get()
}

/// The process-wide runtime, started on first use. Its threads do not keep the process alive.
///
/// # Panics
/// If it cannot be started, or the environment has bad settings: there is nobody to return the error to.
pub(crate) fn default_runtime() -> &'static Arc<Shared> {
    DEFAULT.get_or_init(|| {
        let started = Config::from_env().and_then(start);
        let (shared, _threads) =
            started.unwrap_or_else(|error| panic!("the default runtime cannot start: {error}"));
        shared
    })
}
