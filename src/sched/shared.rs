//! What the workers of one runtime share, and the end of a runtime.
//!
//! # Shutdown
//! ```text
//!   RUNNING ──begin_shutdown──▶ CANCELLING ──a worker finds no task left──▶ EXITING
//! ```
//! In CANCELLING each worker cancels the tasks that live on it, once, when it sees the phase; what starts
//! later starts cancelled, so its closure is dropped on a stack of its own and never runs. Destructors may
//! still block, and spawn.
//!
//! *No task left* is known from counters that each have one writer: `submitted` before a task is in a queue,
//! `finished` after its end. All `finished` are read first, then all `submitted`; if the sums are equal,
//! then at the moment between the two readings no task was alive: `finished` had not passed what was
//! read, `submitted` had not reached more. And only a live task, or a caller from outside, can submit: a
//! caller from outside counts first, fences, and looks at the phase then; a worker sees the phase, fences, and reads
//! the counts. Of the two fences one is first: either the caller sees the phase and takes its task back, or
//! the worker sees the count.
//!
//! Two workers that end their last tasks at the same time each count, fence, then read: at least one of
//! them sees the other's count, and says EXITING.

use core::fmt;
use core::ptr::NonNull;
use std::sync::Arc;

use super::config::Config;
use super::placement::Placement;
use super::remote::Remote;
use super::roll_call::Ending;
use super::watchdog::Bell;
use crate::fiber::{FiberRef, Header};
use crate::util::atomic::{AtomicU8, AtomicU64, Ordering, fence};

/// How far the runtime has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Running,
    Cancelling,
    Exiting,
}

/// One runtime.
pub(crate) struct Shared {
    pub(super) config: Config,
    pub(super) remotes: Box<[&'static Remote]>,
    pub(super) placement: Placement,
    phase: AtomicU8,
    /// Tasks submitted from threads that are not this runtime's workers.
    submitted: AtomicU64,
    /// Those of them that were taken back.
    taken_back: AtomicU64,
    /// Its tasks were cancelled because of a deadlock.
    stuck: AtomicU8,
    /// Who waits for the end.
    pub(super) ending: Ending,
    /// Where its watchdog is rung, if it has one.
    pub(super) watchdog: Option<Bell>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("workers", &self.remotes.len())
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(config: Config) -> Arc<Shared> {
        let remotes: Box<[_]> = (0..config.workers).map(|_| Remote::lease()).collect();
        Arc::new(Shared {
            ending: Ending::new(remotes.len()),
            remotes,
            placement: Placement::new(),
            phase: AtomicU8::new(Phase::Running as u8),
            submitted: AtomicU64::new(0),
            taken_back: AtomicU64::new(0),
            stuck: AtomicU8::new(0),
            watchdog: config.watchdog_limit().map(Bell::new),
            config,
        })
    }

    /// How many workers it has.
    pub(crate) fn workers(&self) -> usize {
        self.remotes.len()
    }

    /// Usable bytes of stack of a task that asks for nothing else.
    pub(crate) fn stack_size(&self) -> usize {
        self.config.stack_size
    }

    /// Whether the calling thread is one of its workers.
    pub(crate) fn is_current(&self) -> bool {
        super::current_worker().is_some_and(|worker| core::ptr::eq(&*worker.shared, self))
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        // Acquire pairs with the Release of who moves it on: a worker that exits sees what came before.
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Cancelling,
            _ => Phase::Exiting,
        }
    }

    /// Takes a task from any thread.
    ///
    /// # Safety
    /// The scheduler takes over one reference to `task`, which was never submitted before and may start on another
    /// thread.
    pub(crate) unsafe fn submit(self: &Arc<Shared>, task: NonNull<Header>) {
        // Relaxed, both: the fence orders the count before the look, with that in `is_quiescent`. See the module's
        // documentation.
        self.submitted.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.phase.load(Ordering::Relaxed) == Phase::Running as u8 {
            // SAFETY: by this function's contract.
            unsafe { self.place(task) };
            return;
        }
        // SAFETY: the reference that came with the submission.
        let task = unsafe { FiberRef::from_raw(task) };
        // SAFETY: this is the caller's thread, where its code may run; the task was never in a queue.
        unsafe { (task.vtable.discard)(task.as_ptr()) };
        task.state.finish();
        // Release pairs with the Acquire in `is_quiescent`: who sees this sees the submission counted.
        self.taken_back.fetch_add(1, Ordering::Release);
        self.wake_all();
    }

    /// Cancels everything and lets the workers end when no task is left. Idempotent.
    pub(crate) fn begin_shutdown(&self) {
        // Release pairs with the Acquire in `phase`: the worker's fence comes after this.
        let _ = self.phase.compare_exchange(
            Phase::Running as u8,
            Phase::Cancelling as u8,
            Ordering::Release,
            Ordering::Relaxed,
        );
        self.wake_all();
    }

    /// Called by a worker without work in CANCELLING: ends the runtime if no task is left.
    pub(super) fn exit_if_quiescent(&self) -> bool {
        fence(Ordering::SeqCst);
        if !self.is_quiescent() {
            return false;
        }
        // Release pairs with the Acquire in `phase`.
        self.phase.store(Phase::Exiting as u8, Ordering::Release);
        self.wake_all();
        if let Some(bell) = &self.watchdog {
            bell.wake();
        }
        true
    }

    pub(super) fn is_quiescent(&self) -> bool {
        self.unfinished() == 0
    }

    /// How many tasks there were that had not ended, at the moment between the two readings at least.
    pub(crate) fn unfinished(&self) -> u64 {
        let (submitted, finished) = self.totals();
        submitted - finished
    }

    /// How many tasks were submitted, and how many of those have ended: these are read first.
    pub(super) fn totals(&self) -> (u64, u64) {
        // Acquire pairs with the Release in `bump` and in `submit`.
        let mut finished = self.taken_back.load(Ordering::Acquire);
        for remote in &self.remotes {
            finished += remote.counts.finished.load(Ordering::Acquire);
        }
        fence(Ordering::SeqCst);
        let mut submitted = self.submitted.load(Ordering::Acquire);
        for remote in &self.remotes {
            submitted += remote.counts.submitted.load(Ordering::Acquire);
        }
        (submitted, finished)
    }

    /// In a shutdown: workers with tasks that have not looked around for long, and how many tasks. But for `index`.
    pub(super) fn silent_workers(&self, index: usize) -> impl Iterator<Item = (usize, usize)> {
        // Relaxed, all: for a message.
        let seen = self.remotes[index].counts.complained.load(Ordering::Relaxed);
        self.remotes.iter().enumerate().filter_map(move |(i, remote)| {
            let started = remote.counts.started.load(Ordering::Relaxed);
            let silent = remote.counts.complained.load(Ordering::Relaxed) < seen;
            (i != index && started > 0 && silent).then_some((i, started))
        })
    }

    /// S1 to S5 of `remote`, for worker `index`, which saw `phase` before it found nothing to do. `kernel` is
    /// called once: with true it may wait for events, with false it only looks for them.
    pub(super) fn sleep(&self, index: usize, phase: Phase, kernel: impl FnOnce(bool)) {
        let several = self.workers() > 1;
        if several {
            self.count_sleeper();
        }
        let remote = self.remotes[index];
        let quiet = remote.begin_sleep()
            && self.phase() == phase
            && !(phase == Phase::Cancelling && self.is_quiescent())
            && !self.unwatched_fresh(index);
        kernel(quiet);
        remote.end_sleep();
        if let Some(bell) = &self.watchdog {
            bell.ring();
        }
        if several {
            self.uncount_sleeper();
        }
    }

    /// Its tasks are cancelled because of a deadlock.
    pub(super) fn set_stuck(&self) {
        // Relaxed: `deadlock` reads it under its lock; `run_root` on the thread of a worker that was notified after.
        self.stuck.store(1, Ordering::Relaxed);
    }

    pub(super) fn is_stuck(&self) -> bool {
        // Relaxed: as above.
        self.stuck.load(Ordering::Relaxed) != 0
    }

    /// What its workers' threads are called, but for the number.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether any started task lives on it.
    pub(super) fn has_started_tasks(&self) -> bool {
        // Relaxed: asked when all workers rest, which has published it.
        self.remotes.iter().any(|remote| remote.counts.started.load(Ordering::Relaxed) > 0)
    }

    fn wake_all(&self) {
        for remote in &self.remotes {
            remote.notify();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last handle and the last worker are gone, so no task has one of these for its home.
        for remote in &self.remotes {
            remote.give_back();
        }
    }
}
