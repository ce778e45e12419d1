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
    /// When the last look was, and how many closures each owner had taken by then.
    looked_at: Cell<u64>,
    taken: Box<[Cell<u64>]>,
}

impl Watch {
    pub(super) fn new(workers: usize) -> Watch {
        Watch { taken: (0..workers).map(|_| Cell::new(0)).collect(), ..Watch::default() }
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
            // Relaxed: a hint.
            let load = remote.counts.started.load(Ordering::Relaxed) + remote.fresh.len_hint();
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
        (mine > least + least / 20 + MARGIN).then_some(remote)
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
        if self.steal(index, watch, now, PATIENCE_NS, room) {
            watch.interval.set(0);
            self.cease_watching(index);
            // There may be work for a third.
            self.mind_fresh();
            return None;
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
        for (remote, taken) in self.remotes.iter().zip(&watch.taken) {
            taken.set(remote.fresh.taken_hint());
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

    /// Rule 2 (and 5): steals from the first queue that would take its owner longer than `patience`.
    fn steal(
        &self,
        index: usize,
        watch: &Watch,
        now: u64,
        patience: u64,
        room: impl Fn(usize) -> usize,
    ) -> bool {
        let elapsed = now.saturating_sub(watch.looked_at.get()).max(1);
        for (victim, remote) in self.remotes.iter().enumerate() {
            let waiting = remote.fresh.len_hint() as u64;
            if victim == index || waiting == 0 {
                continue;
            }
            let taken = remote.fresh.taken_hint().saturating_sub(watch.taken[victim].get());
            // waiting / (taken / elapsed) > PATIENCE, without the division.
            let slow = u128::from(waiting) * u128::from(elapsed) > u128::from(taken) * u128::from(patience);
            let most = if slow { room(waiting.div_ceil(2) as usize) } else { 0 };
            let thief = self.remotes[index];
            let loot = if most > 0 { remote.fresh.steal_half(&thief.fresh, most) } else { 0 };
            if loot > 0 {
                add(&thief.published.stolen, loot as u64);
                return true;
            }
        }
        false
    }
}
