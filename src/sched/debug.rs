//! Debug mode: what a runtime keeps of its tasks beyond what it needs, for its user.
//!
//! * **Stacks.** How much of its stack each task has used, by the place where it was spawned. A stack has memory for the pages
//!   that were touched, and the kernel tells which those are. But a stack that is used again has those of all the tasks before.
//!   So in debug mode none is used again: after each task its carrier ends and its stack goes home, which gives
//!   its memory back ([`Pool::give`](crate::stack::Pool::give)), and the next task finds it as new. A task costs 4 µs
//!   more that way, and the figure is exact to a page.
//! * **Panics that nobody has joined**, by the place where their tasks were spawned: said at the end of the runtime. (They are
//!   counted in any runtime.)
//! * **The deadlock that is not certain** (see `deadlock`), and **the watchdog** (see `watchdog`).
//!
//! It is a switch at run time, not `cfg(debug_assertions)`: that would be how *layby* was compiled, which its user hardly
//! knows; and unoptimised frames are several times as large as those of the release whose stacks are to be sized.
//!
//! Rejected: *painting the stacks* (a quarter of a MiB to write and to read for each task, and all of it would be
//! memory); *discarding what lies below the idle carrier's frames* (where these end is known to the switch alone).

use core::panic::Location;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::remote::Remote;
use super::shared::Shared;
use super::worker::Worker;
use crate::fiber::{Carrier, Header};
use crate::util::atomic::Ordering;
use crate::util::report;

/// From this share of its stack on (in hundredths) a task is warned about.
const MUCH: usize = 80;

type Place = &'static Location<'static>;

/// What the tasks of one place, and one size of stack, have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackUse {
    /// How many have ended.
    pub(crate) tasks: u64,
    /// The most bytes that one of them has used.
    pub(crate) deepest: usize,
}

/// Of the process: who asks wants to know the places, whatever runtime ran them.
static STACKS: Mutex<BTreeMap<(Place, usize), StackUse>> = Mutex::new(BTreeMap::new());

/// How much stack tasks have used that have ended, by place and size of stack.
pub(crate) fn stacks() -> Vec<(Place, usize, StackUse)> {
    lock(&STACKS).iter().map(|(&(place, size), &used)| (place, size, used)).collect()
}

fn note_stack(place: Place, size: usize, deepest: usize) {
    let much = |bytes| bytes > size / 100 * MUCH;
    let warn = {
        let mut stacks = lock(&STACKS);
        let used = stacks.entry((place, size)).or_insert(StackUse { tasks: 0, deepest: 0 });
        let first = much(deepest) && !much(used.deepest);
        used.tasks += 1;
        used.deepest = used.deepest.max(deepest);
        first
    };
    if warn {
        report!(
            "a task spawned at {place} has used {} of its {} KiB of stack: give it more, by `stack_size` of the task's or the \
             runtime's builder",
            deepest.div_ceil(1024),
            size / 1024
        );
    }
}

/// Panics that nobody has joined, of the tasks that live on one worker.
pub(super) type Unjoined = Mutex<BTreeMap<Place, u64>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a panic of a task that has ended, which nobody will join.
///
/// Where its runtime has ended, too, the worker's shared part may be a stranger's by now, and counts it there.
#[cold]
pub(crate) fn note_unjoined(task: &Header) {
    let home: *const Remote = task.home.load(Ordering::Relaxed).cast_const().cast();
    // SAFETY: null for a task that has never started, or the shared part of a worker, which is never freed. Relaxed will do: it was
    // made before the task's runtime, so before the task.
    if let Some(home) = unsafe { home.as_ref() } {
        *lock(&home.unjoined).entry(task.spawned_at).or_default() += 1;
    }
}

impl Remote {
    /// How many panics of its tasks nobody has joined.
    pub(super) fn unjoined(&self) -> u64 {
        lock(&self.unjoined).values().sum()
    }
}

impl Shared {
    /// Whether it is in debug mode.
    pub(super) fn is_debug(&self) -> bool {
        self.config.debug
    }

    /// Whether more is to be done at the end of a task than to use its carrier again.
    pub(super) fn is_observed(&self) -> bool {
        self.is_debug() || self.watchdog.is_some()
    }

    /// At its end, in debug mode: the panics that nobody has joined.
    pub(super) fn report_end(&self) {
        if !self.is_debug() {
            return;
        }
        let mut places = BTreeMap::new();
        for remote in &self.remotes {
            for (place, count) in &*lock(&remote.unjoined) {
                *places.entry(*place).or_insert(0) += count;
            }
        }
        let count: u64 = places.values().sum();
        if count > 0 {
            let list: Vec<_> =
                places.iter().map(|(place, count)| format!("{count} spawned at {place}")).collect();
            report!(
                "the runtime has ended; {count} of its tasks {} panicked, and nobody has joined {}: {}",
                if count == 1 { "has" } else { "have" },
                if count == 1 { "it" } else { "them" },
                list.join(", ")
            );
        }
    }
}

impl Worker {
    /// The carrier of a task that has ended, where that is not simply used again: it is of an unusual size, or the task was
    /// watched, or is to be looked at.
    #[cold]
    pub(super) fn take_back(&self, task: &Header, carrier: Carrier) {
        if self.shared.watchdog.is_some() {
            self.remote.showing.wait_for_lookers();
        }
        let usual = task.stack_size == self.shared.stack_size();
        if self.shared.is_debug() {
            let (size, touched) = self.retire_after(carrier, |stack| (stack.size(), stack.touched()));
            note_stack(task.spawned_at, size, touched);
        } else if usual {
            return self.carriers.borrow_mut().push_back(carrier);
        } else {
            self.retire_carrier(carrier);
        }
        if !usual {
            self.count_unusual(-1);
        }
    }
}
