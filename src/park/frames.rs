//! Frames: the regions of a stack that an unwinding can be aimed at.
//!
//! A [`Frame`] is opened around a closure by [`enclose`]: by a `timeout`, with a deadline, or by whoever must be able to stop
//! the closure from another task, with a [`Tripwire`]. When the deadline has passed, or the wire was tripped, the frame has
//! *expired*, and the next suspension point inside throws a payload that names the frame, which catches it. So a timeout is a
//! cancellation of a part of the stack, and `park` delivers it in the same way.
//!
//! ```text
//!   task's stack                                     header
//!   ┌──────────────────────────────────┐
//!   │ timeout(10 s)  Frame 7  ◀────────┼───┐          masked = 1
//!   │  shield        masked 0 → 1      │   │ outer    frames ───┐
//!   │   timeout(1 s) Frame 8 ──────────┼───┘                    │
//!   │    recv        park    ▲─────────┼────────────────────────┘
//!   └──────────────────────────────────┘
//! ```
//!
//! # Which one is thrown
//! Of what is due at a suspension point, the outermost: the task's cancellation, if there is one, else the outermost frame
//! that has expired and that is not held back. Held back are:
//!
//! * by a [`Mask`](super::Mask) (a `shield`): the cancellation, and the frames outside of it. A mask counts one up in `masked`,
//!   and a frame keeps the count that it was opened at: it is not held back if that is the present one.
//! * by an unwinding: the cancellation, and the frames that were open when it began. What is opened in a destructor meanwhile
//!   has the number of that unwinding, and a throw at it begins another one with a number of its own; so it is thrown at once
//!   at most, and not into its own destructors.
//!
//! What is held back stays due: frames stay expired until they are closed, as a cancelled task stays cancelled.
//!
//! # How it becomes known
//! Owners: the frames, their links and their timers are their thread's, plain memory (rule 1 of `park`). On a task:
//!
//! 1. A frame with a deadline has an entry in the home worker's timer wheel, on its own stack: nothing is allocated. An entry
//!    that was put in and is not there any more *is* the expiry. When the worker pops it, it turns the sticky EXPIRED on in the
//!    task's state word and signals CANCEL, as for a cancellation: a parked task wakes and withdraws (rule 6 of `park`); one
//!    that runs or is ready meets the bit at its next suspension point. If a waker was first, the wait returns what it was given, and
//!    the expiry comes at the next one.
//! 2. A tripwire is tripped by anyone: its flag (Release), then EXPIRED and the message CANCEL, as in `cancel` (rule 7).
//! 3. A suspension point looks at one word, in which EXPIRED is beside CANCELLED, so that it costs the same with timeouts as
//!    without. Only if one of them is on it walks the frames.
//! 4. Who closes an expired frame takes EXPIRED off, *then* looks at the frames that are left, and turns it on again if one of them
//!    has expired. So a trip between the two is not lost: its flag is seen, or its bit comes later. So does a suspension point that
//!    finds nothing due: a wire that is tripped when its frame is closed already would leave the bit on for good.
//! 5. A task that does not let its worker go (one that computes, or whose operations never have to wait) keeps the wheel from
//!    turning. So inside a frame `check_cancelled` looks at the clock, and an operation that need not wait at
//!    the coarse clock, which is four times as fast and some milliseconds late.
//!
//! On a thread that is no task there is no wheel: frames are compared with the clock, and waits end at the earliest deadline.
//!
//! # Rejected
//! * *A deadline that every wait inherits, as the earliest of the frames'*: each wait would put an entry into the wheel and take it out;
//!   this way only the timeout does, once.
//! * *A generation in the frame that the timer compares*: the entry is unlinked before the frame goes, on the one thread that
//!   pops it.

#[cfg(all(test, loom))]
mod loom;

use core::any::Any;
use core::cell::Cell;
use core::fmt;
use core::panic::AssertUnwindSafe;
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use super::cancel::{self, Cancellation, Mark};
use super::thread::{self, Parker, ThreadState};
use super::{Deadline, Open, nest};
use crate::fiber::{FiberRef, Header};
use crate::sched::{self, TimerOwner, Worker};
use crate::timer;
use crate::util::atomic::{AtomicBool, Ordering};

/// A region that can be unwound to. See the module above.
pub(crate) struct Frame {
    /// The frame around this one, of the same task or thread; or null. Open for longer than this one.
    outer: *const Frame,
    /// Unique among the unwindings and frames of its task or thread.
    number: u64,
    /// How many masks there were around it when it was opened.
    masked: u32,
    /// How far its task was unwinding when it was opened.
    mark: Mark,
    /// Whose stack it is on; `None`: a thread's that is no task.
    task: Option<NonNull<Header>>,
    deadline: Cell<Deadline>,
    /// In the wheel from the time the deadline is set until it has passed. Of a thread's frame: never.
    timer: timer::Entry,
    wire: Option<Arc<Tripwire>>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expired = self.is_expired();
        f.debug_struct("Frame")
            .field("number", &self.number)
            .field("expired", &expired)
            .finish_non_exhaustive()
    }
}

/// What a frame caught.
#[derive(Debug)]
pub(crate) enum Caught {
    /// What was thrown at it.
    Expiry,
    /// Something else, which is to go on by [`rethrow`](super::rethrow).
    Other(Box<dyn Any + Send>),
}

/// Runs `f` inside a frame that expires `limit` from now ([`Duration::MAX`]: never), or when `wire` is tripped.
#[inline(always)]
pub(crate) fn enclose<T>(
    limit: Duration,
    wire: Option<Arc<Tripwire>>,
    f: impl FnOnce(&Frame) -> T,
) -> Result<T, Caught> {
    let _open = Open::new();
    let frame = Frame::new(wire);
    // SAFETY: it stays where it is, and is closed below: nothing unwinds past the catch. Frames opened inside were
    // closed in the same way.
    unsafe { frame.open(limit) };
    let result = catch_unwind(AssertUnwindSafe(|| f(&frame)));
    // SAFETY: opened above, on this thread.
    unsafe { frame.close() };
    result.map_err(|payload| frame.judge(payload))
}

impl Frame {
    #[inline]
    fn new(wire: Option<Arc<Tripwire>>) -> Frame {
        let common = |outer, number, masked, mark, task: Option<NonNull<Header>>| Frame {
            outer,
            number,
            masked,
            mark,
            task,
            deadline: Cell::new(Deadline::NEVER),
            timer: timer::Entry::new(
                task.map_or(NonNull::dangling(), |task| TimerOwner::Frame(task).into_raw()),
            ),
            wire,
        };
        match sched::current() {
            Some((worker, task)) => {
                cancel::look(&worker.unwinding, task);
                let outer = task.frames.get().cast();
                let mark = Mark::of_task(task);
                common(outer, task.next_number(), task.masked.get(), mark, Some(worker.running()))
            }
            None => thread::state(|thread| {
                common(thread.frames.get(), thread.next_number(), thread.masked.get(), thread.mark(), None)
            }),
        }
    }

    /// # Safety
    /// Until it is closed, it stays where it is. It is closed by the task or thread that has opened it, after all that were opened
    /// later.
    #[inline(never)]
    unsafe fn open(&self, limit: Duration) {
        match (self.task, sched::current()) {
            (Some(_), Some((worker, task))) => {
                self.link(task);
                self.arm(worker, limit);
            }
            _ => {
                thread::state(|thread| thread.frames.set(self));
                self.deadline.set(Deadline::after(limit));
            }
        }
    }

    /// # Safety
    /// It was opened, by the same task or thread, and not closed yet.
    #[inline(never)]
    unsafe fn close(&self) {
        let Some((worker, task)) = self.task.and_then(|_| sched::current()) else {
            return thread::state(|thread| {
                debug_assert_eq!(thread.frames.get(), ptr::from_ref(self));
                thread.frames.set(self.outer);
                thread.restore(self.mark);
            });
        };
        debug_assert_eq!(task.frames.get(), ptr::from_ref(self).cast());
        cancel::look_after_catch(&worker.unwinding, task);
        if self.timer.is_linked() {
            // SAFETY: it is this worker's wheel that the entry is in.
            unsafe { worker.timers.borrow_mut().remove(NonNull::from(&self.timer)) };
        }
        self.unlink(task);
    }

    fn link(&self, task: &Header) {
        task.frames.set(ptr::from_ref(self).cast());
    }

    /// It is closed: the task is as it was when it was opened.
    fn unlink(&self, task: &Header) {
        task.frames.set(self.outer.cast());
        self.mark.restore(task);
        if task.state.is_expired() {
            settle(task);
        }
    }

    /// Sets the deadline of a task's frame, whose entry is not in the wheel.
    fn arm(&self, worker: &Worker, limit: Duration) {
        let deadline = Deadline::after(limit);
        self.deadline.set(deadline);
        if deadline.is_never() {
            return;
        }
        let Some(task) = self.task else { return };
        if limit.is_zero() {
            // SAFETY: the frame is open, so its task is alive, and it is at home here.
            unsafe { worker.expire(task) };
        } else {
            // SAFETY: the frame stays where it is until it is closed, which unlinks the entry.
            unsafe { worker.timers.borrow_mut().insert(NonNull::from(&self.timer), deadline.nanos()) };
        }
    }

    /// Moves the deadline to `limit` from now. False, and no effect, if it has passed.
    pub(crate) fn reschedule(&self, limit: Duration) -> bool {
        if self.is_expired() {
            return false;
        }
        match sched::current_worker().filter(|_| self.task.is_some()) {
            None => self.deadline.set(Deadline::after(limit)),
            Some(worker) => {
                // SAFETY: a frame does not leave its thread, so this is the worker whose wheel the entry is in, if it is
                // in one.
                unsafe { worker.timers.borrow_mut().remove(NonNull::from(&self.timer)) };
                self.arm(worker, limit);
            }
        }
        true
    }

    /// Whether the deadline has passed, or the wire was tripped.
    pub(crate) fn is_expired(&self) -> bool {
        if self.wire.as_ref().is_some_and(|wire| wire.is_tripped()) {
            return true;
        }
        let deadline = self.deadline.get();
        !deadline.is_never()
            && match self.task {
                Some(_) => !self.timer.is_linked(),
                None => deadline.is_past(),
            }
    }

    /// Out of `payload`, which was caught here.
    #[cold]
    fn judge(&self, payload: Box<dyn Any + Send>) -> Caught {
        match payload.downcast_ref::<Cancellation>() {
            Some(thrown) if thrown.is_for(self.owner(), Some(self.number)) => Caught::Expiry,
            _ => Caught::Other(payload),
        }
    }

    fn owner(&self) -> u64 {
        match sched::current() {
            Some((_, task)) => task.id,
            None => thread::state(ThreadState::id),
        }
    }
}

/// Rule 4: an expired frame was closed, or there may be none.
#[cold]
#[inline(never)]
pub(super) fn settle(task: &Header) {
    task.state.clear_expired();
    if View::of_task(task).frames().any(Frame::is_expired) {
        task.state.set_expired();
    }
}

/// Something has expired, and cannot be thrown now. If that is because of a mask, the children inside of the frame, but not of the
/// mask, need not wait for the end of that.
#[cold]
#[inline(never)]
pub(super) fn tell_nests(task: &Header) {
    for frame in View::of_task(task).frames().filter(|frame| frame.is_expired()) {
        let unwind = frame.mark.unwinding.then_some(frame.mark.unwind);
        nest::tell(task, |nest| {
            nest.number > frame.number && (nest.masked, nest.unwind) == (frame.masked, unwind)
        });
    }
}

/// Rule 5: for a task that may have kept its worker from looking. `now` is not later than it is.
#[cold]
pub(super) fn look_at_clock(worker: &Worker, task: &Header, now: u64) {
    for frame in View::of_task(task).frames() {
        if frame.timer.is_linked() && frame.deadline.get().nanos() <= now {
            // SAFETY: it is this worker's wheel that the entry is in.
            unsafe { worker.timers.borrow_mut().remove(NonNull::from(&frame.timer)) };
            task.state.set_expired();
        }
    }
}

/// Whom a throw is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The whole task.
    Task,
    /// The frame with that number.
    Frame(u64),
}

/// What decides which throw is due: of a task, or of a thread that is no task.
pub(super) struct View {
    innermost: *const Frame,
    masked: u32,
    mark: Mark,
    cancelled: bool,
}

impl View {
    pub(super) fn of_task(task: &Header) -> View {
        View {
            innermost: task.frames.get().cast(),
            masked: task.masked.get(),
            mark: Mark::of_task(task),
            cancelled: task.state.is_cancelled(),
        }
    }

    pub(super) fn of_thread(thread: &ThreadState) -> View {
        View {
            innermost: thread.frames.get(),
            masked: thread.masked.get(),
            mark: thread.mark(),
            cancelled: false,
        }
    }

    /// The open frames, from the innermost on.
    fn frames(&self) -> impl Iterator<Item = &Frame> {
        let mut next = self.innermost;
        core::iter::from_fn(move || {
            // SAFETY: an open frame is alive, and so are those around it; they are closed by the code that this is called from,
            // later.
            let frame = unsafe { next.as_ref() }?;
            next = frame.outer;
            Some(frame)
        })
    }

    /// Those that nothing holds back.
    fn free_frames(&self) -> impl Iterator<Item = &Frame> {
        let inside = self.frames().take_while(|frame| frame.masked == self.masked);
        inside.filter(|frame| !self.mark.unwinding || frame.mark == self.mark)
    }

    /// What is to be thrown now: the outermost of what is due. (Where nothing can be thrown: what would be.)
    pub(super) fn due(&self) -> Option<Target> {
        if self.cancelled && self.masked == 0 && !self.mark.unwinding {
            return Some(Target::Task);
        }
        let due = self.free_frames().filter(|frame| frame.is_expired()).last();
        due.map(|frame| Target::Frame(frame.number))
    }

    /// Whether another thread may end one of the frames that nothing holds back.
    pub(super) fn can_be_tripped(&self) -> bool {
        self.free_frames().any(|frame| frame.wire.is_some())
    }

    /// Whether the frame of that number has a deadline to expire by, not a wire.
    pub(super) fn is_timed(&self, number: u64) -> bool {
        self.frames().any(|frame| frame.number == number && frame.wire.is_none())
    }

    /// When the first of the frames that nothing holds back will expire.
    pub(super) fn next_deadline(&self) -> Deadline {
        self.free_frames().map(|frame| frame.deadline.get()).min().unwrap_or(Deadline::NEVER)
    }
}

/// The far end of a frame: trips it, from any thread.
#[derive(Debug)]
pub(crate) struct Tripwire {
    tripped: AtomicBool,
    whom: Whom,
}

#[derive(Debug)]
enum Whom {
    Task(FiberRef),
    Thread(Arc<Parker>),
}

impl Tripwire {
    /// For a frame that the caller is going to open.
    pub(crate) fn new() -> Arc<Tripwire> {
        let whom = match sched::current() {
            // SAFETY: the running task is alive.
            Some((worker, _)) => Whom::Task(unsafe { FiberRef::share(worker.running()) }),
            None => Whom::Thread(thread::parker()),
        };
        Arc::new(Tripwire { tripped: AtomicBool::new(false), whom })
    }

    #[cfg(all(test, loom))]
    fn of(task: FiberRef) -> Arc<Tripwire> {
        Arc::new(Tripwire { tripped: AtomicBool::new(false), whom: Whom::Task(task) })
    }

    /// Its frame expires, if it is open still. Once is enough.
    pub(crate) fn trip(&self) {
        // Release pairs with the Acquire in `is_tripped`; for a task also with that in `clear_expired`, by the bit that follows.
        if self.tripped.swap(true, Ordering::Release) {
            return;
        }
        match &self.whom {
            Whom::Task(task) => expire(task),
            Whom::Thread(parker) => parker.interrupt(),
        }
    }

    pub(crate) fn is_tripped(&self) -> bool {
        // Acquire pairs with the Release in `trip`.
        self.tripped.load(Ordering::Acquire)
    }
}

/// A frame of that task has expired. From any thread, at any time of the task's life.
fn expire(task: &FiberRef) {
    // Relaxed: compared with this worker's own, which only this thread can have written.
    let home = task.home.load(Ordering::Relaxed);
    if let Some(worker) = sched::current_worker()
        && ptr::eq(worker.remote, home.cast())
    {
        // SAFETY: the reference keeps it alive, and it is at home here.
        unsafe { worker.expire(task.as_ptr()) };
        return;
    }
    sched::post(task, |state| state.post_expired());
}
