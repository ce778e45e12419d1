//! An intrusive first-in first-out queue: each element carries its own link.
//!
//! ```text
//!   head ──▶ [A.next] ──▶ [B.next] ──▶ [C.next] ──▶ null
//!                                        ▲
//!   tail ────────────────────────────────┘
//! ```
//!
//! Pushing and popping touch no allocator, so a queue of any length never fails. The queue owns
//! nothing: who pushes an element promises that it stays alive until it is popped.

use core::ptr::{self, NonNull};

use super::cell::Cell;

/// An element that has room for a link.
///
/// # Safety
/// `next` must return the same cell at every call, and nothing but the queue that the element is in
/// may write it while it is in one.
pub(crate) unsafe trait Linked {
    fn next(&self) -> &Cell<*const Self>;
}

/// The queue. Plain memory: one thread at a time, by construction or under a lock.
#[derive(Debug)]
pub(crate) struct Fifo<T> {
    head: Cell<*const T>,
    tail: Cell<*const T>,
    len: Cell<usize>,
}

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()), len: Cell::new(0) }
    }
}

impl<T: Linked> Fifo<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Appends.
    ///
    /// # Safety
    /// `item` is in no queue and stays alive until it is popped.
    #[inline]
    pub(crate) unsafe fn push(&self, item: NonNull<T>) {
        // SAFETY: alive, by this function's contract.
        let link = unsafe { item.as_ref() }.next();
        link.set(ptr::null());
        let tail = self.tail.replace(item.as_ptr());
        if tail.is_null() {
            self.head.set(item.as_ptr());
        } else {
            // SAFETY: an element in the queue is alive, by the contract of the push that put it there.
            unsafe { &*tail }.next().set(item.as_ptr());
        }
        self.len.set(self.len.get() + 1);
    }

    /// Calls `f` with each, from the oldest on.
    pub(crate) fn for_each(&self, mut f: impl FnMut(NonNull<T>)) {
        let mut next = self.head.get();
        while let Some(item) = NonNull::new(next.cast_mut()) {
            // SAFETY: an element in the queue is alive, by the contract of `push`.
            next = unsafe { item.as_ref() }.next().get();
            f(item);
        }
    }

    /// Puts it before the oldest.
    ///
    /// # Safety
    /// As [`push`](Fifo::push).
    #[inline]
    pub(crate) unsafe fn push_first(&self, item: NonNull<T>) {
        let head = self.head.replace(item.as_ptr());
        // SAFETY: alive, by this function's contract.
        unsafe { item.as_ref() }.next().set(head);
        if head.is_null() {
            self.tail.set(item.as_ptr());
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes the oldest.
    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<T>> {
        let head = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: an element in the queue is alive, by the contract of `push`.
        let next = unsafe { head.as_ref() }.next().get();
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        self.len.set(self.len.get() - 1);
        Some(head)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Item(u32, Cell<*const Item>);

    // SAFETY: the cell is a field, written by the queue alone.
    unsafe impl Linked for Item {
        fn next(&self) -> &Cell<*const Item> {
            &self.1
        }
    }

    #[test]
    fn first_in_first_out() {
        let items: Vec<Item> = (0..10).map(|i| Item(i, Cell::new(ptr::null()))).collect();
        let queue = Fifo::default();
        assert!(queue.pop().is_none());
        for round in 0..3 {
            for item in &items {
                // SAFETY: the items outlive the queue, and each was popped in the round before.
                unsafe { queue.push(NonNull::from(item)) };
            }
            assert_eq!(queue.len(), 10, "round {round}");
            let mut seen = Vec::new();
            // SAFETY: the items outlive the queue.
            queue.for_each(|item| seen.push(unsafe { item.as_ref() }.0));
            assert_eq!(seen, Vec::from_iter(0..10));
            for want in 0..10 {
                let item = queue.pop().unwrap();
                // SAFETY: the items outlive the queue.
                assert_eq!(unsafe { item.as_ref() }.0, want);
            }
            assert!(queue.is_empty());
            assert!(queue.pop().is_none());
        }
    }

    #[test]
    fn some_may_go_first() {
        let items: Vec<Item> = (0..4).map(|i| Item(i, Cell::new(ptr::null()))).collect();
        let queue = Fifo::<Item>::default();
        let order = || {
            // SAFETY: the items outlive the queue.
            std::iter::from_fn(|| queue.pop()).map(|item| unsafe { item.as_ref() }.0).collect::<Vec<_>>()
        };
        for (number, item) in items.iter().enumerate() {
            let item = NonNull::from(item);
            if number % 2 == 0 {
                // SAFETY: the items outlive the queue, and each is pushed once.
                unsafe { queue.push_first(item) };
            } else {
                // SAFETY: as above.
                unsafe { queue.push(item) };
            }
        }
        assert_eq!(queue.len(), 4);
        assert_eq!(order(), [2, 0, 1, 3]);
        assert!(queue.is_empty());
    }
}
