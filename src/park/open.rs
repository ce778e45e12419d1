//! Open frames: what a generator must not be suspended out of.
//!
//! A generator's stack is a part of the stack of whoever has resumed it, and between two resumes of nobody's: another task
//! of the worker may go on with it. Some frames belong to the task in which they were opened: a reference to
//! a task-local, a deadline, a mask, children that are to be waited for. One that stays open on the stack of a suspended
//! generator would be closed in another task, after its own has ended, or never. So all of them are counted, by one rule:
//!
//! > Who runs code of the user's inside a frame that belongs to the task holds an [`Open`] meanwhile.
//!
//! A new kind of frame (a timeout, a scope, a shield; also what runs the user's code on a stack that is neither the
//! task's own nor a generator's) does so in the value that closes it, and has registered with that.
//!
//! A generator takes down where it is when it is resumed, [`Here`], and refuses to be suspended anywhere else. That the
//! *number* of open frames tells whether they are the same: frames are closed in the reverse order of their opening
//! on each stack, and a generator that is suspended has left none open. So all that are open
//! lie on the stacks below the one that runs, where nothing can close them, and each further one adds to the number. The task
//! is compared as well: what the expressions of a `gather_local!`, in tasks of their own, borrow from their parent may be the handle
//! of the generator that the parent runs in.
//!
//! A thread that is no task counts its own: what it leaves open, a task of a runtime that it then starts could
//! meet, on the same thread.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use std::thread;

use crate::fiber::Header;
use crate::sched;

thread_local! {
    /// How many frames are open that belong to this thread, not to a task.
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, a frame is open in the running task. It stays in the stack frame that made it, or in one of its callers'.
#[must_use]
#[derive(Debug)]
pub(crate) struct Open(PhantomData<*const ()>);

impl Open {
    #[inline(always)]
    pub(crate) fn new() -> Open {
        count(|open| open + 1);
        Open(PhantomData)
    }
}

impl Drop for Open {
    #[inline(always)]
    fn drop(&mut self) {
        count(|open| open - 1);
    }
}

#[inline(always)]
fn count(change: impl FnOnce(u32) -> u32) {
    match sched::current() {
        Some((_, task)) => task.open.set(change(task.open.get())),
        None => OPEN.set(change(OPEN.get())),
    }
}

/// Where code runs: in which task, and inside of how many open frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Here {
    /// Null: on a thread that is no task. Compared only.
    task: *const Header,
    open: u32,
}

impl Here {
    /// A place where nothing runs.
    pub(crate) const NOWHERE: Here = Here { task: ptr::without_provenance(usize::MAX), open: 0 };

    #[inline(always)]
    pub(crate) fn now() -> Here {
        match sched::current() {
            Some((_, task)) => Here { task, open: task.open.get() },
            None => Here { task: ptr::null(), open: OPEN.get() },
        }
    }

    /// Whether it is the same task, or both are the thread.
    pub(crate) fn is_same_task(self, other: Here) -> bool {
        self.task == other.task
    }
}

/// Whether a panic is under way that began in the running task since it was last resumed by the scheduler; on a thread that
/// is no task, whether any is. Where it says no, there may still be one (see `park::cancel`).
pub(crate) fn panics_for_sure() -> bool {
    let others = sched::current().is_some_and(|(worker, _)| worker.unwinding.others_panic.get());
    thread::panicking() && !others
}
