//! Tasks that borrow from their parent, which therefore cannot leave before they have ended.

use core::panic::Location;

use crate::fiber::Attributes;
use crate::park::{Mask, Open};
use crate::sched;
use crate::spawn::{
    JoinError, JoinHandle, Target, failed_to_spawn, plain, spawn_borrowing, spawn_local_borrowing,
};

/// One such task. Private to `gather`, which never forgets one: its destructor is what makes the borrowing
/// sound.
pub(super) struct Child<T>(Option<JoinHandle<T>>);

impl<T> Child<T> {
    /// # Safety
    /// The child has ended (its `wait` has returned), or is dropped, before anything that `f` or its result borrows goes.
    ///
    /// # Panics
    /// If there is no address space for its stack.
    pub(super) unsafe fn spawn<F>(place: &'static Location<'static>, f: F) -> Child<T>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let target = Target::here();
        let attributes = Attributes { structured: true, ..plain(&target, place) };
        // SAFETY: by this function's contract; both wait for the end.
        let task = unsafe { spawn_borrowing(target, attributes, f) };
        Child(Some(task.unwrap_or_else(|error| failed_to_spawn(error))))
    }

    /// # Safety
    /// As [`Child::spawn`].
    ///
    /// # Panics
    /// On a thread that is no worker. If there is no address space for its stack.
    pub(super) unsafe fn spawn_local<F>(place: &'static Location<'static>, f: F) -> Child<T>
    where
        F: FnOnce() -> T,
    {
        let Some(worker) = sched::current_worker() else {
            panic!(
                "gather_local! on a thread that is no worker of a layby runtime: call it inside `layby::run`"
            )
        };
        let attributes = Attributes { structured: true, ..plain(&Target::Worker(worker), place) };
        // SAFETY: by this function's contract; both wait for the end.
        let task = unsafe { spawn_local_borrowing(worker, attributes, f) };
        Child(Some(task.unwrap_or_else(|error| failed_to_spawn(error))))
    }

    /// The result of a child that has ended.
    pub(super) fn result(mut self) -> Result<T, JoinError> {
        self.0.take().expect("a child is finished once").into_result()
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            // The parent unwinds, or has no use for the rest.
            self.cancel();
            let mask = Mask::new();
            self.wait();
            drop(mask);
        }
    }
}

/// A child, whatever its result.
pub(super) trait Sibling {
    /// Asks it to end.
    fn cancel(&self);
    /// Waits for its end. A suspension point.
    fn wait(&self);
}

impl<T> Sibling for Child<T> {
    fn cancel(&self) {
        if let Some(task) = &self.0 {
            task.cancel();
        }
    }

    fn wait(&self) {
        if let Some(task) = &self.0 {
            task.wait();
        }
    }
}

/// Waits for all of them. If the parent is cancelled meanwhile, *all* are cancelled before any is waited for:
/// one may wait for another.
pub(super) fn wait_all<'a>(siblings: impl Iterator<Item = &'a dyn Sibling> + Clone) {
    let guard = CancelOnDrop(siblings.clone());
    siblings.for_each(Sibling::wait);
    core::mem::forget(guard);
}

struct CancelOnDrop<'a, I: Iterator<Item = &'a dyn Sibling> + Clone>(I);

impl<'a, I: Iterator<Item = &'a dyn Sibling> + Clone> Drop for CancelOnDrop<'a, I> {
    fn drop(&mut self) {
        self.0.clone().for_each(Sibling::cancel);
    }
}

/// Children of one type. Dropped with some unfinished, it cancels all before it waits for any.
pub(super) struct Family<T>(Vec<Child<T>>, Open);

impl<T> Family<T> {
    pub(super) fn new() -> Family<T> {
        Family(Vec::new(), Open::new())
    }

    pub(super) fn push(&mut self, child: Child<T>) {
        self.0.push(child);
    }

    /// All results, in the order of the spawns, when all have ended. A suspension point.
    pub(super) fn finish(mut self) -> Vec<Result<T, JoinError>> {
        self.0.iter().for_each(Sibling::wait);
        core::mem::take(&mut self.0).into_iter().map(Child::result).collect()
    }
}

impl<T> Drop for Family<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(Sibling::cancel);
    }
}
