//! A runtime with worker threads of its own.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use super::metrics::Metrics;
use super::unfinished::Unfinished;
use crate::blocking;
use crate::dump::TaskDump;
use crate::park::{Deadline, Reason};
use crate::sched::{self, Listener, Shared};
use crate::spawn::{self, JoinHandle};
use crate::sync::Doorbell;

/// How long a shutdown waits for the workers to say which tasks they have. They do so between two tasks.
const ANSWERS: Duration = Duration::from_millis(500);

/// A runtime with worker threads of its own. Made by [`Builder::build`](super::Builder::build).
///
/// Dropping it cancels all its tasks, and waits, without limit, until they have ended and the threads with
/// them; what delays that is named on stderr every 5 seconds. [`shutdown`](Runtime::shutdown) has a limit, and after one that has failed
/// the drop does not wait either. (Dropped by one of its own tasks it only signals: that task cannot wait for itself. In a closure that one of its
/// own tasks has given to [`unblock`](crate::unblock) it must not be dropped: that waits for itself.) Handles
/// outlive it: their `join` gives the result, or says that the task was cancelled.
///
/// # Examples
/// ```
/// let runtime = layby::Builder::new().workers(1).build()?;
/// let task = runtime.spawn(|| 1 + 1);
/// assert_eq!(task.join().unwrap(), 2);
///
/// let words = vec!["a", "b"];
/// let joined = runtime.run(|| words.concat()); // may borrow
/// assert_eq!(joined, "ab");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
    /// Those that were not joined yet. Locked over the joins, by threads that are no workers.
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// All of them.
    ids: Box<[ThreadId]>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.shared.workers()).finish_non_exhaustive()
    }
}

impl Runtime {
    pub(super) fn new(shared: Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) -> Runtime {
        let ids = threads.iter().map(|thread| thread.thread().id()).collect();
        Runtime { shared, threads: Mutex::new(threads), ids }
    }

    /// Spawns a task on this runtime, from any thread or task. As [`task::spawn`](crate::task::spawn).
    ///
    /// On a runtime that is being shut down (also from another thread, at this moment), or was, the task is cancelled: its closure is
    /// dropped, on the calling thread or on a worker, and `join` says so.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn::spawn_on(&self.shared, f)
    }

    /// Runs `f` as a task of this runtime while the caller waits, and returns what it returns. `f` may borrow.
    /// Other tasks live on.
    ///
    /// # Cancellation
    /// If the caller is a task, its wait is not a suspension point: what `f` borrows may go only when `f` has
    /// ended.
    ///
    /// # Panics
    /// With the panic of `f`. If the runtime ends before `f` does (another thread drops it or shuts it down, or `f` was
    /// cancelled).
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        spawn::run_on(&self.shared, f)
    }

    /// What each of its tasks is doing. As [`dump`](super::dump()), which has those of other runtimes, too.
    pub fn dump(&self) -> TaskDump {
        super::dump::of(|| vec![self.shared.clone()])
    }

    /// How things stand: see [`Metrics`].
    ///
    /// # Examples
    /// ```
    /// let runtime = layby::Builder::new().workers(1).build()?;
    /// runtime.run(|| layby::yield_now());
    /// let metrics = runtime.metrics();
    /// assert_eq!((metrics.workers, metrics.spawned), (1, 1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.shared)
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }

    /// Cancels all tasks, and waits until they have ended, and the worker threads with them; for `grace` at most.
    ///
    /// Nothing starts on it any more. Tasks unwind from their next suspension point; their destructors may wait as ever, and the grace is
    /// for these. What has not ended by then runs on, *detached*: its worker stays for it, and none of its stack or of what it
    /// lends is freed. When it ends after all, its thread goes.
    ///
    /// It can be called again, to wait longer, and by several at the same time. A `grace` of zero lets those tasks end that
    /// need not wait for anything; [`Duration::MAX`] is no limit. A task of the runtime's own only signals: it is among those that
    /// have not ended, so that is an error, at once.
    ///
    /// The wait parks the task that calls it (of another runtime), or blocks the thread.
    ///
    /// # Cancellation
    /// The wait is a suspension point; the shutdown goes on without the caller.
    ///
    /// # Errors
    /// [`Unfinished`], which names the tasks that have not ended. (A worker that has one which does not let go of its thread
    /// cannot list its tasks: they are counted, and to find that out takes up to half a second more.)
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = layby::Builder::new().workers(2).build()?;
    /// let sleeper = runtime.spawn(|| layby::sleep(Duration::MAX));
    /// assert!(runtime.shutdown(Duration::from_secs(5)).is_ok());
    /// assert!(sleeper.join().unwrap_err().is_cancelled());
    ///
    /// // From now on there is nothing that would run a task.
    /// assert!(runtime.spawn(|| 1).join().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, grace: Duration) -> Result<(), Unfinished> {
        let deadline = Deadline::after(grace);
        self.shared.begin_shutdown();
        if let Some(worker) = sched::current_worker().filter(|_| self.shared.is_current()) {
            let count = usize::try_from(self.shared.unfinished()).unwrap_or(usize::MAX);
            return Err(Unfinished::new(worker.sighting(), count));
        }
        if self.is_own_thread() {
            // It is a worker no more: the last task had ended before.
            return Ok(());
        }
        self.shared.leave_alone(false);
        if !self.wait_until(deadline, || self.shared.has_ended()) {
            let call = self.shared.call_roll();
            let answers = Deadline::after(ANSWERS);
            self.wait_until(answers, || call.is_complete() || self.shared.has_ended());
            let count = usize::try_from(self.shared.unfinished()).unwrap_or(usize::MAX);
            if !self.shared.is_over() {
                self.shared.leave_alone(true);
                return Err(Unfinished::new(call.take(), count));
            }
            self.wait_until(Deadline::NEVER, || self.shared.has_ended());
        }
        self.join_threads();
        Ok(())
    }

    /// Waits for news until `condition` is true. False: the deadline has passed before.
    fn wait_until(&self, deadline: Deadline, condition: impl Fn() -> bool) -> bool {
        let mut bell = Doorbell::new();
        let button = bell.button();
        let listener: Arc<Listener> = Arc::new(move || button.ring());
        self.shared.listen(&listener);
        while !condition() {
            if !bell.wait_until(Reason::Shutdown, deadline) {
                return condition();
            }
        }
        true
    }

    /// Whether the caller is one of its workers' threads, at its end maybe, when thread-locals are dropped.
    fn is_own_thread(&self) -> bool {
        self.ids.contains(&thread::current().id())
    }

    /// All have done their work, or will.
    fn join_threads(&self) {
        // Off the worker, if the caller is a task of another runtime.
        blocking::unblock(|| {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            for thread in threads.drain(..) {
                thread.join().expect("a worker that panics ends the process");
            }
        });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.begin_shutdown();
        let left_alone = self.shared.is_left_alone() && !self.shared.has_ended();
        if !left_alone && !self.is_own_thread() {
            self.join_threads();
        }
    }
}
