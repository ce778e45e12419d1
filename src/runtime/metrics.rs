//! The numbers of a runtime.

use crate::blocking;
use crate::sched::{self, Shared};

/// How a runtime stands: what it has done so far, and what it has at hand.
///
/// Taking one costs its taker some loads for each worker, and the workers nothing. They publish the numbers when they look
/// around, every 100 µs or so, and before they sleep; of a worker that is kept by one task they are as old as
/// that. So no two numbers are of quite the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Workers: OS threads that run tasks.
    pub workers: usize,
    /// Tasks that were spawned, ever.
    pub spawned: u64,
    /// Tasks that have ended, ever.
    pub finished: u64,
    /// Tasks that have not started, now.
    pub queued: usize,
    /// Started tasks that run or can go on, now.
    pub ready: usize,
    /// Started tasks that wait for something, now.
    pub parked: usize,
    /// Switches to a task, ever.
    pub switches: u64,
    /// Closures that an idle worker took over from another one before they had started, ever.
    pub stolen: u64,
    /// Closures that a worker with many tasks gave to one with few before they had started, ever.
    pub handed_over: u64,
    /// Stacks with a task on them, now.
    pub stacks: usize,
    /// Stacks kept for the next tasks, now.
    pub idle_stacks: usize,
    /// Deadlines that are waited for, now.
    pub timers: usize,
    /// Panics of tasks that nobody has joined, nor will, ever. In [debug mode](super::Builder::debug_mode) they are named at the
    /// runtime's end.
    pub panics_unjoined: u64,
    /// Threads of the pool behind [`unblock`](crate::unblock), busy or not, now. There is one pool in the process.
    pub blocking_threads: usize,
}

impl Metrics {
    pub(super) fn of(shared: &Shared) -> Metrics {
        let counters = shared.counters();
        Metrics {
            workers: counters.workers,
            spawned: counters.spawned,
            finished: counters.finished,
            queued: counters.queued,
            ready: counters.ready,
            parked: counters.parked,
            switches: counters.switches,
            stolen: counters.stolen,
            handed_over: counters.handed_over,
            stacks: counters.stacks,
            idle_stacks: counters.idle_stacks,
            timers: counters.timers,
            panics_unjoined: counters.unjoined,
            blocking_threads: blocking::threads(),
        }
    }
}

/// The metrics of the caller's runtime; on a thread that is no worker, those of the default runtime, which are all zero
/// if nothing has started it so far.
///
/// # Examples
/// ```
/// layby::Builder::new().workers(2).run(|| {
///     let parked = layby::spawn(layby::task::park);
///     let metrics = layby::runtime::metrics();
///     assert_eq!((metrics.workers, metrics.spawned, metrics.finished), (2, 2, 0));
///     parked.task().unpark();
/// });
/// ```
pub fn metrics() -> Metrics {
    match sched::current_worker() {
        Some(worker) => Metrics::of(&worker.shared),
        None => {
            sched::default_runtime_if_started().map_or_else(Metrics::default, |shared| Metrics::of(shared))
        }
    }
}
