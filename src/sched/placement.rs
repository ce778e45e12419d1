//! Which worker a closure starts on. After the start a task never moves, so this is all the placement
//! there is.
//!
//! # The rules
//! 1. A spawn from a task goes to the queue of its own worker, and normally wakes nobody: a wake across
//!    cores costs tens of microseconds, and this worker reaches the closure in fewer.
//! 2. But it might not: the spawner may compute on. So while there are closures in some queue and an idle
//!    worker, one idle worker, the *watcher*, looks at the queues every [`FIRST_LOOK_NS`] at first, doubling
//!    to [`LAST_LOOK_NS`]. It steals half of a queue whose owner took nothing between two looks, or that
//!    would take longer than [`PATIENCE_NS`] at the owner's pace.
//! 3. The watcher stops when it found all queues empty at a look of the longest interval. Then it sleeps without
//!    any deadline, and the next spawn pokes it: one wake at most for each stop. An idle runtime wakes never,
//!    and one that only serves sockets has no watcher either.
//! 4. A worker that takes a closure and has many more live tasks than the worker with the fewest (by a
//!    twentieth and [`MARGIN`]) hands it over. That spreads what stays (connections) and keeps short tasks local.
//!    It does so if there is a stack for it there (see `room`), once for a closure, and not with one that was stolen: the other worker may be the blocked one.
//! 5. A worker that is never idle looks around every [`BUSY_LOOK_NS`], for queues whose owners have taken nothing since.
//! 6. A spawn from outside goes to the worker with the fewest live and queued tasks.
//! 7. A thief does not undo rule 4: it takes no more than leaves it with at most the victim's live and queued tasks, and the
//!    same twentieth and [`MARGIN`]. Unless one task keeps the victim: it has computed for [`COMPUTING_NS`], or it lets go of nothing for
//!    [`STUCK_NS`]. Then half, as ever.
//!
//! # Why a thief looks at what it owns
//! That a queue stands still for 100 µs has two reasons. A task computes there: then whoever is idle should take the closures, at
//! once. Or the kernel does not let the owner run for a moment, on a machine with more to do than processors: then the closures
//! lose little where they are, and the thief is the one that was spared only just now. Each such theft moves up to half of what was
//! accepted together, and connections stay where they start. Without rule 7, one run in twelve to twenty ended
//! with less than 450 of 1,000 connections on one of two workers, and more than 550 on the other.
//!
//! The processor time that the owner's thread has used in one turn tells the two apart. To ask for it is a system call, but it
//! matters only to a thief that has more than its share, which most thieves have not: a worker without tasks steals after the first look
//! from whoever has some. The price is that a worker with many waiting tasks comes to the help of a computing one some milliseconds later, and of one
//! that is blocked in a system call or by a lock of std's only after [`STUCK_NS`]; both once: as long as the same task keeps the victim,
//! that is known.
//!
//! Rejected: *a thief that takes one closure at a time* (a crowd of short computations would be shared at one for each 100 µs);
//! *to wait for 10 ms in any case* (beside other busy threads a worker waits for longer than that now and then, and loses all that
//! it was just handed: one run in sixty failed); *to look at the closures taken, or at the ticks, instead of turns* (a worker with
//! hundreds of ready tasks takes no closure for milliseconds, and 64 turns may take as long: each time one run in sixty failed, by 292
//! to 708 and by 334 to 666); *to hand stolen closures back* (the victim may be the one that is stuck).
//!
//! # No closure is forgotten
//! The only danger is a spawn that sees a watcher which is about to stop. The stopping watcher says so
//! (`watcher = NONE`) and *then* looks at every queue under its lock. The spawn pushes under that lock and *then*
//! looks for a watcher. Whichever critical section is first: if the push, the watcher sees the closure
//! and goes on; if the look, the spawn sees `NONE` and pokes. The same holds for `sleepers`, which is
//! counted before a worker's last look. If no worker sleeps, nobody is poked: each looks at all
//! queues itself before it sleeps.

use core::fmt;

use super::counters::add;
use super::remote::Remote;
use super::shared::Shared;
use super::worker::Worker;
use crate::fiber::Header;
use crate::util::atomic::{AtomicUsize, Ordering, fence};
use core::cell::Cell;
use core::ptr::NonNull;

/// The watcher's first interval.
const FIRST_LOOK_NS: u64 = 100_000;
/// Its longest.
const LAST_LOOK_NS: u64 = 1_600_000;
/// A queue that its owner empties sooner than this is left alone.
const PATIENCE_NS: u64 = 1_000_000;
/// How many more live tasks a worker may have than the least loaded one, plus a twentieth.
const MARGIN: usize = 32;

/// A worker that has computed for so long in a turn, with closures in its queue, is kept by a task. A turn in which a task accepts
/// connections takes less.
const COMPUTING_NS: u64 = 2_000_000;
/// So is one whose turn takes so long, whatever it does.
const STUCK_NS: u64 = 100_000_000;

/// How often a worker that is never idle looks at the queues of the others.
const BUSY_LOOK_NS: u64 = 10_000_000;

const NONE: usize = usize::MAX;

/// The part of placement that a runtime's workers share.
pub(super) struct Placement {
    /// How many workers sleep, or are about to.
    sleepers: AtomicUsize,
    /// The index of the worker that watches the queues, or NONE.
    watcher: AtomicUsize,
}

/// The part that is one worker's: its last look at the others, when it is the watcher.
#[derive(Default)]
pub(super) struct Watch {
    interval: Cell<u64>,
    /// The worker has not been idle since the last look.
    busy: Cell<bool>,
    /// When the last look was, and what it found.
    looked_at: Cell<u64>,
    seen: Box<[Seen]>,
}

/// What a look has found at one owner's queue.
#[derive(Default)]
struct Seen {
    /// How many closures the owner had taken, ever.
    taken: Cell<u64>,
    /// There were some left.
    waiting: Cell<bool>,
    /// In which turn the owner was.
    turn: Cell<(u64, u32)>,
    /// Since when the owner is in this turn, with closures in its queue: the first look that found it so.
    still_since: Cell<u64>,
    /// How much processor time its thread had used at some look since then; `u64::MAX`: nobody has asked.
    used: Cell<u64>,
}

impl Seen {
    /// Rule 7: whether a task keeps the owner.
    fn is_kept(&self, owner: &Remote, now: u64) -> bool {
        if !self.is_still(owner) {
            return false;
        }
        let Some(used) = owner.processor_ns() else { return true };
        self.used.set(self.used.get().min(used));
        used >= self.used.get() + COMPUTING_NS || now >= self.still_since.get() + STUCK_NS
    }

    /// Whether the owner is where it was at the last look.
    fn is_still(&self, owner: &Remote) -> bool {
        self.waiting.get()
            && self.taken.get() == owner.fresh.taken_hint()
            && self.turn.get() == turn_of(owner)
    }

    fn note(&self, owner: &Remote, now: u64) {
        let waiting = owner.fresh.len_hint() != 0;
        // (Another thief may have emptied the queue meanwhile. Then this is too generous to this one.)
        if !(waiting && self.is_still(owner)) {
            self.still_since.set(now);
            self.used.set(u64::MAX);
        }
        self.taken.set(owner.fresh.taken_hint());
        self.turn.set(turn_of(owner));
        self.waiting.set(waiting);
    }
}

/// What came of a look for closures to steal.
enum Theft {
    Done,
    /// There were some that wait too long, but this worker has enough.
    Spared(&'static Remote),
    Nothing,
}

impl Watch {
    pub(super) fn new(workers: usize) -> Watch {
        Watch { seen: (0..workers).map(|_| Seen::default()).collect(), ..Watch::default() }
    }
}

#[cfg(all(test, loom))]
impl Shared {
    /// Worker `index` is the watcher, has looked last at time 0, and stops if it finds nothing at the next look.
    pub(super) fn at_last_look(&self, index: usize) -> Watch {
        assert!(self.become_watcher(index));
        let watch = Watch::new(self.workers());
        watch.interval.set(LAST_LOOK_NS);
        watch
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placement").field("sleepers", &self.sleepers).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Placement {
    pub(super) fn new() -> Placement {
        Placement { sleepers: AtomicUsize::new(0), watcher: AtomicUsize::new(NONE) }
    }
}

impl Shared {
    /// Rule 6.
    ///
    /// # Safety
    /// The scheduler takes over one reference to `task`, which was never submitted before and may start on another
    /// thread.
    pub(super) unsafe fn place(&self, task: NonNull<Header>) {
        let (_, remote) = self.least_loaded(NONE);
        // SAFETY: by this function's contract.
        unsafe { remote.fresh.push(task) };
        remote.notify();
        self.mind_fresh();
    }

    /// Rule 3: after a push to some queue. Cheap if all work, or somebody watches.
    #[inline]
    pub(super) fn mind_fresh(&self) {
        // Relaxed: ordered by the queue's lock, see the module's documentation.
        if self.placement.sleepers.load(Ordering::Relaxed) != 0
            && self.placement.watcher.load(Ordering::Relaxed) == NONE
        {
            self.poke();
        }
    }

    /// Makes a sleeping worker the watcher.
    #[cold]
    fn poke(&self) {
        loop {
            for (index, remote) in self.remotes.iter().enumerate() {
                if !self.become_watcher(index) {
                    return;
                }
                if remote.try_notify() {
                    return;
                }
                self.cease_watching(index);
            }
            // A worker that took its last look in between, when somebody seemed to watch, sleeps now. Pairs with
            // the fence before that look (S2 in `remote`): it saw NONE, or this sees it sleep.
            fence(Ordering::SeqCst);
            if !self.remotes.iter().any(|remote| remote.is_sleeping()) {
                return;
            }
        }
    }

    fn become_watcher(&self, index: usize) -> bool {
        let watcher = &self.placement.watcher;
        // Relaxed: who watches decides nothing but who looks; the queues have their locks.
        watcher.compare_exchange(NONE, index, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn cease_watching(&self, index: usize) {
        let watcher = &self.placement.watcher;
        // Relaxed: as above; the look that follows takes the locks.
        let _ = watcher.compare_exchange(index, NONE, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn watches(&self, index: usize) -> bool {
        // Relaxed: as above.
        self.placement.watcher.load(Ordering::Relaxed) == index
    }

    /// The worker with the fewest live and queued tasks, but for `except`, and how many those are.
    pub(super) fn least_loaded(&self, except: usize) -> (usize, &'static Remote) {
        let mut best = (usize::MAX, self.remotes[0]);
        for (index, remote) in self.remotes.iter().enumerate() {
            let load = load_of(remote);
            if index != except && load < best.0 {
                best = (load, remote);
            }
        }
        best
    }

    /// Whether another worker has closures to start. With `exact`, under the locks.
    fn others_have_fresh(&self, index: usize, exact: bool) -> bool {
        self.remotes.iter().enumerate().any(|(i, remote)| {
            i != index && if exact { !remote.fresh.is_empty() } else { remote.fresh.len_hint() != 0 }
        })
    }
}

/// How many live and queued tasks a worker has. A hint.
fn load_of(remote: &Remote) -> usize {
    // Relaxed: a hint.
    remote.counts.started.load(Ordering::Relaxed) + remote.fresh.len_hint()
}

/// What differs from one turn of a worker to the next. A hint.
fn turn_of(remote: &Remote) -> (u64, u32) {
    // Relaxed, both: a hint.
    let counts = &remote.counts;
    (counts.ticks.load(Ordering::Relaxed), counts.until_tick.load(Ordering::Relaxed))
}

/// Up to how many tasks a worker may have beside one that has `others`.
#[inline]
fn bearable(others: usize) -> usize {
    others + others / 20 + MARGIN
}

impl Worker {
    /// Rule 4: to whom to hand over a closure just taken, if so.
    #[inline]
    pub(super) fn overloaded(&self) -> Option<&'static Remote> {
        // Relaxed: own value.
        let mine = self.remote.counts.started.load(Ordering::Relaxed);
        if mine <= MARGIN || self.shared.workers() == 1 {
            return None;
        }
        let (least, remote) = self.shared.least_loaded(self.index);
        (mine > bearable(least)).then_some(remote)
    }
}

/// The part of worker `index`, whose `watch` is its own.
impl Shared {
    /// Before sleeping: rules 2 and 3. Returns until when to sleep at the latest (`u64::MAX`: no limit), or
    /// None if there is now something to do. `room` tells how many of so many closures this worker has stacks for.
    pub(super) fn watch(
        &self,
        index: usize,
        watch: &Watch,
        now: u64,
        room: impl Fn(usize) -> usize,
    ) -> Option<u64> {
        if self.workers() == 1 {
            return Some(u64::MAX);
        }
        watch.busy.set(false);
        if !self.watches(index) {
            watch.interval.set(0);
            if !self.others_have_fresh(index, false) || !self.become_watcher(index) {
                return Some(u64::MAX);
            }
        }
        let interval = watch.interval.get();
        if interval == 0 {
            // Just become the watcher: remember how things stand.
            self.note(watch, now);
            watch.interval.set(FIRST_LOOK_NS);
            return Some(now + FIRST_LOOK_NS);
        }
        if now < watch.looked_at.get() + interval {
            // Woken by something else, with nothing to do.
            return Some(watch.looked_at.get() + interval);
        }
        match self.steal(index, watch, now, PATIENCE_NS, room) {
            Theft::Done => {
                watch.interval.set(0);
                self.cease_watching(index);
                // There may be work for a third.
                self.mind_fresh();
                return None;
            }
            Theft::Spared(victim) if self.pass_on(index, victim) => {
                watch.interval.set(0);
                return Some(u64::MAX);
            }
            Theft::Spared(_) | Theft::Nothing => {}
        }
        self.note(watch, now);
        if self.others_have_fresh(index, false) || interval < LAST_LOOK_NS {
            let interval = (interval * 2).min(LAST_LOOK_NS);
            watch.interval.set(interval);
            return Some(now + interval);
        }
        watch.interval.set(0);
        self.cease_watching(index);
        if self.others_have_fresh(index, true) && self.become_watcher(index) {
            watch.interval.set(FIRST_LOOK_NS);
            return Some(now + FIRST_LOOK_NS);
        }
        Some(u64::MAX)
    }

    /// With work to do: a worker that works is no watcher.
    #[inline]
    pub(super) fn stop_watching(&self, index: usize, watch: &Watch) {
        if self.workers() > 1 && self.watches(index) {
            watch.interval.set(0);
            self.cease_watching(index);
            if self.others_have_fresh(index, true) {
                self.mind_fresh();
            }
        }
    }

    pub(super) fn count_sleeper(&self) {
        // Relaxed: ordered by the locks of the queues, see the module's documentation.
        self.placement.sleepers.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uncount_sleeper(&self) {
        // Relaxed: as above.
        self.placement.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Before the last look of a worker that goes to sleep: are there closures that nobody watches?
    pub(super) fn unwatched_fresh(&self, index: usize) -> bool {
        self.workers() > 1
            // Relaxed: ordered by the locks that the exact look takes.
            && self.placement.watcher.load(Ordering::Relaxed) == NONE
            && self.others_have_fresh(index, true)
    }

    fn note(&self, watch: &Watch, now: u64) {
        watch.looked_at.set(now);
        for (remote, seen) in self.remotes.iter().zip(&watch.seen) {
            seen.note(remote, now);
        }
    }

    /// Rule 5.
    #[inline]
    pub(super) fn look_around(&self, index: usize, watch: &Watch, now: u64, room: impl Fn(usize) -> usize) {
        if self.workers() > 1 && now >= watch.looked_at.get() + BUSY_LOOK_NS {
            self.look_around_now(index, watch, now, room);
        }
    }

    #[cold]
    fn look_around_now(&self, index: usize, watch: &Watch, now: u64, room: impl Fn(usize) -> usize) {
        // What was noted before this worker slept says nothing.
        if watch.busy.replace(true) {
            self.steal(index, watch, now, u64::MAX, room);
        }
        self.note(watch, now);
    }

    /// Rule 7: makes a worker that may take from `victim` the watcher in place of worker `index`, if one sleeps. To be followed by
    /// `sleep`, as all that ceases to watch: if nobody watches after all, it finds that.
    fn pass_on(&self, index: usize, victim: &Remote) -> bool {
        let may_take = |&(other, remote): &(usize, &&Remote)| {
            other != index && remote.is_sleeping() && self.share(other, victim) > 0
        };
        let Some((other, remote)) = self.remotes.iter().enumerate().find(may_take) else { return false };
        self.cease_watching(index);
        if self.become_watcher(other) && !remote.try_notify() {
            self.cease_watching(other);
        }
        true
    }

    /// Rules 2 and 7 (and 5): steals from the first queue that would take its owner longer than `patience`.
    fn steal(
        &self,
        index: usize,
        watch: &Watch,
        now: u64,
        patience: u64,
        room: impl Fn(usize) -> usize,
    ) -> Theft {
        let mut theft = Theft::Nothing;
        let elapsed = now.saturating_sub(watch.looked_at.get()).max(1);
        for (victim, remote) in self.remotes.iter().enumerate() {
            let waiting = remote.fresh.len_hint() as u64;
            if victim == index || waiting == 0 {
                continue;
            }
            let seen = &watch.seen[victim];
            let taken = remote.fresh.taken_hint().saturating_sub(seen.taken.get());
            // waiting / (taken / elapsed) > PATIENCE, without the division.
            let slow = u128::from(waiting) * u128::from(elapsed) > u128::from(taken) * u128::from(patience);
            if !slow {
                continue;
            }
            let share = match self.share(index, remote) {
                0 if seen.is_kept(remote, now) => usize::MAX,
                0 => {
                    theft = Theft::Spared(remote);
                    continue;
                }
                share => share,
            };
            let most = room(share.min(waiting.div_ceil(2) as usize));
            let thief = self.remotes[index];
            let loot = if most > 0 { remote.fresh.steal_half(&thief.fresh, most) } else { 0 };
            if loot > 0 {
                add(&thief.published.stolen, loot as u64);
                return Theft::Done;
            }
        }
        theft
    }

    /// Rule 7: how many closures may move from `victim` to worker `index`, so that this does not have too many then.
    fn share(&self, index: usize, victim: &Remote) -> usize {
        let mine = load_of(self.remotes[index]);
        if mine == 0 {
            return usize::MAX;
        }
        // Each takes one off there and adds one here.
        bearable(load_of(victim)).saturating_sub(mine) / 2
    }
}
