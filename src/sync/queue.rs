//! The queue of a lock: wait nodes on their waiters' stacks, in one word.
//!
//! ```text
//!   the word        the head's node      …               the tail's node
//!   ┌──────────┬─┐   ┌──────────────┐   ┌──────────────┐   ┌──────────────┐
//!   │ head     │L│──▶│ next ────────┼──▶│ next ────────┼──▶│ next: null   │
//!   └──────────┴─┘   │ prev: tail ──┼─┐ │ prev         │   │ prev         │
//!                    └──────────────┘ │ └──────────────┘   └──▲───────────┘
//!                                     └───────────────────────┘
//! ```
//! L is the queue's lock (rule 2 of `park`): it is held for a few loads and stores, which touch at most four nodes,
//! and over nothing else. Unlinking a node is the claim (rule 3); a queue whose users have *generations* claims a whole
//! generation at once, by counting on under the lock, and unlinks it node by node ([`Queue::wake_older`]).
//!
//! A thread may be preempted while it holds L. So who finds it held spins for a moment, then yields its time slice to
//! whoever has it, then sleeps: the last for threads of a real-time class, to which a yield means nothing.
//!
//! # Rejected
//! * *std's mutex around a list*: 24 bytes in each lock instead of 8.
//! * *One table for all queues, hashed by address, as parking_lot's*: locks of nothing but a byte, but strangers share a
//!   bucket, and its lock; to wake one of n waiters takes O(1) only with a queue of queues in each.
//! * *A lock-free list*: waiters leave from the middle, on cancellation, and their frames die then.

use core::fmt;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};
use core::time::Duration;

use crate::park::Waiter;
use crate::util::atomic::{AtomicPtr, Ordering, const_fn};
use crate::util::cell::Cell;

/// Turns of spinning on L, and then yields of the time slice, before each sleep.
const SPINS: u32 = 64;
const YIELDS: u32 = 64;
const NAP: Duration = Duration::from_micros(50);

const HELD: usize = 1;

/// One waiter, on its frame. Aligned, so that the word has room for L.
#[repr(align(8))]
pub(super) struct Node<T> {
    pub(super) waiter: Waiter,
    next: Cell<*const Node<T>>,
    /// The head's: the tail.
    prev: Cell<*const Node<T>>,
    linked: Cell<bool>,
    /// While linked: what is waited for. After the wake: what was given.
    note: Cell<T>,
}

/// The word.
pub(super) struct Queue<T>(AtomicPtr<Node<T>>);

/// While it lives, L is held. The head is here meanwhile.
pub(super) struct Locked<'a, T> {
    queue: &'a Queue<T>,
    head: *const Node<T>,
    /// L goes back on the thread that took it.
    _thread: PhantomData<*const ()>,
}

/// A node that was unlinked, so claimed, and must be woken: its waiter waits for that.
#[must_use = "its waiter waits for the wake"]
pub(super) struct Claimed<T>(NonNull<Node<T>>);

// What a panic leaves of it is whole.
impl<T> UnwindSafe for Queue<T> {}
impl<T> RefUnwindSafe for Queue<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl<T: Copy> Node<T> {
    /// Of the caller, in no queue.
    pub(super) fn new(note: T) -> Node<T> {
        Node {
            waiter: Waiter::current(),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            linked: Cell::new(false),
            note: Cell::new(note),
        }
    }

    /// Of `waiter`, which is a task of a model.
    #[cfg(all(test, loom))]
    pub(super) fn of(waiter: Waiter, note: T) -> Node<T> {
        Node { waiter, ..Node::new(note) }
    }

    /// By its waiter while it is in no queue, or under L.
    pub(super) fn note(&self) -> T {
        self.note.get()
    }

    /// As [`Node::note`].
    pub(super) fn set_note(&self, note: T) {
        self.note.set(note);
    }
}

impl<T: Copy> Queue<T> {
    const_fn! {
        pub(super) const fn new() -> Queue<T> {
            Queue(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// Whether nobody is there, as far as the caller can know without L.
    #[inline]
    pub(super) fn seems_empty(&self) -> bool {
        // Relaxed: whoever must not miss a node comes after it by an order of his own.
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Takes L.
    #[inline]
    pub(super) fn lock(&self) -> Locked<'_, T> {
        self.try_lock().unwrap_or_else(|| self.lock_contended())
    }

    #[inline]
    fn try_lock(&self) -> Option<Locked<'_, T>> {
        // Relaxed: the exchange looks again.
        let head = self.0.load(Ordering::Relaxed);
        if head.addr() & HELD != 0 {
            return None;
        }
        let held = head.map_addr(|addr| addr | HELD);
        // Acquire pairs with the Release in the drop of `Locked`: the nodes are as the last holder left them.
        let taken = self.0.compare_exchange(head, held, Ordering::Acquire, Ordering::Relaxed);
        // The head that the exchange found: the one from before may be of a node that has gone since, at the same address.
        taken.ok().map(|head| Locked { queue: self, head, _thread: PhantomData })
    }

    #[cold]
    #[inline(never)]
    fn lock_contended(&self) -> Locked<'_, T> {
        let mut turns = 0;
        loop {
            relax(&mut turns);
            if let Some(locked) = self.try_lock() {
                return locked;
            }
        }
    }
}

#[cfg(not(loom))]
fn relax(turns: &mut u32) {
    *turns += 1;
    if *turns <= SPINS {
        core::hint::spin_loop();
    } else if *turns <= SPINS + YIELDS {
        std::thread::yield_now();
    } else {
        *turns = SPINS;
        std::thread::sleep(NAP);
    }
}

#[cfg(loom)]
fn relax(_: &mut u32) {
    let _ = (SPINS, YIELDS, NAP);
    ::loom::thread::yield_now();
}

impl<T: Copy> Locked<'_, T> {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// The node that is next.
    pub(super) fn front(&self) -> Option<&Node<T>> {
        // SAFETY: linked, so alive by the contract of the push, and unlinked only under L, which is held here.
        unsafe { self.head.as_ref() }
    }

    /// A linked node.
    fn node(&self, node: *const Node<T>) -> &Node<T> {
        // SAFETY: every caller has it from a link of this queue; then as in `front`.
        unsafe { &*node }
    }

    /// Appends `node`.
    ///
    /// # Safety
    /// `node` is in no queue, and stays where it is until it is unlinked.
    pub(super) unsafe fn push_back(&mut self, node: &Node<T>) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.next.set(ptr::null());
        match self.front() {
            None => {
                node.prev.set(node);
                self.head = node;
            }
            Some(head) => {
                let tail = head.prev.get();
                head.prev.set(node);
                node.prev.set(tail);
                self.node(tail).next.set(node);
            }
        }
    }

    /// Puts `node` before all others.
    ///
    /// # Safety
    /// As [`Locked::push_back`].
    pub(super) unsafe fn push_front(&mut self, node: &Node<T>) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.next.set(self.head);
        match self.front() {
            None => node.prev.set(node),
            Some(head) => {
                node.prev.set(head.prev.get());
                head.prev.set(node);
            }
        }
        self.head = node;
    }

    /// Takes `node` out, if it is still there.
    ///
    /// # Safety
    /// If `node` is in a queue, it is this one.
    #[must_use]
    pub(super) unsafe fn unlink(&mut self, node: &Node<T>) -> bool {
        if !node.linked.get() {
            return false;
        }
        self.take_out(node);
        true
    }

    /// Takes a linked node out.
    fn take_out(&mut self, node: *const Node<T>) {
        let taken = self.node(node);
        taken.linked.set(false);
        let (prev, next) = (taken.prev.get(), taken.next.get());
        let is_head = ptr::eq(self.head, node);
        if is_head {
            self.head = next;
        } else {
            self.node(prev).next.set(next);
        }
        if !next.is_null() {
            self.node(next).prev.set(prev);
        } else if let Some(head) = self.front() {
            // It was the tail.
            head.prev.set(prev);
        }
    }

    /// Claims the node that is next, and gives it `note`. To be woken when L is free again.
    pub(super) fn pop(&mut self, note: T) -> Option<Claimed<T>> {
        let node: *const Node<T> = self.front()?;
        self.take_out(node);
        self.node(node).note.set(note);
        NonNull::new(node.cast_mut()).map(Claimed)
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `try_lock`.
        self.queue.0.store(self.head.cast_mut(), Ordering::Release);
    }
}

impl<T> Claimed<T> {
    /// Ends the wait. Not under L: it may write to an eventfd.
    pub(super) fn wake(self) {
        // SAFETY: claimed, so it is there until the push (rule 4).
        let waiter = unsafe { &raw const (*self.0.as_ptr()).waiter };
        // SAFETY: claimed by unlinking, once, and nothing of the node is touched any more.
        unsafe { Waiter::wake(waiter) };
    }
}

/// A queue whose nodes' notes are generations: it serves those that all waiters of one time wake together.
impl Queue<usize> {
    /// Unlinks and wakes the nodes of the generations before `generation`, whose end, under L, has claimed them. L is taken
    /// for each: there may be many.
    pub(super) fn wake_older(&self, generation: usize) {
        while let Some(node) = {
            let mut queue = self.lock();
            let older = queue.front().is_some_and(|node| node.note() < generation);
            if older { queue.pop(generation) } else { None }
        } {
            node.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Against a model: pushes at both ends, pops, and nodes that leave from anywhere.
    #[test]
    fn as_a_deque() {
        let rng = crate::util::rng::Rng::new(5);
        let nodes: Vec<Node<usize>> = (0..8).map(Node::new).collect();
        let queue = Queue::new();
        let mut model = std::collections::VecDeque::new();
        for _ in 0..10_000 {
            let node = &nodes[rng.below(8) as usize];
            let index = model.iter().position(|&note| note == node.note());
            let mut locked = queue.lock();
            match (rng.below(4), index) {
                (0, None) => {
                    // SAFETY: in no queue, and it outlives this one.
                    unsafe { locked.push_back(node) };
                    model.push_back(node.note());
                }
                (1, None) => {
                    // SAFETY: as above.
                    unsafe { locked.push_front(node) };
                    model.push_front(node.note());
                }
                (2, index) => {
                    // SAFETY: in this queue or in none.
                    let was_linked = unsafe { locked.unlink(node) };
                    assert_eq!(was_linked, index.is_some());
                    index.map(|index| model.remove(index));
                }
                (3, _) => {
                    let front = locked.front().map(Node::note);
                    let popped = front.and_then(|note| locked.pop(note));
                    // SAFETY: the nodes are alive.
                    let popped = popped.map(|claimed| unsafe { claimed.0.as_ref() }.note());
                    assert_eq!(popped, model.pop_front());
                }
                _ => {}
            }
            assert_eq!(locked.is_empty(), model.is_empty());
        }
    }
}
