//! [`Pool`]: one worker's stacks, by size.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use super::DEFAULT_SIZE;
use super::error::{Exhausted, What};
use super::guard::Guard;
use super::layout::Layout;
#[cfg(test)]
use super::slab::Slot;
use super::slab::{Slab, Slabs};
use super::stack::Stack;
use crate::sys::mem;

/// Slots in the first slab of a class, unless they take more than [`FIRST_BYTES`].
const FIRST_SLOTS: u32 = 16;
/// Address space that a first slab may take, if it has more than one slot.
const FIRST_BYTES: usize = 8 << 20;
/// Each slab has this many times the slots of the one before.
const GROWTH: u32 = 4;
/// Slots in the largest slab, unless they take more than [`MOST_BYTES`].
const MOST_SLOTS: u32 = 4096;
/// Address space that a slab may take, if it has more than one slot.
const MOST_BYTES: usize = 2 << 30;

/// One worker's stacks. Neither `Send` nor `Sync`: it stays on its thread, and so do its stacks.
///
/// Dropping it unmaps the slabs whose slots are all home. A slab of which a stack is still out is
/// leaked whole, since the stack may be in use; so is one of which a [`Stack`] was dropped.
pub(crate) struct Pool {
    guard: Guard,
    page: usize,
    /// The class of [`DEFAULT_SIZE`], which nearly every request is for: found by one comparison.
    default: Class,
    /// All other classes, by size.
    others: BTreeMap<usize, Class>,
    /// Every slab of every class. Shared with whoever looks up fault addresses.
    slabs: Rc<Slabs>,
}

impl Pool {
    /// An empty pool. Maps nothing yet.
    pub(crate) fn new(guard: Guard) -> Pool {
        let page = mem::page_size();
        let layout = Layout::new(DEFAULT_SIZE, page).expect("the default size has a layout");
        Pool {
            guard,
            page,
            default: Class::new(layout),
            others: BTreeMap::new(),
            slabs: Rc::new(Slabs::new()),
        }
    }

    /// A stack of at least `size` usable bytes; sizes are rounded up to pages, and to
    /// [`MIN_SIZE`](super::MIN_SIZE). The last one given back, if there is one; that costs no system call, and its
    /// memory is cold. Else a fresh one, which costs a guard and every so often a mapping.
    ///
    /// # Errors
    ///
    /// Of kind `OutOfMemory`, naming what ran out and what to raise: address space, mappings (only
    /// with [`Guard::Protect`]) or page tables. Of kind `InvalidInput` if `size` exceeds any
    /// address space. The pool is as good as before; a later call may succeed.
    pub(crate) fn take(&mut self, size: usize) -> io::Result<Stack> {
        let too_large = || Exhausted::error(What::Size, size, None);
        let class = match Layout::round(size, self.page).ok_or_else(too_large)? {
            size if size == self.default.layout.size => &mut self.default,
            size => match self.others.entry(size) {
                Entry::Occupied(class) => class.into_mut(),
                Entry::Vacant(place) => {
                    let layout = Layout::new(size, self.page).ok_or_else(too_large)?;
                    let mut class = Class::new(layout);
                    let stack = class.take(&self.slabs, self.guard);
                    // A class that got its slab, if perhaps no guard, must go on with it; one that
                    // got nothing is not worth keeping.
                    if class.slots > 0 {
                        place.insert(class);
                    }
                    return stack;
                }
            },
        };
        class.take(&self.slabs, self.guard)
    }

    /// Takes a stack home. Its memory goes back to the system, its guard stays, its occupant is
    /// nobody; the next [`take`](Self::take) of its size returns it. Never allocates.
    ///
    /// The caller is sure that no frame on the stack will run again and nothing points into it.
    ///
    /// # Panics
    ///
    /// If the stack is of another pool.
    pub(crate) fn give(&mut self, stack: Stack) {
        let slab = stack.slab();
        assert!(self.slabs.owns(slab), "a stack was given to a pool that it is not of");
        let size = slab.layout().size;
        slab.put_back(stack.index());
        let class = if size == self.default.layout.size {
            &mut self.default
        } else {
            self.others.get_mut(&size).expect("a class lives as long as its pool")
        };
        debug_assert!(class.free.len() < class.free.capacity());
        class.free.push(stack);
    }

    /// Calls `f` with the occupant of each slot that has one. In no particular order. It looks at
    /// the tables beside the slots, at no stack.
    pub(crate) fn for_each_occupant(&self, f: impl FnMut(NonNull<()>)) {
        self.slabs.for_each_occupant(f);
    }

    /// The slot that an address lies in, whether in use or not.
    #[cfg(test)]
    pub(crate) fn find(&self, addr: usize) -> Option<Slot> {
        self.slabs.find(addr)
    }

    /// The slabs, for a signal handler, which must not touch the pool itself: it may have
    /// interrupted it. As long as this is held, nothing is unmapped.
    pub(crate) fn slabs(&self) -> Rc<Slabs> {
        Rc::clone(&self.slabs)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("guard", &self.guard)
            .field("classes", &(1 + self.others.len()))
            .field("slabs", &self.slabs.iter().count())
            .field("out", &self.slabs.out())
            .finish_non_exhaustive()
    }
}

/// All stacks of one size.
struct Class {
    layout: Layout,
    /// Slots that have been used and are home; the last to come is the first to go. Its capacity
    /// is at least `slots`, so that giving back cannot fail.
    free: Vec<Stack>,
    /// The slab that fresh slots come from, of this class. All older ones are used up.
    newest: Option<NonNull<Slab>>,
    /// Slots in all slabs of the class: the ordinal of the first slot in the next one.
    slots: usize,
    /// Slots to put into the next slab.
    next_count: u32,
}

impl Class {
    fn new(layout: Layout) -> Class {
        let next_count = slots_within(FIRST_SLOTS, FIRST_BYTES, &layout);
        Class { layout, free: Vec::new(), newest: None, slots: 0, next_count }
    }

    fn take(&mut self, slabs: &Slabs, guard: Guard) -> io::Result<Stack> {
        if let Some(stack) = self.free.pop() {
            stack.slab().note_taken();
            return Ok(stack);
        }
        if let Some(slab) = self.newest {
            // SAFETY: a slab of `slabs`, which the pool keeps as long as it has this class.
            let slab = unsafe { slab.as_ref() };
            if let Some(stack) = slab.take_fresh(guard)? {
                return Ok(stack);
            }
        }
        let slab = self.grow(slabs, guard)?;
        // SAFETY: made just now in `slabs`, which outlives this borrow.
        let slab = unsafe { slab.as_ref() };
        Ok(slab.take_fresh(guard)?.expect("a new slab has fresh slots"))
    }

    /// Adds a slab. If there is no room for one as large as planned, a smaller one will do.
    #[cold]
    fn grow(&mut self, slabs: &Slabs, guard: Guard) -> io::Result<NonNull<Slab>> {
        let mut count = self.next_count;
        let slab = loop {
            self.free.try_reserve(self.slots + count as usize)?;
            match slabs.grow(self.layout, count, self.slots) {
                Ok(slab) => break slab,
                Err(e) if !mem::is_enomem(&e) => return Err(e),
                Err(e) if count == 1 => {
                    let what = What::Addresses { mappings: guard == Guard::Protect };
                    return Err(Exhausted::error(what, self.layout.size, Some(e)));
                }
                Err(_) => count = (count / GROWTH).max(1),
            }
        };
        self.newest = Some(slab);
        self.slots += count as usize;
        self.next_count =
            slots_within(count.saturating_mul(GROWTH).min(MOST_SLOTS), MOST_BYTES, &self.layout);
        Ok(slab)
    }
}

/// As many slots as fit `bytes`, but at least 1 and at most `count`.
fn slots_within(count: u32, bytes: usize, layout: &Layout) -> u32 {
    let fit = u32::try_from(bytes / layout.stride).unwrap_or(u32::MAX);
    count.min(fit).max(1)
}
