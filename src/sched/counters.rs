//! What a runtime counts, for whoever asks.
//!
//! Nothing here is written at a switch, a spawn or a wake. Some numbers the scheduler needs itself ([`Counts`](super::remote));
//! the others are a worker's own plain memory, and the worker *publishes* them, by a handful of plain stores, when it looks
//! around (every 100 µs or so) and before it sleeps. So they are as old as that, and older where a task keeps the
//! worker; and no two are of quite the same moment.

use super::remote::Remote;
use super::shared::Shared;
use super::worker::Worker;
use crate::util::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What one worker has published. It is the only writer.
#[repr(align(128))]
#[derive(Debug, Default)]
pub(super) struct Published {
    switches: AtomicU64,
    ready: AtomicUsize,
    stacks: AtomicUsize,
    idle_stacks: AtomicUsize,
    timers: AtomicUsize,
    /// Closures that it took out of another worker's queue.
    pub(super) stolen: AtomicU64,
    /// Closures of its own that it gave to another worker.
    pub(super) handed_over: AtomicU64,
}

/// Adds to a number of which the caller is the only writer.
pub(super) fn add(number: &AtomicU64, more: u64) {
    // Relaxed, both: own value, and for statistics.
    number.store(number.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Published {
    /// For the remote's next worker.
    pub(super) fn reset(&self) {
        let Published { switches, ready, stacks, idle_stacks, timers, stolen, handed_over } = self;
        // Relaxed, all: the pool's lock publishes it to the next worker.
        for number in [switches, stolen, handed_over] {
            number.store(0, Ordering::Relaxed);
        }
        for number in [ready, stacks, idle_stacks, timers] {
            number.store(0, Ordering::Relaxed);
        }
    }
}

/// The numbers of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) workers: usize,
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    /// Closures that wait to start.
    pub(crate) queued: usize,
    /// Started tasks that can go on.
    pub(crate) ready: usize,
    /// Started tasks that wait for something.
    pub(crate) parked: usize,
    pub(crate) switches: u64,
    pub(crate) stolen: u64,
    pub(crate) handed_over: u64,
    /// Stacks with tasks on them.
    pub(crate) stacks: usize,
    /// Stacks that are kept for the next tasks.
    pub(crate) idle_stacks: usize,
    pub(crate) timers: usize,
    pub(crate) unjoined: u64,
}

impl Worker {
    /// Publishes what nobody else can see.
    pub(super) fn publish(&self) {
        let published = &self.remote.published;
        let idle = self.carriers.borrow().len();
        // Relaxed, all: statistics.
        published.switches.store(self.pulse.switches(), Ordering::Relaxed);
        let ready = self.queue.len().saturating_sub(self.local_unstarted.get());
        published.ready.store(ready, Ordering::Relaxed);
        published.stacks.store(self.carrier_count.get().saturating_sub(idle), Ordering::Relaxed);
        published.idle_stacks.store(idle, Ordering::Relaxed);
        published.timers.store(self.timers.borrow().len(), Ordering::Relaxed);
    }
}

impl Remote {
    fn add_to(&self, sum: &mut Counters) {
        let published = &self.published;
        // Relaxed, all: statistics.
        let started = self.counts.started.load(Ordering::Relaxed);
        let ready = published.ready.load(Ordering::Relaxed).min(started);
        sum.ready += ready;
        sum.parked += started - ready;
        sum.switches += published.switches.load(Ordering::Relaxed);
        sum.stolen += published.stolen.load(Ordering::Relaxed);
        sum.handed_over += published.handed_over.load(Ordering::Relaxed);
        sum.stacks += published.stacks.load(Ordering::Relaxed);
        sum.idle_stacks += published.idle_stacks.load(Ordering::Relaxed);
        sum.timers += published.timers.load(Ordering::Relaxed);
        sum.unjoined += self.unjoined();
    }
}

impl Shared {
    /// How things stand.
    pub(crate) fn counters(&self) -> Counters {
        let mut sum = Counters { workers: self.workers(), ..Counters::default() };
        (sum.spawned, sum.finished) = self.totals();
        self.remotes.iter().for_each(|remote| remote.add_to(&mut sum));
        let live = usize::try_from(sum.spawned - sum.finished).unwrap_or(usize::MAX);
        sum.queued = live.saturating_sub(sum.ready + sum.parked);
        sum
    }
}
