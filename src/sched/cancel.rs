//! Telling a task that it is cancelled, and all that are below it.

use core::ptr;

use super::remote::Remote;
use super::worker::current_worker;
use crate::fiber::{Batch, Brood, CANCEL, FiberRef, Nest, Post, Signals, State};
use crate::util::atomic::Ordering;

/// Cancels a task, and the children of its open nests, and theirs: when it returns, all know. From any thread, at any time of
/// the tasks' lives. Not of a task inside a lock.
pub(crate) fn cancel(task: &FiberRef) {
    tell(task);
    if task.nests.any() {
        go_down(vec![task.clone()]);
    }
}

/// Cancels the children, those to come, and theirs; because of what happens to their parent, or for other reasons.
pub(crate) fn cancel_brood(brood: &dyn Brood, with_parent: bool) {
    let mut parents = Vec::new();
    tell_brood(brood, with_parent, &mut parents);
    go_down(parents);
}

/// See `fiber::nest`. The list takes the place of a recursion.
fn go_down(mut parents: Vec<FiberRef>) {
    while let Some(parent) = parents.pop() {
        while let Some(brood) = parent.nests.claim(Nest::is_free) {
            tell_brood(&*brood, true, &mut parents);
        }
    }
}

fn tell_brood(brood: &dyn Brood, with_parent: bool, parents: &mut Vec<FiberRef>) {
    loop {
        let mut batch = Batch::default();
        brood.tell(with_parent, &mut batch);
        let full = batch.last().is_some_and(Option::is_some);
        for child in batch.into_iter().flatten() {
            tell(&child);
            if child.nests.any() {
                parents.push(child);
            }
        }
        if !full {
            return;
        }
    }
}

/// The sticky flag, and a message behind it (rule 7 of `park`).
fn tell(task: &FiberRef) {
    // Relaxed: compared with this worker's own, which only this thread can have written.
    let home = task.home.load(Ordering::Relaxed);
    if let Some(worker) = current_worker()
        && ptr::eq(worker.remote, home.cast())
    {
        task.state.set_cancelled();
        // SAFETY: the reference keeps it alive, and it is at home here.
        unsafe { worker.signal(task.as_ptr(), Signals::CANCEL) };
        return;
    }
    post(task, |state| state.post(CANCEL));
}

/// Rule 5 of `park`, for a bit that comes with a reference, from a thread that is not the task's home: does what `post` posts.
pub(crate) fn post(task: &FiberRef, post: impl FnOnce(&State) -> Post) {
    let given = task.clone().into_raw();
    match post(&task.state) {
        Post::Push => {
            // Relaxed: written before the state word said that the task has started, and `post` has seen that.
            let home = task.home.load(Ordering::Relaxed).cast::<Remote>();
            // SAFETY: the home of a started task, never freed.
            let home = unsafe { &*home };
            // SAFETY: this turned the first bit on, and gave it a reference.
            unsafe { home.push(given) };
        }
        Post::Given => {}
        // SAFETY: the reference that was to be given.
        Post::Merged | Post::Gone => drop(unsafe { FiberRef::from_raw(given) }),
    }
}
