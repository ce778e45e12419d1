//! `Barrier`.

use core::fmt::{self, Write};
use core::panic::RefUnwindSafe;

use super::queue::{Node, Queue};
#[cfg(all(test, loom))]
use crate::park::Waiter;
use crate::park::{self, Deadline, Details, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering, const_fn};

/// Lets several tasks wait for each other.
///
/// Like [`std::sync::Barrier`], except: only the calling tasks wait, not their workers (a thread that is no task waits
/// itself), and a task can be cancelled while it waits.
///
/// # Examples
/// ```
/// use layby::sync::Barrier;
///
/// layby::run(|| {
///     let barrier = Barrier::new(10);
///     let leaders = layby::gather((0..10).map(|_| || barrier.wait().is_leader()));
///     assert_eq!(leaders.into_iter().filter(|leader| *leader).count(), 1);
/// });
/// ```
pub struct Barrier {
    /// The notes are generations: one for each time that all have come.
    queue: Queue<usize>,
    /// The generation of those who come now, and how many have. Under the queue's lock, which orders them.
    generation: AtomicUsize,
    here: AtomicUsize,
    all: usize,
}

impl RefUnwindSafe for Barrier {}

/// What [`Barrier::wait`] gives. Like [`std::sync::BarrierWaitResult`], which nobody else can make.
pub struct BarrierWaitResult(bool);

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

struct Waiting<'a>(&'a Barrier, &'a Node<usize>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let Waiting(barrier, node) = self;
        let mut queue = barrier.queue.lock();
        // One of an older generation is claimed: all have come.
        if node.note() != barrier.generation.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: in this queue, or in none.
        let linked = unsafe { queue.unlink(node) };
        barrier.here.store(barrier.here.load(Ordering::Relaxed) - usize::from(linked), Ordering::Relaxed);
        linked
    }

    fn describe(&self, details: &mut Details) {
        // Relaxed: a look.
        let here = self.0.here.load(Ordering::Relaxed);
        let _ = write!(details, "a Barrier, {here} of {} are there", self.0.all);
    }
}

impl Barrier {
    const_fn! {
        /// A barrier for `n`. 0 is as 1: nobody waits.
        pub const fn new(n: usize) -> Barrier {
            let counter = AtomicUsize::new(0);
            Barrier { queue: Queue::new(), generation: counter, here: AtomicUsize::new(0), all: n }
        }
    }

    /// Waits until all have come; then the barrier can be used again. One of them, the last, is the leader.
    ///
    /// # Cancellation
    /// A suspension point, also for the last. A task that is cancelled while it waits has not come: the others wait for another.
    #[inline]
    pub fn wait(&self) -> BarrierWaitResult {
        park::checkpoint();
        let node = Node::new(0);
        if self.arrive(&node) {
            return BarrierWaitResult(true);
        }
        match park::park(Reason::Barrier, Deadline::NEVER, &node.waiter, &Waiting(self, &node)) {
            Outcome::Woken | Outcome::TimedOut => BarrierWaitResult(false),
            Outcome::Cancelled => park::throw_cancelled(),
        }
    }

    /// True: the caller is the last; the others are awake. Otherwise `node` is linked.
    #[inline(never)]
    fn arrive(&self, node: &Node<usize>) -> bool {
        let mut queue = self.queue.lock();
        let here = self.here.load(Ordering::Relaxed) + 1;
        let generation = self.generation.load(Ordering::Relaxed);
        if here < self.all {
            self.here.store(here, Ordering::Relaxed);
            node.set_note(generation);
            // SAFETY: in no queue, and its frame is there until it is unlinked.
            unsafe { queue.push_back(node) };
            return false;
        }
        self.here.store(0, Ordering::Relaxed);
        self.generation.store(generation + 1, Ordering::Relaxed);
        drop(queue);
        self.queue.wake_older(generation + 1);
        true
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}

impl BarrierWaitResult {
    /// Whether this is the one leader of its time.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

#[cfg(all(test, loom))]
impl Barrier {
    /// As `wait`, of a task on the caller's stack, whose wait is `park`. Whether it was let through.
    pub(super) fn wait_as(&self, waiter: Waiter, park: impl Fn(&dyn Wait) -> Outcome) -> bool {
        let node = Node::of(waiter, 0);
        self.arrive(&node) || park(&Waiting(self, &node)) == Outcome::Woken
    }

    /// How many wait, as far as it knows.
    pub(super) fn here(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }
}
