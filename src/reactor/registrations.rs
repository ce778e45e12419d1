//! What one reactor knows of the descriptors registered with it: a slab of flags and waiters.
//!
//! A slot's number and its generation make the epoll token. A slot that is used again has the next
//! generation, so an event that was meant for its former descriptor finds nobody:
//!
//! ```text
//!   token   63 ........... 32  31 ............ 0
//!               generation          slot
//! ```

use std::collections::VecDeque;
use std::mem;
use std::ptr::NonNull;

use mio::Token;
use mio::event::Event;

use super::Direction;
use super::waiters::{FdWait, WaitList};

/// One reactor's registration of one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    /// Slots from here on do not exist, so that their tokens are free for the reactor's own use. No
    /// process comes near: descriptors are non-negative `i32`s.
    pub(super) const FIRST_RESERVED_SLOT: u32 = u32::MAX - 15;

    pub(super) fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.slot as usize)
    }

    #[expect(clippy::cast_possible_truncation, reason = "takes a token apart")]
    pub(super) fn of(token: Token) -> Key {
        Key { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }

    pub(super) fn slot(self) -> u32 {
        self.slot
    }
}

/// A call in this direction may succeed.
const READY: u8 = 0b01;
/// An end, an error or urgent data was reported: a short transfer does *not* tell that the next call
/// would block.
const STICKY: u8 = 0b10;

/// One direction of one registration.
#[derive(Debug, Default)]
struct Side {
    flags: u8,
    waiters: WaitList,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    read: Side,
    write: Side,
}

impl Slot {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// What one event says of each direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    read: u8,
    write: u8,
}

impl Report {
    pub(super) fn of(event: &Event) -> Report {
        let flags = |ready: bool, sticky: bool| match (ready, sticky) {
            (_, true) => READY | STICKY,
            (true, false) => READY,
            (false, false) => 0,
        };
        let error = event.is_error();
        Report {
            // A read stops short *before* urgent data though there is more behind it.
            read: flags(event.is_readable(), error || event.is_read_closed() || event.is_priority()),
            write: flags(event.is_writable(), error || event.is_write_closed()),
        }
    }
}

/// The slab. Home worker only.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Empty; changes places with the list of slots given back.
    spare: Vec<u32>,
    /// Waiters now linked, over all slots.
    waiting: usize,
}

impl Registrations {
    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn has_free_slot(&self) -> bool {
        !self.free.is_empty()
    }

    /// An empty list with room for every slot, and for one more.
    pub(super) fn take_spare(&mut self) -> Vec<u32> {
        let mut spare = mem::take(&mut self.spare);
        spare.reserve(self.slots.len() + 1);
        spare
    }

    /// Frees the slots that were given back.
    pub(super) fn reclaim(&mut self, mut given_back: Vec<u32>) {
        for slot in given_back.drain(..) {
            self.remove(slot);
        }
        self.spare = given_back;
    }

    /// A slot that is not known ready in either direction.
    pub(super) fn insert(&mut self) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            assert!(slot < Key::FIRST_RESERVED_SLOT, "more registrations than descriptors can exist");
            self.slots.push(Slot::default());
            slot
        });
        Key { slot, generation: self.slots[slot as usize].generation }
    }

    /// Gives a slot back. From here on its former events are stale.
    pub(super) fn remove(&mut self, slot: u32) {
        let old = &mut self.slots[slot as usize];
        debug_assert!(old.read.waiters.is_empty(), "deregistered while a reader waited");
        debug_assert!(old.write.waiters.is_empty(), "deregistered while a writer waited");
        old.generation = old.generation.wrapping_add(1);
        old.read.flags = 0;
        old.write.flags = 0;
        self.free.push(slot);
    }

    /// Whether a call may succeed, as far as this reactor has heard.
    pub(super) fn may_be_ready(&self, key: Key, direction: Direction) -> bool {
        let slot = &self.slots[key.slot as usize];
        debug_assert_eq!(slot.generation, key.generation);
        let side = match direction {
            Direction::Read => &slot.read,
            Direction::Write => &slot.write,
        };
        side.flags != 0
    }

    pub(super) fn mark_drained(&mut self, key: Key, direction: Direction) {
        self.slot(key).side(direction).flags = 0;
    }

    pub(super) fn mark_short(&mut self, key: Key, direction: Direction) {
        self.slot(key).side(direction).flags &= !READY;
    }

    /// Sets what the event reports and moves the owners of all waiters concerned to `ready`.
    pub(super) fn apply(&mut self, key: Key, report: Report, ready: &mut VecDeque<NonNull<()>>) {
        let Some(slot) = self.slots.get_mut(key.slot as usize) else {
            return;
        };
        if slot.generation != key.generation {
            return;
        }
        for (side, flags) in [(&mut slot.read, report.read), (&mut slot.write, report.write)] {
            if flags != 0 {
                side.flags |= flags;
                while let Some(owner) = side.waiters.pop_front() {
                    self.waiting -= 1;
                    ready.push_back(owner);
                }
            }
        }
    }

    /// # Safety
    /// As for [`Reactor::enqueue`](super::Reactor::enqueue).
    pub(super) unsafe fn enqueue(&mut self, key: Key, direction: Direction, node: NonNull<FdWait>) {
        let list = &mut self.slot(key).side(direction).waiters;
        // SAFETY: the caller upholds the contract, which is the same.
        unsafe { list.push_back(node, (key, direction)) };
        self.waiting += 1;
    }

    /// Withdraws a waiter; `false` if it was not linked.
    ///
    /// # Safety
    /// As for [`Reactor::remove`](super::Reactor::remove).
    pub(super) unsafe fn withdraw(&mut self, node: NonNull<FdWait>) -> bool {
        // SAFETY: the caller says that `node` is valid.
        let place = unsafe { node.as_ref() }.place();
        let Some((key, direction)) = place else {
            return false;
        };
        let list = &mut self.slot(key).side(direction).waiters;
        // SAFETY: `place` names the list in which a linked node is, and the caller says that it was
        // enqueued with this reactor.
        unsafe { list.unlink(node) };
        self.waiting -= 1;
        true
    }

    fn slot(&mut self, key: Key) -> &mut Slot {
        let slot = &mut self.slots[key.slot as usize];
        debug_assert_eq!(slot.generation, key.generation);
        slot
    }
}
