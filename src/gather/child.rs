//! A task that borrows from its parent, which therefore cannot leave before the task has ended.

use core::panic::Location;

use crate::park::Mask;
use crate::spawn::{Attributes, JoinError, JoinHandle, Target, spawn_borrowing, spawn_local_borrowing};

/// One such task. Private to `gather`, which never forgets one: its destructor is what makes the borrowing
/// sound.
pub(super) struct Child<T>(Option<JoinHandle<T>>);

impl<T> Child<T> {
    /// # Safety
    /// The child is dropped, or `finish`ed, before anything that `f` or its result borrows goes.
    pub(super) unsafe fn spawn<F>(place: &'static Location<'static>, f: F) -> Child<T>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // SAFETY: by this function's contract; both wait for the end.
        let task = unsafe { spawn_borrowing(Target::here(), Attributes::default(), place, f) };
        Child(Some(task))
    }

    /// # Safety
    /// As [`Child::spawn`].
    ///
    /// # Panics
    /// On a thread that is no worker.
    pub(super) unsafe fn spawn_local<F>(place: &'static Location<'static>, f: F) -> Child<T>
    where
        F: FnOnce() -> T,
    {
        // SAFETY: by this function's contract; both wait for the end.
        let task = unsafe { spawn_local_borrowing(Attributes::default(), place, f) };
        match task {
            Some(task) => Child(Some(task)),
            None => panic!(
                "gather_local! on a thread that is no worker of a layby runtime: call it inside `layby::run`"
            ),
        }
    }

    /// Waits for the end. A suspension point.
    pub(super) fn wait(&self) {
        if let Some(task) = &self.0 {
            task.wait();
        }
    }

    /// The result, once it has ended; waits for that.
    pub(super) fn finish(mut self) -> Result<T, JoinError> {
        self.wait();
        self.0.take().expect("a child is finished once").into_result()
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            // The caller unwinds, or has no use for the rest.
            task.cancel();
            let mask = Mask::new();
            task.wait();
            drop(mask);
        }
    }
}
