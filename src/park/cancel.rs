//! Cancellation, as `park` delivers it: by unwinding, level-triggered, never into an unwinding task. Of a whole task, or of
//! a part of its stack (see [`frames`]).
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
//!
//! What cannot be known, since nobody tells: that a task unwinds by a payload which the program *resumes* (no hook runs), if a mate is
//! parked mid-unwind then. A cancellation that comes while a destructor of that unwinding waits is thrown into it, and std ends the
//! process. And that a panic *inside of a destructor* was caught there: a timeout that was opened before it, in the same destructor,
//! is held back from then on.

use core::any::Any;
use std::panic::resume_unwind;

use super::frames::{Target, View};
use super::{Open, frames, nest, thread};
use crate::fiber::Header;
use crate::sched::{self, Unwinding};
use crate::util::report;

/// The payload of a cancellation's unwinding. Nobody else can make one.
///
/// It says when the unwinding is over, too: code that catches it drops it sooner or later.
#[derive(Debug)]
pub(super) struct Cancellation {
    /// Whose it is, and which of that task's (or thread's) unwindings.
    owner: u64,
    throw: u64,
    /// The frame that it is for; `None`: the whole task.
    frame: Option<u64>,
    /// How far its owner was unwinding when it was thrown: farther than not at all, if the frame is in a destructor.
    before: Mark,
}

impl Cancellation {
    pub(super) fn is_for(&self, owner: u64, frame: Option<u64>) -> bool {
        (self.owner, self.frame) == (owner, frame)
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        if let Some((_, task)) = sched::current()
            && task.id == self.owner
            && task.unwind.get() == self.throw
        {
            match self.before.unwinding {
                true => self.before.restore(task),
                false => task.unwinding.set(false),
            }
        } else if sched::current().is_none() {
            thread::state(|thread| thread.over(self.owner, self.throw, self.before));
        }
    }
}

/// How far a task unwinds: what layby's catch frames keep and restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(super) unwinding: bool,
    /// What it is, or was last, is a panic, not a throw of layby's.
    pub(super) by_panic: bool,
    /// The number of the unwinding; of the last one, if there is none now.
    pub(super) unwind: u64,
}

impl Mark {
    pub(super) fn of_task(task: &Header) -> Mark {
        Mark { unwinding: task.unwinding.get(), by_panic: task.by_panic.get(), unwind: task.unwind.get() }
    }

    pub(super) fn restore(self, task: &Header) {
        task.unwinding.set(self.unwinding);
        task.by_panic.set(self.by_panic);
        task.unwind.set(self.unwind);
    }
}

/// Whether a caught payload is a cancellation's.
pub(crate) fn is_cancellation(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Cancellation>()
}

/// What the close of a generator unwinds with. Here for those who must tell a panic from what layby throws.
#[derive(Debug)]
pub(crate) struct Close;

/// Whether a caught payload is one of layby's, which is no panic's.
pub(crate) fn is_throw(payload: &(dyn Any + Send)) -> bool {
    is_cancellation(payload) || payload.is::<Close>()
}

/// Unwinds the caller, after a wait that ended with `Cancelled`: because its task is cancelled, or because a frame around it has
/// expired. No panic hook runs.
#[cold]
#[inline(never)]
pub(crate) fn throw_cancelled() -> ! {
    let due = match sched::current() {
        Some((_, task)) => View::of_task(task).due(),
        None => thread::state(|thread| View::of_thread(thread).due()),
    };
    debug_assert!(due.is_some(), "told that it is cancelled, and nothing is due");
    throw(due.unwrap_or(Target::Task))
}

/// Unwinds the caller to `target`.
pub(super) fn throw(target: Target) -> ! {
    let frame = match target {
        Target::Task => None,
        Target::Frame(number) => {
            tell_nests_inside(number);
            Some(number)
        }
    };
    let (owner, before) = match sched::current() {
        Some((_, task)) => (task.id, Mark::of_task(task)),
        None => thread::state(|thread| (thread.id(), thread.mark())),
    };
    let throw = begin_throw();
    resume_unwind(Box::new(Cancellation { owner, throw, frame, before }))
}

/// The caller is about to throw at that frame: the children that are inside of it need not wait for the destructors.
fn tell_nests_inside(frame: u64) {
    if let Some((_, task)) = sched::current() {
        nest::tell(task, |nest| nest.number > frame);
    }
}

/// The caller is about to throw a payload of layby's: marks its task, or thread. Returns the unwinding's number.
pub(crate) fn begin_throw() -> u64 {
    match sched::current() {
        Some((_, task)) => {
            let unwind = task.next_number();
            Mark { unwinding: true, by_panic: false, unwind }.restore(task);
            unwind
        }
        None => thread::state(|thread| {
            let unwind = thread.next_number();
            thread.unwind.set(unwind);
            thread.by_throw.set(true);
            unwind
        }),
    }
}

/// What layby has caught, and what is not meant for it, goes on.
#[cold]
pub(crate) fn rethrow(payload: Box<dyn Any + Send>) -> ! {
    if let Some((_, task)) = sched::current() {
        let (by_panic, unwind) = match payload.downcast_ref::<Cancellation>() {
            Some(thrown) if thrown.owner == task.id => (false, thrown.throw),
            thrown => (thrown.is_none(), task.next_number()),
        };
        Mark { unwinding: true, by_panic, unwind }.restore(task);
    } else if let Some(thrown) = payload.downcast_ref::<Cancellation>() {
        thread::state(|thread| thread.again(thrown.throw));
    }
    resume_unwind(payload)
}

/// Brings the task's mark up to date, by the rules above.
#[inline(always)]
pub(super) fn look(unwinding: &Unwinding, task: &Header) {
    if !std::thread::panicking() {
        task.unwinding.set(false);
    } else if !unwinding.others_panic.get() && !task.unwinding.replace(true) {
        // Layby marks what it throws, so this is a panic (one that was resumed: no hook has run).
        task.by_panic.set(true);
    }
}

/// As [`look`], where layby may have just caught what unwound the task.
pub(super) fn look_after_catch(unwinding: &Unwinding, task: &Header) {
    look(unwinding, task);
    // The panic that was under way may have been the task's own: then the next one is its own again. (If mates are parked
    // with the mark, it is for the scheduler to see that no panic is under way.)
    if unwinding.others_panic.get() && unwinding.parked.get() == 0 && !std::thread::panicking() {
        unwinding.others_panic.set(false);
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

/// Whether something may be thrown into the task at all, or soon: what `CANCEL` is accepted for. [`look`] comes first.
#[inline(always)]
pub(super) fn is_interruptible(task: &Header) -> bool {
    can_be_told(task) && (!task.unwinding.get() && task.masked.get() == 0 || !task.frames.get().is_null())
}

/// Whether something is to be thrown into the task now. [`look`] comes first.
#[inline(always)]
pub(super) fn is_due(task: &Header) -> bool {
    task.state.is_interrupted() && can_be_told(task) && looks_due(task)
}

/// Built with `panic = "abort"` nothing can unwind: waits go on as if not cancelled, but for those that can fail.
#[cfg(not(panic = "unwind"))]
fn can_be_told(task: &Header) -> bool {
    task.fallible.get()
}

#[cfg(panic = "unwind")]
#[inline(always)]
fn can_be_told(_: &Header) -> bool {
    true
}

#[cold]
#[inline(never)]
fn looks_due(task: &Header) -> bool {
    let due = View::of_task(task).due().is_some();
    if !due && task.state.is_expired() {
        frames::tell_nests(task);
        frames::settle(task);
    }
    due
}

/// Whether the caller's task unwinds; on a thread that is no task, whether the thread does.
pub(crate) fn panicking() -> bool {
    match sched::current() {
        None => std::thread::panicking(),
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
    std::thread::panicking() && unwinds_by_panic()
}

#[cold]
fn unwinds_by_panic() -> bool {
    match sched::current() {
        Some((_, task)) => panicking() && task.by_panic.get(),
        None => thread::state(|thread| !thread.by_throw.get()),
    }
}

/// The mark of the running task, or thread, for who catches inside of what may be a destructor.
pub(crate) fn unwinding() -> Option<Mark> {
    Some(match sched::current() {
        Some((_, task)) => Mark::of_task(task),
        None => thread::state(|thread| thread.mark()),
    })
}

/// Layby has caught what unwound the running task, or thread: the mark is again what it was outside. `None`: it was off.
pub(crate) fn set_unwinding(mark: Option<Mark>) {
    match (sched::current(), mark) {
        (Some((_, task)), mark) => {
            mark.unwrap_or(Mark { unwinding: false, ..Mark::of_task(task) }).restore(task);
        }
        (None, Some(mark)) => thread::state(|thread| thread.restore(mark)),
        (None, None) => {}
    }
}

/// Whether the caller's task is cancelled; false on a thread that is no task.
pub(crate) fn is_cancelled() -> bool {
    sched::current().is_some_and(|(_, task)| task.state.is_cancelled())
}

/// While it lives, the task (or thread) that made it is not cancelled, and frames around it do not expire: what comes waits.
///
/// The count is the task's, so each is an open frame: taken down in another task it would take one away from that, and waits that
/// must not be cut short, because somebody borrows meanwhile, would be.
#[must_use]
#[derive(Debug)]
pub(crate) struct Mask(Open);

impl Mask {
    pub(crate) fn new() -> Mask {
        masked(|masked| masked + 1);
        Mask(Open::new())
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        masked(|masked| masked - 1);
    }
}

#[inline]
fn masked(change: impl FnOnce(u32) -> u32) {
    match sched::current() {
        Some((_, task)) => task.masked.set(change(task.masked.get())),
        None => thread::state(|thread| thread.masked.set(change(thread.masked.get()))),
    }
}
