//! Seeded runs: one worker, a virtual clock, and every free choice by a seed.
//!
//! The same seed gives the same run, as long as the program takes nothing from outside (real sockets, threads, the
//! real clock, `HashMap`'s order). What differs from a real worker:
//!
//! * **The clock** stands still while code runs. Each switch to a task moves it by [`SWITCH_NS`], so that a task that yields in
//!   a loop until some time does not do so for ever. When no task is ready it jumps to the next timer.
//! * **The next task** is any of those that are ready, started or not, by the seed.
//! * **Nothing ready and no timer** is a failure: nothing can happen any more, unless a descriptor or a closure on the blocking
//!   pool is waited for; then the worker waits really. The tasks are listed on stderr and cancelled, the root too, and driven to their
//!   end; the caller of the run panics. If that ends nowhere either, the process is aborted.

use core::cell::Cell;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use super::room::STARVED_NS;
use super::shared::Phase;
use super::worker::Worker;
use crate::fiber::Header;
use crate::sys::clock;
use crate::util::report;
use crate::util::rng::Rng;

/// How far a switch moves the clock.
const SWITCH_NS: u64 = 100;

/// What makes a worker a simulated one.
#[derive(Debug)]
pub(crate) struct Sim {
    rng: Rng,
    now: Cell<u64>,
    /// The same moment on both clocks: `now` at the begin, and std's.
    begin: (u64, Instant),
    /// All tasks were found waiting for nothing.
    stuck: Cell<bool>,
}

impl Sim {
    pub(super) fn new(seed: u64) -> Sim {
        let now = clock::now_ns();
        Sim {
            rng: Rng::new(seed),
            now: Cell::new(now),
            begin: (now, Instant::now()),
            stuck: Cell::new(false),
        }
    }

    /// The virtual time, in nanoseconds of the monotonic clock.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The virtual time on std's clock.
    pub(crate) fn instant(&self) -> Instant {
        let (nanos, instant) = self.begin;
        instant + Duration::from_nanos(self.now.get() - nanos)
    }

    /// The next number of the seed.
    pub(crate) fn random(&self) -> u64 {
        self.rng.next()
    }

    /// Whether the run has failed for want of anything to wait for.
    pub(super) fn was_stuck(&self) -> bool {
        self.stuck.get()
    }
}

impl Worker {
    /// The time, real or virtual.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.sim {
            None => clock::now_ns(),
            Some(sim) => sim.now(),
        }
    }

    /// The time, real or virtual; if real, up to some milliseconds behind.
    #[inline]
    pub(crate) fn coarse_now(&self) -> u64 {
        match &self.sim {
            None => clock::coarse_ns(),
            Some(sim) => sim.now(),
        }
    }

    /// Any ready task.
    #[cold]
    pub(super) fn next_by_seed(&self, sim: &Sim) -> Option<NonNull<Header>> {
        self.answer_dump_calls();
        while let Some(task) = self.remote.fresh.take() {
            // SAFETY: just taken, so unstarted and in no queue; its reference moves along. There is no other
            // worker that it could have started on.
            unsafe { self.queue.push(task) };
        }
        let ready = self.queue.len();
        if ready == 0 {
            return None;
        }
        for _ in 0..sim.rng.below(ready as u64) {
            let Some(task) = self.queue.pop() else { break };
            // SAFETY: just popped, so in no queue.
            unsafe { self.queue.push(task) };
        }
        sim.now.set(sim.now.get() + SWITCH_NS);
        self.note_time(sim.now.get());
        self.fire(sim.now.get());
        self.queue.pop()
    }

    /// Nothing is ready. False: the runtime has ended.
    #[cold]
    pub(super) fn idle_by_seed(&self, sim: &Sim, phase: Phase) -> bool {
        self.answer_dump_calls();
        if self.reactor.has_waiters() {
            self.ask_kernel(Some(Duration::ZERO));
        }
        self.drain_inbox();
        if !self.queue.is_empty() || self.remote.fresh.len_hint() != 0 {
            return true;
        }
        if self.unblocking.get() > 0 {
            self.sleep(u64::MAX, clock::now_ns(), phase, false);
            return true;
        }
        let due = self.timers.borrow().next_deadline();
        if let Some(due) = due {
            sim.now.set(sim.now.get().max(due));
            self.fire(sim.now.get());
            return true;
        }
        if self.reactor.has_waiters() {
            self.sleep(u64::MAX, clock::now_ns(), phase, false);
            return true;
        }
        if !self.starved.is_empty() {
            // What they lack may come from other parts of the program, and that takes real time.
            std::thread::sleep(Duration::from_nanos(STARVED_NS));
            self.retry_starved();
            return true;
        }
        self.nothing_will_happen(sim);
        true
    }

    /// All tasks wait, and nothing is there that could wake one.
    fn nothing_will_happen(&self, sim: &Sim) {
        report!("nothing can happen any more: every task waits, and no timer is set");
        report!("{}", self.dump());
        if sim.stuck.replace(true) {
            report!("the tasks were cancelled, but that does not end them: the process is aborted");
            std::process::abort();
        }
        self.cancel_stuck();
    }
}
