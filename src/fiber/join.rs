//! The join slot: where a task that ends meets the one that waits for it.
//!
//! One word, because a task has at most one handle and so at most one waiter. It is the queue of one
//! place of the park protocol: putting the waiter in links it, and whoever takes it out has claimed it.
//!
//! ```text
//!              enlist                      settle
//!   EMPTY ───────────────▶ WAITER(ptr) ───────────▶ DONE   the ender has claimed the waiter
//!     │ ▲                      │                      ▲
//!     │ └──────────────────────┘ withdraw             │
//!     │                        └─ abandon ─▶ DETACHED │
//!     ├───────────────────────────────────────────────┤ settle: nobody waits yet, the handle lives
//!     │                                               │
//!     └─ detach ─▶ DETACHED ──────────────────────────┘ settle: the ender drops the result
//! ```
//!
//! The result is written before `settle` and belongs to the handle after it, or, if the slot was
//! DETACHED, to the ender. So it is taken exactly once.

use core::ptr::{self, NonNull};

use crate::util::atomic::{AtomicPtr, Ordering};

/// Addresses that no waiter has: it is a pointer to something of word alignment.
const DONE: usize = 1;
const DETACHED: usize = 2;

/// What the ender finds.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled<W> {
    /// The handle is there and does not wait: the result is left for it.
    Left,
    /// This waiter is claimed: wake it.
    Claimed(NonNull<W>),
    /// There is no handle: the result is the ender's, to drop.
    Detached,
}

/// The slot, for waiters of type `W`.
#[derive(Debug)]
pub(crate) struct JoinSlot<W>(AtomicPtr<W>);

impl<W> JoinSlot<W> {
    pub(crate) fn new() -> JoinSlot<W> {
        JoinSlot(AtomicPtr::new(ptr::null_mut()))
    }

    /// The task has ended, and has written its result.
    pub(crate) fn settle(&self) -> Settled<W> {
        // AcqRel: Release publishes the result, to the Acquire in `is_done`, `enlist`, `withdraw` and
        // `detach`; Acquire pairs with `enlist`, so that the waiter can be read.
        let before = self.0.swap(ptr::without_provenance_mut(DONE), Ordering::AcqRel);
        match before.addr() {
            DETACHED => Settled::Detached,
            addr => {
                debug_assert_ne!(addr, DONE, "a task ended twice");
                NonNull::new(before).map_or(Settled::Left, Settled::Claimed)
            }
        }
    }

    /// Puts a waiter in. False: the task has ended, there is nothing to wait for.
    pub(crate) fn enlist(&self, waiter: NonNull<W>) -> bool {
        // Release publishes the waiter, to `settle`; Acquire on failure pairs with its Release.
        self.0
            .compare_exchange(ptr::null_mut(), waiter.as_ptr(), Ordering::Release, Ordering::Acquire)
            .is_ok()
    }

    /// Takes the waiter out again. False: the ender has claimed it, its wake is coming.
    pub(crate) fn withdraw(&self, waiter: NonNull<W>) -> bool {
        // Acquire on failure pairs with `settle`'s Release.
        self.0
            .compare_exchange(waiter.as_ptr(), ptr::null_mut(), Ordering::Relaxed, Ordering::Acquire)
            .is_ok()
    }

    /// The waiter goes, and the handle with it. False: the ender has claimed it, its wake is coming.
    pub(crate) fn abandon(&self, waiter: NonNull<W>) -> bool {
        let detached = ptr::without_provenance_mut(DETACHED);
        // Acquire on failure pairs with `settle`'s Release. Relaxed on success, as in `detach`.
        self.0.compare_exchange(waiter.as_ptr(), detached, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }

    /// The handle goes. False: the task has ended, and the result is the handle's to drop.
    pub(crate) fn detach(&self) -> bool {
        let detached = ptr::without_provenance_mut(DETACHED);
        // Acquire on failure pairs with `settle`'s Release. Relaxed on success: the handle leaves
        // nothing for the ender to read.
        self.0.compare_exchange(ptr::null_mut(), detached, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }

    /// Whether the handle is gone. It stays so.
    pub(crate) fn is_detached(&self) -> bool {
        // Relaxed: the handle leaves nothing to read.
        self.0.load(Ordering::Relaxed).addr() == DETACHED
    }

    /// Whether the task has ended.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        // Acquire pairs with `settle`'s Release.
        self.0.load(Ordering::Acquire).addr() == DONE
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_picture() {
        let waiter = 7u64;
        let waiter = NonNull::from(&waiter);

        let slot = JoinSlot::<u64>::new();
        assert!(!slot.is_done());
        assert_eq!(slot.settle(), Settled::Left);
        assert!(slot.is_done());
        assert!(!slot.enlist(waiter));
        assert!(!slot.detach());

        let slot = JoinSlot::new();
        assert!(slot.enlist(waiter));
        assert!(slot.withdraw(waiter));
        assert!(slot.enlist(waiter));
        assert_eq!(slot.settle(), Settled::Claimed(waiter));
        assert!(!slot.withdraw(waiter));
        assert!(!slot.abandon(waiter));

        let slot = JoinSlot::new();
        assert!(slot.enlist(waiter));
        assert!(slot.abandon(waiter));
        assert_eq!(slot.settle(), Settled::Detached);

        let slot = JoinSlot::<u64>::new();
        assert!(!slot.is_detached());
        assert!(slot.detach());
        assert!(slot.is_detached());
        assert_eq!(slot.settle(), Settled::Detached);
    }
}
