//! A counter with one listener: rings are counted, and the listener waits for the next.

#[cfg(all(test, loom))]
mod loom;

use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::park::{Deadline, Outcome, Reason, Wait, Waiter, park, throw_cancelled};
use crate::util::lock::Lock;

/// The listener's side. One thread or task at a time may wait; the type is not `Clone`.
#[derive(Debug)]
pub(crate) struct Doorbell(Arc<Lock<State>>);

/// A ringer's side. Counted: the last ring may come when the listener has gone.
#[derive(Clone, Debug)]
pub(crate) struct Button(Arc<Lock<State>>);

#[derive(Debug)]
struct State {
    rings: usize,
    /// The one that waits. Linked and unlinked under the lock (rule 2 of `park`).
    waiter: *const Waiter,
}

// SAFETY: the pointer is followed only by who has taken it out under the lock, which is the claim that
// keeps what it points to alive (rules 3 and 4 of `park`); a `Waiter` may be woken from any thread.
unsafe impl Send for State {}

struct Listening<'a>(&'a Doorbell);

impl Wait for Listening<'_> {
    fn withdraw(&self) -> bool {
        !core::mem::replace(&mut self.0.0.lock().waiter, ptr::null()).is_null()
    }
}

impl Doorbell {
    pub(crate) fn new() -> Doorbell {
        Doorbell(Arc::new(Lock::new(State { rings: 0, waiter: ptr::null() })))
    }

    pub(crate) fn button(&self) -> Button {
        Button(self.0.clone())
    }

    /// Waits for a ring, and takes it. A suspension point.
    pub(crate) fn wait(&mut self, reason: Reason) {
        self.wait_until(reason, Deadline::NEVER);
    }

    /// Waits for a ring, and takes it; false if there was none until `deadline`. A suspension point.
    pub(crate) fn wait_until(&mut self, reason: Reason, deadline: Deadline) -> bool {
        let waiter = Waiter::current();
        if !self.enlist(&waiter) {
            return true;
        }
        match park(reason, deadline, &waiter, &Listening(self)) {
            // The ring was given with the wake.
            Outcome::Woken => true,
            Outcome::TimedOut => false,
            Outcome::Cancelled => throw_cancelled(),
        }
    }

    /// False: there was a ring, and it is taken.
    fn enlist(&self, waiter: &Waiter) -> bool {
        let mut state = self.0.lock();
        if state.rings > 0 {
            state.rings -= 1;
            return false;
        }
        state.waiter = NonNull::from(waiter).as_ptr();
        true
    }
}

impl Button {
    /// Whether somebody may still wait for a ring. Of a bell with one button.
    pub(crate) fn has_listener(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(crate) fn ring(&self) {
        let waiter = {
            let mut state = self.0.lock();
            let waiter = core::mem::replace(&mut state.waiter, ptr::null());
            if waiter.is_null() {
                state.rings += 1;
            }
            waiter
        };
        if !waiter.is_null() {
            // SAFETY: taken out under the lock, so claimed by this call alone.
            unsafe { Waiter::wake(waiter) };
        }
    }
}
