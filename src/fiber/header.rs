//! The header: what the runtime knows of one task.

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32};

use super::carrier::{Carrier, Order, Signal};
use super::join::JoinSlot;
use super::locals::Locals;
use super::nest::Nests;
use super::state::{self, State};
use crate::coroutine::Yielder;
use crate::util::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
use crate::util::cell::{Cell, Shown};
use crate::util::fifo::Linked;

/// How a task's code suspends it.
pub(crate) type TaskYielder = Yielder<Order, Signal>;

/// What differs from one type of closure to the next.
#[derive(Debug)]
pub(crate) struct Vtable {
    /// Runs the closure to its end, stores the result and settles the join slot. Never unwinds.
    ///
    /// # Safety
    /// Once, on the task's own stack.
    pub(crate) run: unsafe fn(NonNull<Header>),
    /// Drops a closure that will never run, and settles the join slot.
    ///
    /// # Safety
    /// Once, instead of `run`, on a stack where user code may run.
    pub(crate) discard: unsafe fn(NonNull<Header>),
    /// Frees the allocation; closure and result are gone already.
    ///
    /// # Safety
    /// Once, after the last use.
    pub(crate) free: unsafe fn(NonNull<Header>),
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Run {
    /// Not started, or in the run queue.
    Queued,
    /// On its stack, now.
    Running,
    /// Suspended, in no run queue.
    Parked,
    /// Ended.
    Done,
}

/// The cell of a [`Run`], which others than the home worker may look at.
pub(crate) struct RunCell(Shown<AtomicU8>);

impl RunCell {
    #[inline(always)]
    pub(crate) fn get(&self) -> Run {
        match self.0.get() {
            0 => Run::Queued,
            1 => Run::Running,
            2 => Run::Parked,
            _ => Run::Done,
        }
    }

    #[inline(always)]
    pub(crate) fn set(&self, run: Run) {
        self.0.set(run as u8);
    }
}

/// A set of the reasons for which a parked task can go on. Home worker only, plain bits.
pub(crate) struct Signals;

impl Signals {
    /// Its wait was claimed, and here is the wake.
    pub(crate) const WAKE: u8 = state::WAKE as u8;
    /// Something it may be looking at has changed.
    pub(crate) const NOTIFY: u8 = state::NOTIFY as u8;
    /// It was cancelled.
    pub(crate) const CANCEL: u8 = state::CANCEL as u8;
    /// It is asked what it is doing, and suspends again at once; it is not in `accepts`. See `sched::dump`.
    pub(crate) const DUMP: u8 = state::DUMP as u8;
    /// Its deadline has passed.
    pub(crate) const TIMEOUT: u8 = 1 << 7;
}

/// One task.
///
/// The fields of the first group belong to the *home worker*, the one thread that ever runs the task
/// (before the start: to whoever holds the task in a queue). They are plain memory; but others may look at `run`, `reason` and `since`
/// (see `sched::onlook`).
#[repr(C, align(16))]
pub(crate) struct Header {
    /// The link of the run queue, or of a queue of unstarted closures (then under that queue's lock).
    pub(crate) link: Cell<*const Header>,
    /// The stack and what is on it: `Some` from the start to the end.
    pub(crate) carrier: UnsafeCell<Option<Carrier>>,
    /// How to leave the stack; set by the carrier before the closure runs.
    pub(crate) yielder: Cell<*const TaskYielder>,
    /// Where it stands.
    pub(crate) run: RunCell,
    /// It was handed over or stolen before it started; once is enough.
    pub(crate) placed: Cell<bool>,
    /// Which `Signals` have come and were not taken yet.
    pub(crate) signals: Cell<u8>,
    /// Which `Signals` the present wait goes on for.
    pub(crate) accepts: Cell<u8>,
    /// The task unwinds (see `park::unwinding`).
    pub(crate) unwinding: Cell<bool>,
    /// What was thrown into it last, or has begun in it, is a panic; of use while `unwinding`.
    pub(crate) by_panic: Cell<bool>,
    /// The last number given to an unwinding or a frame of this task.
    pub(crate) numbers: Cell<u64>,
    /// The number of the unwinding that it is in, or was in last: a throw, or a panic (see `park::cancel`).
    pub(crate) unwind: Cell<u64>,
    /// The innermost of its open frames: a `park::Frame`, or null.
    pub(crate) frames: Cell<*const ()>,
    /// It runs the panic hook.
    pub(crate) in_hook: Cell<bool>,
    /// It has waited for a stack.
    pub(crate) starved: Cell<bool>,
    /// It was submitted to this worker alone.
    pub(crate) local: Cell<bool>,
    /// What it waits for: a `Reason`, as its number.
    pub(crate) reason: Shown<AtomicU8>,
    /// How deep it is in regions that hold cancellation back. (No stack is large enough to overflow it.)
    pub(crate) masked: Cell<u32>,
    /// Built with `panic = "abort"`: the wait it is in can fail, so a cancellation may end it.
    #[cfg(not(panic = "unwind"))]
    pub(crate) fallible: Cell<bool>,
    /// How many frames are open that belong to this task (see `park::open`).
    pub(crate) open: Cell<u32>,
    /// When it began to wait, by the worker's coarse clock (see `sched::dump`).
    pub(crate) since: Shown<AtomicU32>,
    /// Its task-local values.
    pub(crate) locals: Locals,

    /// What anyone may tell the task.
    pub(crate) state: State,
    /// `unpark`'s token, as std's.
    pub(crate) token: AtomicBool,
    /// The link of the home worker's inbox: whoever turned the first pending bit on, then the drainer.
    pub(crate) inbox_link: AtomicPtr<Header>,
    refs: AtomicUsize,
    /// The one that waits for the end.
    pub(crate) join: JoinSlot<()>,
    /// Where it has children.
    pub(crate) nests: Nests,
    /// The home worker's shared part, as the scheduler knows it; null before the start. Written once by
    /// the home worker.
    pub(crate) home: AtomicPtr<()>,

    /// What differs by type.
    pub(crate) vtable: &'static Vtable,
    /// Unique in the process.
    pub(crate) id: u64,
    /// Where it was spawned.
    pub(crate) spawned_at: &'static Location<'static>,
    /// Its name, if it was given one.
    pub(crate) name: Option<Box<str>>,
    /// Bytes of stack that it asks for.
    pub(crate) stack_size: usize,
    /// A task of the same runtime cannot leave before it has ended, and sees to its cancellation.
    pub(crate) structured: bool,
    /// The id of the task that has spawned it, or 0.
    pub(crate) parent: u64,
}

/// What a task is made with.
pub(crate) struct Attributes {
    pub(crate) name: Option<Box<str>>,
    /// Usable bytes of stack.
    pub(crate) stack_size: usize,
    pub(crate) spawned_at: &'static Location<'static>,
    /// See [`Header::structured`].
    pub(crate) structured: bool,
    /// See [`Header::parent`].
    pub(crate) parent: u64,
    /// It begins with copies of those of its spawner's task-locals that are inherited.
    pub(crate) inherits: bool,
}

// SAFETY: the link is written by the queue that the task is in and by nothing else.
unsafe impl Linked for Header {
    #[inline(always)]
    fn next(&self) -> &Cell<*const Header> {
        &self.link
    }
}

impl Header {
    /// A header of a task that has not started, with `refs` references.
    pub(crate) fn new(vtable: &'static Vtable, id: u64, attributes: Attributes, refs: usize) -> Header {
        let Attributes { name, stack_size, spawned_at, structured, inherits: _, parent } = attributes;
        Header {
            link: Cell::new(ptr::null()),
            carrier: UnsafeCell::new(None),
            yielder: Cell::new(ptr::null()),
            run: RunCell(Shown::byte(Run::Queued as u8)),
            placed: Cell::new(false),
            signals: Cell::new(0),
            accepts: Cell::new(0),
            unwinding: Cell::new(false),
            by_panic: Cell::new(false),
            numbers: Cell::new(0),
            unwind: Cell::new(0),
            frames: Cell::new(ptr::null()),
            in_hook: Cell::new(false),
            starved: Cell::new(false),
            local: Cell::new(false),
            reason: Shown::byte(0),
            masked: Cell::new(0),
            #[cfg(not(panic = "unwind"))]
            fallible: Cell::new(false),
            open: Cell::new(0),
            since: Shown::word(0),
            locals: Locals::new(),
            state: State::held(),
            token: AtomicBool::new(false),
            inbox_link: AtomicPtr::new(ptr::null_mut()),
            refs: AtomicUsize::new(refs),
            join: JoinSlot::new(),
            nests: Nests::new(),
            home: AtomicPtr::new(ptr::null_mut()),
            vtable,
            id,
            spawned_at,
            name,
            stack_size,
            structured,
            parent,
        }
    }

    /// Rule 6 of `park`: the home worker has taken the task out of its inbox. True: it is ready, append it to the
    /// run queue.
    ///
    /// # Safety
    /// On the worker whose inbox it was in; by `State`, the task is alive until then.
    #[inline(always)]
    pub(crate) unsafe fn receive(this: NonNull<Header>) -> bool {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { this.as_ref() };
        let bits = header.state.drain();
        // One that has ended was kept alive by the bits only, and may be in the inbox of a stranger.
        let ready = header.run.get() != Run::Done && header.signal(bits as u8);
        // SAFETY: `bits` come from this drain. If the task is ready, the scheduler has a reference of its own.
        unsafe { Header::drop_references(this, bits) };
        ready
    }

    /// On the home worker: something has come for the task. True: it is ready, append it to the run queue.
    /// Otherwise the signal waits here.
    #[inline]
    pub(crate) fn signal(&self, signals: u8) -> bool {
        self.signals.set(self.signals.get() | signals);
        let ready = self.run.get() == Run::Parked && self.accepts.get() & signals != 0;
        if ready {
            self.run.set(Run::Queued);
        }
        ready
    }

    /// A new number for an unwinding or a frame.
    #[inline]
    pub(crate) fn next_number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    /// The task starts, and `home` (as the scheduler knows it) is the worker that it stays on.
    ///
    /// # Safety
    /// `this` is alive, unstarted and in no queue; the caller is that worker.
    #[inline]
    pub(crate) unsafe fn start(this: NonNull<Header>, home: *mut ()) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { this.as_ref() };
        // Relaxed: `State::start` publishes it, to whoever learns there that the task has started.
        header.home.store(home, Ordering::Relaxed);
        let bits = header.state.start();
        header.signals.set(bits as u8);
        // SAFETY: the bits come from this start; the scheduler's own reference keeps the task alive.
        unsafe { Header::drop_references(this, bits) };
    }

    /// The task, which has not started, was discarded: it has ended. Drops what was left for it.
    ///
    /// # Safety
    /// `this` is alive, was never submitted, and nobody else ends it.
    pub(crate) unsafe fn finish_unstarted(this: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { this.as_ref() };
        header.state.finish();
        // Nothing comes after that, and what has come was given to a starter. There is none.
        let bits = header.state.drain();
        // SAFETY: the bits come from this drain; alive, by this function's contract.
        unsafe { Header::drop_references(this, bits) };
    }

    /// The home worker drops the references that came with `bits` (see `State`).
    ///
    /// # Safety
    /// `bits` were returned by this header's `drain` or `start`, once; `this` is alive.
    unsafe fn drop_references(this: NonNull<Header>, bits: u32) {
        for _ in 0..state::references(bits) {
            // SAFETY: each bit came with one reference.
            drop(unsafe { FiberRef::from_raw(this) });
        }
    }
}

#[cfg(all(test, loom))]
impl Header {
    /// Fails if somebody may still be using what anyone may use: nothing orders his use before this.
    pub(super) fn check_last_use(&mut self) {
        self.state.check_last_use();
        self.inbox_link.with_mut(|_| {});
        self.home.with_mut(|_| {});
        assert_eq!(self.refs.with_mut(|refs| *refs), 0, "the references do not add up");
    }
}

impl fmt::Display for Header {
    /// `'name'` or `#17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "'{name}'"),
            None => write!(f, "#{}", self.id),
        }
    }
}

/// A counted reference to a task's header.
pub(crate) struct FiberRef(NonNull<Header>);

// SAFETY: through a reference only the shared and the constant fields are touched; the plain ones are
// the home worker's, which reaches them through raw pointers on its own thread.
unsafe impl Send for FiberRef {}
// SAFETY: as above.
unsafe impl Sync for FiberRef {}

impl FiberRef {
    /// Takes over one reference.
    ///
    /// # Safety
    /// The caller owns one reference to `header` and gives it up.
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> FiberRef {
        FiberRef(header)
    }

    /// Gives the reference up to the caller.
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        let header = self.0;
        core::mem::forget(self);
        header
    }

    /// A further reference to a task that is alive.
    ///
    /// # Safety
    /// `header` is alive.
    pub(crate) unsafe fn share(header: NonNull<Header>) -> FiberRef {
        // SAFETY: alive, by this function's contract.
        let refs = unsafe { &header.as_ref().refs };
        // Relaxed: the caller has a reference already, as in `Arc`.
        refs.fetch_add(1, Ordering::Relaxed);
        FiberRef(header)
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }
}

impl Deref for FiberRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: a counted reference keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for FiberRef {
    fn clone(&self) -> FiberRef {
        // SAFETY: a counted reference keeps it alive.
        unsafe { FiberRef::share(self.0) }
    }
}

impl Drop for FiberRef {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire fence below, in whichever thread drops last.
        if self.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last reference.
            unsafe { (self.vtable.free)(self.0) };
        }
    }
}

impl fmt::Debug for FiberRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FiberRef({})", &**self)
    }
}
