//! Seeded runs: one worker, a virtual clock, and every free choice by a seed.
//!
//! The same seed gives the same run, as long as the program takes nothing from outside (real sockets, threads, the
//! real clock, `HashMap`'s order). What differs from a real worker:
//!
//! * **The clock** stands still while code runs. Each switch to a task moves it by [`SWITCH_NS`], so that a task that yields in
//!   a loop until some time does not do so for ever. When no task is ready it jumps to the next timer.
//! * **The next task** is any of those that are ready, started or not, by the seed and its [`Strategy`].
//! * **A suspension point that need not wait** lets others go first, if the seed says so (`park::checkpoint` asks [`Sim::gives_way`]). Each task that
//!   runs here has a bit on in its state word, for which a suspension point looks anyway; so that costs nothing elsewhere.
//! * **Nothing ready and no timer** is a failure: nothing can happen any more, unless a descriptor or a closure on the blocking
//!   pool is waited for; then the worker waits really. The tasks are listed on stderr and cancelled, the root too, and driven to their
//!   end; the caller of the run panics. If that ends nowhere either, the process is aborted.

use core::cell::Cell;
use core::ptr::NonNull;
use core::time::Duration;
use std::time::Instant;

use super::priorities::Priorities;
use super::room::STARVED_NS;
use super::seed::{Seed, Strategy};
use super::shared::Phase;
use super::worker::Worker;
use crate::fiber::{Header, Reason};
use crate::sys::clock;
use crate::util::report;
use crate::util::rng::Rng;

/// How far a switch moves the clock.
const SWITCH_NS: u64 = 100;
/// What the virtual clock begins with. The same in each run: timers have a grain, so how near two of them are depends on when
/// they begin.
const BEGIN_NS: u64 = 1 << 42;
/// How often a task gives way in a random walk; which of these, by the seed. Some bugs want tasks that take turns at every point, others one that
/// gets far while another is held up.
const ONE_IN: [u64; 4] = [2, 4, 16, 64];

/// What makes a worker a simulated one.
#[derive(Debug)]
pub(crate) struct Sim {
    rng: Rng,
    order: Order,
    now: Cell<u64>,
    /// When the run began, on std's clock.
    begin: Instant,
    trace: Cell<Trace>,
    /// The running task gives way because the seed says so, not because it wants to.
    gives_way: Cell<bool>,
    /// The task that has run last.
    last: Cell<u64>,
    /// All tasks were found waiting for nothing.
    stuck: Cell<bool>,
}

/// What a run did, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// How many times a task was chosen.
    pub(crate) steps: u64,
    /// The same for two runs if each choice was the same among as many tasks, at the same time.
    pub(crate) hash: u64,
}

/// The strategy, at work.
#[derive(Debug)]
enum Order {
    Random { one_in: u64 },
    Priorities(Priorities),
}

impl Sim {
    pub(super) fn new(seed: Seed) -> Sim {
        let rng = Rng::new(seed.number);
        let order = match seed.strategy {
            Strategy::Random => Order::Random { one_in: ONE_IN[rng.below(ONE_IN.len() as u64) as usize] },
            Strategy::Pct { depth, steps } => Order::Priorities(Priorities::new(depth, steps, &rng)),
        };
        Sim {
            rng,
            order,
            now: Cell::new(BEGIN_NS),
            begin: Instant::now(),
            trace: Cell::default(),
            gives_way: Cell::new(false),
            last: Cell::new(0),
            stuck: Cell::new(false),
        }
    }

    /// The virtual time, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// The virtual time on std's clock.
    pub(crate) fn instant(&self) -> Instant {
        self.begin + Duration::from_nanos(self.now.get() - BEGIN_NS)
    }

    /// The next number of the seed.
    pub(crate) fn random(&self) -> u64 {
        self.rng.next()
    }

    /// Whether a task that need not wait, where it could, lets others go first all the same. Then it must yield.
    pub(crate) fn gives_way(&self) -> bool {
        let gives_way = match &self.order {
            Order::Random { one_in } => self.rng.below(*one_in) == 0,
            // Whoever is highest goes on, and that may be the same one.
            Order::Priorities(_) => true,
        };
        self.gives_way.set(gives_way);
        gives_way
    }

    /// What the run has done so far.
    pub(crate) fn trace(&self) -> Trace {
        self.trace.get()
    }

    /// Whether the run has failed for want of anything to wait for.
    pub(super) fn was_stuck(&self) -> bool {
        self.stuck.get()
    }

    /// Which of the `ready` tasks is next. `list` lists them: their ids, and whether they have yielded.
    fn choose(&self, ready: usize, list: impl FnOnce() -> Vec<(u64, bool)>) -> usize {
        let gave_way = self.gives_way.replace(false);
        let chosen = match &self.order {
            Order::Random { .. } => self.rng.below(ready as u64) as usize,
            Order::Priorities(priorities) => {
                let tasks = list();
                if !gave_way && tasks.contains(&(self.last.get(), true)) {
                    priorities.sink(self.last.get());
                }
                let ids: Vec<u64> = tasks.iter().map(|task| task.0).collect();
                priorities.choose(&ids, &self.rng)
            }
        };
        let Trace { steps, hash } = self.trace.get();
        let time = (self.now.get() - BEGIN_NS).rotate_left(20);
        let step = (ready as u64) << 32 ^ chosen as u64 ^ time;
        self.trace.set(Trace { steps: steps + 1, hash: Rng::new(hash ^ step).next() });
        chosen
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
        for _ in 0..sim.choose(ready, || self.list_ready(ready)) {
            let Some(task) = self.queue.pop() else { break };
            // SAFETY: just popped, so in no queue.
            unsafe { self.queue.push(task) };
        }
        sim.now.set(sim.now.get() + SWITCH_NS);
        self.note_time(sim.now.get());
        self.fire(sim.now.get());
        let chosen = self.queue.pop()?;
        // SAFETY: ready, so alive.
        let header = unsafe { chosen.as_ref() };
        header.state.set_seeded();
        sim.last.set(header.id);
        Some(chosen)
    }

    /// The id of each of the `ready` tasks that are queued, and whether it has yielded, in order.
    fn list_ready(&self, ready: usize) -> Vec<(u64, bool)> {
        let mut list = Vec::with_capacity(ready);
        while list.len() < ready
            && let Some(task) = self.queue.pop()
        {
            // SAFETY: ready, so alive.
            let header = unsafe { task.as_ref() };
            list.push((header.id, header.reason.get() == Reason::Yield as u8));
            // SAFETY: just popped, so in no queue.
            unsafe { self.queue.push(task) };
        }
        list
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
