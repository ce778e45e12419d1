//! Looking at the tasks of a worker from outside, while one of them keeps it busy.
//!
//! Nothing can be asked of such tasks, but some of what the worker knows may be read by others: the headers' constants, the state word, and
//! three bytes and words that are written by relaxed stores (`run`, `reason`, `since`). The headers are found through the slabs, whose
//! tables of occupants a signal handler can read at any time, and so can other threads. What must not happen is that a header, or
//! a slab, is freed meanwhile.
//!
//! ```text
//!   the worker, at a task's end                   who looks
//!   F1  the task leaves its stack: occupant = 0   O1  lock
//!   F2  looked_at?  yes: lock, unlock             O2  looked_at = true
//!   F3  give the worker's reference up            O3  a barrier on all threads
//!                                                 O4  occupants, their headers
//!                                                 O5  looked_at = false; unlock
//! ```
//! Only the worker frees a started task (the reference of F3), and only through here. O3 falls into a moment of the worker: before F2, which then sees
//! `looked_at` and waits for O5; or after F2, and then F1 was before O3, and O4 does not find the task. So the headers of O4
//! are alive until O5. For the worker that is one load for each task; the barrier is the kernel's, in the onlooker alone. The slabs live until the worker
//! closes the view, under the lock.
//!
//! The lock is let go after so many tasks, so a worker that is not busy any more waits for a fraction of a millisecond.
//!
//! # Rejected
//! * *A list of all live tasks*: a lock for each start and each end.
//! * *Reading the stacks as well*: they change while they are read.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::dump::{ago, constant};
use crate::dump::{DumpedTask, Part, RunState};
use crate::fiber::{Header, Reason, Run};
use crate::stack::{Cursor, Slabs, Slot};
use crate::sys::{barrier, clock};

/// How many places are looked at before the worker may go on.
const AT_ONCE: usize = 512;

/// What others may see of a worker's tasks.
#[derive(Debug, Default)]
pub(super) struct View {
    slabs: Mutex<Option<Seen>>,
    looked_at: AtomicBool,
}

/// The slabs of a worker that has not closed the view.
struct Seen(NonNull<Slabs>);

// SAFETY: only `walk` is called from elsewhere, which reads what is constant or atomic.
unsafe impl Send for Seen {}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl View {
    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.slabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By the worker, which keeps the slabs until it calls `close`.
    pub(super) fn open(&self, slabs: &Slabs) {
        *self.lock() = Some(Seen(NonNull::from(slabs)));
    }

    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// F2.
    #[inline]
    pub(super) fn let_look(&self) {
        // F1 was on this thread, so it is for the compiler alone not to put it behind.
        compiler_fence(Ordering::SeqCst);
        // Relaxed: ordered by the barrier of O3.
        if self.looked_at.load(Ordering::Relaxed) {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        drop(self.lock());
    }

    /// The tasks that have started and have not ended. `None`: there is no worker, or no such barrier.
    pub(super) fn look(&self) -> Option<Part> {
        let mut part = Part::default();
        let mut cursor = Cursor::default();
        while !self.look_at_some(&mut cursor, &mut part)? {}
        Some(part)
    }

    /// True: that were all.
    fn look_at_some(&self, cursor: &mut Cursor, part: &mut Part) -> Option<bool> {
        let seen = self.lock();
        let slabs = seen.as_ref()?.0;
        // Relaxed, both: ordered by the barrier, and by the lock.
        self.looked_at.store(true, Ordering::Relaxed);
        let done = barrier::on_all_threads().then(|| {
            let mut count = 0;
            let visit = |slot: Slot| {
                count += 1;
                if let Some(task) = NonNull::new(slot.occupant) {
                    // SAFETY: found after O3, so it is alive until O5.
                    part.tasks.push(record(unsafe { task.cast::<Header>().as_ref() }));
                }
                count < AT_ONCE
            };
            // SAFETY: the view is open, and stays so while it is locked.
            let slabs = unsafe { slabs.as_ref() };
            // SAFETY: the cursor was made for this look. (If another worker has opened the view meanwhile, the cursor's slab may be gone; but
            // remotes are given to another worker when nobody has the runtime any more, and who looks has it.)
            unsafe { slabs.walk(cursor, visit) }
        });
        self.looked_at.store(false, Ordering::Relaxed);
        done
    }
}

/// What anyone may read of a task that is alive.
fn record(task: &Header) -> DumpedTask {
    let run = match task.run.get() {
        Run::Parked => RunState::Waits,
        Run::Queued => RunState::Ready,
        Run::Running | Run::Done => RunState::Running,
    };
    let mut record = DumpedTask::new(task.id, task.spawned_at, run);
    constant(&mut record, task);
    record.reason = Reason::from_number(task.reason.get());
    if run == RunState::Waits {
        record.since = Some(ago(task.since.get(), clock::now_ns()));
    }
    record
}
