//! [`Stack`]: a slot that somebody owns.

use std::fmt;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::slab::Slab;

/// An owned slot of a [`Pool`](super::Pool): 24 bytes, neither `Send` nor `Sync`.
///
/// It is given back by [`Pool::give`](super::Pool::give) and in no other way. Dropping it leaks
/// the slot: the memory stays as it is, and mapped, for as long as the process lives. That is on
/// purpose, as only the owner can know that no frame on the stack is alive.
pub(crate) struct Stack {
    /// Valid while this exists: a slab with a slot out is never freed.
    slab: NonNull<Slab>,
    /// What [`base`](Self::base) says. The slab could tell, but a switch asks each time, and should
    /// not have to go there.
    base: NonZeroUsize,
    /// Less than the slab's count. No other `Stack` has this slab and index.
    index: u32,
}

impl Stack {
    /// A slot that the slab has just handed out.
    pub(super) fn new(slab: &Slab, index: u32) -> Stack {
        let base = NonZeroUsize::new(slab.base(index)).expect("a slot does not end at address 0");
        Stack { slab: NonNull::from(slab), base, index }
    }

    /// The highest address, exclusive: where the stack starts to grow down from. A multiple of 64,
    /// coloured, so at most 1984 bytes below the end of the slot.
    #[inline(always)]
    pub(crate) fn base(&self) -> usize {
        self.base.get()
    }

    /// The lowest usable address. The guard ends here.
    pub(crate) fn limit(&self) -> usize {
        self.slab().limit(self.index)
    }

    /// The size that was asked for, rounded up to pages and to the minimum. There is a little more
    /// between [`limit`](Self::limit) and [`base`](Self::base), never less.
    pub(crate) fn size(&self) -> usize {
        self.slab().layout().size
    }

    /// How many bytes of it were used since it was fresh or taken out of the pool, as far as its pages tell: up to a page more
    /// than the truth.
    pub(crate) fn touched(&self) -> usize {
        self.slab().touched(self.index)
    }

    /// Says who runs on this stack. Null, which it is at first, is nobody.
    #[cfg(test)]
    pub(crate) fn set_occupant(&self, occupant: *mut ()) {
        self.slab().occupant(self.index).store(occupant, Ordering::Release);
    }

    /// Who runs on this stack, as last set; null for nobody.
    pub(crate) fn occupant(&self) -> *mut () {
        self.slab().occupant(self.index).load(Ordering::Acquire)
    }

    /// Where it is noted who runs on this stack: valid for as long as the slot is owned.
    pub(crate) fn occupant_cell(&self) -> NonNull<AtomicPtr<()>> {
        NonNull::from(self.slab().occupant(self.index))
    }

    pub(super) fn slab(&self) -> &Slab {
        // SAFETY: the slab of a slot that is out lives on, even if its pool is dropped (`Slabs`);
        // that of one in a free list lives as long as the pool, which has the list. What changes
        // in a slab is in cells, so shared references are all there ever are.
        unsafe { self.slab.as_ref() }
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("limit", &format_args!("{:#x}", self.limit()))
            .field("base", &format_args!("{:#x}", self.base()))
            .field("size", &self.size())
            .field("occupant", &self.occupant())
            .finish()
    }
}
