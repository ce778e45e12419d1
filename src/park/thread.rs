//! Waiters that are no tasks: OS threads.
//!
//! Not std's `park`: its token belongs to the program, and a wait of ours would eat an `unpark` that was
//! meant for the program's own.

use core::cell::OnceCell;
use core::num::NonZeroU64;
use std::sync::{Arc, PoisonError};

use super::{Deadline, Outcome, Wait};
use crate::util::atomic::{AtomicBool, Ordering};
use crate::util::lock::{Condvar, Lock};

/// What one thread sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Parker {
    /// The wait was claimed, and here is the wake.
    woken: Lock<bool>,
    changed: Condvar,
}

impl Parker {
    /// Lets the thread go. The caller holds its own count of the parker: the thread may end at once.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.changed.notify_one();
    }

    /// Waits for `wake`. True: it came, and is taken.
    fn wait(&self, deadline: Deadline) -> bool {
        let mut woken = self.woken.lock();
        while !*woken {
            if deadline.is_never() {
                woken = self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = deadline.remaining();
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(woken, left);
            woken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *woken = false;
        true
    }
}

/// A thread as `current()` shows it: what a [`crate::task::Task`] of a thread refers to.
#[derive(Debug)]
pub(crate) struct ThreadTask {
    pub(crate) id: NonZeroU64,
    pub(crate) name: Option<String>,
    /// `unpark`'s token.
    pub(super) token: AtomicBool,
    pub(super) parker: Parker,
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

/// `park` for a thread, whose node has been linked with `parker` in it.
#[cold]
#[inline(never)]
pub(super) fn park(parker: &Parker, deadline: Deadline, wait: &impl Wait) -> Outcome {
    if parker.wait(deadline) {
        return Outcome::Woken;
    }
    if wait.withdraw() {
        return Outcome::TimedOut;
    }
    // Claimed: the wake is coming (rule 6).
    let woken = parker.wait(Deadline::NEVER);
    debug_assert!(woken);
    Outcome::Woken
}

impl ThreadTask {
    pub(crate) fn new(id: NonZeroU64) -> ThreadTask {
        ThreadTask {
            id,
            name: std::thread::current().name().map(String::from),
            token: AtomicBool::new(false),
            parker: Parker::default(),
        }
    }

    /// `park` of the thread that this is.
    pub(crate) fn park(&self, deadline: Deadline) {
        // Acquire pairs with the Release in `unpark`: what came before it is seen.
        if self.token.swap(false, Ordering::Acquire) {
            return;
        }
        self.parker.wait(deadline);
        self.token.swap(false, Ordering::Acquire);
    }

    /// `unpark` of the thread that this is.
    pub(crate) fn unpark(&self) {
        // Release pairs with the Acquire in `park`. The parker is this token's alone, so a wake that nobody
        // waits for makes a later `park` return early, which `park` may.
        if !self.token.swap(true, Ordering::Release) {
            self.parker.wake();
        }
    }
}
