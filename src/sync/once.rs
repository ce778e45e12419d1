//! `Once`.
//!
//! ```text
//!              a caller's exchange             it returned
//!   INCOMPLETE ──────────────────▶ RUNNING ─────────────────▶ COMPLETE
//!      ▲  ▲                         │ │  ▲
//!      │  └───── it was cancelled ──┘ │  │ call_once_force
//!      │                  it panicked ▼  │
//!      └──────────────────────────── POISONED       (cancelled again: back to what it was)
//! ```
//! One word: how often RUNNING was left, whether somebody is queued, and the phase. Who waits links a node with that number
//! under the queue's lock, after a look at the word; who leaves RUNNING counts on, and wakes all with a smaller number. They look
//! again: after a cancellation one of them runs its own closure.

use core::fmt;
use core::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::panic::{catch_unwind, resume_unwind};

use super::queue::{Node, Queue};
use crate::park::{self, Deadline, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering, const_fn};

const INCOMPLETE: usize = 0;
const POISONED: usize = 1;
const RUNNING: usize = 2;
const COMPLETE: usize = 3;
const PHASE: usize = 3;
/// There may be nodes in the queue.
const QUEUED: usize = 1 << 2;
/// How often RUNNING was left, in these units.
const ROUND: usize = 1 << 3;

/// Runs a closure once, whoever comes first.
///
/// Like [`std::sync::Once`], except: only the calling task waits for another's closure, not its worker. And a closure that is left by
/// a [cancellation](crate::JoinHandle::cancel), or by the close of the generator that it runs in, has not run: the next one is run; if
/// others wait, at once. (One that panics poisons it, as in std.)
///
/// # Cancellation
/// A suspension point only while another's closure runs.
///
/// # Examples
/// ```
/// use layby::sync::Once;
///
/// static START: Once = Once::new();
/// START.call_once(|| println!("once"));
/// START.call_once(|| unreachable!());
/// assert!(START.is_completed());
/// ```
pub struct Once {
    state: AtomicUsize,
    queue: Queue<usize>,
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// What [`Once::call_once_force`] tells its closure. Like [`std::sync::OnceState`], which nobody else can make.
pub struct OnceState {
    poisoned: bool,
}

struct Waiting<'a>(&'a Once, &'a Node<usize>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let Waiting(once, node) = self;
        let mut queue = once.queue.lock();
        // Relaxed: a later round means claimed, and a wake; no more is read because of it.
        if node.note() != once.state.load(Ordering::Relaxed) / ROUND {
            return false;
        }
        // SAFETY: in this queue, or in none.
        unsafe { queue.unlink(node) }
    }
}

#[allow(clippy::new_without_default, reason = "std's has none")]
impl Once {
    const_fn! {
        /// One that has not run.
        #[inline]
        pub const fn new() -> Once {
            Once { state: AtomicUsize::new(INCOMPLETE), queue: Queue::new() }
        }
    }

    /// Runs `f`, unless one has run already; waits while another runs.
    ///
    /// # Cancellation
    /// A suspension point only while another's closure runs.
    ///
    /// # Panics
    /// If an earlier closure has panicked.
    #[inline]
    #[track_caller]
    pub fn call_once<F>(&self, f: F)
    where
        F: FnOnce(),
    {
        if !self.has_completed() {
            self.call(false, |_| f());
        }
    }

    /// As [`call_once`](Once::call_once), also if an earlier closure has panicked.
    ///
    /// # Cancellation
    /// As [`call_once`](Once::call_once).
    #[inline]
    pub fn call_once_force<F>(&self, f: F)
    where
        F: FnOnce(&OnceState),
    {
        if !self.has_completed() {
            self.call(true, f);
        }
    }

    /// Whether one has run to its end. A task that asks in vain again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if none has.
    #[inline]
    pub fn is_completed(&self) -> bool {
        let completed = self.has_completed();
        if !completed {
            park::in_vain();
        }
        completed
    }

    /// [`is_completed`](Once::is_completed), but no suspension point.
    #[inline]
    pub(super) fn has_completed(&self) -> bool {
        // Acquire pairs with the Release in `finish`: what the closure did is seen.
        self.state.load(Ordering::Acquire) & PHASE == COMPLETE
    }

    /// Waits until one has run to its end.
    ///
    /// # Cancellation
    /// A suspension point if none has yet.
    ///
    /// # Panics
    /// If one has panicked.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until_complete(false);
    }

    /// As [`wait`](Once::wait), also if one has panicked: until another has not.
    ///
    /// # Cancellation
    /// As [`wait`](Once::wait).
    pub fn wait_force(&self) {
        self.wait_until_complete(true);
    }

    #[track_caller]
    fn wait_until_complete(&self, ignore_poison: bool) {
        // Acquire as in `is_completed`.
        while let state = self.state.load(Ordering::Acquire)
            && state & PHASE != COMPLETE
        {
            assert!(state & PHASE != POISONED || ignore_poison, "Once instance has previously been poisoned");
            self.wait_for_change(state);
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn call(&self, ignore_poison: bool, f: impl FnOnce(&OnceState)) {
        loop {
            // Acquire as in `is_completed`.
            let state = self.state.load(Ordering::Acquire);
            let phase = state & PHASE;
            match phase {
                COMPLETE => return,
                RUNNING => self.wait_for_change(state),
                POISONED if !ignore_poison => panic!("Once instance has previously been poisoned"),
                _ => {
                    let running = state & !PHASE | RUNNING;
                    // Acquire: a closure sees what one before it, which failed, has done.
                    let begun =
                        self.state.compare_exchange(state, running, Ordering::Acquire, Ordering::Relaxed);
                    if begun.is_ok() {
                        return self.run(phase, f);
                    }
                }
            }
        }
    }

    /// By the one that RUNNING belongs to.
    fn run(&self, before: usize, f: impl FnOnce(&OnceState)) {
        let state = OnceState { poisoned: before == POISONED };
        // Caught, and thrown on: the payload says exactly what it is.
        match catch_unwind(AssertUnwindSafe(|| f(&state))) {
            Ok(()) => self.finish(COMPLETE),
            Err(payload) => {
                self.finish(if park::is_throw(&*payload) { before } else { POISONED });
                resume_unwind(payload)
            }
        }
    }

    fn finish(&self, phase: usize) {
        // Relaxed: only the round counts, which stands still while RUNNING.
        let round = self.state.load(Ordering::Relaxed) / ROUND + 1;
        // AcqRel: Release pairs with the Acquires of those who look. QUEUED is set under the queue's lock: a node
        // that it stands for is linked when that is taken next.
        let before = self.state.swap((round * ROUND) | phase, Ordering::AcqRel);
        if before & QUEUED != 0 {
            self.queue.wake_older(round);
        }
    }

    /// Waits until RUNNING is left; returns at once if the phase is no longer that of `seen`.
    #[inline(never)]
    fn wait_for_change(&self, seen: usize) {
        let node = Node::new(0);
        if !self.enlist(&node, seen) {
            return;
        }
        match park::park(Reason::Once, Deadline::NEVER, &node.waiter, &Waiting(self, &node)) {
            Outcome::Woken | Outcome::TimedOut => {}
            Outcome::Cancelled => park::throw_cancelled(),
        }
    }

    fn enlist(&self, node: &Node<usize>, seen: usize) -> bool {
        let mut queue = self.queue.lock();
        // Relaxed: the exchange looks again, and the caller afterwards.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if (state ^ seen) & !QUEUED != 0 {
                return false;
            }
            let queued = state | QUEUED;
            match self.state.compare_exchange_weak(state, queued, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        node.set_note(state / ROUND);
        // SAFETY: in no queue, and its frame is there until it is unlinked.
        unsafe { queue.push_back(node) };
        true
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

impl OnceState {
    /// Whether an earlier closure has panicked.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

impl fmt::Debug for OnceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceState").field("poisoned", &self.is_poisoned()).finish()
    }
}
