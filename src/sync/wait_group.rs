//! `WaitGroup`.

use core::fmt::{self, Write};
use std::sync::Arc;

use super::queue::{Node, Queue};
use crate::park::{self, Deadline, Details, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering};

/// Waits until every clone of it is gone.
///
/// Like [`crossbeam_utils::sync::WaitGroup`](https://docs.rs/crossbeam-utils/latest/crossbeam_utils/sync/struct.WaitGroup.html),
/// except: only the calling task waits, not its worker (on a thread that is no task, the thread does).
///
/// # Examples
/// ```
/// use layby::{go, sync::WaitGroup};
///
/// layby::run(|| {
///     let group = WaitGroup::new();
///     for _ in 0..4 {
///         let group = group.clone();
///         go!(move || {
///             layby::yield_now(); // some work
///             drop(group);
///         });
///     }
///     group.wait();
/// });
/// ```
pub struct WaitGroup(Arc<Shared>);

struct Shared {
    count: AtomicUsize,
    queue: Queue<()>,
}

struct Waiting<'a>(&'a Shared, &'a Node<()>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        // SAFETY: in this queue, or in none.
        unsafe { self.0.queue.lock().unlink(self.1) }
    }

    fn describe(&self, details: &mut Details) {
        // Relaxed: a look.
        let _ = write!(details, "a WaitGroup, {} to go", self.0.count.load(Ordering::Relaxed));
    }
}

impl WaitGroup {
    /// A group of one.
    pub fn new() -> WaitGroup {
        WaitGroup(Arc::new(Shared { count: AtomicUsize::new(1), queue: Queue::new() }))
    }

    /// Drops this one, and waits until all others are dropped.
    ///
    /// # Cancellation
    /// A suspension point. A task that is cancelled while it waits has dropped its own.
    pub fn wait(self) {
        let shared = self.0.clone();
        drop(self);
        park::checkpoint();
        let node = Node::new(());
        if !shared.enlist(&node) {
            return;
        }
        match park::park(Reason::WaitGroup, Deadline::NEVER, &node.waiter, &Waiting(&shared, &node)) {
            Outcome::Woken | Outcome::TimedOut => {}
            Outcome::Cancelled => park::throw_cancelled(),
        }
    }
}

impl Shared {
    /// False: all are gone.
    #[inline(never)]
    fn enlist(&self, node: &Node<()>) -> bool {
        let mut queue = self.queue.lock();
        // Acquire pairs with the Release in `drop`: what came before each is seen. The last to go takes the queue's lock
        // after it has counted: it either has been counted here, or finds the node.
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        // SAFETY: in no queue, and its frame is there until it is unlinked.
        unsafe { queue.push_back(node) };
        true
    }

    #[cold]
    fn wake_all(&self) {
        while let Some(claimed) = {
            let mut queue = self.queue.lock();
            queue.pop(())
        } {
            claimed.wake();
        }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        // AcqRel: Release pairs with the Acquire in `enlist`; Acquire passes on what the others did by the wakes.
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake_all();
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // Relaxed: as in `Arc`.
        self.0.count.fetch_add(1, Ordering::Relaxed);
        WaitGroup(self.0.clone())
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a look.
        let count = self.0.count.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("count", &count).finish()
    }
}
