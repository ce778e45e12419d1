//! `park`: THE blocking primitive. Everything that waits, waits here, and nothing else suspends a task.
//!
//! A *wait* has three parts: the operation puts a *wait node* into some queue, it parks, and somebody takes
//! the node out and wakes it. [`park`] ends in one of three ways, [`Outcome`]: woken, past the deadline,
//! or cancelled. It works on a task, which it suspends, and on any other thread, which it blocks; so all of
//! layby can be called from anywhere.
//!
//! # The protocol
//! 1. **Owners.** The run state, the signals and the run-queue link of a task are its home worker's: plain memory
//!    that no other thread touches. The state word and the inbox link are anyone's, by rule 5. Wait nodes are
//!    under rule 2.
//! 2. **Nodes.** A wait node lives on the waiter's stack. It is linked, unlinked and, while linked, touched only
//!    under its queue's lock (or by the atomic operations that are its queue, as in the join slot; or, where
//!    all of a queue's users are one worker, by that thread alone, as in the reactor and the timer wheel). That
//!    lock is never held over a switch, a user's callback or drop, an allocation or a syscall.
//! 3. **Claim.** Unlinking *is* the claim. A waker, the deadline, a cancellation: whoever unlinks the node has
//!    decided the wait; the others find it gone and stop.
//! 4. **Lease.** From the claim to the push the waiter cannot run: it takes a wake to end a claimed wait. So the
//!    claimer, and only it, may still write the outcome into the node after unlocking. The push is its last touch
//!    of node and header. Losers touch nothing outside the lock.
//! 5. **Push.** On the home worker a wake is an append to the run queue. Elsewhere: turn the bit on in the
//!    state word; who turned the first one on pushes the header on the home's inbox, then wakes the worker if it
//!    sleeps. A `WAKE` needs no reference (4); any other bit comes with one.
//! 6. **Drain.** The home drains its inbox in its loop, so after the task's switch: a wake that comes between
//!    linking the node and suspending is not lost, the task is made ready after it has suspended. The
//!    deadline and `CANCEL` make the task ready as well; it then *withdraws*: tries to unlink its own node.
//!    Won: timed out, or cancelled. Lost: the node was claimed, so a wake is coming, and the task waits
//!    for that one; it returns what it was given.
//! 7. **Cancel.** `cancel` sets the sticky flag and pushes `CANCEL` (and then goes on with the task's children: `fiber::nest`). `park` looks at the flag after linking
//!    and before suspending; a flag set later finds the message behind it. Both lead to a withdrawal.
//! 8. **Tokens.** `unpark` has no node: it sets the task's token and posts `NOTIFY`, with a reference. The
//!    token is what counts; a `NOTIFY` that comes to a task in another wait makes nothing ready and is kept until
//!    a wait that asks for it, which looks at its token again.
//! 9. **Threads.** A waiter that is no task has a [`Parker`], counted. Who wakes it clones the count before
//!    it stores the word that lets the thread go, and touches only the clone from there on.
//!
//! # Which race each step closes
//! * *Wake before suspend*: rule 6. On the home worker nothing else runs between linking and suspending.
//! * *Two wakers, or a waker and a deadline*: rule 3, one of them unlinks.
//! * *The waiter's frame dies under its waker*: rule 4. A lost withdrawal waits for the push.
//! * *The task ends while someone still pushes it*: a `WAKE` cannot be late (4), other bits hold a reference
//!   (5), and the worker's shared part is never freed (`sched::remote`).
//! * *A push between the drain and the sleep*: `sched::remote`, S1 to S5.
//! * *A cancel between the test and the suspend*: rule 7, the message.
//!
//! # Rejected
//! * *An epoch in each node, so that late wakes can be told apart*: needed where a wake may come after the wait
//!   was given up. Here unlinking decides, so there are none.
//! * *The scheduler withdraws on the task's behalf*: one switch less for each timeout, but it would run code of
//!   every queue on the scheduler's stack, which this way runs nothing but its own.
//! * *Cancelling by claiming the node from outside*: the canceller would need to know the node's queue, and
//!   take its lock, from a thread that the waiter may be racing to end.

mod cancel;
mod claim;
mod deadline;
mod dump;
mod fd;
mod frames;
#[cfg(all(test, loom))]
pub(crate) mod loom;
mod nest;
mod open;
mod refusal;
mod thread;
mod token;

use core::ptr::NonNull;
use std::sync::Arc;

pub(crate) use self::cancel::{
    Close, Mask, begin_throw, is_cancellation, is_cancelled, is_throw, panicking, panicking_by_panic,
    rethrow, set_unwinding, throw_cancelled, unwinding,
};
pub(crate) use self::claim::Claim;
pub(crate) use self::deadline::Deadline;
pub(crate) use self::fd::{fd_wait, on_task, with_reactor};
pub(crate) use self::frames::{Caught, Frame, Tripwire, enclose};
pub(crate) use self::nest::nested;
#[cfg(all(test, loom))]
pub(crate) use self::nest::open;
pub(crate) use self::open::{Here, Open, panics_for_sure};
pub(crate) use self::refusal::refuse_if_due;
pub(crate) use self::thread::{Parker, ThreadTask, time_left};
pub(crate) use self::token::{park_for_token, unpark};
pub(crate) use crate::dump::{Details, Holder, LockAt};
pub(crate) use crate::fiber::Reason;
pub(crate) use crate::sched::{cancel, cancel_brood};

use crate::fiber::{Header, Run, Signal, Signals};
use crate::sched::{self, TimerOwner, Unwinding, Worker};
use crate::timer;
use crate::util::atomic::Ordering;

/// How many tasks may begin each other at once before others have a turn.
const LONGEST_CHAIN: u32 = 64;

/// How a wait ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The node was claimed.
    Woken,
    /// The deadline has passed; the node is unlinked.
    TimedOut,
    /// The task was cancelled, or a timeout around the wait has expired; the node is unlinked. The caller tidies up and calls
    /// [`throw_cancelled`].
    Cancelled,
}

/// The waiter's side of a queue: how to take one's own node out again.
pub(crate) trait Wait {
    /// Rule 6. True: the node was linked, and is not any more. False: somebody has claimed it.
    fn withdraw(&self) -> bool;

    /// For a dump: what is waited for, as far as this knows more than the [`Reason`]. On the worker's own stack, while the waiter is
    /// suspended. It calls no code of the user's, waits for nothing, and as somebody may have claimed the node, it
    /// reads nothing that a claimer writes.
    fn describe(&self, _: &mut Details) {}
}

#[cfg(all(test, loom))]
impl<W: Wait + ?Sized> Wait for &W {
    fn withdraw(&self) -> bool {
        (**self).withdraw()
    }
}

/// A wait that nobody ends but the deadline or a cancellation.
#[derive(Debug)]
pub(crate) struct Never;

impl Wait for Never {
    fn withdraw(&self) -> bool {
        true
    }
}

/// Whom to wake: a task, or a thread that is no task. The part of a wait node that its claimer needs.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// A task, which is alive for as long as its wait is not over.
    Task(NonNull<Header>),
    /// A thread.
    Thread(Arc<Parker>),
}

impl Waiter {
    /// The caller, whatever it is.
    #[inline]
    pub(crate) fn current() -> Waiter {
        match sched::current() {
            Some((worker, _)) => Waiter::Task(worker.running()),
            None => Waiter::Thread(thread::parker()),
        }
    }

    /// Rules 5 and 9: ends the wait.
    ///
    /// # Safety
    /// The caller has claimed the node that `this` is in (rule 3), and has written what there is to write. It
    /// must not touch the node again. (A pointer, because the node may be gone before this returns.)
    pub(crate) unsafe fn wake(this: *const Waiter) {
        // SAFETY: by rule 4 the node is there until the push.
        match unsafe { &*this } {
            Waiter::Task(task) => {
                let task = *task;
                // SAFETY: claimed, says the caller.
                unsafe { wake_task(task) };
            }
            Waiter::Thread(parker) => {
                let parker = parker.clone();
                parker.wake();
            }
        }
    }
}

/// Rule 5, for a task.
///
/// # Safety
/// The caller has claimed the task's wait.
#[inline]
unsafe fn wake_task(task: NonNull<Header>) {
    // SAFETY: by rule 4 it is alive until the push.
    let header = unsafe { task.as_ref() };
    // Relaxed: written before the task ran, and it ran before it linked the node that was claimed.
    let home = header.home.load(Ordering::Relaxed);
    if let Some(worker) = sched::current_worker()
        && core::ptr::eq(worker.remote, home.cast())
    {
        // SAFETY: alive, and at home here.
        unsafe { worker.signal(task, Signals::WAKE) };
        return;
    }
    if header.state.post_wake() {
        // SAFETY: the home of a started task, never freed.
        let home = unsafe { &*home.cast::<sched::Remote>() };
        // SAFETY: this turned the first bit on; the task is claimed, so it lives until it is drained.
        unsafe { home.push(task) };
    }
}

/// Waits until the node that `wait` stands for is claimed and woken, the deadline passes or the task is
/// cancelled.
///
/// The node, with `waiter` in it, must be linked already. On `TimedOut` and `Cancelled` it is unlinked; on `Woken` its claimer has
/// unlinked it. A cancellation is held back while the task unwinds and inside a [`Mask`]; so are the timeouts around those.
#[inline(always)]
pub(crate) fn park(reason: Reason, deadline: Deadline, waiter: &Waiter, wait: &impl Wait) -> Outcome {
    let (worker, task) = match (waiter, sched::current()) {
        (Waiter::Task(_), Some(current)) => current,
        (Waiter::Task(_), None) => unreachable!("a task's wait node on a thread that is no task"),
        (Waiter::Thread(parker), _) => return thread::park(parker, deadline, wait),
    };
    if deadline.is_never() {
        let unwinding = &worker.unwinding;
        if prepare(unwinding, task, reason, Signals::WAKE) {
            suspend(task);
        }
        finish(unwinding, task, wait, deadline, suspend)
    } else {
        let timer = timer::Entry::new(TimerOwner::Wait(worker.running()).into_raw());
        if prepare_timed(worker, task, reason, Signals::WAKE, &timer, deadline) {
            suspend(task);
        }
        finish_timed(worker, task, wait, &timer, deadline)
    }
}

/// Whether the caller is a task inside the panic hook, where it cannot wait.
pub(crate) fn is_in_hook() -> bool {
    sched::current().is_some_and(|(_, task)| task.in_hook.get())
}

/// The bare switch. `prepare` said that the task may go, and nothing has run on this worker since.
#[inline(always)]
fn suspend(task: &Header) {
    // SAFETY: the carrier has set it, to the yielder on this very stack.
    let yielder = unsafe { &*task.yielder.get() };
    yielder.suspend(Signal::Suspended);
}

/// The task is about to suspend, to go on for any of `signals`, or a cancellation. False: it need not.
///
/// Called and returned before the switch, and not inlined, so that no frame of ours is alive across it but the
/// caller's (see `DESIGN`: the processor predicts a switch only then).
#[inline(never)]
fn prepare(unwinding: &Unwinding, task: &Header, reason: Reason, signals: u8) -> bool {
    cancel::look(unwinding, task);
    cancel::refuse_in_hook(task);
    let accepts = if cancel::is_interruptible(task) { signals | Signals::CANCEL } else { signals };
    let due = cancel::is_due(task);
    // A CANCEL that is not due is stale, or what it stands for is held back. Left there, it would end the wait before the
    // deadline is in the wheel, and `finish` would then wait without.
    task.signals.set(task.signals.get() & !Signals::CANCEL);
    if due || task.signals.get() & signals != 0 {
        task.reason.set(reason as u8);
        return false;
    }
    task.since.set(unwinding.clock.get());
    begin_park(unwinding, task, reason, accepts);
    true
}

#[inline(never)]
fn prepare_timed(
    worker: &Worker,
    task: &Header,
    reason: Reason,
    signals: u8,
    timer: &timer::Entry,
    deadline: Deadline,
) -> bool {
    if !prepare(&worker.unwinding, task, reason, signals | Signals::TIMEOUT) {
        return false;
    }
    // SAFETY: the entry is on the caller's frame, which is there until `finish_timed` has removed it.
    unsafe { worker.timers.borrow_mut().insert(NonNull::from(timer), deadline.nanos()) };
    true
}

fn begin_park(unwinding: &Unwinding, task: &Header, reason: Reason, accepts: u8) {
    task.reason.set(reason as u8);
    task.accepts.set(accepts);
    task.run.set(Run::Parked);
    if task.unwinding.get() {
        unwinding.parked.set(unwinding.parked.get() + 1);
    }
}

fn end_park(unwinding: &Unwinding, task: &Header) {
    debug_assert_eq!(task.run.get(), Run::Running, "a parked task runs again only by the scheduler");
    task.accepts.set(0);
    if task.unwinding.get() {
        unwinding.parked.set(unwinding.parked.get() - 1);
    }
}

/// Takes what has come, or withdraws.
#[inline(never)]
fn finish(
    unwinding: &Unwinding,
    task: &Header,
    wait: &impl Wait,
    deadline: Deadline,
    suspend: impl Fn(&Header),
) -> Outcome {
    loop {
        if task.accepts.get() != 0 {
            end_park(unwinding, task);
        }
        let signals = task.signals.get();
        // One test for both: a question may come to a task that was woken already.
        if signals & (Signals::WAKE | Signals::DUMP) == Signals::WAKE {
            task.signals.set(signals & !(Signals::WAKE | Signals::TIMEOUT));
            return Outcome::Woken;
        }
        if signals & Signals::DUMP != 0 {
            dump::answer(task, wait, deadline);
            suspend(task);
            continue;
        }
        let timed_out = signals & Signals::TIMEOUT != 0;
        // Of the wait's own deadline and a cancellation or a timeout around, the latter: it is from further out.
        let cancelled = cancel::is_due(task);
        task.signals.set(signals & !(Signals::TIMEOUT | Signals::CANCEL));
        if (cancelled || timed_out) && wait.withdraw() {
            return if cancelled { Outcome::Cancelled } else { Outcome::TimedOut };
        }
        // Claimed: the wake is coming. (Or a CANCEL that is stale, or held back: the wait goes on, and the timer is
        // still in the wheel.)
        let signals = match cancelled || timed_out {
            true => Signals::WAKE,
            false if cancel::is_interruptible(task) => Signals::WAKE | Signals::TIMEOUT | Signals::CANCEL,
            false => Signals::WAKE | Signals::TIMEOUT,
        };
        if task.signals.get() & signals == 0 {
            begin_park(unwinding, task, Reason::from_number(task.reason.get()), signals);
            suspend(task);
        }
    }
}

#[inline(never)]
fn finish_timed(
    worker: &Worker,
    task: &Header,
    wait: &impl Wait,
    timer: &timer::Entry,
    deadline: Deadline,
) -> Outcome {
    let outcome = finish(&worker.unwinding, task, wait, deadline, suspend);
    // SAFETY: it is this worker's wheel that the entry is in, if it is in one.
    unsafe { worker.timers.borrow_mut().remove(NonNull::from(timer)) };
    outcome
}

/// Lets every other ready task of the worker run first. On a thread that is no task: std's `yield_now`.
///
/// A suspension point.
#[inline(always)]
pub(crate) fn yield_now() {
    let Some((worker, task)) = sched::current() else {
        std::thread::yield_now();
        thread::checkpoint();
        return;
    };
    cancel::look(&worker.unwinding, task);
    cancel::refuse_in_hook(task);
    if task.unwinding.get() {
        worker.unwinding.parked.set(worker.unwinding.parked.get() + 1);
    }
    task.reason.set(Reason::Yield as u8);
    // SAFETY: it is the running task, and the next line suspends it.
    unsafe { worker.requeue(task) };
    suspend(task);
    if task.unwinding.get() {
        after_unwinding_yield(worker, task);
    } else if task.state.is_interrupted_or_asked() {
        after_yield(worker, task);
    }
}

/// There is something to throw, or the task is asked what it is doing: then it is not its turn yet.
#[cold]
#[inline(never)]
fn after_yield(worker: &Worker, task: &Header) {
    while_asked(task);
    if task.state.is_interrupted() {
        deliver(worker, task);
    }
}

/// As for others; but it was counted, and is so until its turn.
#[cold]
#[inline(never)]
fn after_unwinding_yield(worker: &Worker, task: &Header) {
    while_asked(task);
    worker.unwinding.parked.set(worker.unwinding.parked.get() - 1);
    if task.state.is_interrupted() {
        deliver(worker, task);
    }
}

/// Answers, until the task was resumed for its turn: for those places that suspend a task that is ready.
fn while_asked(task: &Header) {
    while task.signals.get() & Signals::DUMP != 0 {
        dump::answer(task, &Never, Deadline::NEVER);
        suspend(task);
    }
}

/// Before a task is made that is to begin at once: a suspension point. Lets others go first if there were many such, each begun by the
/// one before: each has a budget of its own.
#[inline(always)]
pub(crate) fn checkpoint_before_begin() {
    checkpoint();
    if let Some((worker, task)) = sched::current()
        && worker.chain() >= LONGEST_CHAIN
        && !task.in_hook.get()
    {
        go_last();
    }
}

/// The running task lets a new one begin at once, on this worker, and goes on when that one has suspended or ended: before all
/// others that are ready, unless it has had its share (see [`spend_budget`]).
///
/// Nothing is thrown here: the caller has something to return.
///
/// # Safety
/// On a task. The scheduler takes over one reference to `task`, which was never submitted before.
#[inline(always)]
pub(crate) unsafe fn let_begin(task: NonNull<Header>) {
    let (worker, running) = sched::current().expect("a task runs");
    // SAFETY: by this function's contract; the running task suspends next.
    let left = unsafe { begin_now(worker, running, task) };
    suspend(running);
    end_begin(worker, running, left);
}

/// What is left of the running task's budget.
///
/// # Safety
/// As [`let_begin`]; the caller suspends `running` next.
#[inline(never)]
unsafe fn begin_now(worker: &Worker, running: &Header, task: NonNull<Header>) -> Option<u32> {
    cancel::look(&worker.unwinding, running);
    cancel::refuse_in_hook(running);
    if running.unwinding.get() {
        worker.unwinding.parked.set(worker.unwinding.parked.get() + 1);
    }
    running.reason.set(Reason::Yield as u8);
    let left = worker.budget.get().checked_sub(1);
    // SAFETY: by this function's contract.
    unsafe { worker.submit_first(running, task, left.is_some()) };
    left
}

#[inline(never)]
fn end_begin(worker: &Worker, running: &Header, left: Option<u32>) {
    while_asked(running);
    if let Some(left) = left {
        // It was not a turn of its own.
        worker.budget.set(left);
    }
    if running.unwinding.get() {
        worker.unwinding.parked.set(worker.unwinding.parked.get() - 1);
    }
}

/// What an operation that need not wait begins with, so that it is a suspension point all the same. In a seeded run the seed
/// may let others go first.
#[inline(always)]
pub(crate) fn checkpoint() {
    match sched::current() {
        Some((worker, task)) => checkpoint_of(worker, task),
        None => thread::checkpoint(),
    }
}

/// [`checkpoint`], and who has passed it, as a lock keeps that for dumps.
#[inline(always)]
pub(crate) fn checkpoint_of_holder() -> u32 {
    match sched::current() {
        Some((worker, task)) => {
            checkpoint_of(worker, task);
            Holder::bits(task.id)
        }
        None => {
            thread::checkpoint();
            Holder::THREAD
        }
    }
}

/// As [`checkpoint`], for an operation that need not ever wait as long as others keep up with it: I/O, a token, a
/// message; or that asks for one in vain. A task that does nothing else yields now and then, before it takes anything.
#[inline(always)]
pub(crate) fn spend_budget(cost: u32) {
    match sched::current() {
        Some((worker, task)) => {
            checkpoint_of(worker, task);
            spend(worker, task, cost);
        }
        None => thread::checkpoint(),
    }
}

/// [`spend_budget`] of an operation that has found nothing, and need not have been a suspension point if it had. So that a task which
/// asks in a loop, until somebody has done something, lets him do it.
#[cold]
#[inline(never)]
pub(crate) fn in_vain() {
    spend_budget(1);
}

#[inline(always)]
fn spend(worker: &Worker, task: &Header, cost: u32) {
    match worker.budget.get().checked_sub(cost) {
        Some(left) => worker.budget.set(left),
        // It must not suspend in there, and does not go on for ever.
        None if task.in_hook.get() => {}
        None => go_last(),
    }
}

/// Out of line: the operation's own code stays as small as with a [`checkpoint`]. (One return in 128 is not predicted.)
#[cold]
#[inline(never)]
fn go_last() {
    yield_now();
}

#[inline(always)]
fn checkpoint_of(worker: &Worker, task: &Header) {
    if !task.frames.get().is_null() {
        frames::look_at_clock(worker, task, worker.coarse_now());
    }
    if task.state.is_of_interest() {
        give_way_by_seed(worker, task);
        throw_what_is_due(worker, task);
    }
}

/// In a seeded run: at a suspension point that need not wait, other tasks may come first all the same. They may in a real
/// run, where they have workers of their own.
///
/// Not in `yield_now` and not after a wait, which let others run by themselves. Before the operation takes anything, so nothing
/// can be lost by it. Not during a panic: std would take mates that run meanwhile for panicking, which is an alarm for nothing.
#[cold]
#[inline(never)]
fn give_way_by_seed(worker: &Worker, task: &Header) {
    if let Some(sim) = &worker.sim
        && !std::thread::panicking()
        && !task.in_hook.get()
        && sim.gives_way()
    {
        yield_now();
    }
}

#[cold]
#[inline(never)]
fn throw_what_is_due(worker: &Worker, task: &Header) {
    cancel::look(&worker.unwinding, task);
    if cancel::is_due(task) {
        throw_cancelled();
    }
}

/// A suspension point that never waits: unwinds the caller if something is due.
#[inline(never)]
pub(crate) fn check_cancelled() {
    let Some((worker, task)) = sched::current() else { return thread::checkpoint() };
    if task.state.is_of_interest() {
        give_way_by_seed(worker, task);
    }
    deliver(worker, task);
}

#[inline(always)]
fn deliver(worker: &Worker, task: &Header) {
    if !task.frames.get().is_null() {
        frames::look_at_clock(worker, task, worker.now());
    }
    throw_what_is_due(worker, task);
}

/// Waits for `deadline`.
#[inline(always)]
pub(crate) fn sleep_until(deadline: Deadline) {
    if deadline.is_never() {
        return sleep_for_ever();
    }
    match park(Reason::Sleep, deadline, &Waiter::current(), &Never) {
        Outcome::Cancelled => throw_cancelled(),
        Outcome::TimedOut | Outcome::Woken => {}
    }
}

/// What was asked to last for ever is no deadlock, so the worker counts it.
#[cold]
fn sleep_for_ever() {
    struct Endless<'a>(&'a Worker);
    impl Drop for Endless<'_> {
        fn drop(&mut self) {
            self.0.endless.set(self.0.endless.get() - 1);
        }
    }
    let counted = sched::current().map(|(worker, _)| {
        worker.endless.set(worker.endless.get() + 1);
        Endless(worker)
    });
    let outcome = park(Reason::Sleep, Deadline::NEVER, &Waiter::current(), &Never);
    drop(counted);
    if outcome == Outcome::Cancelled {
        throw_cancelled();
    }
}
