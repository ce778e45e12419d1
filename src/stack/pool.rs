//! [`Pool`]: one worker's stacks, by size.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;

use super::DEFAULT_SIZE;
use super::error::{Exhausted, What};
use super::guard::Guard;
use super::layout::Layout;
use super::room::{Room, no_addresses};
use super::slab::{Cursor, Slab, Slabs, Slot};
use super::stack::Stack;
use crate::sys::mem;

/// Slots in the first slab of a class, unless they take more than [`FIRST_BYTES`].
const FIRST_SLOTS: u32 = 16;
/// Address space that a first slab may take, if it has more than one slot.
const FIRST_BYTES: usize = 8 << 20;
/// Each slab has this many times the slots of the one before.
pub(super) const GROWTH: u32 = 4;
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
    /// [`MIN_SIZE`](super::MIN_SIZE). One that was given back, if there is one; that costs no system call, and its
    /// memory is cold. Else a fresh one, which costs a guard and every so often a mapping.
    ///
    /// # Errors
    ///
    /// Of kind `OutOfMemory`, naming what ran out and what to raise: address space, mappings (only
    /// with [`Guard::Protect`]) or page tables. Of kind `InvalidInput` if `size` exceeds any
    /// address space. The pool is as good as before; a later call may succeed.
    pub(crate) fn take(&mut self, size: usize) -> io::Result<Stack> {
        let Pool { guard, ref slabs, .. } = *self;
        let slabs = Rc::clone(slabs);
        self.with_class(size, |class| class.take(&slabs, guard))
    }

    /// Sees to it that there are addresses for so many stacks of a size, in use or not.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take). What could be had is kept.
    pub(crate) fn reserve(&mut self, size: usize, slots: usize) -> io::Result<()> {
        let Pool { guard, ref slabs, .. } = *self;
        let slabs = Rc::clone(slabs);
        self.with_class(size, |class| {
            while class.slots < slots {
                class.grow(&slabs, guard)?;
            }
            Ok(())
        })
    }

    /// Sees to it that there is a stack of a size for one more [`take`](Self::take) than was promised so far, as far as addresses
    /// go. Of the promises at most `open` have not been kept.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take); nothing was promised.
    pub(crate) fn promise(&mut self, size: usize, open: usize) -> io::Result<()> {
        let Pool { guard, ref slabs, .. } = *self;
        let slabs = Rc::clone(slabs);
        self.with_class(size, |class| {
            let promised = class.promised.min(open) + 1;
            while class.home + class.unused < promised {
                class.grow(&slabs, guard)?;
            }
            class.promised = promised;
            Ok(())
        })
    }

    /// Makes stacks of addresses that somebody else has found.
    ///
    /// # Errors
    ///
    /// No memory for the tables beside them. The room is gone.
    pub(crate) fn adopt(&mut self, room: Room) -> io::Result<()> {
        let slabs = Rc::clone(&self.slabs);
        self.with_class(room.layout().size, |class| class.add(&slabs, room))
    }

    /// How many stacks of a size have ever been mapped, and how many of them were ever handed out.
    pub(crate) fn slots(&self, size: usize) -> (usize, usize) {
        let size = Layout::round(size, self.page);
        let class = if size == Some(self.default.layout.size) {
            Some(&self.default)
        } else {
            size.and_then(|size| self.others.get(&size))
        };
        class.map_or((0, 0), |class| (class.slots, class.slots - class.unused))
    }

    /// Calls `f` with the class that serves a size.
    fn with_class<R>(&mut self, size: usize, f: impl FnOnce(&mut Class) -> io::Result<R>) -> io::Result<R> {
        let too_large = || Exhausted::error(What::Size, size, None);
        let size = Layout::round(size, self.page).ok_or_else(too_large)?;
        if size == self.default.layout.size {
            return f(&mut self.default);
        }
        if let Some(class) = self.others.get_mut(&size) {
            return f(class);
        }
        let mut class = Class::new(Layout::new(size, self.page).ok_or_else(too_large)?);
        let result = f(&mut class);
        // It may have mapped a slab that `f` could not go on with; one that got nothing is not worth keeping.
        if class.slots > 0 {
            self.others.insert(size, class);
        }
        result
    }

    /// Takes a stack home. Its memory goes back to the system, its guard stays, its occupant is
    /// nobody; a later [`take`](Self::take) of its size returns it. Never allocates.
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
        let class = if size == self.default.layout.size {
            &mut self.default
        } else {
            self.others.get_mut(&size).expect("a class lives as long as its pool")
        };
        if !slab.has_home() {
            debug_assert!(class.ready.len() < class.ready.capacity());
            class.ready.push(NonNull::from(slab));
        }
        slab.put_back(stack.index());
        class.home += 1;
    }

    /// Calls `f` with the occupant of each slot that has one. In no particular order. It looks at
    /// the tables beside the slots, at no stack.
    pub(crate) fn for_each_occupant(&self, f: impl FnMut(NonNull<()>)) {
        self.slabs.for_each_occupant(f);
    }

    /// As [`Slabs::walk`].
    ///
    /// # Safety
    /// As for that.
    pub(crate) unsafe fn walk(&self, cursor: &mut Cursor, f: impl FnMut(Slot) -> bool) -> bool {
        // SAFETY: by this function's contract.
        unsafe { self.slabs.walk(cursor, f) }
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
    /// The slabs with slots that have been used and are home; the last is asked first. Its capacity is at least the number
    /// of the class's slabs, so that giving back cannot fail.
    ready: Vec<NonNull<Slab>>,
    /// How many such slots there are.
    home: usize,
    /// How many slabs there are.
    slabs: usize,
    /// The slabs with slots that were never handed out, oldest first.
    fresh: VecDeque<NonNull<Slab>>,
    /// How many such slots there are.
    unused: usize,
    /// Slots in all slabs of the class: the ordinal of the first slot in the next one.
    slots: usize,
    /// Slots to put into the next slab.
    next_count: u32,
    /// Stacks that [`Pool::promise`] has promised, at most.
    promised: usize,
}

impl Class {
    fn new(layout: Layout) -> Class {
        let fit = u32::try_from(FIRST_BYTES / layout.stride).unwrap_or(u32::MAX);
        let next_count = FIRST_SLOTS.min(fit).max(1);
        Class {
            layout,
            ready: Vec::new(),
            home: 0,
            slabs: 0,
            fresh: VecDeque::new(),
            unused: 0,
            slots: 0,
            next_count,
            promised: 0,
        }
    }

    fn take(&mut self, slabs: &Slabs, guard: Guard) -> io::Result<Stack> {
        let stack = match self.take_home() {
            Some(stack) => stack,
            None => self.take_fresh(slabs, guard)?,
        };
        self.promised = self.promised.saturating_sub(1);
        Ok(stack)
    }

    /// A slot that was used before.
    fn take_home(&mut self) -> Option<Stack> {
        let slab = self.ready.last()?;
        // SAFETY: a slab of the pool, which keeps it as long as it has this class.
        let slab = unsafe { slab.as_ref() };
        let stack = slab.take_home();
        self.home -= 1;
        if !slab.has_home() {
            self.ready.pop();
        }
        Some(stack)
    }

    /// A slot that was never used.
    fn take_fresh(&mut self, slabs: &Slabs, guard: Guard) -> io::Result<Stack> {
        loop {
            let Some(slab) = self.fresh.front() else {
                self.grow(slabs, guard)?;
                continue;
            };
            // SAFETY: a slab of `slabs`, which the pool keeps as long as it has this class.
            let slab = unsafe { slab.as_ref() };
            if let Some(stack) = slab.take_fresh(guard)? {
                self.unused -= 1;
                return Ok(stack);
            }
            self.fresh.pop_front();
        }
    }

    /// Adds a slab. If there is no room for one as large as planned, a smaller one will do.
    #[cold]
    fn grow(&mut self, slabs: &Slabs, guard: Guard) -> io::Result<()> {
        let mut count = self.next_count;
        let room = loop {
            match Room::map(self.layout, count) {
                Ok(room) => break room,
                Err(e) if !mem::is_enomem(&e) => return Err(e),
                Err(e) if count == 1 => return Err(no_addresses(guard, self.layout.size, e)),
                Err(_) => count = (count / GROWTH).max(1),
            }
        };
        self.add(slabs, room)?;
        self.next_count = slots_within(count.saturating_mul(GROWTH), &self.layout);
        Ok(())
    }

    /// Makes a slab of a room for slots of this class.
    fn add(&mut self, slabs: &Slabs, room: Room) -> io::Result<()> {
        let count = room.slots();
        self.ready.try_reserve(self.slabs + 1 - self.ready.len())?;
        self.fresh.try_reserve(1)?;
        self.slabs += 1;
        self.fresh.push_back(slabs.add(room, self.slots));
        self.slots += count;
        self.unused += count;
        Ok(())
    }
}

/// As many slots as fit a slab, but at least 1 and at most `count`.
pub(super) fn slots_within(count: u32, layout: &Layout) -> u32 {
    let fit = u32::try_from(MOST_BYTES / layout.stride).unwrap_or(u32::MAX);
    count.min(MOST_SLOTS).min(fit).max(1)
}
