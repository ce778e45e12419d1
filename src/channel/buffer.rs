//! Where messages lie that no receiver has taken yet. Plain memory, under the channel's lock.
//!
//! A bounded channel has a *ring*, allocated with the channel. An unbounded one has a chain of *blocks*:
//!
//! ```text
//!   head ─▶ [ . . m m ] ─▶ [ m m m m ] ─▶ [ m m _ _ ] ◀─ tail          spare ─▶ [ _ _ _ _ ]
//!               ▲ first                         ▲ end
//! ```
//! No block is allocated or freed here, since the lock is held: [`Buffer::push`] refuses when there is no room and no spare, and the
//! caller comes again with a block; [`Buffer::pop`] makes the block that it has emptied the spare, or leaves it for the
//! caller to free. A chain that fills and empties at one pace therefore never asks the allocator.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// How many messages a block holds.
const BLOCK: usize = 31;

/// A part of the chain.
pub(super) struct Block<T> {
    next: *mut Block<T>,
    messages: [MaybeUninit<T>; BLOCK],
}

impl<T> Block<T> {
    pub(super) fn new() -> Box<Block<T>> {
        Box::new(Block { next: ptr::null_mut(), messages: [const { MaybeUninit::uninit() }; BLOCK] })
    }
}

/// The messages, first in first out.
pub(super) struct Buffer<T> {
    len: usize,
    store: Store<T>,
}

enum Store<T> {
    Ring { places: Box<[MaybeUninit<T>]>, first: usize },
    Chain(Chain<T>),
}

/// `first` and `end` are places in the head and the tail block, at most `BLOCK`. Both pointers are null, or neither.
struct Chain<T> {
    head: *mut Block<T>,
    first: usize,
    tail: *mut Block<T>,
    end: usize,
    spare: Option<Box<Block<T>>>,
}

impl<T> Buffer<T> {
    /// Room for `capacity` messages.
    pub(super) fn ring(capacity: usize) -> Buffer<T> {
        Buffer { len: 0, store: Store::Ring { places: Box::new_uninit_slice(capacity), first: 0 } }
    }

    /// Room for any number.
    pub(super) fn chain() -> Buffer<T> {
        let (head, tail) = (ptr::null_mut(), ptr::null_mut());
        Buffer { len: 0, store: Store::Chain(Chain { head, first: 0, tail, end: BLOCK, spare: None }) }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Moves the message at `message` in. False: a chain without room; it stays where it is.
    ///
    /// # Safety
    /// There is a message at `message`. A ring is not full.
    #[inline]
    pub(super) unsafe fn push(&mut self, message: *const T) -> bool {
        let place = match &mut self.store {
            Store::Ring { places, first } => {
                let mut place = *first + self.len;
                if place >= places.len() {
                    place -= places.len();
                }
                places[place].as_mut_ptr()
            }
            Store::Chain(chain) => {
                let Some(place) = chain.room() else { return false };
                place
            }
        };
        // SAFETY: a free place of ours; the message is moved, so the caller has it no more.
        unsafe { ptr::copy_nonoverlapping(message, place, 1) };
        self.len += 1;
        true
    }

    /// Moves the oldest message to `into`. False: there is none. A block that the caller is to free comes in `emptied`.
    ///
    /// # Safety
    /// There is room for a message at `into`.
    #[inline]
    pub(super) unsafe fn pop(&mut self, into: *mut T, emptied: &mut Option<Box<Block<T>>>) -> bool {
        if self.len == 0 {
            return false;
        }
        let place = match &mut self.store {
            Store::Ring { places, first } => {
                let place = *first;
                *first = if place + 1 == places.len() { 0 } else { place + 1 };
                places[place].as_ptr()
            }
            Store::Chain(chain) => {
                if chain.first == BLOCK {
                    *emptied = chain.leave_head();
                }
                chain.first += 1;
                // SAFETY: not empty, so there is a head block.
                let head = unsafe { &*chain.head };
                head.messages[chain.first - 1].as_ptr()
            }
        };
        // SAFETY: a message lies there, and has left now.
        unsafe { ptr::copy_nonoverlapping(place, into, 1) };
        self.len -= 1;
        true
    }

    /// Room for a chain. What it does not need comes back.
    pub(super) fn grow(&mut self, block: Box<Block<T>>) -> Option<Box<Block<T>>> {
        match &mut self.store {
            Store::Chain(chain) if chain.spare.is_none() => chain.spare.replace(block),
            _ => Some(block),
        }
    }

    /// Leaves a buffer without room in its place.
    pub(super) fn take(&mut self) -> Buffer<T> {
        core::mem::replace(self, Buffer::ring(0))
    }
}

impl<T> Chain<T> {
    /// The next free place.
    #[inline]
    fn room(&mut self) -> Option<*mut T> {
        if self.end == BLOCK {
            self.append()?;
        }
        // SAFETY: `end` is below `BLOCK`, so there is a tail block; it is ours alone under the lock.
        let tail = unsafe { &mut *self.tail };
        self.end += 1;
        Some(tail.messages[self.end - 1].as_mut_ptr())
    }

    /// The spare block becomes the tail.
    fn append(&mut self) -> Option<()> {
        let block = Box::into_raw(self.spare.take()?);
        match NonNull::new(self.tail) {
            // SAFETY: the tail block is ours alone under the lock.
            Some(tail) => unsafe { (*tail.as_ptr()).next = block },
            None => (self.head, self.first) = (block, 0),
        }
        (self.tail, self.end) = (block, 0);
        Some(())
    }

    /// The head block is empty, and another follows, since there is a message.
    fn leave_head(&mut self) -> Option<Box<Block<T>>> {
        // SAFETY: it came from a box in `append`, and nothing refers to it any more once `head` is moved on.
        let mut old = unsafe { Box::from_raw(self.head) };
        (self.head, self.first) = (old.next, 0);
        old.next = ptr::null_mut();
        if self.spare.is_some() {
            return Some(old);
        }
        self.spare = Some(old);
        None
    }
}

/// Drops what is left. If a message panics in its drop, those behind it leak, as in crossbeam's channels.
impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut message = MaybeUninit::<T>::uninit();
        // SAFETY: room for one.
        while unsafe { self.pop(message.as_mut_ptr(), &mut None) } {
            // SAFETY: `pop` has moved one in.
            unsafe { message.assume_init_drop() };
        }
        if let Store::Chain(chain) = &self.store
            && !chain.head.is_null()
        {
            // SAFETY: empty, so the head is the only block of the chain, and it came from a box.
            drop(unsafe { Box::from_raw(chain.head) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    fn push(buffer: &mut Buffer<Box<usize>>, number: usize) {
        let message = core::mem::ManuallyDrop::new(Box::new(number));
        // SAFETY: a message, which is not used again, and the callers below leave room.
        while !unsafe { buffer.push(&*message) } {
            assert!(buffer.grow(Block::new()).is_none(), "a block that was asked for is needed");
        }
    }

    fn pop(buffer: &mut Buffer<Box<usize>>) -> Option<usize> {
        let mut message = MaybeUninit::uninit();
        // SAFETY: room for one.
        let some = unsafe { buffer.pop(message.as_mut_ptr(), &mut None) };
        // SAFETY: moved in, says `pop`.
        some.then(|| *unsafe { message.assume_init() })
    }

    #[test]
    fn as_a_deque() {
        for capacity in [1, 7, 1_000] {
            for (mut buffer, bounded) in [(Buffer::ring(capacity), true), (Buffer::chain(), false)] {
                let mut model = VecDeque::new();
                for step in 0..4_000_usize {
                    let fill = step / 200 % 2 == 0;
                    if (fill || step % 3 == 0) && (!bounded || model.len() < capacity) {
                        push(&mut buffer, step);
                        model.push_back(step);
                    } else {
                        assert_eq!(pop(&mut buffer), model.pop_front());
                    }
                    assert_eq!(buffer.len(), model.len());
                }
                let rest = buffer.take();
                assert_eq!((rest.len(), pop(&mut buffer)), (model.len(), None));
            }
        }
    }

    #[test]
    fn a_drop_that_panics_drops_none_twice() {
        struct Loud(std::rc::Rc<core::cell::Cell<u32>>);
        impl Drop for Loud {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
                if self.0.get() == 3 {
                    std::panic::resume_unwind(Box::new(()));
                }
            }
        }
        let drops = std::rc::Rc::default();
        for mut buffer in [Buffer::ring(100), Buffer::chain()] {
            for _ in 0..100 {
                let message = core::mem::ManuallyDrop::new(Loud(std::rc::Rc::clone(&drops)));
                // SAFETY: as in `push`.
                while !unsafe { buffer.push(&*message) } {
                    buffer.grow(Block::new());
                }
            }
            let dropping = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(buffer)));
            assert!(dropping.is_err());
            assert_eq!(drops.replace(0), 3, "those behind it leak");
        }
    }
}
