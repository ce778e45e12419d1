//! A runtime with worker threads of its own.

use core::fmt;
use std::sync::Arc;
use std::thread;

use crate::blocking;
use crate::sched::Shared;
use crate::spawn::{self, JoinHandle};

/// A runtime with worker threads of its own. Made by [`Builder::build`](super::Builder::build).
///
/// Dropping it cancels all its tasks, and waits, without limit, until they have ended and the threads with
/// them. (Dropped by one of its own tasks it only signals: that task cannot wait for itself. In a closure that one of its
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
    threads: Vec<thread::JoinHandle<()>>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.shared.workers()).finish_non_exhaustive()
    }
}

impl Runtime {
    pub(super) fn new(shared: Arc<Shared>, threads: Vec<thread::JoinHandle<()>>) -> Runtime {
        Runtime { shared, threads }
    }

    /// Spawns a task on this runtime, from any thread or task. As [`task::spawn`](crate::task::spawn).
    ///
    /// On a runtime that is being dropped, the closure is dropped and `join` says that the task was cancelled.
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
    /// With the panic of `f`. If the runtime ends before `f` does (another thread drops it, or `f` was
    /// cancelled).
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        spawn::run_on(&self.shared, f)
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.begin_shutdown();
        if self.shared.is_current() {
            return;
        }
        let threads = core::mem::take(&mut self.threads);
        // Off the worker, if the caller is a task of another runtime.
        blocking::unblock(move || {
            for thread in threads {
                thread.join().expect("a worker that panics ends the process");
            }
        });
    }
}
