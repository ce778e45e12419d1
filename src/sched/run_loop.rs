//! The loop of a worker: rounds, ticks, sleep, and the end.

use core::ptr::NonNull;
use core::time::Duration;
use std::thread;

use super::TICK_NS;
use super::cancel::cancel;
use super::counters::add;
use super::listing::Sighting;
use super::remote::bump;
use super::shared::Phase;
use super::worker::{TimerOwner, Worker};
use crate::fiber::{Carrier, FiberRef, Header, Run, Signal, Signals};
use crate::util::atomic::Ordering;
use crate::util::report;

/// How many idle stacks are given back at once, between two tasks and when there is nothing else to do.
const TRIM_BUSY: usize = 8;
const TRIM_IDLE: usize = 256;
/// The longest interval between two looks at the clock, in switches.
const LONGEST_TICK: u32 = 64;
/// How many closures a round starts, if it has fewer ready tasks than that.
///
/// A start takes some 30 ns on a warm stack, and 3 µs on one that was never used: 100,000 sleepers of 0 to 1 s, all spawned
/// at once and started in one round, woke up to 300 ms late (99th percentile); bounded so, 0.6 to 9 ms.
const FRESH_IN_ROUND: usize = 64;
/// The part of those that wait which is started in any case, or else whoever spawns more than 64 in each of its turns would put
/// off the start of a new one further and further. So the queue is no longer than so many of these crowds. (With 64, the
/// sleepers above were twice as late.)
const CROWDS: usize = 256;
/// Operations that a task may do before it yields, if none of them has to wait (see `park::spend_budget`).
const BUDGET: u32 = 128;
/// How often a shutdown that is delayed says by what.
const COMPLAIN_NS: u64 = 5_000_000_000;
/// In a shutdown: how long a worker that is never idle runs its cancelled tasks before it says which are left.
const BUSY_ANSWER_NS: u64 = 20_000_000;
/// With more than `CROWD` timers, the least time between two wake-ups for timers.
///
/// A wake-up costs about 20 µs of processor time and comes some 30 µs late. Woken for each of 100,000 sleepers of 0 to
/// 1 s, a worker spent 7 µs on a sleep, at a median lateness of 15 to 20 µs; at this spacing 2.2 µs, at 72 µs.
const SPACING_NS: u64 = 100_000;
const CROWD: usize = 64;

impl Worker {
    /// Runs tasks until the runtime ends.
    pub(super) fn run(&self) {
        loop {
            if let Some(task) = self.next() {
                // SAFETY: `next` hands out tasks that are alive and ready, and this is their worker.
                unsafe { self.resume(task) };
                let turns = &self.remote.counts.until_tick;
                // Relaxed: own value, and a hint for others.
                let left = turns.load(Ordering::Relaxed) - 1;
                turns.store(left, Ordering::Relaxed);
                if left == 0 {
                    self.tick();
                }
            } else if !self.idle() {
                break;
            }
        }
        self.retire();
    }

    /// The next ready task, by the order in the module's documentation.
    #[inline(always)]
    fn next(&self) -> Option<NonNull<Header>> {
        loop {
            let (ready, fresh) = self.round.get();
            if ready > 0 {
                self.round.set((ready - 1, fresh));
                let task = self.queue.pop();
                debug_assert!(task.is_some(), "the round counts more than the queue has");
                return task;
            }
            if fresh > 0 {
                self.round.set((0, fresh - 1));
                match self.take_fresh() {
                    Some(task) => return Some(task),
                    // Stolen meanwhile, or handed over.
                    None => continue,
                }
            }
            self.drain_inbox();
            if self.shared.phase() != Phase::Running {
                self.cancel_all();
            }
            if let Some(sim) = &self.sim {
                return self.next_by_seed(sim);
            }
            let ready = self.queue.len();
            let waiting = self.remote.fresh.len_hint();
            let fresh = waiting.min(ready.max(FRESH_IN_ROUND).max(waiting / CROWDS));
            if (ready, fresh) == (0, 0) {
                return None;
            }
            // Whatever has come, it comes first: somebody else watches.
            self.shared.stop_watching(self.index, &self.watch);
            if self.rested.get() {
                self.end_rests();
            }
            self.round.set((ready, fresh));
        }
    }

    #[inline]
    fn take_fresh(&self) -> Option<NonNull<Header>> {
        let task = self.remote.fresh.take()?;
        // SAFETY: just taken, so alive, and nobody else's.
        let placed = unsafe { &task.as_ref().placed };
        if !placed.get()
            && let Some(other) = self.overloaded()
            && self.has_room_at(other, task)
        {
            placed.set(true);
            add(&self.remote.published.handed_over, 1);
            // SAFETY: just taken, so unstarted and in no queue; its reference moves along.
            unsafe { other.fresh.push(task) };
            other.notify();
            self.shared.mind_fresh();
            return None;
        }
        Some(task)
    }

    #[inline(always)]
    pub(super) fn drain_inbox(&self) {
        let take = |task: NonNull<Header>| {
            // SAFETY: just taken out of this worker's inbox.
            if unsafe { Header::receive(task) } {
                // SAFETY: it was parked, so in no queue, and a started one lives until it has ended.
                unsafe { self.queue.push(task) };
            }
        };
        // SAFETY: this is the worker.
        unsafe { self.remote.drain(take) };
    }

    /// Runs `task` until it suspends or ends, starting it if it has not started.
    ///
    /// # Safety
    /// `task` is alive, ready, in no queue, and this is its worker (or it has none yet).
    #[inline(always)]
    unsafe fn resume(&self, task: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        // SAFETY: the carrier is touched by the home worker's loop alone, and here is the only place
        // where a reference to it lives on; the task itself never looks at it.
        let carrier = unsafe { &mut *header.carrier.get() };
        let carrier = match carrier {
            Some(carrier) => carrier,
            None => {
                // SAFETY: unstarted, in no queue; the rest by this function's contract.
                match unsafe { self.start(task) } {
                    Some(started) => carrier.insert(started),
                    None => return,
                }
            }
        };
        if thread::panicking() != self.unwinding.others_panic.get() {
            self.panics_changed();
        }
        header.run.set(Run::Running);
        self.budget.set(BUDGET);
        self.pulse.begin(task);
        // SAFETY: this thread made the carrier; it has this task, or is fresh for it.
        let signal = unsafe { carrier.resume(task) };
        self.pulse.end();
        if signal == Signal::Finished {
            // SAFETY: the task has just ended on this worker.
            unsafe { self.finish(task) };
        }
    }

    /// A task has parked mid-unwind, or no task is mid-unwind any more.
    #[cold]
    fn panics_changed(&self) {
        let panicking = thread::panicking();
        self.unwinding.others_panic.set(panicking);
        if !panicking && self.unwinding.parked.replace(0) > 0 {
            self.unwinds_over();
        }
    }

    /// No panic is under way on the thread, so every mark that says so is old. Takes them off, and delivers the
    /// cancellations that they have held back.
    fn unwinds_over(&self) {
        self.each_started(|task| {
            // SAFETY: it occupies a stack of this worker, so it is alive and at home here.
            let header = unsafe { task.as_ref() };
            if !header.unwinding.replace(false) || header.run.get() != Run::Parked {
                return;
            }
            if header.masked.get() == 0 || !header.frames.get().is_null() {
                header.accepts.set(header.accepts.get() | Signals::CANCEL);
                if header.state.is_interrupted() {
                    // SAFETY: as above.
                    unsafe { self.signal(task, Signals::CANCEL) };
                }
            }
        });
    }

    /// Makes this worker the task's home and gets it a stack. None: it has to wait for one.
    ///
    /// # Safety
    /// `task` is alive, unstarted and in no queue.
    unsafe fn start(&self, task: NonNull<Header>) -> Option<Carrier> {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        let reserved = if task.as_ptr().cast_const() == self.root.get() {
            self.root_carrier.borrow_mut().take()
        } else {
            None
        };
        let Some(carrier) = reserved.or_else(|| self.carrier_for(header)) else {
            // SAFETY: in no queue, by this function's contract.
            unsafe { self.starve(task) };
            return None;
        };
        let home: *const super::remote::Remote = self.remote;
        // SAFETY: by this function's contract.
        unsafe { Header::start(task, home.cast_mut().cast()) };
        if self.shared.phase() != Phase::Running && self.is_cancelled_by_shutdown(task) {
            header.state.set_cancelled();
        }
        self.count_started(1);
        if header.local.get() {
            self.local_unstarted.set(self.local_unstarted.get() - 1);
        }
        if header.stack_size != self.shared.stack_size() {
            self.count_unusual(1);
        }
        if header.starved.get() {
            // Where one stack was, there may be more.
            self.retry_starved();
        }
        Some(carrier)
    }

    /// After the end of a task.
    ///
    /// # Safety
    /// `task` has ended on this worker just now, and is alive.
    unsafe fn finish(&self, task: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        // SAFETY: as in `resume`, whose reference is not used any more.
        let carrier = unsafe { (*header.carrier.get()).take() };
        let carrier = carrier.expect("a task that ran has a carrier");
        if header.stack_size == self.reused_size {
            self.carriers.borrow_mut().push_back(carrier);
        } else {
            self.take_back(header, carrier);
        }
        header.run.set(Run::Done);
        header.state.finish();
        self.count_started(-1);
        bump(&self.remote.counts.finished);
        if self.root.get() == task.as_ptr() {
            self.shared.begin_shutdown();
        }
        self.remote.view.let_look();
        // SAFETY: the reference that came with the submission.
        drop(unsafe { FiberRef::from_raw(task) });
        self.retry_starved();
    }

    /// Every few switches: the clock, the timers, the kernel.
    #[cold]
    fn tick(&self) {
        let ticks = &self.remote.counts.ticks;
        // Relaxed, both: own value, and a hint for others.
        ticks.store(ticks.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let now = self.now();
        let took = now.saturating_sub(self.last_tick.get());
        let length = self.tick_length.get();
        let length = if took > 2 * TICK_NS {
            // Straight to what would have been right: slices have become long.
            (u64::from(length) * TICK_NS / took).max(1) as u32
        } else if took < TICK_NS / 2 {
            (length * 2).min(LONGEST_TICK)
        } else {
            length
        };
        self.tick_length.set(length);
        // Relaxed: as in `run`.
        self.remote.counts.until_tick.store(length, Ordering::Relaxed);
        // Many short slices to a look: the clock is cheap, the kernel is asked by time.
        if took < TICK_NS / 2 && length == LONGEST_TICK {
            return;
        }
        self.fire(now);
        self.look(now);
    }

    /// Whatever may be due but a timer, every [`TICK_NS`] or so while there is something to do.
    fn look(&self, now: u64) {
        self.last_tick.set(now);
        self.note_time(now);
        self.answer_dump_calls();
        self.publish();
        self.trim(now, TRIM_BUSY);
        self.shared.look_around(self.index, &self.watch, now, |wanted| self.room_for(wanted));
        self.retry_starved_at(now);
        self.complain(now);
        if now > self.cancelled_at.get().saturating_add(BUSY_ANSWER_NS) {
            self.answer_roll_calls();
        }
        if self.reactor.has_waiters() {
            self.ask_kernel(Some(Duration::ZERO));
        }
    }

    /// Due timers.
    pub(super) fn fire(&self, now: u64) {
        let mut timers = self.timers.borrow_mut();
        if timers.is_empty() {
            return;
        }
        timers.advance(now);
        self.last_fired.set(now);
        while let Some(owner) = timers.pop_expired() {
            match TimerOwner::from_raw(owner) {
                // SAFETY: an entry is unlinked before its task's wait is over, so the task is alive; timers
                // are its home worker's.
                TimerOwner::Wait(task) => unsafe { self.signal(task, Signals::TIMEOUT) },
                // SAFETY: an entry is unlinked before its frame is closed, and its task lives longer.
                TimerOwner::Frame(task) => unsafe { self.expire(task) },
            }
        }
    }

    /// When to wake for the timers. With many of them, not at each one's time: see [`SPACING_NS`].
    fn next_timer(&self) -> u64 {
        let timers = self.timers.borrow();
        let due = timers.next_deadline().unwrap_or(u64::MAX);
        if timers.len() > CROWD { due.max(self.last_fired.get() + SPACING_NS) } else { due }
    }

    /// Waits for events, and makes those ready whose descriptors are.
    pub(super) fn ask_kernel(&self, timeout: Option<Duration>) {
        if let Err(error) = self.reactor.poll(timeout) {
            // Not EINTR. epoll_wait has no other error on a descriptor that is an epoll.
            panic!("layby: epoll_wait failed: {error}");
        }
        while let Some(task) = self.reactor.pop_ready() {
            // SAFETY: a waiter is unlinked before its task's wait is over, so the task is alive; the
            // reactor's waiters are its home worker's.
            unsafe { self.signal(task.cast(), Signals::WAKE) };
        }
    }

    /// Nothing is ready. Sleeps until something is, or until something is to be looked at. False: the
    /// runtime has ended.
    fn idle(&self) -> bool {
        let phase = self.shared.phase();
        if phase == Phase::Exiting || phase == Phase::Cancelling && self.shared.exit_if_quiescent() {
            return false;
        }
        if phase != Phase::Running {
            // It may have changed since `next` looked, and who changed it wakes nobody who is awake.
            self.cancel_all();
        }
        if thread::panicking() != self.unwinding.others_panic.get() {
            // No task may be resumed for long, and the last one may have been the one that unwound.
            self.panics_changed();
        }
        if let Some(sim) = &self.sim {
            return self.idle_by_seed(sim, phase);
        }
        self.answer();
        self.answer_dump_calls();
        if self.cancelled_at.get() != u64::MAX {
            self.answer_roll_calls();
        }
        let now = self.now();
        self.fire(now);
        let retry = self.retry_starved_at(now);
        if !self.queue.is_empty() {
            // Timers alone, one after the other, could keep the worker from all else.
            if now >= self.last_tick.get() + TICK_NS {
                self.look(now);
            }
        } else {
            let complain = self.complain(now);
            let trim = self.trim(now, TRIM_IDLE);
            if let Some(look) =
                self.shared.watch(self.index, &self.watch, now, |wanted| self.room_for(wanted))
            {
                let due = [self.next_timer(), look, complain, trim, retry].into_iter().min();
                // A worker that watches over closures, or wants stacks, has something to wait for.
                let rests = look == u64::MAX && self.may_rest();
                self.publish();
                self.sleep(due.unwrap_or(u64::MAX), now, phase, rests);
                let now = self.now();
                self.note_time(now);
                self.fire(now);
                self.last_tick.set(now);
            }
        }
        true
    }

    /// Sleeps until `due` (`u64::MAX`: without limit), an event, or a push; `rests` if that is a rest (see `deadlock`).
    pub(super) fn sleep(&self, due: u64, now: u64, phase: Phase, rests: bool) {
        self.shared.sleep(self.index, phase, |quiet| {
            if quiet && rests && due > now {
                self.rest(due, now);
            } else if quiet && due > now {
                self.arm(due, now);
                self.ask_kernel(None);
            } else {
                self.ask_kernel(Some(Duration::ZERO));
            }
        });
    }

    /// Sets the timerfd, if what it is set to is too late or past. One that is set too early costs a
    /// look for nothing; setting it anew for each timer that is cancelled would cost more.
    pub(super) fn arm(&self, due: u64, now: u64) {
        let armed = self.armed.get();
        if due == u64::MAX || (armed <= due && armed > now) {
            return;
        }
        self.timerfd.arm_at(due).expect("a timerfd takes any time");
        self.armed.set(due);
    }

    /// Shutdown: every task that lives here is cancelled, once.
    #[cold]
    fn cancel_all(&self) {
        if self.cancelled_at.get() != u64::MAX {
            return;
        }
        let now = self.now();
        self.cancelled_at.set(now);
        self.complain_at.set(now + COMPLAIN_NS);
        // Relaxed: only read for a message.
        self.remote.counts.complained.store(now, Ordering::Relaxed);
        self.each_started(|task| {
            if self.is_cancelled_by_shutdown(task) {
                // SAFETY: it occupies a stack of this worker, so it is alive.
                cancel(&unsafe { FiberRef::share(task) });
            }
        });
    }

    /// Not the root, whose end is the reason. And not a task that some other task waits for in any case: its
    /// parent is cancelled, and cancels it, unless it needs it for its destructors.
    fn is_cancelled_by_shutdown(&self, task: NonNull<Header>) -> bool {
        // SAFETY: the callers' tasks are alive.
        let structured = unsafe { task.as_ref() }.structured;
        !structured && task.as_ptr().cast_const() != self.root.get()
    }

    /// Calls `f` with each task that has started on this worker and has not ended.
    pub(super) fn each_started(&self, mut f: impl FnMut(NonNull<Header>)) {
        let stacks = self.stacks.borrow();
        stacks.for_each_occupant(|task| f(task.cast()));
    }

    /// In a shutdown: says every five seconds what delays it. Returns when to look next.
    fn complain(&self, now: u64) -> u64 {
        if self.shared.is_left_alone() {
            return u64::MAX;
        }
        let at = self.complain_at.get();
        if now >= at {
            self.complain_at.set(now + COMPLAIN_NS);
            self.each_started(|task| {
                // SAFETY: it occupies a stack of this worker, so it is alive.
                let task = unsafe { task.as_ref() };
                report!("the runtime cannot end yet: {}", Sighting::of(task));
            });
            if !self.starved.is_empty() {
                report!(
                    "the runtime cannot end yet: {} closures wait for a stack to be dropped on",
                    self.starved.len()
                );
            }
            for (index, started) in self.shared.silent_workers(self.index) {
                report!(
                    "the runtime cannot end yet: worker {index} has {started} tasks that have not ended, and one of them \
                     does not let go of its thread"
                );
            }
            // Relaxed: only read for the message above.
            self.remote.counts.complained.store(now, Ordering::Relaxed);
        }
        self.complain_at.get()
    }

    /// The end: no task is left, the stacks go home.
    fn retire(&self) {
        debug_assert!(self.queue.is_empty() && self.starved.is_empty());
        for carrier in self.carriers.borrow_mut().drain(..) {
            self.retire_carrier(carrier);
        }
        while self.remote.has_dump_calls() {
            self.answer_dump_calls();
        }
        // What late posters have pushed: ended tasks, for their references.
        self.drain_inbox();
        self.publish();
    }
}
