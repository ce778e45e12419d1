//! The handle that joins.

use core::fmt::{self, Write};
use core::ptr::NonNull;

use super::cell::{Failure, Owned};
use super::error::JoinError;
use super::task::Task;
use crate::fiber::FiberRef;
use crate::park::{self, Deadline, Details, Outcome, Reason, Wait, Waiter};

/// The right to wait for a task's end and to have its result.
///
/// Like [`std::thread::JoinHandle`], except: `join` fails with a [`JoinError`], `task` takes the place of
/// `thread`, and it is `Send` only if the result is. Dropping it detaches the task, which runs on; its
/// result is then dropped at its end.
///
/// # Examples
/// ```
/// let handle = layby::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
///
/// A handle to a result that is not `Send` stays on its thread:
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<layby::JoinHandle<std::rc::Rc<()>>>();
/// ```
pub struct JoinHandle<T>(Owned<T>);

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task()).finish_non_exhaustive()
    }
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(owned: Owned<T>) -> JoinHandle<T> {
        JoinHandle(owned)
    }

    /// Waits until the task has ended, and returns what its closure returned.
    ///
    /// # Cancellation
    /// A suspension point. If the *waiting* task is cancelled, it unwinds; the joined task runs on, detached.
    ///
    /// # Errors
    /// The task panicked, or was cancelled.
    ///
    /// # Panics
    /// If a task joins itself.
    #[inline(always)]
    pub fn join(self) -> Result<T, JoinError> {
        self.wait();
        self.into_result()
    }

    /// Whether the task has ended: `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.0.fiber().join.is_done()
    }

    /// The task.
    pub fn task(&self) -> Task {
        Task::from_fiber(self.0.fiber().clone())
    }

    /// Asks the task to end: its current or next *suspension point* (any layby call that could wait) unwinds
    /// it, and `join` fails with a [`JoinError`] that [`is_cancelled`](JoinError::is_cancelled).
    ///
    /// A task that has not started never runs; its closure is dropped. One that has ended keeps its result.
    /// Destructors that run while the task unwinds may wait as ever. Does not wait itself.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let sleeper = layby::spawn(|| layby::sleep(Duration::MAX));
    /// sleeper.cancel();
    /// assert!(sleeper.join().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) {
        park::cancel(self.0.fiber());
    }

    /// Waits for the end, and leaves the result where it is. A suspension point.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn wait(&self) {
        park::checkpoint();
        let fiber = self.0.fiber();
        if fiber.join.is_done() {
            return;
        }
        let node = Node { fiber, waiter: Waiter::current() };
        node.check();
        if !fiber.join.enlist(node.place()) {
            return;
        }
        match park::park(Reason::Join, Deadline::NEVER, &node.waiter, &node) {
            Outcome::Woken | Outcome::TimedOut => {}
            Outcome::Cancelled => park::throw_cancelled(),
        }
    }

    /// Detaches the task, but for the panic of one that has ended: that is the caller's.
    pub(crate) fn abandon(self) -> Option<JoinError> {
        self.0.abandon().map(|(task, failure)| JoinError::new(&task, failure))
    }

    /// That the task was cancelled, whatever its result.
    pub(crate) fn cancelled(&self) -> JoinError {
        JoinError::new(self.0.fiber(), Failure::Cancelled)
    }

    /// The result of a task that has ended.
    #[inline]
    pub(crate) fn into_result(self) -> Result<T, JoinError> {
        self.0.take().map_err(|(task, failure)| JoinError::new(&task, failure))
    }
}

/// The node in a join slot.
struct Node<'a> {
    fiber: &'a FiberRef,
    waiter: Waiter,
}

impl Node<'_> {
    fn place(&self) -> NonNull<()> {
        NonNull::from(&self.waiter).cast()
    }

    #[inline]
    #[track_caller]
    fn check(&self) {
        if let Waiter::Task(task) = self.waiter
            && task == self.fiber.as_ptr()
        {
            panic!("a task cannot join itself: task {} would wait for its own end for ever", &**self.fiber);
        }
    }
}

impl Wait for Node<'_> {
    fn withdraw(&self) -> bool {
        self.fiber.join.withdraw(self.place())
    }

    fn describe(&self, details: &mut Details) {
        let _ = write!(details, "join of task {}", &**self.fiber);
        details.tasks.push(self.fiber.id);
    }
}
