//! Cancellation, as `park` delivers it: by unwinding, level-triggered, never into an unwinding task.
//!
//! # "The task unwinds"
//! std counts panics by OS thread and shows only a bool. A task that parks in a destructor, while it unwinds,
//! leaves its thread counting, so its worker mates would look as if they were panicking. So each task has a mark, and:
//!
//! * If no panic is under way on the thread, no task of the worker unwinds: the mark is off.
//! * If one is, and none was when the scheduler last resumed the running task, it is that task's: the mark is on.
//! * If one was already, it is a mate's (or the task's own, from before): the mark stays as it was. It is put on when layby
//!   throws, and by the panic hook (`sched::hook`); it is taken off where layby catches, and where the payload of the
//!   task's last throw is dropped by whoever has caught it.
//!
//! A mark that is wrongly on (somebody caught a panic, or keeps a cancellation's payload, while a mate is parked mid-unwind)
//! holds cancellation back, but only for so long: when the scheduler finds that no panic is under way any more, it takes all
//! marks off, and wakes those whose cancellation they have held back ([`Worker::unwinds_over`](crate::sched)).

use core::any::Any;
use core::ptr;
use std::panic::resume_unwind;
use std::thread;

use crate::fiber::{CANCEL, FiberRef, Header, Signals};
use crate::sched::{self, Unwinding};
use crate::util::atomic::Ordering;
use crate::util::report;

/// The payload of a cancellation's unwinding. Nobody else can make one.
///
/// It says when the unwinding is over, too: code that catches it drops it sooner or later.
#[derive(Debug)]
struct Cancellation {
    /// Whose it is, and which of that task's.
    task: u64,
    throw: u32,
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        if let Some((_, task)) = sched::current()
            && task.id == self.task
            && task.throws.get() == self.throw
        {
            task.unwinding.set(false);
        }
    }
}

/// Whether a caught payload is a cancellation's.
pub(crate) fn is_cancellation(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Cancellation>()
}

/// Unwinds the task, because it is cancelled. No panic hook runs.
#[cold]
#[inline(never)]
pub(crate) fn throw_cancelled() -> ! {
    let (_, task) = sched::current().expect("only a task is ever told that it is cancelled");
    let throw = task.throws.get().wrapping_add(1);
    task.throws.set(throw);
    task.unwinding.set(true);
    task.by_panic.set(false);
    resume_unwind(Box::new(Cancellation { task: task.id, throw }))
}

/// Brings the task's mark up to date, by the rules above.
#[inline(always)]
pub(super) fn look(unwinding: &Unwinding, task: &Header) {
    if !thread::panicking() {
        task.unwinding.set(false);
    } else if !unwinding.others_panic.get() && !task.unwinding.replace(true) {
        // Layby marks what it throws, so this is a panic (one that was resumed: no hook has run).
        task.by_panic.set(true);
    }
}

/// A task that would wait inside the panic hook: says so, and ends the process, as std would at the next panic.
#[inline(always)]
pub(super) fn refuse_in_hook(task: &Header) {
    if task.in_hook.get() {
        waits_in_hook(task);
    }
}

#[cold]
fn waits_in_hook(task: &Header) -> ! {
    report!(
        "task {task}, spawned at {}, would have to wait inside a panic hook, where no task can: std takes the next \
         panic on the thread for one inside the hook. Use operations that do not wait there. The process ends",
        task.spawned_at
    );
    std::process::abort();
}

/// Whether a cancellation may be thrown into the task now. [`look`] comes first.
#[inline(always)]
pub(super) fn is_cancellable(task: &Header) -> bool {
    // Built with `panic = "abort"` nothing can unwind: all waits go on as if not cancelled.
    cfg!(panic = "unwind") && !task.unwinding.get() && task.masked.get() == 0
}

/// Whether the caller's task unwinds; on a thread that is no task, whether the thread does.
pub(crate) fn panicking() -> bool {
    match sched::current() {
        None => thread::panicking(),
        Some((worker, task)) => {
            look(&worker.unwinding, task);
            task.unwinding.get()
        }
    }
}

/// Whether the caller unwinds by a panic, not by a cancellation: for the poison of locks. Of several unwindings, one inside a
/// destructor of the other, the one that began last counts.
#[inline]
pub(crate) fn panicking_by_panic() -> bool {
    // Often asked, and nearly always the answer.
    thread::panicking() && unwinds_by_panic()
}

#[cold]
fn unwinds_by_panic() -> bool {
    panicking() && sched::current().is_none_or(|(_, task)| task.by_panic.get())
}

/// The running task's mark, for who catches inside of what may be a destructor.
pub(crate) fn unwinding() -> bool {
    sched::current().is_some_and(|(_, task)| task.unwinding.get())
}

/// Layby has caught what unwound the running task: the mark is again what it was outside.
pub(crate) fn set_unwinding(unwinding: bool) {
    if let Some((_, task)) = sched::current() {
        task.unwinding.set(unwinding);
    }
}

/// Whether the caller's task is cancelled; false on a thread that is no task.
pub(crate) fn is_cancelled() -> bool {
    sched::current().is_some_and(|(_, task)| task.state.is_cancelled())
}

/// While it lives, the task that made it is not cancelled: what comes waits.
#[must_use]
#[derive(Debug)]
pub(crate) struct Mask(core::marker::PhantomData<*const ()>);

impl Mask {
    pub(crate) fn new() -> Mask {
        if let Some((_, task)) = sched::current() {
            task.masked.set(task.masked.get() + 1);
        }
        Mask(core::marker::PhantomData)
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        if let Some((_, task)) = sched::current() {
            task.masked.set(task.masked.get() - 1);
        }
    }
}

/// Cancels a task: the sticky flag, and a message behind it (rule 7). From any thread, at any time of the
/// task's life.
pub(crate) fn cancel(task: &FiberRef) {
    // Relaxed: compared with this worker's own, which only this thread can have written.
    let home = task.home.load(Ordering::Relaxed);
    if let Some(worker) = sched::current_worker()
        && ptr::eq(worker.remote, home.cast())
    {
        task.state.set_cancelled();
        // SAFETY: the reference keeps it alive, and it is at home here.
        unsafe { worker.signal(task.as_ptr(), Signals::CANCEL) };
        return;
    }
    super::token::post(task, CANCEL);
}
