//! A worker's part in finding a certain deadlock: its rests, and what it is asked for then (see `deadlock`).

use super::deadlock::{self, LOOK_NS, Request};
use super::worker::Worker;
use crate::fiber::Signals;

impl Worker {
    /// Whether nothing but a push can make a task of this worker ready. The caller knows that none is ready now, and that no
    /// closure is to be looked after.
    pub(super) fn may_rest(&self) -> bool {
        self.timers.borrow().is_empty()
            && !self.reactor.has_waiters()
            && self.unblocking.get() == 0
            && self.endless.get() == 0
            && self.starved.is_empty()
    }

    /// Sleeps until `due`, an event, or a push; and looks for a deadlock when it is time for that.
    pub(super) fn rest(&self, due: u64, now: u64) {
        let worth_a_look = deadlock::begin_rest(self.remote);
        self.rested.set(true);
        if self.look_at.get() <= now {
            self.look_at.set(u64::MAX);
            if deadlock::look() {
                deadlock::end_rest(self.remote);
                return;
            }
        } else if worth_a_look && self.look_at.get() == u64::MAX {
            self.look_at.set(now + LOOK_NS);
        }
        self.arm(due.min(self.look_at.get()), now);
        self.ask_kernel(None);
        deadlock::end_rest(self.remote);
    }

    /// There is something to do again.
    #[cold]
    pub(super) fn end_rests(&self) {
        self.rested.set(false);
        self.look_at.set(u64::MAX);
        deadlock::note_work();
    }

    /// Does what this worker is asked for, if anything.
    pub(super) fn answer(&self) {
        match self.remote.asked() {
            Request::Nothing => {}
            Request::List => {
                deadlock::listed(&self.shared, self.part());
            }
            Request::Cancel => self.cancel_stuck(),
        }
    }

    /// Cancels every task that lives here, whoever waits for it.
    pub(super) fn cancel_stuck(&self) {
        self.each_started(|task| {
            // SAFETY: it occupies a stack of this worker, so it is alive and at home here.
            unsafe { task.as_ref() }.state.set_cancelled();
            // SAFETY: as above.
            unsafe { self.signal(task, Signals::CANCEL) };
        });
    }
}
