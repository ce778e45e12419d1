//! `unpark`'s token (rule 8).

use super::{
    Deadline, Never, Reason, cancel, checkpoint_of, end_park, prepare, spend, suspend, throw_cancelled,
};
use crate::fiber::{FiberRef, Header, NOTIFY, Signals};
use crate::sched::{self, TimerOwner, Worker};
use crate::timer;
use crate::util::atomic::Ordering;
use core::ptr::{self, NonNull};

/// Waits until the running task's token is there, and takes it; or until `deadline`.
///
/// A suspension point. Must be called on a task.
#[inline(always)]
pub(crate) fn park_for_token(worker: &Worker, task: &Header, deadline: Deadline) {
    checkpoint_of(worker, task);
    let timer = timer::Entry::new(TimerOwner::Wait(worker.running()).into_raw());
    while !has_token(task) {
        if prepare_token(worker, task, &timer, deadline) {
            suspend(task);
        }
        if finish_token(worker, task, &timer, deadline) {
            return;
        }
    }
    spend(worker, task, 1);
    take_token(task);
}

/// Whether the token is there.
#[inline]
pub(super) fn has_token(task: &Header) -> bool {
    // In this order: a NOTIFY that comes after this is seen by `prepare`, one before has its token set.
    task.signals.set(task.signals.get() & !Signals::NOTIFY);
    // Relaxed: nobody but the task takes it off, in `take_token`.
    task.token.load(Ordering::Relaxed)
}

/// It is there.
#[inline]
pub(super) fn take_token(task: &Header) {
    // Acquire pairs with the Release in `unpark`: what came before it, also before a second one, is seen. Hence a swap.
    task.token.swap(false, Ordering::Acquire);
}

#[inline(never)]
fn prepare_token(worker: &Worker, task: &Header, timer: &timer::Entry, deadline: Deadline) -> bool {
    if deadline.is_never() {
        return prepare(&worker.unwinding, task, Reason::Park, Signals::NOTIFY);
    }
    if !prepare(&worker.unwinding, task, Reason::Park, Signals::NOTIFY | Signals::TIMEOUT) {
        return false;
    }
    // SAFETY: the entry is on the caller's frame, which is there until `finish_token` has removed it.
    unsafe { worker.timers.borrow_mut().insert(NonNull::from(timer), deadline.nanos()) };
    true
}

/// True: the deadline has passed. Unwinds if something is due.
#[inline(never)]
fn finish_token(worker: &Worker, task: &Header, timer: &timer::Entry, deadline: Deadline) -> bool {
    while task.signals.get() & Signals::DUMP != 0 {
        super::dump::answer(task, &Never, deadline);
        suspend(task);
    }
    if task.accepts.get() != 0 {
        end_park(&worker.unwinding, task);
    }
    // SAFETY: it is this worker's wheel that the entry is in, if it is in one.
    unsafe { worker.timers.borrow_mut().remove(NonNull::from(timer)) };
    let signals = task.signals.get();
    task.signals.set(signals & !(Signals::TIMEOUT | Signals::CANCEL));
    if cancel::is_due(task) {
        throw_cancelled();
    }
    signals & Signals::TIMEOUT != 0
}

/// Leaves the token for a task, which goes on if it is in `park`. From any thread, at any time of the task's life.
pub(crate) fn unpark(task: &FiberRef) {
    // Release pairs with the Acquire in `take_token`.
    if task.token.swap(true, Ordering::Release) {
        // There is one already, and whoever left it sees to the rest.
        return;
    }
    notify(task);
}

/// Posts `NOTIFY`.
fn notify(task: &FiberRef) {
    // Relaxed: compared with this worker's own, which only this thread can have written.
    let home = task.home.load(Ordering::Relaxed);
    if let Some(worker) = sched::current_worker()
        && ptr::eq(worker.remote, home.cast())
    {
        // SAFETY: the caller's reference keeps it alive, and it is at home here.
        unsafe { worker.signal(task.as_ptr(), Signals::NOTIFY) };
        return;
    }
    sched::post(task, |state| state.post(NOTIFY));
}
