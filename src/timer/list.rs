//! A doubly linked list of entries that others own, first in first out.
//!
//! The pointers between entries are followed and changed here and nowhere else. An append writes
//! only to the tail, which in a wheel is the entry that was added last and so is likely in cache;
//! each sleeper's frame is on a page of its own, so every other neighbour costs a TLB miss.

use std::ptr::NonNull;

use super::entry::Entry;

/// The ends of one list. Not a container: dropping it leaves its entries as they are.
#[derive(Debug)]
pub(super) struct List {
    /// The entry that was appended first. Every entry from here on, along `next`, is alive and
    /// pinned: whoever appends promises that until it is taken out. `prev` is the exact inverse.
    head: Option<NonNull<Entry>>,
    /// The entry that was appended last; `None` if and only if `head` is.
    tail: Option<NonNull<Entry>>,
}

impl List {
    /// The list of nothing.
    pub(super) const EMPTY: List = List { head: None, tail: None };

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Leaves the empty list in its place.
    pub(super) fn take(&mut self) -> List {
        std::mem::replace(self, List::EMPTY)
    }

    /// Appends `entry`.
    ///
    /// # Safety
    /// `entry` is in no list. It is alive, stays where it is, and has no exclusive reference to it,
    /// until it is taken out again (or the list is never used again).
    pub(super) unsafe fn push_back(&mut self, entry: NonNull<Entry>) {
        // SAFETY: alive and shared, says the caller.
        let new = unsafe { entry.as_ref() };
        new.prev.set(self.tail);
        new.next.set(None);
        match self.tail {
            // SAFETY: in the list, so alive and shared (see `head`).
            Some(tail) => unsafe { tail.as_ref() }.next.set(Some(entry)),
            None => self.head = Some(entry),
        }
        self.tail = Some(entry);
    }

    /// Takes `entry` out, from wherever in the list it is.
    ///
    /// # Safety
    /// `entry` is in this list.
    pub(super) unsafe fn unlink(&mut self, entry: NonNull<Entry>) {
        // SAFETY: in the list, says the caller, so alive and shared (see `head`).
        let old = unsafe { entry.as_ref() };
        let prev = old.prev.take();
        let next = old.next.take();
        match prev {
            // SAFETY: a neighbour in the list, so alive and shared.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head = next,
        }
        match next {
            // SAFETY: a neighbour in the list, so alive and shared.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail = prev,
        }
    }

    /// Takes out the entry that was appended first. It is alive still.
    pub(super) fn pop_front(&mut self) -> Option<NonNull<Entry>> {
        let head = self.head?;
        // SAFETY: the head is in the list.
        unsafe { self.unlink(head) };
        Some(head)
    }
}
