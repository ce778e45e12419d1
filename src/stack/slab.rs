//! Slabs: one mapping each, cut into equal slots; and the list of a pool's slabs.
//!
//! Everything that a SIGSEGV handler needs to get from an address to a task is written before the
//! slab is published and never changes, except the occupants, which are atomic. Slabs are boxed
//! and join a linked list at its head, so that a handler that interrupts anything, the pool
//! included, always finds a list that can be walked.
//!
//! # The table
//! ```text
//!   ┌───────┬───────┬─  ─┬───────┬──────────────┐   of each slot one word:
//!   │ slot 0│ slot 1│ …  │ n - 1 │ table        │   out:   its occupant, or null for nobody yet
//!   └───────┴───────┴─  ─┴───────┴──────────────┘   home:  tagged, so nobody's; the next of the slots that are home, or,
//!                                                          if the slot was not out since the slab was last empty, anything;
//!                                                          or null
//! ```
//! So an occupant's address is in the word only while the slot is out. Any thread may read the words for as long as the slab is there: to write
//! them is the home thread's, and what it forgets of the table reads as null.
//!
//! Beside the slots, not in them, so that looking through all of them touches no stack. And in the mapping, not on the heap: when
//! all slots are home, nothing in the table matters, and its pages go back to the system like those of the stacks, at any place in
//! whatever order. So a spike of tasks leaves nothing behind but addresses. For the same reason the slots that are home have no list but
//! the words that they do not need for themselves.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{fmt, io, iter};

use super::guard::{self, Guard};
use super::layout::Layout;
use super::room::Room;
use super::stack::Stack;
use crate::sys::mem;

/// One mapping of `count` slots.
pub(super) struct Slab {
    // Fixed at creation; a signal handler may read these.
    /// The lowest address of the first slot.
    start: NonNull<u8>,
    /// Its slots' layout. After `count * layout.stride` bytes the table begins.
    layout: Layout,
    count: u32,
    /// How many slots the class had before this slab; the colours go on from there.
    first_ordinal: usize,
    /// The slab that was the newest before this one.
    next: *const Slab,

    // For the pool alone.
    /// The list that holds this slab; null once the list is gone and the slab leaked.
    owner: Cell<*const Slabs>,
    /// Slots from here on were never handed out and have no guard.
    fresh: Cell<u32>,
    /// Slots from here on were not handed out since the slab was last empty. At most `fresh`.
    begun: Cell<u32>,
    /// The first of the slots that came home since then, or [`NO_SLOT`].
    free: Cell<u32>,
    /// Slots handed out and not given back. While it is not 0 the slab must stay.
    out: Cell<u32>,
    /// Slots guarded by protection: mappings to return to the budget.
    protected: Cell<u32>,
}

const NO_SLOT: u32 = u32::MAX >> 1;
/// Set in the words of slots that are home, and in no occupant's address.
const HOME: usize = 1;
/// So many bytes of the table are kept when the slab is empty: to give back a single page gains less than it costs.
const KEPT_TABLE: usize = 4096;

/// Bytes of the table for so many slots.
pub(super) fn table_len(count: u32) -> usize {
    (count as usize * size_of::<AtomicPtr<()>>()).next_multiple_of(mem::page_size())
}

impl Slab {
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Whether a slot is home that has a guard.
    pub(super) fn has_home(&self) -> bool {
        self.out.get() < self.fresh.get()
    }

    /// Hands out a slot that has a guard; there must be one.
    pub(super) fn take_home(&self) -> Stack {
        let index = match self.free.get() {
            NO_SLOT => {
                let index = self.begun.get();
                assert!(index < self.fresh.get(), "no slot is home");
                self.begun.set(index + 1);
                index
            }
            index => {
                let next = self.word(index).load(Ordering::Relaxed).addr() >> 1;
                self.free.set(next as u32);
                index
            }
        };
        self.hand_out(index)
    }

    /// Hands out the next slot that was never used, guarding it first; `None` when there is none. All others must be out.
    /// On an error the slot stays for the next attempt.
    pub(super) fn take_fresh(&self, guard: Guard) -> io::Result<Option<Stack>> {
        let index = self.fresh.get();
        if index == self.count {
            return Ok(None);
        }
        let Layout { guard: len, size, .. } = self.layout;
        // SAFETY: the guard is the start of slot `index`, whole pages of our mapping, and nobody
        // has used the slot: it is only now being handed out.
        let used = unsafe { guard.install(self.slot(index), len, size) }?;
        if used == Guard::Protect {
            self.protected.set(self.protected.get() + 1);
        }
        debug_assert!(!self.has_home() && self.begun.get() == index);
        self.fresh.set(index + 1);
        self.begun.set(index + 1);
        Ok(Some(self.hand_out(index)))
    }

    /// One more slot is out, and nobody's so far.
    fn hand_out(&self, index: u32) -> Stack {
        self.out.set(self.out.get() + 1);
        self.word(index).store(ptr::null_mut(), Ordering::Release);
        Stack::new(self, index)
    }

    /// A slot has come home: nobody occupies it, and its memory goes back to the system. To be
    /// called once for each time it was out, by whoever owns its `Stack`.
    pub(super) fn put_back(&self, index: u32) {
        let next = (self.free.replace(index) as usize) << 1 | HOME;
        self.word(index).store(ptr::without_provenance_mut(next), Ordering::Release);
        self.out.set(self.out.get() - 1);
        if self.out.get() == 0 {
            self.forget_table();
        }
        let Layout { guard, stride, .. } = self.layout;
        // SAFETY: the guard is shorter than the slot, so this stays inside the mapping.
        let usable = unsafe { self.slot(index).add(guard) };
        // SAFETY: whole pages of our mapping, from the guard to the end of a slot whose owner has
        // given it up; a stack's contents mean nothing to the next owner.
        unsafe { mem::discard(usable, stride - guard) };
    }

    /// How much of a slot's stack lies above the lowest page of it that has memory.
    pub(super) fn touched(&self, index: u32) -> usize {
        let Layout { guard, stride, size } = self.layout;
        // SAFETY: the guard is shorter than the slot, so this stays inside the mapping.
        let usable = unsafe { self.slot(index).add(guard) };
        // SAFETY: whole pages of our mapping, from the guard to the end of a slot.
        let lowest = unsafe { mem::lowest_touched(usable, stride - guard) };
        // There is a little more than `size`, which nobody was promised.
        lowest.map_or(0, |lowest| (self.base(index).saturating_sub(lowest)).min(size))
    }

    /// The start of a slot, that is of its guard.
    fn slot(&self, index: u32) -> NonNull<u8> {
        assert!(index < self.count);
        // SAFETY: `index < count`, so the offset is less than the mapping's length, which fits an
        // isize (`Layout::span`).
        unsafe { self.start.add(index as usize * self.layout.stride) }
    }

    /// The lowest usable address of a slot.
    pub(super) fn limit(&self, index: u32) -> usize {
        self.start.addr().get() + index as usize * self.layout.stride + self.layout.guard
    }

    /// The address that the stack in a slot starts below: the end of the slot less the colour.
    pub(super) fn base(&self, index: u32) -> usize {
        let end = self.start.addr().get() + (index as usize + 1) * self.layout.stride;
        end - Layout::colour(self.first_ordinal + index as usize)
    }

    /// All slots are home: they need no list, as all below `fresh` are as good as each other.
    fn forget_table(&self) {
        let used = self.begun.replace(0) as usize * size_of::<AtomicPtr<()>>();
        self.free.set(NO_SLOT);
        if used > KEPT_TABLE {
            // SAFETY: `used` bytes of the table are in use, so this is in the table.
            let rest = unsafe { self.table().cast::<u8>().add(KEPT_TABLE) };
            // SAFETY: whole pages of our mapping, to its end, whose contents mean nothing any more: each word is written when
            // its slot is handed out, before it is read.
            unsafe { mem::discard(rest, table_len(self.count) - KEPT_TABLE) };
        }
    }

    /// Bytes of the table that are in memory.
    #[cfg(test)]
    pub(super) fn resident_table(&self) -> usize {
        mem::resident(self.table().cast(), table_len(self.count))
    }

    /// The first word of the table.
    fn table(&self) -> NonNull<AtomicPtr<()>> {
        // SAFETY: the mapping goes on behind the slots.
        unsafe { self.start.add(self.count as usize * self.layout.stride) }.cast()
    }

    /// The word of a slot in the table.
    fn word(&self, index: u32) -> &AtomicPtr<()> {
        assert!(index < self.count);
        // SAFETY: the table has a word for each slot.
        let word = unsafe { self.table().add(index as usize) };
        // SAFETY: in our mapping, which lives as long as the slab, and aligned, as pages are; zeros at first, which is null.
        unsafe { word.as_ref() }
    }

    /// The place that says who occupies a slot that is out. His address is even.
    ///
    /// Release stores pair with the Acquire loads in `find` and `for_each_occupant`: who reads an
    /// occupant also sees what was written to it before it was set. Reader and writer are one
    /// thread, so this restrains the compiler only, for the sake of the signal handler.
    pub(super) fn occupant(&self, index: u32) -> &AtomicPtr<()> {
        self.word(index)
    }

    /// Who occupies a slot, out or not; null for nobody. From any thread: what is in the word of a slot that is home is no occupant.
    fn occupant_of(&self, index: u32) -> *mut () {
        let occupant = self.word(index).load(Ordering::Acquire);
        if occupant.addr() & HOME == 0 { occupant } else { ptr::null_mut() }
    }

    /// The slot that an address lies in. Async-signal-safe.
    fn find(&self, addr: usize) -> Option<Slot> {
        let offset = addr.checked_sub(self.start.addr().get())?;
        self.get(u32::try_from(offset / self.layout.stride).ok()?)
    }

    /// Slot `index`, if there are so many. From any thread.
    fn get(&self, index: u32) -> Option<Slot> {
        if index >= self.count {
            return None;
        }
        let limit = self.limit(index);
        Some(Slot {
            occupant: self.occupant_of(index),
            guard: limit - self.layout.guard,
            limit,
            base: self.base(index),
            size: self.layout.size,
        })
    }
}

impl Drop for Slab {
    /// Unmaps. Only [`Slabs`] drops slabs, and only those whose slots are all home.
    fn drop(&mut self) {
        let len = self.layout.stride * self.count as usize + table_len(self.count);
        // SAFETY: the mapping is this slab's from creation on, and with no slot out nobody has an
        // address in it.
        unsafe { mem::unmap(self.start, len) };
        guard::release(self.protected.get() as usize);
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab")
            .field("start", &self.start)
            .field("layout", &self.layout)
            .field("count", &self.count)
            .field("fresh", &self.fresh.get())
            .field("out", &self.out.get())
            .finish_non_exhaustive()
    }
}

/// What is known of the slot that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// As set by the carrier; null if nobody is there.
    pub(crate) occupant: *mut (),
    /// The lowest address of the slot; the guard goes from here to `limit`.
    pub(crate) guard: usize,
    /// As [`Stack::limit`].
    pub(crate) limit: usize,
    /// As [`Stack::base`].
    pub(crate) base: usize,
    /// As [`Stack::size`].
    pub(crate) size: usize,
}

impl Slot {
    /// Whether the address lies in the slot's guard: a fault there is a stack overflow.
    pub(crate) fn is_guard(&self, addr: usize) -> bool {
        (self.guard..self.limit).contains(&addr)
    }
}

/// A place in a list of slabs. What is added to the list later lies before it.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The slab, and the slot in it; `None`: at the begin.
    at: Option<(*const Slab, u32)>,
}

/// All slabs of a pool, newest first. Append-only until it is dropped.
///
/// Dropping it unmaps the slabs whose slots are all home, and leaks the others: a stack that is
/// out may have live frames, or be pointed into from anywhere.
pub(crate) struct Slabs {
    /// Release on `push` pairs with Acquire in `iter`, which a signal handler may run.
    head: AtomicPtr<Slab>,
}

impl Slabs {
    pub(super) fn new() -> Slabs {
        Slabs { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Makes a slab of `room` and adds it to the list, which must not move from now on: the slab knows it by
    /// its address.
    pub(super) fn add(&self, room: Room, first_ordinal: usize) -> NonNull<Slab> {
        let layout = room.layout();
        let (start, count) = room.into_mapping();
        // Stack pointers are made from plain addresses.
        start.expose_provenance();
        let slab = NonNull::from(Box::leak(Box::new(Slab {
            start,
            layout,
            count,
            first_ordinal,
            next: self.head.load(Ordering::Relaxed),
            owner: Cell::new(self),
            fresh: Cell::new(0),
            begun: Cell::new(0),
            free: Cell::new(NO_SLOT),
            out: Cell::new(0),
            protected: Cell::new(0),
        })));
        self.head.store(slab.as_ptr(), Ordering::Release);
        slab
    }

    /// Whether the slab is in this list.
    pub(super) fn owns(&self, slab: &Slab) -> bool {
        ptr::eq(slab.owner.get(), self)
    }

    /// The slot that an address lies in, used or not; `None` if it lies in no slab of this list.
    ///
    /// Async-signal-safe on the pool's thread: reads only, takes no lock, and may interrupt any
    /// other function of the pool.
    pub(crate) fn find(&self, addr: usize) -> Option<Slot> {
        self.iter().find_map(|slab| slab.find(addr))
    }

    /// Calls `f` with each occupant.
    pub(super) fn for_each_occupant(&self, mut f: impl FnMut(NonNull<()>)) {
        for slab in self.iter() {
            (0..slab.begun.get()).filter_map(|index| NonNull::new(slab.occupant_of(index))).for_each(&mut f);
        }
    }

    /// Calls `f` with each slot from `cursor` on, which it moves, until it says no. True: that was the last one.
    ///
    /// # Safety
    /// `cursor` is new, or was moved by this list.
    pub(crate) unsafe fn walk(&self, cursor: &mut Cursor, mut f: impl FnMut(Slot) -> bool) -> bool {
        let (mut slab, mut index) = cursor.at.unwrap_or((self.head.load(Ordering::Acquire), 0));
        // SAFETY: null, or a slab of this list, which frees none before it is dropped itself.
        while let Some(here) = unsafe { slab.as_ref() } {
            while let Some(slot) = here.get(index) {
                index += 1;
                if !f(slot) {
                    cursor.at = Some((slab, index));
                    return false;
                }
            }
            (slab, index) = (here.next, 0);
        }
        cursor.at = Some((slab, 0));
        true
    }

    /// Slots that are out.
    pub(super) fn out(&self) -> usize {
        self.iter().map(|slab| slab.out.get() as usize).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slab> {
        let mut next = self.head.load(Ordering::Acquire).cast_const();
        iter::from_fn(move || {
            // SAFETY: null, or a slab of this list, which frees none before it is dropped itself;
            // the items borrow the list.
            let slab = unsafe { next.as_ref() }?;
            next = slab.next;
            Some(slab)
        })
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        let mut next = *self.head.get_mut();
        while let Some(slab) = NonNull::new(next) {
            // SAFETY: a slab of this list, not freed yet: each is met once.
            let shared = unsafe { slab.as_ref() };
            next = shared.next.cast_mut();
            if shared.out.get() > 0 {
                shared.owner.set(ptr::null());
                continue;
            }
            // SAFETY: made by Box::leak in `grow`. No slot is out, so no `Stack` refers to it but
            // those in the pool's free lists, which end with the pool and look at nothing.
            drop(unsafe { Box::from_raw(slab.as_ptr()) });
        }
    }
}

impl fmt::Debug for Slabs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
