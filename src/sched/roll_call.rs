//! A shutdown, seen from outside of the runtime: that it has come to its end, and who keeps it from that.
//!
//! Which tasks live on a worker is known to that worker alone (plain memory of its thread). So whoever wants to know calls the
//! roll: leaves a [`RollCall`] at each worker, a push like others (S1 to W4 of `remote`), and the worker answers with its list. Not before
//! it has cancelled its tasks and has nothing left to do, or has run them for 20 ms. A worker one of whose tasks does not let go of the thread does not answer;
//! its tasks are only counted, and the answer, if it comes at last, goes nowhere.
//!
//! Each news, which is an answer or the end of the last worker's thread, rings the runtime's *listeners*. They are called on
//! a worker's thread, by the scheduler, so they only wake somebody. Who waits registers his before he looks at what he
//! waits for; so he sees the news, or is rung.
//!
//! Rejected: *a list of a runtime's live tasks that anybody may read*: a lock for each start and each end, for the sake
//! of the one shutdown that fails.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::listing::Sighting;
use super::shared::{Phase, Shared};
use super::worker::Worker;
use crate::util::atomic;

/// What to call when there is news.
pub(crate) type Listener = dyn Fn() + Send + Sync;

/// The shared part, of each runtime.
pub(super) struct Ending {
    /// Workers with a thread of the runtime's own that have not ended.
    threads: AtomicUsize,
    /// Nobody waits for the end.
    left_alone: AtomicBool,
    listeners: Mutex<Vec<Weak<Listener>>>,
}

impl Ending {
    pub(super) fn new(threads: usize) -> Ending {
        Ending {
            threads: AtomicUsize::new(threads),
            left_alone: AtomicBool::new(false),
            listeners: Mutex::new(Vec::new()),
        }
    }
}

/// The tasks of a runtime's workers, as far as they have answered.
pub(crate) struct RollCall {
    missing: AtomicUsize,
    seen: Mutex<Vec<Sighting>>,
}

impl fmt::Debug for RollCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollCall").field("missing", &self.missing).finish_non_exhaustive()
    }
}

impl RollCall {
    fn answer(&self, seen: Vec<Sighting>) {
        lock(&self.seen).extend(seen);
        // Release pairs with the Acquire in `is_complete`.
        self.missing.fetch_sub(1, Ordering::Release);
    }

    /// Whether every worker has answered.
    pub(crate) fn is_complete(&self) -> bool {
        // Acquire pairs with the Release in `answer`.
        self.missing.load(Ordering::Acquire) == 0
    }

    /// Started tasks that have not ended, of the workers that have answered.
    pub(crate) fn take(&self) -> Vec<Sighting> {
        core::mem::take(&mut *lock(&self.seen))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// From now on news rings `listener`, for as long as the caller keeps it.
    pub(crate) fn listen(&self, listener: &Arc<Listener>) {
        let mut listeners = lock(&self.ending.listeners);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    fn ring(&self) {
        // Called outside of the lock.
        let listeners: Vec<_> = lock(&self.ending.listeners).iter().filter_map(Weak::upgrade).collect();
        listeners.iter().for_each(|listener| listener());
    }

    /// Asks each worker for its tasks. Each answer is news.
    pub(crate) fn call_roll(&self) -> Arc<RollCall> {
        let call = RollCall { missing: AtomicUsize::new(self.workers()), seen: Mutex::default() };
        let call = Arc::new(call);
        self.remotes.iter().for_each(|remote| remote.leave_roll_call(call.clone()));
        call
    }

    /// The thread of a worker has done its work.
    pub(super) fn leave(&self) {
        // AcqRel: Release pairs with the Acquire in `has_ended`, and with that of the last one here.
        if self.ending.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.report_end();
            self.ring();
        }
    }

    /// Whether all worker threads have done their work: no task is left. That is news.
    pub(crate) fn has_ended(&self) -> bool {
        // Acquire pairs with the Release in `leave`.
        self.ending.threads.load(Ordering::Acquire) == 0
    }

    /// After `begin_shutdown`: whether no task is left, so that it ends without anybody's doing.
    pub(crate) fn is_over(&self) -> bool {
        // Pairs with the one in `submit`: see the module's documentation of `shared`.
        atomic::fence(atomic::Ordering::SeqCst);
        self.phase() == Phase::Exiting || self.is_quiescent()
    }

    /// Nobody waits for the end any more (or somebody does again): no use in saying what delays it.
    pub(crate) fn leave_alone(&self, alone: bool) {
        // Relaxed: for messages, and for `Runtime::drop`, which comes after by itself.
        self.ending.left_alone.store(alone, Ordering::Relaxed);
    }

    pub(crate) fn is_left_alone(&self) -> bool {
        // Relaxed: as above.
        self.ending.left_alone.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// If the roll was called: says which tasks live here.
    #[inline]
    pub(super) fn answer_roll_calls(&self) {
        if self.remote.has_roll_calls() {
            self.answer_roll_calls_now();
        }
    }

    #[cold]
    fn answer_roll_calls_now(&self) {
        for call in self.remote.take_roll_calls() {
            call.answer(self.sightings());
        }
        self.shared.ring();
    }

    /// The running task.
    pub(crate) fn sighting(&self) -> Option<Sighting> {
        // SAFETY: the scheduler holds a reference to the task while it runs.
        unsafe { self.pulse.task().as_ref() }.map(Sighting::of)
    }
}
