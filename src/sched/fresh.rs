//! The queue of closures that have not started: the only tasks that may still change worker.
//!
//! A lock rather than a lock-free deque: it is a FIFO with pushes from anywhere, it is held for a few
//! instructions, and its owner's lock and unlock cost about what the fences of a deque would. The lock
//! also orders a push against the watcher's last look (see `placement`).

use core::fmt;
use core::ptr::NonNull;

use crate::fiber::{FiberRef, Header};
use crate::util::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::util::fifo::Fifo;
use crate::util::lock::Lock;

/// The queue. Each element carries one reference, given by who pushed it.
#[derive(Default)]
pub(super) struct Fresh {
    queue: Lock<Guarded>,
    /// As long as the queue, written under its lock; read without it as a hint.
    len: AtomicUsize,
    /// How many the owner has taken, ever; written under the lock, read without it as a hint.
    taken: AtomicU64,
}

#[derive(Default)]
struct Guarded(Fifo<Header>);

// SAFETY: an unstarted task's closure was promised to be usable on another thread by who submitted it,
// and its link is touched under the lock alone.
unsafe impl Send for Guarded {}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").field("len", &self.len_hint()).finish_non_exhaustive()
    }
}

impl Fresh {
    /// # Safety
    /// `task` is alive, unstarted, in no queue; its closure may go to another thread. The queue takes
    /// over one reference.
    #[inline]
    pub(super) unsafe fn push(&self, task: NonNull<Header>) {
        let queue = self.queue.lock();
        // SAFETY: by this function's contract; the reference keeps it alive.
        unsafe { queue.0.push(task) };
        // Relaxed: a hint; exact under the lock.
        self.len.store(queue.0.len(), Ordering::Relaxed);
    }

    /// The owner takes the oldest, with its reference.
    #[inline]
    pub(super) fn take(&self) -> Option<NonNull<Header>> {
        if self.len_hint() == 0 {
            return None;
        }
        let queue = self.queue.lock();
        let task = queue.0.pop()?;
        // Relaxed, all three: hints, written under the lock.
        self.len.store(queue.0.len(), Ordering::Relaxed);
        self.taken.store(self.taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(task)
    }

    /// Moves the older half (rounded up), but at most `most`, to `thief`; how many that were.
    pub(super) fn steal_half(&self, thief: &Fresh, most: usize) -> usize {
        let loot = Fifo::default();
        {
            let queue = self.queue.lock();
            for _ in 0..queue.0.len().div_ceil(2).min(most) {
                let Some(task) = queue.0.pop() else { break };
                // SAFETY: in the queue, so alive; unstarted, so this lock's holder has it to itself.
                unsafe { task.as_ref() }.placed.set(true);
                // SAFETY: just popped, so in no queue; its reference moves along.
                unsafe { loot.push(task) };
            }
            // Relaxed: a hint.
            self.len.store(queue.0.len(), Ordering::Relaxed);
        }
        let count = loot.len();
        let queue = thief.queue.lock();
        while let Some(task) = loot.pop() {
            // SAFETY: just popped, so in no queue; its reference moves along.
            unsafe { queue.0.push(task) };
        }
        // Relaxed: a hint.
        thief.len.store(queue.0.len(), Ordering::Relaxed);
        count
    }

    /// References to the oldest `most`, and how many more there are.
    pub(super) fn list(&self, most: usize) -> (Vec<FiberRef>, usize) {
        // Before the lock, under which nothing is allocated.
        let mut tasks = Vec::with_capacity(most.min(self.len_hint() + 16));
        let mut more = 0;
        self.queue.lock().0.for_each(|task| match tasks.len() < tasks.capacity() {
            // SAFETY: in the queue, which has a reference.
            true => tasks.push(unsafe { FiberRef::share(task) }),
            false => more += 1,
        });
        (tasks, more)
    }

    #[inline]
    pub(super) fn len_hint(&self) -> usize {
        // Relaxed: a hint.
        self.len.load(Ordering::Relaxed)
    }

    /// Exact, and ordered against pushes by the lock.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.lock().0.is_empty()
    }

    #[inline]
    pub(super) fn taken_hint(&self) -> u64 {
        // Relaxed: a hint.
        self.taken.load(Ordering::Relaxed)
    }
}
