//! A carrier: a stack with a coroutine on it that runs one task after another.
//!
//! The body waits at its own top frame for the next task, so reusing a stack is one switch, and an idle
//! carrier has nothing on its stack that would need to be dropped. It is ended by an order, never by
//! corosensei's drop.
//!
//! ```text
//!   worker:   attach(stack)   resume(task A)  resume(A) …           resume(task B)        retire
//!   carrier:  ──────▶ waits ──▶ runs A ──park──▶ … A ends: Finished ──▶ runs B … Finished ──▶ returns
//! ```

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::{Header, TaskYielder};
use crate::coroutine::Coroutine;
use crate::stack::Stack;

/// Why a carrier came back to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The task waits, or stands in the run queue again.
    Suspended,
    /// The task has ended, the carrier is free.
    Finished,
}

/// What a carrier is resumed with: the next task, or null to end. Ignored by a task in its midst.
pub(super) type Order = *const Header;

/// An owned stack with its looping body.
pub(crate) struct Carrier {
    coroutine: ManuallyDrop<Coroutine<Order, Signal>>,
}

impl core::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

impl Carrier {
    /// Makes a carrier on `stack`, which waits for its first task.
    pub(crate) fn new(stack: Stack) -> Carrier {
        let occupant = stack.occupant_cell();
        let mut coroutine = Coroutine::new(stack, body);
        // The first resume hands over where to note who is on the stack.
        coroutine.resume(occupant.as_ptr().cast_const().cast());
        Carrier { coroutine: ManuallyDrop::new(coroutine) }
    }

    /// Gives the free carrier its next task and runs it to its first suspend, or goes on with the task
    /// that it has.
    ///
    /// # Safety
    /// On the thread that made the carrier. `task` is alive until it is finished, and it is the one
    /// that the carrier has, if it has one; otherwise one that has never run.
    #[inline(always)]
    pub(crate) unsafe fn resume(&mut self, task: NonNull<Header>) -> Signal {
        match self.coroutine.resume(task.as_ptr()) {
            Some(signal) => signal,
            None => unreachable!("a carrier ends only by `retire`"),
        }
    }

    /// Ends a free carrier and gives its stack back.
    pub(crate) fn retire(mut self) -> Stack {
        let ended = self.coroutine.resume(ptr::null());
        assert!(ended.is_none(), "a carrier was retired with a task on it");
        // SAFETY: `self` is not used again, and has no destructor.
        let coroutine = unsafe { ManuallyDrop::take(&mut self.coroutine) };
        coroutine.into_stack()
    }
}

/// The body of every carrier.
fn body(yielder: &TaskYielder, first: Order) {
    let occupant: *const AtomicPtr<()> = first.cast();
    // SAFETY: `Carrier::new` passes the cell of the very stack this runs on, which stays as long as it.
    let occupant = unsafe { &*occupant };
    loop {
        let order = yielder.suspend(Signal::Finished);
        let Some(task) = NonNull::new(order.cast_mut()) else { return };
        // Release, here and below: who finds the task through its stack finds its header written.
        occupant.store(task.as_ptr().cast(), Ordering::Release);
        // SAFETY: `Carrier::resume`'s contract: alive until finished.
        let header = unsafe { task.as_ref() };
        header.yielder.set(yielder);
        // SAFETY: this is the task's own stack, and it has not run before.
        unsafe { (header.vtable.run)(task) };
        occupant.store(ptr::null_mut(), Ordering::Release);
    }
}
