//! The waiters of one direction of one registration: a doubly linked list through nodes that lie on
//! the waiting tasks' stacks.
//!
//! ```text
//!   WaitList ─ head ──► FdWait ──next──► FdWait ──next──► FdWait ◄── tail ─ WaitList
//!                          ◄────prev──      ◄────prev──
//! ```
//!
//! Everything here is the home worker's alone and plain memory. *Unlinking is the claim*: whoever
//! takes a node out of its list (the reactor on an event, its task's deadline or its cancellation by
//! [`Reactor::remove`]) decides how the wait has ended; the others find `linked` unset and stop.
//!
//! [`Reactor::remove`]: super::Reactor::remove

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

use super::{Direction, Key};

/// One task that waits for one direction of one descriptor.
///
/// It lies in the frame of the waiting operation and must neither move nor end while it is linked.
#[derive(Debug)]
pub(crate) struct FdWait {
    /// Whom to wake. Opaque here: the scheduler gave it and gets it back from `pop_ready`.
    owner: NonNull<()>,
    prev: Cell<Option<NonNull<FdWait>>>,
    next: Cell<Option<NonNull<FdWait>>>,
    /// The list that it is in; meaningful while `linked`.
    place: Cell<Option<(Key, Direction)>>,
    linked: Cell<bool>,
    _pin: PhantomPinned,
}

impl FdWait {
    /// A waiter that is in no list.
    pub(crate) const fn new(owner: NonNull<()>) -> FdWait {
        FdWait {
            owner,
            prev: Cell::new(None),
            next: Cell::new(None),
            place: Cell::new(None),
            linked: Cell::new(false),
            _pin: PhantomPinned,
        }
    }

    /// Whether it waits still; once enqueued, `false` means that its wake-up is under way or done.
    #[cfg(test)]
    pub(super) fn is_linked(&self) -> bool {
        self.linked.get()
    }

    pub(super) fn owner(&self) -> NonNull<()> {
        self.owner
    }

    /// The list that it is in, or `None` if it has been claimed or was never enqueued.
    pub(super) fn place(&self) -> Option<(Key, Direction)> {
        if self.linked.get() { self.place.get() } else { None }
    }
}

impl Drop for FdWait {
    fn drop(&mut self) {
        debug_assert!(!self.linked.get(), "a waiter's frame ended while the reactor still knew it");
    }
}

/// First in, first out. Holds only nodes that are alive, since that is what [`push_back`] demands.
///
/// [`push_back`]: WaitList::push_back
#[derive(Debug, Default)]
pub(super) struct WaitList {
    head: Option<NonNull<FdWait>>,
    tail: Option<NonNull<FdWait>>,
}

impl WaitList {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Appends `node`, which belongs to `place`.
    ///
    /// # Safety
    /// `node` is in no list. It stays valid and where it is until it has been unlinked, and is used on
    /// this thread only.
    pub(super) unsafe fn push_back(&mut self, node: NonNull<FdWait>, place: (Key, Direction)) {
        // SAFETY: the caller says that `node` is valid; all access to a node is by shared reference.
        let new = unsafe { node.as_ref() };
        debug_assert!(!new.linked.get(), "enqueued twice");
        new.prev.set(self.tail);
        new.next.set(None);
        new.place.set(Some(place));
        new.linked.set(true);
        match self.tail.replace(node) {
            None => self.head = Some(node),
            Some(last) => {
                // SAFETY: `last` is linked here, hence valid by the contract under which it came in.
                let last = unsafe { last.as_ref() };
                last.next.set(Some(node));
            }
        }
    }

    /// Takes `node` out.
    ///
    /// # Safety
    /// `node` is in this very list.
    pub(super) unsafe fn unlink(&mut self, node: NonNull<FdWait>) {
        // SAFETY: a node in this list is valid by the contract of `push_back`.
        let old = unsafe { node.as_ref() };
        let (prev, next) = (old.prev.take(), old.next.take());
        old.linked.set(false);
        match prev {
            None => self.head = next,
            Some(prev) => {
                // SAFETY: the neighbour of a linked node is linked here too, hence valid.
                let prev = unsafe { prev.as_ref() };
                prev.next.set(next);
            }
        }
        match next {
            None => self.tail = prev,
            Some(next) => {
                // SAFETY: the neighbour of a linked node is linked here too, hence valid.
                let next = unsafe { next.as_ref() };
                next.prev.set(prev);
            }
        }
    }

    /// Claims the waiter that came first and returns its owner.
    pub(super) fn pop_front(&mut self) -> Option<NonNull<()>> {
        let node = self.head?;
        // SAFETY: `node` is linked here, hence valid.
        let owner = unsafe { node.as_ref() }.owner();
        // SAFETY: it is this list's head. Its frame may end as soon as its task runs again, which
        // cannot be before the scheduler, on this thread, has got the owner; we touch it no more.
        unsafe { self.unlink(node) };
        Some(owner)
    }
}
