//! What a worker shows, at every moment, of the task that it runs: for the watchdog.
//!
//! Two words of the worker's own: which task runs, which it writes at each switch anyway, and how many switches there
//! were. They are atomics, written by plain stores, so that another thread may read them. Watched or not, a
//! switch pays one instruction for it: the count's, which nothing waits for.
//!
//! # Which slice
//! The *slice* of a task is what it does between two switches. Its number is how many there were before. Two looks that find a task
//! running and the same number have seen one and the same slice, for the number moves between any two.
//!
//! # Whose
//! Who looks from outside may not follow the pointer just so: the task may end, and its header be freed. So in a runtime that
//! is watched:
//! ```text
//!   the worker                                   who looks
//!   E1  task = null                              V1  lock the showing
//!   E2  lock and unlock the showing              V2  p = task; null? else read *p
//!   E3  drop the scheduler's reference           V3  unlock
//! ```
//! If V comes before E2 under the lock, the reference is dropped after V3. If it comes after, V2 sees E1, or the
//! pointer to a later task, of which the same is true. What is read of `*p` (id, name, place) was written before the task was
//! submitted, and never since; the Release of the store of `p` and the Acquire in V2 make it visible.
//!
//! The worker lives on its thread's stack, so the lock also keeps it there: it takes its pulse back under that lock
//! before it goes.
//!
//! Rejected: *publishing id and place at each switch* (three stores more, and no name); *a counted reference at each look* (the
//! same lock, since a count that may have gone to zero cannot be raised); *the clock at each switch* (20 ns).

use core::fmt;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::remote::Remote;
use crate::fiber::Header;
use crate::sys::thread;

/// A worker's. Written by its thread alone.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The task on whose stack the thread is; null in the scheduler.
    task: AtomicPtr<Header>,
    /// Switches to a task, ever; counted when they are over.
    switches: AtomicU64,
    /// The kernel's number of the thread.
    thread: u32,
}

impl Pulse {
    /// That of the calling thread.
    pub(super) fn new() -> Pulse {
        Pulse { task: AtomicPtr::new(ptr::null_mut()), switches: AtomicU64::new(0), thread: thread::id() }
    }

    /// The task that runs; null for none.
    #[inline(always)]
    pub(super) fn task(&self) -> *const Header {
        // Relaxed: own value.
        self.task.load(Ordering::Relaxed)
    }

    /// Where that is.
    pub(super) fn running(&self) -> &AtomicPtr<Header> {
        &self.task
    }

    #[inline(always)]
    pub(super) fn begin(&self, task: NonNull<Header>) {
        // Release pairs with the Acquire in `Showing::running` (V2).
        self.task.store(task.as_ptr(), Ordering::Release);
    }

    /// E1.
    #[inline(always)]
    pub(super) fn end(&self) {
        // Relaxed: ordered by the lock of E2.
        self.task.store(ptr::null_mut(), Ordering::Relaxed);
        // Relaxed load: own value. Release pairs with the Acquire in `Showing::slice`: who sees the new number does not see
        // the old task.
        self.switches.store(self.switches.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// How many switches there were, ever.
    pub(super) fn switches(&self) -> u64 {
        // Relaxed: exact on the worker itself.
        self.switches.load(Ordering::Relaxed)
    }
}

/// The place at a [`Remote`] where the worker's pulse can be found.
#[derive(Debug, Default)]
pub(super) struct Showing(Mutex<Option<Shows>>);

#[derive(Debug)]
struct Shows(NonNull<Pulse>);

// SAFETY: all of a pulse may be read by any thread.
unsafe impl Send for Shows {}

/// While it lives, the pulse of a worker is shown.
pub(super) struct Shown(&'static Remote);

impl Shown {
    /// # Safety
    /// `pulse` stays where it is until this is dropped.
    pub(super) unsafe fn new(remote: &'static Remote, pulse: &Pulse) -> Shown {
        *remote.showing.lock() = Some(Shows(NonNull::from(pulse)));
        Shown(remote)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        *self.0.showing.lock() = None;
    }
}

/// A slice, as it was seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) number: u64,
    /// The thread that it runs on.
    pub(super) thread: u32,
}

/// Who a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    id: u64,
    name: Option<Box<str>>,
    spawned_at: &'static Location<'static>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "task '{name}' (#{})", self.id)?,
            None => write!(f, "task #{}", self.id)?,
        }
        write!(f, ", spawned at {}", self.spawned_at)
    }
}

impl Showing {
    fn lock(&self) -> MutexGuard<'_, Option<Shows>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// E2: after it, nobody looks at the task that ran before.
    pub(super) fn wait_for_lookers(&self) {
        drop(self.lock());
    }

    fn look<T>(&self, f: impl FnOnce(&Pulse) -> Option<T>) -> Option<T> {
        let shows = self.lock();
        let pulse = shows.as_ref()?.0;
        // SAFETY: by `Shown` the pulse is there until it is taken back, and the lock is held.
        f(unsafe { pulse.as_ref() })
    }

    /// The slice that runs now, if one does.
    pub(super) fn slice(&self) -> Option<Slice> {
        self.look(|pulse| {
            // The number first: then the task is of that slice or of a later one, and what is later has another number at
            // the next look. Acquire pairs with the Release in `end`.
            let number = pulse.switches.load(Ordering::Acquire);
            // Relaxed: it is not followed.
            let runs = !pulse.task.load(Ordering::Relaxed).is_null();
            runs.then_some(Slice { number, thread: pulse.thread })
        })
    }

    /// Whose `slice` is, if it still runs. It was seen before, so the task is not an earlier one; and it has its number
    /// still, so not a later one.
    pub(super) fn running(&self, slice: Slice) -> Option<Identity> {
        self.look(|pulse| {
            // Acquire pairs with the Release in `begin`: the header is there as it was made.
            let task = NonNull::new(pulse.task.load(Ordering::Acquire))?;
            if pulse.switches() != slice.number {
                return None;
            }
            // SAFETY: seen under the lock, so it lives until that is released: see the module's documentation. The pointer
            // reaches a header whose fields that are read here are never written.
            let (id, name, spawned_at) = unsafe { constant_part(task) };
            Some(Identity { id, name: name.clone(), spawned_at })
        })
    }
}

/// What was written before the task was submitted, and never since. No reference is made to the whole header, of which
/// other parts are the worker's plain memory.
///
/// # Safety
/// `task` is alive for `'a`.
unsafe fn constant_part<'a>(
    task: NonNull<Header>,
) -> (u64, &'a Option<Box<str>>, &'static Location<'static>) {
    let task = task.as_ptr();
    // SAFETY: alive, by this function's contract.
    let id = unsafe { (*task).id };
    // SAFETY: as above; never written, so a shared reference may live.
    let name = unsafe { &(*task).name };
    // SAFETY: as above.
    let spawned_at = unsafe { (*task).spawned_at };
    (id, name, spawned_at)
}
