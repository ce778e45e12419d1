//! The handle to a child of a scope.

use core::fmt;

use super::block::Block;
use crate::park;
use crate::spawn::{JoinError, JoinHandle, Task};

/// The right to wait for the end of a scope's child and to have its result.
///
/// Like [`std::thread::ScopedJoinHandle`], except as [`JoinHandle`] says. Dropped, the child runs on; the scope waits
/// for it in any case.
pub struct ScopedJoinHandle<'scope, T> {
    /// `None` once it is consumed. The child's result is `None` if its failure is the scope's.
    task: Option<JoinHandle<Option<T>>>,
    block: &'scope Block,
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("task", &self.task()).finish_non_exhaustive()
    }
}

impl<'scope, T> ScopedJoinHandle<'scope, T> {
    pub(super) fn new(task: JoinHandle<Option<T>>, block: &'scope Block) -> ScopedJoinHandle<'scope, T> {
        ScopedJoinHandle { task: Some(task), block }
    }

    fn get(&self) -> &JoinHandle<Option<T>> {
        self.task.as_ref().expect("it is there until it is consumed")
    }

    /// Waits until the child has ended, and returns what its closure returned.
    ///
    /// # Cancellation
    /// A suspension point. The child runs on; if it is the scope's parent that is cancelled, the child is, too.
    ///
    /// # Errors
    /// The child panicked, or was cancelled. Of a [`try_scope`](super::try_scope) the failure is the scope's: this says that the
    /// child was cancelled.
    ///
    /// # Panics
    /// If a task joins itself.
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.get().wait();
        self.result()
    }

    /// The result of a child that has ended. A suspension point only if it was cancelled.
    pub(crate) fn result(mut self) -> Result<T, JoinError> {
        let task = self.task.take().expect("it is there until it is consumed");
        let cancelled = task.cancelled();
        let result = task.into_result().and_then(|value| value.ok_or(cancelled));
        if result.as_ref().is_err_and(JoinError::is_cancelled) && park::is_cancelled() {
            // Cancelled with the caller, and here before that was told.
            park::check_cancelled();
        }
        result
    }

    /// Whether the child has ended: `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.get().is_finished()
    }

    /// The task.
    pub fn task(&self) -> Task {
        self.get().task()
    }

    /// Asks the child to end. As [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        self.get().cancel();
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        if let Some(error) = self.task.take().and_then(JoinHandle::abandon) {
            self.block.unjoined(error);
        }
    }
}
