//! What a queue holds, and which item is next.

use core::cmp::Ordering;
use std::collections::BinaryHeap;

pub(super) trait Items: Default {
    type Item;
    fn len(&self) -> usize;
    fn push(&mut self, item: Self::Item);
    fn pop(&mut self) -> Option<Self::Item>;
}

/// The newest first.
pub(super) struct Stack<T>(Vec<T>);

/// The least first; of equal ones, the oldest.
pub(super) struct Heap<T> {
    heap: BinaryHeap<Numbered<T>>,
    /// How many there have been.
    numbers: u64,
}

struct Numbered<T> {
    item: T,
    number: u64,
}

// Not derived, which would ask for `T: Default`. So below.
impl<T> Default for Stack<T> {
    fn default() -> Stack<T> {
        Stack(Vec::new())
    }
}

impl<T> Items for Stack<T> {
    type Item = T;
    fn len(&self) -> usize {
        self.0.len()
    }
    fn push(&mut self, item: T) {
        self.0.push(item);
    }
    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }
}

impl<T: Ord> Default for Heap<T> {
    fn default() -> Heap<T> {
        Heap { heap: BinaryHeap::new(), numbers: 0 }
    }
}

impl<T: Ord> Items for Heap<T> {
    type Item = T;
    fn len(&self) -> usize {
        self.heap.len()
    }
    fn push(&mut self, item: T) {
        self.numbers += 1;
        self.heap.push(Numbered { item, number: self.numbers });
    }
    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|numbered| numbered.item)
    }
}

/// The greatest is the next.
impl<T: Ord> Ord for Numbered<T> {
    fn cmp(&self, other: &Numbered<T>) -> Ordering {
        other.item.cmp(&self.item).then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Numbered<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Numbered<T> {
    fn eq(&self, other: &Numbered<T>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Numbered<T> {}
