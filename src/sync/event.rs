//! `Event`.

use super::queue::{Node, Queue};
use crate::park::{self, Deadline, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering, const_fn};

const SET: usize = 1;

/// A flag that tasks wait for. After asyncio's `Event`.
///
/// [`wait`](Event::wait) returns at once while it is set, and otherwise when it is set next: also if a [`clear`](Event::clear)
/// follows the [`set`](Event::set) at once.
///
/// # Examples
/// ```
/// use layby::{go, sync::{Arc, Event}};
///
/// layby::run(|| {
///     let started = Arc::new(Event::new());
///     let event = started.clone();
///     let task = go!(move || event.wait());
///     layby::yield_now();
///     started.set();
///     task.join().unwrap();
///     assert!(started.is_set());
/// });
/// ```
#[derive(Debug)]
pub struct Event {
    /// The notes are states, without the bit.
    queue: Queue<usize>,
    /// How often it was set, times two, and `SET`. Written under the queue's lock.
    state: AtomicUsize,
}

struct Waiting<'a>(&'a Event, &'a Node<usize>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let Waiting(event, node) = self;
        let mut queue = event.queue.lock();
        // It was set since: claimed. Relaxed: the queue's lock orders it.
        if node.note() != event.state.load(Ordering::Relaxed) & !SET {
            return false;
        }
        // SAFETY: in this queue, or in none.
        unsafe { queue.unlink(node) }
    }
}

impl Event {
    const_fn! {
        /// An event that is not set.
        pub const fn new() -> Event {
            Event { queue: Queue::new(), state: AtomicUsize::new(0) }
        }
    }

    /// Whether it is set. A task that asks in vain again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if it is not.
    #[inline]
    pub fn is_set(&self) -> bool {
        let set = self.is_set_now();
        if !set {
            park::in_vain();
        }
        set
    }

    /// [`is_set`](Event::is_set), but no suspension point.
    #[inline]
    fn is_set_now(&self) -> bool {
        // Acquire pairs with the Release in `set`: what came before it is seen.
        self.state.load(Ordering::Acquire) & SET != 0
    }

    /// Sets it, and wakes all that wait. Never waits.
    pub fn set(&self) {
        let queue = self.queue.lock();
        // Relaxed: the queue's lock orders it.
        let state = self.state.load(Ordering::Relaxed);
        if state & SET != 0 {
            // Written again, with Release, for those who look from now on: they see what this caller did.
            self.state.store(state, Ordering::Release);
            return;
        }
        // Release pairs with the Acquire in `is_set`.
        self.state.store((state + 2) | SET, Ordering::Release);
        drop(queue);
        self.queue.wake_older(state + 2);
    }

    /// Takes it back: who waits from now on waits for the next [`set`](Event::set).
    pub fn clear(&self) {
        let _queue = self.queue.lock();
        // Relaxed: the queue's lock orders it.
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state & !SET, Ordering::Relaxed);
    }

    /// Waits until it is set.
    ///
    /// # Cancellation
    /// A suspension point, also if it is set already.
    #[inline(always)]
    pub fn wait(&self) {
        park::checkpoint();
        if self.is_set_now() {
            return;
        }
        let node = Node::new(0);
        if !self.enlist(&node) {
            return;
        }
        match park::park(Reason::Event, Deadline::NEVER, &node.waiter, &Waiting(self, &node)) {
            Outcome::Woken | Outcome::TimedOut => {}
            Outcome::Cancelled => park::throw_cancelled(),
        }
    }

    /// False: it is set by now.
    #[inline(never)]
    fn enlist(&self, node: &Node<usize>) -> bool {
        let mut queue = self.queue.lock();
        // Relaxed: the queue's lock orders it.
        let state = self.state.load(Ordering::Relaxed);
        if state & SET != 0 {
            return false;
        }
        node.set_note(state);
        // SAFETY: in no queue, and its frame is there until it is unlinked.
        unsafe { queue.push_back(node) };
        true
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}
