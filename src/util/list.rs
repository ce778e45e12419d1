//! An intrusive doubly linked list: each element carries its own links, and can leave from the middle.
//!
//! ```text
//!   head ──▶ [A] ⇄ [B] ⇄ [C] ◀── tail
//! ```
//!
//! The pointers between elements are followed and changed here and nowhere else. An append writes
//! only to the tail, which is the element that was added last and so is likely in cache: elements are on
//! frames of sleeping tasks, each on a page of its own, so every other neighbour costs a TLB miss.
//!
//! Plain memory: one thread at a time, by construction or under a lock. The list owns nothing.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

/// The links of one element. Written by the list that the element is in, and by nobody else.
pub(crate) struct Links<T> {
    /// The neighbour that was appended before. `None` for the head, and when unlinked.
    prev: Cell<Option<NonNull<T>>>,
    /// The neighbour that was appended after. `None` for the tail, and when unlinked.
    next: Cell<Option<NonNull<T>>>,
}

impl<T> Links<T> {
    /// Of an element in no list.
    pub(crate) const fn new() -> Links<T> {
        Links { prev: Cell::new(None), next: Cell::new(None) }
    }
}

impl<T> fmt::Debug for Links<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

/// An element that has room for links.
///
/// # Safety
/// `links` returns the same reference at every call, and nothing but the list that the element is in uses it.
pub(crate) unsafe trait Listed: Sized {
    fn links(&self) -> &Links<Self>;
}

/// The ends of one list. Not a container: dropping it leaves its elements as they are.
pub(crate) struct List<T> {
    /// The element that was appended first. Every element from here on, along `next`, is alive and
    /// pinned: whoever appends promises that until it is taken out. `prev` is the exact inverse.
    head: Option<NonNull<T>>,
    /// The element that was appended last; `None` if and only if `head` is.
    tail: Option<NonNull<T>>,
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("empty", &self.head.is_none()).finish_non_exhaustive()
    }
}

impl<T> List<T> {
    /// The list of nothing.
    pub(crate) const EMPTY: List<T> = List { head: None, tail: None };

    /// Whether there is no element.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Leaves the empty list in its place.
    pub(crate) fn take(&mut self) -> List<T> {
        core::mem::replace(self, List::EMPTY)
    }

    /// The element that was appended first. It stays in the list.
    #[inline]
    pub(crate) fn front(&self) -> Option<NonNull<T>> {
        self.head
    }
}

impl<T: Listed> List<T> {
    /// Appends `element`.
    ///
    /// # Safety
    /// `element` is in no list. It is alive, stays where it is, and has no exclusive reference to it,
    /// until it is taken out again (or the list is never used again).
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, element: NonNull<T>) {
        // SAFETY: alive and shared, says the caller.
        let new = unsafe { element.as_ref() }.links();
        new.prev.set(self.tail);
        new.next.set(None);
        match self.tail {
            // SAFETY: in the list, so alive and shared (see `head`).
            Some(tail) => unsafe { tail.as_ref() }.links().next.set(Some(element)),
            None => self.head = Some(element),
        }
        self.tail = Some(element);
    }

    /// Takes `element` out, from wherever in the list it is.
    ///
    /// # Safety
    /// `element` is in this list.
    #[inline]
    pub(crate) unsafe fn unlink(&mut self, element: NonNull<T>) {
        // SAFETY: in the list, says the caller, so alive and shared (see `head`).
        let old = unsafe { element.as_ref() }.links();
        let prev = old.prev.take();
        let next = old.next.take();
        match prev {
            // SAFETY: a neighbour in the list, so alive and shared.
            Some(prev) => unsafe { prev.as_ref() }.links().next.set(next),
            None => self.head = next,
        }
        match next {
            // SAFETY: a neighbour in the list, so alive and shared.
            Some(next) => unsafe { next.as_ref() }.links().prev.set(prev),
            None => self.tail = prev,
        }
    }

    /// Takes out the element that was appended first. It is alive still.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<NonNull<T>> {
        let head = self.head?;
        // SAFETY: the head is in the list.
        unsafe { self.unlink(head) };
        Some(head)
    }

    /// The element behind `element`.
    ///
    /// # Safety
    /// `element` is in this list.
    pub(crate) unsafe fn after(&self, element: NonNull<T>) -> Option<NonNull<T>> {
        // SAFETY: in the list, says the caller, so alive and shared (see `head`).
        unsafe { element.as_ref() }.links().next.get()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Item(u32, Links<Item>);

    // SAFETY: a field, used by the list alone.
    unsafe impl Listed for Item {
        fn links(&self) -> &Links<Item> {
            &self.1
        }
    }

    #[test]
    fn leaves_from_anywhere() {
        let items: Vec<Item> = (0..6).map(|i| Item(i, Links::new())).collect();
        for gone in [vec![0, 5, 2], vec![3, 2, 1], vec![5, 4, 3, 2, 1], vec![]] {
            let mut list = List::EMPTY;
            for item in &items {
                // SAFETY: the items outlive the list, and each was taken out in the round before.
                unsafe { list.push_back(NonNull::from(item)) };
            }
            for index in &gone {
                // SAFETY: in the list.
                unsafe { list.unlink(NonNull::from(&items[*index])) };
            }
            let mut left = Vec::new();
            let mut next = list.front();
            while let Some(item) = next {
                // SAFETY: in the list.
                next = unsafe { list.after(item) };
                // SAFETY: the items outlive the list.
                left.push(unsafe { item.as_ref() }.0);
            }
            let mut popped = Vec::new();
            while let Some(item) = list.pop_front() {
                // SAFETY: the items outlive the list.
                popped.push(unsafe { item.as_ref() }.0);
            }
            let want: Vec<u32> = (0..6).filter(|i| !gone.contains(&(*i as usize))).collect();
            assert_eq!((&left, &popped), (&want, &want));
            assert!(list.is_empty());
        }
    }
}
