//! The block: what a scope and its children share, and the end of a scope.
//!
//! ```text
//!   parent's frame            heap                      a child's cell, on the heap
//!   ┌──────────┐        ┌──────────────┐              ┌────────────────────────────┐
//!   │ Scope ───┼───────▶│ Block (Arc)  │◀─────────────┼── Child: the overseer      │
//!   │ waiter ◀─┼────────┼─ waiter      │   children   │   links, told, task        │
//!   └──────────┘        │  children ───┼─────────────▶│                            │
//!                       └──────────────┘              └────────────────────────────┘
//! ```
//! The children are an intrusive list: a child's node lies in its task's cell, linked before the task is submitted and unlinked when the
//! task drops its overseer, which is the last thing that happens on its stack. The scope has ended when nobody is linked and
//! the body has returned; from then on nobody can be linked any more, because only the body and children spawn.
//!
//! The last child unlinks itself, takes the waiter out (rule 3 of `park`: the claim), unlocks, and wakes it. From that push on the
//! parent may run, return, and free its frame with all that the children have borrowed; the child touches nothing but the
//! block, of which it has a count of its own (rule 11 of DESIGN: were the block in the parent's frame, unlocking it could come too late).
//!
//! To cancel all, the children that were not told yet are taken from one list to the other, some at a time, with the lock held; and
//! told after it was let go, by references of their own. Who is linked after that is told by the answer. That is the block's part of
//! `fiber::nest`: while the scope is open, it is the brood of one of the parent's nests.

use core::cell::Cell;
use core::fmt::{self, Write};
use core::ptr::{self, NonNull};
use std::sync::Arc;

use crate::fiber::{Batch, Brood, FiberRef, Header};
use crate::park::{self, Deadline, Details, Mask, Outcome, Reason, Wait, Waiter};
use crate::sched;
use crate::spawn::{Failure, JoinError, Overseer, Target};
use crate::util::list::{Links, List, Listed};
use crate::util::lock::Lock;
use crate::util::report;

/// See the module above.
pub(super) struct Block {
    state: Lock<State>,
    /// Which runtime the parent is a task of (see `Target::runtime`); 0 for none.
    runtime: usize,
}

struct State {
    /// The children that have not ended: those that were told that the scope is cancelled, and the others.
    told: List<Child>,
    untold: List<Child>,
    /// What is spawned from now on is cancelled.
    cancelled: bool,
    /// That is because of what happens to the parent.
    with_parent: bool,
    /// And some child was told so, or dropped for that.
    cut_short: bool,
    /// The parent, when it waits. Linked and unlinked under the lock (rule 2 of `park`).
    waiter: *const Waiter,
    /// The first panic that nobody will join.
    panic: Option<JoinError>,
}

// SAFETY: the nodes are linked and followed under the lock alone, and are in the cells of tasks that have not ended.
// The waiter is followed only by who has taken it out under the lock, which is the claim that keeps it alive.
unsafe impl Send for State {}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").finish_non_exhaustive()
    }
}

/// A child's node, and its part of the block.
pub(super) struct Child {
    links: Links<Child>,
    /// Which of the two lists it is in. Under the lock.
    told: Cell<bool>,
    /// Set before it is linked.
    task: Cell<Option<NonNull<Header>>>,
    block: Arc<Block>,
}

// SAFETY: what is not `Send` in it is touched under the block's lock alone, or before anyone else can.
unsafe impl Send for Child {}

// SAFETY: a field, and only the block's lists use it.
unsafe impl Listed for Child {
    #[inline]
    fn links(&self) -> &Links<Child> {
        &self.links
    }
}

impl Overseer for Child {
    fn unjoined(&self, task: &Header, failure: Failure) {
        self.block.unjoined(JoinError::new(task, failure));
    }
}

impl Drop for Child {
    /// The task has ended.
    fn drop(&mut self) {
        let waiter = self.block.leave(self);
        if !waiter.is_null() {
            // SAFETY: taken out under the lock, so claimed by this call alone.
            unsafe { Waiter::wake(waiter) };
        }
    }
}

impl Block {
    pub(super) fn new() -> Arc<Block> {
        let state = State {
            told: List::EMPTY,
            untold: List::EMPTY,
            cancelled: false,
            with_parent: false,
            cut_short: false,
            waiter: ptr::null(),
            panic: None,
        };
        let runtime = sched::current_worker().map_or(0, |worker| Target::Worker(worker).runtime());
        Arc::new(Block { state: Lock::new(state), runtime })
    }

    /// Whether that is the parent's runtime: its end then reaches the parent, and by that the child. One that was spawned inside another
    /// runtime, or has a thread for its parent, must be told by its own.
    pub(super) fn is_at_home(&self, target: &Target<'_>) -> bool {
        self.runtime == target.runtime()
    }

    /// The overseer of a child to come.
    pub(super) fn child(self: &Arc<Block>) -> Child {
        Child { links: Links::new(), told: Cell::new(false), task: Cell::new(None), block: self.clone() }
    }

    /// Links a child. False: the scope is cancelled, and so is the child to be.
    ///
    /// # Safety
    /// `child` is of this block and new; it is in the cell of `task`, which has not started, and stays there until it is dropped.
    pub(super) unsafe fn admit(&self, task: NonNull<Header>, child: NonNull<Child>) -> bool {
        // SAFETY: alive, by this function's contract.
        let node = unsafe { child.as_ref() };
        node.task.set(Some(task));
        let mut state = self.state.lock();
        node.told.set(state.cancelled);
        state.cut_short |= state.with_parent;
        let list = if state.cancelled { &mut state.told } else { &mut state.untold };
        // SAFETY: new, so in no list; it stays until it is dropped, which unlinks it.
        unsafe { list.push_back(child) };
        !state.cancelled
    }

    /// Unlinks a child. If it was the last one, the waiter that is to be woken; otherwise null.
    fn leave(&self, child: &Child) -> *const Waiter {
        if child.task.get().is_none() {
            return ptr::null();
        }
        let mut state = self.state.lock();
        let list = if child.told.get() { &mut state.told } else { &mut state.untold };
        // SAFETY: linked in `admit`, into the list that `told` names.
        unsafe { list.unlink(NonNull::from(child)) };
        match state.is_empty() {
            true => core::mem::replace(&mut state.waiter, ptr::null()),
            false => ptr::null(),
        }
    }

    /// Cancels the children, and those to come.
    pub(super) fn cancel(&self) {
        park::cancel_brood(self, false);
    }

    /// A child has panicked, and nobody will join it.
    pub(super) fn unjoined(&self, error: JoinError) {
        let further = {
            let mut state = self.state.lock();
            match state.panic {
                Some(_) => Some(error),
                None => {
                    state.panic = Some(error);
                    None
                }
            }
        };
        further.iter().for_each(report_unjoined);
    }

    /// Whether a child was cancelled with the parent: then what they leave is not whole.
    pub(super) fn is_cut_short(&self) -> bool {
        self.state.lock().cut_short
    }

    /// The first of the panics that nobody has joined.
    pub(super) fn take_panic(&self) -> Option<JoinError> {
        self.state.lock().panic.take()
    }

    /// Waits until all children have ended. A suspension point, if it has to wait. False: something is due for the parent, and not
    /// all have ended.
    #[must_use]
    pub(super) fn wait(&self) -> bool {
        let waiter = Waiter::current();
        if !self.enlist(&waiter) {
            return true;
        }
        park::park(Reason::Scope, Deadline::NEVER, &waiter, &Listening(self)) != Outcome::Cancelled
    }

    /// Waits until all children have ended, whatever comes.
    pub(super) fn wait_whole(&self) {
        let mask = Mask::new();
        while !self.wait() {}
        drop(mask);
    }

    /// False: there is nobody to wait for.
    fn enlist(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if state.is_empty() {
            return false;
        }
        state.waiter = NonNull::from(waiter).as_ptr();
        true
    }
}

impl Brood for Block {
    /// Moves some children to the list of the told, and says which those are.
    fn tell(&self, with_parent: bool, batch: &mut Batch) {
        let mut state = self.state.lock();
        state.cancelled = true;
        state.with_parent |= with_parent;
        for place in batch {
            let Some(child) = state.untold.pop_front() else { return };
            // SAFETY: it was linked, so it is alive while the lock is held.
            let node = unsafe { child.as_ref() };
            node.told.set(true);
            state.cut_short |= with_parent;
            // SAFETY: just taken out of the other list; as in `admit`.
            unsafe { state.told.push_back(child) };
            // SAFETY: it has not ended, or it would not be linked.
            *place = node.task.get().map(|task| unsafe { FiberRef::share(task) });
        }
    }
}

/// How many children a dump names as those that a scope waits for, and how many it counts at most.
const MOST_NAMED: usize = 64;
const MOST_COUNTED: usize = 1000;

impl State {
    /// Calls `f` with the children until it says no.
    fn each_child(&self, mut f: impl FnMut(NonNull<Header>) -> bool) {
        for list in [&self.told, &self.untold] {
            let mut next = list.front();
            while let Some(child) = next {
                // SAFETY: it is linked, so it is alive while the lock is held.
                let task = unsafe { child.as_ref() }.task.get();
                if !task.is_none_or(&mut f) {
                    return;
                }
                // SAFETY: it is in this list.
                next = unsafe { list.after(child) };
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.told.is_empty() && self.untold.is_empty()
    }
}

struct Listening<'a>(&'a Block);

impl Wait for Listening<'_> {
    fn withdraw(&self) -> bool {
        !core::mem::replace(&mut self.0.state.lock().waiter, ptr::null()).is_null()
    }

    fn describe(&self, details: &mut Details) {
        // Before the lock, under which nothing is allocated.
        details.tasks.reserve(MOST_NAMED);
        let mut count = 0;
        self.0.state.lock().each_child(|task| {
            count += 1;
            if count <= MOST_NAMED {
                // SAFETY: it has not ended, or it would not be linked.
                details.tasks.push(unsafe { task.as_ref() }.id);
            }
            count < MOST_COUNTED
        });
        let _ = match count {
            1 => write!(details, "the end of a task of a scope"),
            MOST_COUNTED => write!(details, "the end of {MOST_COUNTED} tasks of a scope, or more"),
            count => write!(details, "the end of {count} tasks of a scope"),
        };
    }
}

/// A panic that cannot be thrown, because another one is.
#[cold]
pub(super) fn report_unjoined(error: &JoinError) {
    report!("{error}, and nobody has joined it");
}
