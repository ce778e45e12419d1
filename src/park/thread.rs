//! Waiters that are no tasks: OS threads.
//!
//! Not std's `park`: its token belongs to the program, and a wait of ours would eat an `unpark` that was
//! meant for the program's own.

use core::cell::{Cell, OnceCell};
use core::num::NonZeroU64;
use core::ptr;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::sync::{Arc, PoisonError};

use super::cancel::{Mark, throw, throw_cancelled};
use super::frames::{Frame, View};
use super::{Deadline, Outcome, Wait};
use crate::util::atomic::{AtomicBool, Ordering};
use crate::util::lock::{Condvar, Lock};

/// What one thread sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    news: Lock<News>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct News {
    /// The wait was claimed, and here is the wake.
    woken: bool,
    /// A frame of the thread was tripped: it is to look, in this wait or the next.
    interrupted: bool,
    /// `unpark`'s token was set: the thread is to look, if it waits for that.
    unparked: bool,
}

impl Parker {
    /// Lets the thread go. The caller holds its own count of the parker: the thread may end at once.
    pub(crate) fn wake(&self) {
        self.news.lock().woken = true;
        self.changed.notify_one();
    }

    /// Lets the thread look at its frames.
    pub(super) fn interrupt(&self) {
        self.news.lock().interrupted = true;
        self.changed.notify_one();
    }

    /// Lets the thread look at its token.
    fn unpark(&self) {
        self.news.lock().unparked = true;
        self.changed.notify_one();
    }

    /// Waits for `wake`. True: it came, and is taken. False: the deadline has passed, or it was interrupted.
    fn wait(&self, deadline: Deadline) -> bool {
        self.wait_for(|news| &mut news.woken, deadline)
    }

    /// As `wait`, for `unpark`.
    fn wait_for_unpark(&self, deadline: Deadline) -> bool {
        self.wait_for(|news| &mut news.unparked, deadline)
    }

    fn wait_for(&self, what: fn(&mut News) -> &mut bool, deadline: Deadline) -> bool {
        let mut news = self.news.lock();
        while !core::mem::take(what(&mut news)) {
            if core::mem::take(&mut news.interrupted) {
                return false;
            }
            if deadline.is_never() {
                news = self.changed.wait(news).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = deadline.remaining();
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(news, left);
            news = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for `wake`, whatever else comes.
    fn wait_for_wake(&self) {
        while !self.wait(Deadline::NEVER) {}
    }
}

/// A thread as `current()` shows it: what a [`crate::task::Task`] of a thread refers to.
#[derive(Debug)]
pub(crate) struct ThreadTask {
    pub(crate) id: NonZeroU64,
    pub(crate) name: Option<String>,
    /// `unpark`'s token.
    pub(super) token: AtomicBool,
    /// The thread's own, which a tripwire interrupts.
    pub(super) parker: Arc<Parker>,
}

thread_local! {
    static PARKER: OnceCell<Arc<Parker>> = const { OnceCell::new() };
}

/// The calling thread's parker. In a thread whose locals are gone already: a new one.
pub(super) fn parker() -> Arc<Parker> {
    if cfg!(loom) {
        // The threads of a model are one to std.
        return Arc::default();
    }
    PARKER.try_with(|cell| cell.get_or_init(Arc::default).clone()).unwrap_or_default()
}

/// What a thread that is no task has in place of a task's header, as far as throwing goes.
#[derive(Debug)]
pub(super) struct ThreadState {
    id: Cell<u64>,
    numbers: Cell<u64>,
    pub(super) unwind: Cell<u64>,
    /// What it unwinds by was thrown by layby. True for longer if somebody has caught that and keeps the payload: to the next
    /// suspension point.
    pub(super) by_throw: Cell<bool>,
    pub(super) masked: Cell<u32>,
    pub(super) frames: Cell<*const Frame>,
}

thread_local! {
    static STATE: ThreadState = const {
        ThreadState {
            id: Cell::new(0),
            numbers: Cell::new(0),
            unwind: Cell::new(0),
            by_throw: Cell::new(false),
            masked: Cell::new(0),
            frames: Cell::new(ptr::null()),
        }
    };
}

/// Calls `f` with the calling thread's. (It has no destructor, so it is there to the thread's very end.)
#[inline]
pub(super) fn state<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    STATE.with(f)
}

impl ThreadState {
    pub(super) fn next_number(&self) -> u64 {
        let number = self.numbers.get() + 1;
        self.numbers.set(number);
        number
    }

    /// That throw was caught, and goes on.
    pub(super) fn again(&self, throw: u64) {
        self.unwind.set(throw);
        self.by_throw.set(true);
    }

    /// The payload of that throw is dropped: whoever has caught it has done with it.
    pub(super) fn over(&self, owner: u64, throw: u64, before: Mark) {
        if (self.id.get(), self.unwind.get()) != (owner, throw) {
            return;
        }
        self.by_throw.set(before.unwinding && !before.by_panic);
        if before.unwinding {
            self.unwind.set(before.unwind);
        }
    }

    /// How far it unwinds. Of a thread, std's word is exact.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            unwinding: std::thread::panicking(),
            by_panic: !self.by_throw.get(),
            unwind: self.unwind.get(),
        }
    }

    /// Layby has caught what it unwound by.
    pub(super) fn restore(&self, mark: Mark) {
        self.unwind.set(mark.unwind);
        self.by_throw.set(!mark.by_panic);
    }

    /// Unique in the process, and no task's.
    pub(super) fn id(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1 << 63);
        if self.id.get() == 0 {
            // Relaxed: a number.
            self.id.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        self.id.get()
    }
}

/// A suspension point that does not wait, of a thread.
#[inline]
pub(super) fn checkpoint() {
    if cfg!(not(panic = "unwind")) || state(|thread| thread.frames.get().is_null() && !thread.by_throw.get())
    {
        return;
    }
    look();
    if let Some(target) = state(|thread| View::of_thread(thread).due()) {
        throw(target);
    }
}

/// A throw that was caught is over, whoever keeps its payload: a panic that comes now is not it.
#[cold]
fn look() {
    if !std::thread::panicking() {
        state(|thread| thread.by_throw.set(false));
    }
}

fn is_due() -> bool {
    cfg!(panic = "unwind") && state(|thread| View::of_thread(thread).due().is_some())
}

/// When a wait of the thread is to be cut short.
fn next_deadline() -> Deadline {
    if cfg!(not(panic = "unwind")) {
        return Deadline::NEVER;
    }
    state(|thread| View::of_thread(thread).next_deadline())
}

/// How long the calling thread, which is no task, may wait for something else than `park` before it has to call
/// `checkpoint`, or `refuse_if_due`; `None`: without limit.
pub(crate) fn time_left() -> Option<Duration> {
    let next = state(|thread| View::of_thread(thread).next_deadline());
    let left = (!next.is_never()).then(|| next.remaining());
    match state(|thread| View::of_thread(thread).can_be_tripped()) {
        // Who trips a wire reaches the parker alone.
        true => Some(left.map_or(LOOK, |left| left.min(LOOK))),
        false => left,
    }
}

/// How often a thread that waits in the kernel, in a `try_scope`, looks whether that has failed.
const LOOK: Duration = Duration::from_millis(20);

/// `park` for a thread, whose node has been linked with `parker` in it.
#[cold]
#[inline(never)]
pub(super) fn park(parker: &Parker, deadline: Deadline, wait: &impl Wait) -> Outcome {
    let limit = deadline.min(next_deadline());
    let outcome = loop {
        if is_due() {
            break Outcome::Cancelled;
        }
        if !deadline.is_never() && deadline.is_past() {
            break Outcome::TimedOut;
        }
        if parker.wait(limit) {
            return Outcome::Woken;
        }
    };
    if !wait.withdraw() {
        // Claimed: the wake is coming (rule 6).
        parker.wait_for_wake();
        return Outcome::Woken;
    }
    outcome
}

impl ThreadTask {
    /// The calling thread's.
    pub(crate) fn new(id: NonZeroU64) -> ThreadTask {
        ThreadTask {
            id,
            name: std::thread::current().name().map(String::from),
            token: AtomicBool::new(false),
            parker: parker(),
        }
    }

    /// `park` of the thread that this is.
    pub(crate) fn park(&self, deadline: Deadline) {
        // Acquire pairs with the Release in `unpark`: what came before it is seen.
        checkpoint();
        if self.token.swap(false, Ordering::Acquire) {
            return;
        }
        let woken = self.parker.wait_for_unpark(deadline.min(next_deadline()));
        if !woken && is_due() {
            throw_cancelled();
        }
        self.token.swap(false, Ordering::Acquire);
    }

    /// `unpark` of the thread that this is.
    pub(crate) fn unpark(&self) {
        // Release pairs with the Acquire in `park`. Only `park` waits for this, so one that nobody waits for makes a later `park`
        // return early, which `park` may.
        if !self.token.swap(true, Ordering::Release) {
            self.parker.unpark();
        }
    }
}
