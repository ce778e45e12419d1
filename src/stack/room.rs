//! [`Room`]: address space for slots, before some pool makes a slab of it.
//!
//! The pool that needs more slots maps them itself. But a thread that spawns a task on another thread's
//! worker cannot reach that worker's pool, and must know nevertheless whether there will be a stack: it
//! maps the addresses, and the worker takes them over.
//!
//! # Headroom
//! Stacks leave something of the addresses to others. A process whose last addresses went into stacks is as good
//! as dead: the next large `malloc` fails, and the program is aborted with all its tasks. So a
//! room is had only where [`headroom`] more bytes could be had beside it.

use std::io;
use std::mem;
use std::ptr::NonNull;

use super::error::{Exhausted, What};
use super::guard::Guard;
use super::layout::Layout;
use super::pool::{GROWTH, slots_within};
use super::slab;
use crate::sys::mem as memory;

/// The headroom where no limit is set for the process.
const HEADROOM: usize = 4 << 20;

/// A mapping of `count` slots and the table of a slab, which nobody uses so far. Dropping it unmaps it.
#[derive(Debug)]
pub(crate) struct Room {
    /// The lowest address of the first slot.
    start: NonNull<u8>,
    layout: Layout,
    count: u32,
}

// SAFETY: a mapping is the process's; no thread has a reference into it.
unsafe impl Send for Room {}

impl Room {
    /// Room for about `count` stacks of `size` bytes, for one at least: less than asked for where addresses are
    /// scarce.
    ///
    /// # Errors
    /// As [`Pool::take`](super::Pool::take).
    pub(crate) fn new(size: usize, count: usize) -> io::Result<Room> {
        let layout = Layout::new(size, memory::page_size());
        let layout = layout.ok_or_else(|| Exhausted::error(What::Size, size, None))?;
        let mut count = slots_within(u32::try_from(count).unwrap_or(u32::MAX), &layout);
        loop {
            match Room::map(layout, count) {
                Err(error) if !memory::is_enomem(&error) => return Err(error),
                Err(error) if count == 1 => return Err(no_addresses(Guard::Marker, size, error)),
                Err(_) => count = (count / GROWTH).max(1),
                room => return room,
            }
        }
    }

    /// # Errors
    /// ENOMEM: no room, or no headroom beside it.
    pub(super) fn map(layout: Layout, count: u32) -> io::Result<Room> {
        let start = memory::reserve(layout.span(count)? + slab::table_len(count))?;
        let room = Room { start, layout, count };
        let headroom = headroom();
        let beside = memory::reserve(headroom)?;
        // SAFETY: mapped just now, and nobody knows of it.
        unsafe { memory::unmap(beside, headroom) };
        Ok(room)
    }

    /// How many slots there is room for.
    pub(crate) fn slots(&self) -> usize {
        self.count as usize
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The mapping, whose owner is the caller from now on: start and number of slots.
    pub(super) fn into_mapping(self) -> (NonNull<u8>, u32) {
        let mapping = (self.start, self.count);
        mem::forget(self);
        mapping
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let len = self.layout.stride * self.count as usize + slab::table_len(self.count);
        // SAFETY: its own mapping, in which nobody has put anything.
        unsafe { memory::unmap(self.start, len) };
    }
}

/// Bytes of addresses that must be left beside the stacks: a sixteenth of what the process may have.
fn headroom() -> usize {
    let limits = [memory::address_limit(), memory::data_limit()];
    let least = limits.into_iter().flatten().min();
    least.map_or(HEADROOM, |limit| (limit / 16).next_multiple_of(memory::page_size()))
}

/// There are no addresses for even one stack of `size` bytes.
#[cold]
pub(super) fn no_addresses(guard: Guard, size: usize, source: io::Error) -> io::Error {
    let what = What::Addresses {
        limit: memory::address_limit(),
        data: memory::data_limit(),
        mappings: guard == Guard::Protect,
    };
    Exhausted::error(what, size, Some(source))
}
