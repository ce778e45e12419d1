//! A suspended task's answer to its worker: what it waits for, and where (see `sched::dump`).

use super::frames::View;
use super::{Deadline, Wait};
use crate::fiber::Header;
use crate::sched;
use crate::util::report;

/// What the closure on the worker's stack refers to.
struct Asked<'a> {
    task: &'a Header,
    wait: &'a dyn Wait,
    deadline: Deadline,
}

/// A reference for a closure that runs elsewhere on the stack's own thread.
struct SameThread<'a>(&'a Asked<'a>);

// SAFETY: `on_parent_stack` changes the stack, not the thread, and returns only when the closure has.
unsafe impl Send for SameThread<'_> {}

impl SameThread<'_> {
    fn answer(self) {
        self.0.answer();
    }
}

/// Tells the worker of `task`, which is suspended for all but its own frames, what it waits for. The caller suspends it again next.
///
/// On the worker's stack: a task that waits may have little left of its own, and to walk a stack takes 5 KiB.
#[cold]
#[inline(never)]
pub(super) fn answer(task: &Header, wait: &dyn Wait, deadline: Deadline) {
    let asked = Asked { task, wait, deadline };
    let asked = SameThread(&asked);
    // SAFETY: the carrier has set it, to the yielder of this very task.
    let yielder = unsafe { &*task.yielder.get() };
    yielder.on_parent_stack(move || asked.answer());
}

impl Asked<'_> {
    fn answer(&self) {
        let guard = AbortOnUnwind;
        let (worker, _) = sched::current().expect("a worker asks its own tasks");
        let mut answer = worker.answer.borrow_mut();
        answer.deadline = self.deadline.nanos();
        answer.timeout = View::of_task(self.task).next_deadline().nanos();
        self.wait.describe(&mut answer.details);
        answer.trace();
        core::mem::forget(guard);
    }
}

/// Nothing may unwind into a task whose wait is not over.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        report!("a task cannot say what it waits for, the process ends");
        std::process::abort();
    }
}
