//! Nests: where the stack of a task has children, which are cancelled with it.
//!
//! Who spawns tasks that must have ended before he leaves (a scope) opens a [`Nest`] meanwhile. What knows the children is the
//! nest's [`Brood`], on the heap. So a cancellation need not wait until the parent has come to a suspension point, has
//! unwound its destructors, or has left a shield, once for each level of a tree: who cancels a task goes down to the leaves himself.
//!
//! ```text
//!   header of the parent        its stack                        heap
//!   nests (a lock) ──────────▶ Nest (inner scope) ─────────────▶ Brood: the children ──▶ their headers, their nests …
//!                                │ outer
//!                                ▼
//!                              Nest (outer scope) ─────────────▶ Brood
//! ```
//!
//! # The protocol
//! 1. The parent links its nest, under the lock of `nests`; *then* it looks whether it is cancelled, and tells the brood itself if so.
//! 2. Who cancels turns CANCELLED on; *then* takes, under the lock, each nest that was not told yet, and a count of its brood.
//! 3. He tells the brood after the lock was let go: takes the children (by references of his own, under the brood's lock) and does
//!    with each as with the parent. What is spawned there afterwards is cancelled from the beginning.
//! 4. The parent takes the nest out under the lock before its frame goes.
//!
//! *A cancel while the nest is linked*: of the two sections under the lock one comes first. If it is the parent's, the canceller finds the
//! nest; if it is the canceller's, CANCELLED was on before it, so the parent sees that in 1. *While it is taken out*: the canceller
//! has found it, and has a count of the brood, of which nothing is in the frame; or it is gone, and so are the children.
//!
//! The parent is always told before its children. So what becomes of them does not pass for what they have done: a child that has ended
//! because of it may be joined, or its scope be left, only after the parent's own throw is due, and both look for that.
//!
//! # What is held back
//! A nest that was opened in a shield, or in a destructor of an unwinding task, is passed over: the value of the shield is to be whole.
//! So a shield protects the structures inside of it, not those around it, even if it is in their body. Nor does a nest that is inside
//! of a held back one count, which comes by itself: it was opened there, too.
//!
//! # Rejected
//! * *The parent's worker goes down when it takes the message*: it may be busy, and the next level's in turn.
//! * *By recursion*: a chain of scopes as deep as the address space would need a stack as deep.

use core::fmt;
use core::ptr;
use std::sync::Arc;

use super::header::{FiberRef, Header};
use crate::util::cell::Cell;
use crate::util::spin::SpinLock;

/// How many children are told at a time.
const BATCH: usize = 16;

/// Some children; those that there are come first.
pub(crate) type Batch = [Option<FiberRef>; BATCH];

/// The children of a nest.
pub(crate) trait Brood: Send + Sync {
    /// Takes down that they are cancelled, and those to come; and hands over some who have not been told. If the batch is not
    /// full, those were the last. `with_parent`: because of what happens to their parent, which is then to unwind, too, when it
    /// meets the end of one of them.
    fn tell(&self, with_parent: bool, batch: &mut Batch);
}

/// On the parent's frame. What is plain in it is written before it is linked, or under the lock.
pub(crate) struct Nest {
    outer: Cell<*const Nest>,
    told: Cell<bool>,
    /// Among those of the frames and unwindings of its task.
    pub(crate) number: u64,
    /// How many masks there were around it when it was opened.
    pub(crate) masked: u32,
    /// The unwinding that it was opened in, if it was.
    pub(crate) unwind: Option<u64>,
    brood: Arc<dyn Brood>,
}

impl fmt::Debug for Nest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nest").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Nest {
    /// Of the running task.
    pub(crate) fn new(task: &Header, brood: Arc<dyn Brood>) -> Nest {
        Nest {
            outer: Cell::new(ptr::null()),
            told: Cell::new(false),
            number: task.next_number(),
            masked: task.masked.get(),
            unwind: task.unwinding.get().then(|| task.unwind.get()),
            brood,
        }
    }

    /// Whether a cancellation of the task reaches it.
    pub(crate) fn is_free(&self) -> bool {
        self.masked == 0 && self.unwind.is_none()
    }
}

#[cfg(all(test, loom))]
impl Nest {
    /// Its frame has gone, and is another's: fails if somebody may still look at it.
    pub(crate) fn reuse(&self) {
        self.told.set(true);
        self.outer.set(ptr::null());
    }
}

/// The innermost of the open nests of a task, or null.
struct Innermost(*const Nest);

// SAFETY: followed under the lock alone, under which each nest is taken out before it goes.
unsafe impl Send for Innermost {}

/// The open nests of a task.
pub(crate) struct Nests(SpinLock<Innermost>);

impl fmt::Debug for Nests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nests").finish_non_exhaustive()
    }
}

impl Nests {
    pub(crate) fn new() -> Nests {
        Nests(SpinLock::new(Innermost(ptr::null())))
    }

    /// Links a nest. The caller then looks whether the task is cancelled (step 1).
    ///
    /// # Safety
    /// It stays where it is until it is closed, by the same task, after all that were opened later.
    pub(crate) unsafe fn open(&self, nest: &Nest) {
        let mut innermost = self.0.lock();
        nest.outer.set(innermost.0);
        innermost.0 = nest;
    }

    /// # Safety
    /// It was opened here, and not closed yet; those that were opened later are closed.
    pub(crate) unsafe fn close(&self, nest: &Nest) {
        let mut innermost = self.0.lock();
        debug_assert!(ptr::eq(innermost.0, nest), "nests are closed in the reverse order of their opening");
        innermost.0 = nest.outer.get();
    }

    /// Whether there is one.
    pub(crate) fn any(&self) -> bool {
        !self.0.lock().0.is_null()
    }

    /// The brood of a nest that was not told, of those that `which` picks; it has been told from now on.
    pub(crate) fn claim(&self, which: impl Fn(&Nest) -> bool) -> Option<Arc<dyn Brood>> {
        let innermost = self.0.lock();
        let mut next = innermost.0;
        // SAFETY: linked, so it is there while the lock is held.
        while let Some(nest) = unsafe { next.as_ref() } {
            if !nest.told.get() && which(nest) {
                nest.told.set(true);
                return Some(nest.brood.clone());
            }
            next = nest.outer.get();
        }
        None
    }
}
