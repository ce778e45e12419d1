//! Giving idle stacks back, and the memory of tasks that have ended.
//!
//! A carrier that has run a task keeps the pages that the task has touched: the next task finds them hot, and
//! neither of the two system calls nor the page faults of a cold stack is paid. So no carrier is retired while it may be
//! needed again; but after a spike of tasks the memory goes back. The rule looks at windows of one second:
//!
//! > Carriers that were idle during the whole of a window are retired after it, if they are more than [`KEEP`].
//!
//! That is the least number of idle carriers seen in the window; the coldest go first. All of them go: to keep some of a
//! thousand would save the next thousand little, and each may have touched its whole stack. A million of them take about
//! a second, in slices, so that the worker can look after ready tasks in between. A worker that has nothing to trim sets no
//! timer for it: an idle runtime wakes never.
//!
//! What the tasks themselves take is not a worker's but the process's (see `fiber::cells`), which has the same rule for it. The
//! workers do that work, too, in the same slices.

use core::cell::Cell;

use super::worker::Worker;
use crate::fiber::{Carrier, cells};

/// So few idle carriers are not worth a timer.
const KEEP: usize = 32;
const WINDOW_NS: u64 = 1_000_000_000;
/// For each stack of a slice so many tasks' cells, which take less time each.
const CELLS: usize = 16;

/// How the present window stands.
#[derive(Debug)]
pub(super) struct Trim {
    /// The end of the window; `u64::MAX`: there is none.
    until: Cell<u64>,
    /// The least number of idle carriers since the window's begin.
    least: Cell<usize>,
    /// How many carriers are still to be retired for the windows before.
    excess: Cell<usize>,
}

impl Trim {
    pub(super) fn new() -> Trim {
        Trim { until: Cell::new(u64::MAX), least: Cell::new(0), excess: Cell::new(0) }
    }
}

impl Worker {
    /// The hottest idle carrier.
    #[inline]
    pub(super) fn take_carrier(&self) -> Option<Carrier> {
        let mut carriers = self.carriers.borrow_mut();
        let carrier = carriers.pop_back();
        self.trim.least.set(self.trim.least.get().min(carriers.len()));
        carrier
    }

    /// Gives back idle stacks, at most `slice` of them, and the memory of tasks. Returns when to look again; `u64::MAX`: there is
    /// nothing to look for.
    pub(super) fn trim(&self, now: u64, slice: usize) -> u64 {
        let carriers = self.trim_carriers(now, slice);
        // After that, which may have expelled some. The process has one clock for its cells, and a simulated worker another.
        let cells = if self.sim.is_none() { cells::trim(now, slice * CELLS) } else { u64::MAX };
        carriers.min(cells)
    }

    /// Retires at most `slice` carriers.
    fn trim_carriers(&self, now: u64, slice: usize) -> u64 {
        let Trim { until, least, excess } = &self.trim;
        let idle = self.carriers.borrow().len();
        excess.set(excess.get().min(idle));
        if idle <= KEEP && excess.get() == 0 {
            until.set(u64::MAX);
            return u64::MAX;
        }
        if until.get() == u64::MAX {
            until.set(now + WINDOW_NS);
            least.set(idle);
        } else if now >= until.get() {
            // Those that were retired within the window were idle, too.
            let unused = least.get().min(idle);
            excess.set(if unused > KEEP { unused } else { 0 });
            until.set(now + WINDOW_NS);
            least.set(idle);
        }
        let retired = excess.get() > 0;
        for _ in 0..slice.min(excess.get()) {
            let Some(carrier) = self.carriers.borrow_mut().pop_front() else { break };
            self.retire_carrier(carrier);
            excess.set(excess.get() - 1);
        }
        if excess.get() > 0 {
            return now;
        }
        if retired {
            // The tasks are gone, and as good as their stacks: nothing has needed them for a window.
            cells::expel();
        }
        if self.carriers.borrow().len() <= KEEP {
            // Not one wake-up more, only to find this.
            until.set(u64::MAX);
        }
        // Room for all there are, in use or not, so that the end of a task allocates nothing.
        self.carriers.borrow_mut().shrink_to(self.carrier_count.get());
        until.get()
    }
}
