//! One allocation for a task: its header, the place of its result, its closure.
//!
//! ```text
//!   ┌────────┬──────────────────────────┬─────────┬──────────┐
//!   │ Header │ result: Option<Result<T>> │ closure │ overseer │   the first two are at the same place for
//!   └────────┴──────────────────────────┴─────────┴──────────┘   every closure that returns a T
//! ```
//!
//! The closure is the runner's (or the discarder's). The result is written by the runner before it settles
//! the join slot, and belongs, once, to the handle or, if there is none, to the runner. So when the last
//! reference goes, both are gone already: freeing runs no code of the user's.
//!
//! The overseer is somebody who waits for tasks by other means than their handles (a scope). Dropping it is the last that
//! happens on the task's stack: whatever the task could borrow from is not touched any more.

use core::alloc::Layout;
use core::any::Any;
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::panic::AssertUnwindSafe;
use core::ptr::NonNull;
use std::panic::catch_unwind;

use super::id;
use super::local::inherited;
use crate::fiber::cells::{self, Class};
use crate::fiber::{Attributes, FiberRef, Header, Locals, Settled, Vtable};
use crate::park::{self, Mask, Waiter};
use crate::sched;
use crate::util::report;

/// How a task ended that has no result.
pub(crate) enum Failure {
    Cancelled,
    Panic(Box<dyn Any + Send>),
}

/// What a task leaves.
pub(crate) type Ending<T> = Result<T, Failure>;

/// The part of the cell that does not depend on the closure.
#[repr(C)]
struct Front<T> {
    header: Header,
    result: UnsafeCell<Option<Ending<T>>>,
}

#[repr(C)]
struct TaskCell<F, T, O> {
    front: Front<T>,
    closure: UnsafeCell<Option<F>>,
    /// Used through `&O` until the runner (or the discarder) drops it, at the end.
    overseer: UnsafeCell<ManuallyDrop<O>>,
}

/// Who is told of the end of a task, by being dropped on its stack after all that the task leaves.
pub(crate) trait Overseer {
    /// Before that: the task has panicked, and nobody will join it.
    fn unjoined(&self, task: &Header, failure: Failure);
}

/// Nobody.
impl Overseer for () {
    fn unjoined(&self, task: &Header, failure: Failure) {
        sched::note_unjoined(task);
        report!("task {task}, spawned at {}, has panicked, and nobody has joined it", task.spawned_at);
        drop_quietly(failure, task, "the result");
    }
}

/// The one that may take the result of a task: a reference, and the right to the result.
///
/// Dropping it leaves the result to the task, or drops it here if the task has ended.
pub(crate) struct Owned<T> {
    fiber: FiberRef,
    result: PhantomData<T>,
}

// SAFETY: it gives access to a T, by value, and to nothing else that is tied to a thread.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: `&Owned<T>` gives no access to the T.
unsafe impl<T: Send> Sync for Owned<T> {}

impl<T> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fiber.fmt(f)
    }
}

/// A task that has not started: the reference for the scheduler, and the right to the result.
///
/// # Safety
/// The closure and what it borrows stay valid until the task has ended. If the task can end on another
/// thread than the caller's, or the result be taken there, closure and result must be `Send`.
#[inline]
pub(super) unsafe fn make<F, T>(closure: F, attributes: Attributes) -> (NonNull<Header>, Owned<T>)
where
    F: FnOnce() -> T,
{
    // SAFETY: by this function's contract.
    let (raw, owned, _) = unsafe { make_overseen(closure, (), attributes) };
    (raw, owned)
}

/// As [`make`], with an overseer, and where it is: it stays there until it is dropped.
///
/// # Safety
/// As [`make`]; what the closure borrows stays valid until the overseer is dropped. That may be done on any thread that the task may
/// start on.
#[inline]
pub(super) unsafe fn make_overseen<F, T, O>(
    closure: F,
    overseer: O,
    attributes: Attributes,
) -> (NonNull<Header>, Owned<T>, NonNull<O>)
where
    F: FnOnce() -> T,
    O: Overseer,
{
    // First: it may call `clone`s, which may panic.
    let locals = if attributes.inherits { inherited() } else { Locals::new() };
    let place = const { Class::of(Layout::new::<TaskCell<F, T, O>>()) }.and_then(cells::alloc);
    let vtable = if place.is_some() {
        const { &Vtable { run: run::<F, T, O>, discard: discard::<F, T, O>, free: free::<F, T, O> } }
    } else {
        const { &Vtable { run: run::<F, T, O>, discard: discard::<F, T, O>, free: free_box::<F, T, O> } }
    };
    let mut header = Header::new(vtable, id::next().get(), attributes, 2);
    header.locals = locals;
    let cell = TaskCell {
        front: Front { header, result: UnsafeCell::new(None::<Ending<T>>) },
        closure: UnsafeCell::new(Some(closure)),
        overseer: UnsafeCell::new(ManuallyDrop::new(overseer)),
    };
    let raw = match place {
        Some(place) => {
            let raw = place.cast();
            // SAFETY: a cell of the class for this layout, just had.
            unsafe { raw.write(cell) };
            raw
        }
        None => NonNull::from(Box::leak(Box::new(cell))),
    };
    // SAFETY: just made.
    let overseer = unsafe { raw.as_ref() }.overseer.get();
    let overseer = NonNull::new(overseer.cast()).expect("a field of a cell");
    // SAFETY: the second of the two references that the header was made with.
    let fiber = unsafe { FiberRef::from_raw(raw.cast()) };
    (raw.cast(), Owned { fiber, result: PhantomData }, overseer)
}

/// `Vtable::run`.
unsafe fn run<F: FnOnce() -> T, T, O: Overseer>(task: NonNull<Header>) {
    // SAFETY: the header is the first field of a cell of this type, by `make`.
    let cell = unsafe { task.cast::<TaskCell<F, T, O>>().as_ref() };
    if cell.front.header.state.is_cancelled() {
        // SAFETY: called once, by `run`'s contract, and this is instead.
        return unsafe { discard::<F, T, O>(task) };
    }
    // SAFETY: the closure is the runner's.
    let closure = unsafe { (*cell.closure.get()).take() }.expect("a task runs once");
    let ending = match catch_unwind(AssertUnwindSafe(closure)) {
        Ok(value) => Ok(value),
        Err(payload) if park::is_cancellation(&*payload) => Err(Failure::Cancelled),
        Err(payload) => Err(Failure::Panic(payload)),
    };
    park::set_unwinding(None);
    // SAFETY: the end, once.
    unsafe { end(cell, ending) };
}

/// `Vtable::discard`.
unsafe fn discard<F: FnOnce() -> T, T, O: Overseer>(task: NonNull<Header>) {
    // SAFETY: as in `run`.
    let cell = unsafe { task.cast::<TaskCell<F, T, O>>().as_ref() };
    // SAFETY: the closure is the discarder's.
    let closure = unsafe { (*cell.closure.get()).take() };
    drop_quietly(closure, &cell.front.header, "the closure");
    // SAFETY: the end, once.
    unsafe { end(cell, Err(Failure::Cancelled)) };
}

/// `Vtable::free`.
unsafe fn free<F: FnOnce() -> T, T, O: Overseer>(task: NonNull<Header>) {
    let cell = task.cast::<TaskCell<F, T, O>>();
    let class = const { Class::of(Layout::new::<TaskCell<F, T, O>>()) }.expect("it was had of a class");
    // SAFETY: made by `make_overseen`, of this type, and this is the last use.
    unsafe { cell.drop_in_place() };
    // SAFETY: had there of this class, if it has this vtable; not used any more.
    unsafe { cells::free(class, cell.cast()) };
}

/// `Vtable::free` of one that there was no cell for.
#[cold]
unsafe fn free_box<F: FnOnce() -> T, T, O: Overseer>(task: NonNull<Header>) {
    // SAFETY: made by `Box::leak` in `make_overseen`, of this type, and this is the last use.
    drop(unsafe { Box::from_raw(task.cast::<TaskCell<F, T, O>>().as_ptr()) });
}

/// Drops the task-locals, then hands over the result.
///
/// Of a detached task the result goes first, as std's does: its destructor still finds the task's values. (One that loses its
/// handle just now, while its locals are dropped, finds new ones.) Drops the overseer at last.
///
/// # Safety
/// Once.
unsafe fn end<F, T, O: Overseer>(cell: &TaskCell<F, T, O>, ending: Ending<T>) {
    let header = &cell.front.header;
    // SAFETY: it is dropped below and nowhere else.
    let overseer: &O = unsafe { &*cell.overseer.get() };
    let mut ending = Some(ending);
    if !header.locals.is_unused() {
        if header.join.is_detached() {
            drop_unclaimed(ending.take(), header, overseer);
        }
        drop_locals(header);
    }
    settle(&cell.front, ending, overseer);
    if !header.locals.is_unused() {
        // The result's destructor has used some.
        drop_locals(header);
    }
    // SAFETY: the runner's; the reference above is not used any more.
    let overseer = unsafe { &mut *cell.overseer.get() };
    // SAFETY: once, by this function's contract.
    unsafe { ManuallyDrop::drop(overseer) };
}

/// Drops the task's locals, from the newest to the oldest, and those that their destructors make meanwhile.
#[cold]
fn drop_locals(header: &Header) {
    // SAFETY: a reference to a task-local lives within a `with` of the task, and all of them have returned: its
    // closure has ended, and so has each destructor before the next round.
    while let Some(local) = unsafe { header.locals.take_newest() } {
        drop_quietly(local, header, "a task-local");
    }
    // SAFETY: as above; none is left to take.
    unsafe { header.locals.clear() };
}

/// Stores the result, if there still is one, and lets the one know that waits for it; or drops it, if nobody can.
fn settle<T>(front: &Front<T>, ending: Option<Ending<T>>, overseer: &impl Overseer) {
    // SAFETY: the result is the runner's until the slot is settled.
    unsafe { *front.result.get() = ending };
    match front.header.join.settle() {
        Settled::Left => {}
        // SAFETY: `settle` has claimed it; the join slot holds `Waiter`s.
        Settled::Claimed(waiter) => unsafe { Waiter::wake(waiter.cast().as_ptr()) },
        Settled::Detached => {
            // SAFETY: there is no handle, so the result is the runner's still.
            let ending = unsafe { (*front.result.get()).take() };
            drop_unclaimed(ending, &front.header, overseer);
        }
    }
}

/// Drops a result that nobody asked for. A panic is the overseer's.
fn drop_unclaimed<T>(ending: Option<Ending<T>>, header: &Header, overseer: &impl Overseer) {
    match ending {
        Some(Err(failure @ Failure::Panic(_))) => overseer.unjoined(header, failure),
        ending => drop_quietly(ending, header, "the result"),
    }
}

/// Drops what a task leaves. No cancellation reaches its destructors, and a panic of theirs is only said.
fn drop_quietly<V>(value: V, header: &Header, what: &str) {
    if !core::mem::needs_drop::<V>() {
        return;
    }
    let mask = Mask::new();
    let before = park::unwinding();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        park::set_unwinding(before);
        // Its destructor could panic in turn. Enough is enough.
        core::mem::forget(payload);
        report!("dropping {what} of task {header}, spawned at {}, has panicked", header.spawned_at);
    }
    drop(mask);
}

impl<T> Owned<T> {
    /// Drops it, but for the panic of a task that has ended: that is the caller's.
    pub(super) fn abandon(self) -> Option<(FiberRef, Failure)> {
        if self.fiber.join.detach() {
            let this = ManuallyDrop::new(self);
            // SAFETY: `this` is not used any more.
            drop(unsafe { core::ptr::read(&this.fiber) });
            return None;
        }
        // SAFETY: settled, so the result belongs to `self`.
        let ending = unsafe { &mut *self.result() };
        match ending.take_if(|ending| matches!(ending, Err(Failure::Panic(_)))) {
            Some(Err(failure)) => Some((self.fiber.clone(), failure)),
            _ => None,
        }
    }

    pub(crate) fn fiber(&self) -> &FiberRef {
        &self.fiber
    }

    /// The result of a task that has ended; with a failure, the task.
    ///
    /// # Panics
    /// If it has not.
    #[inline]
    pub(crate) fn take(self) -> Result<T, (FiberRef, Failure)> {
        assert!(self.fiber.join.is_done(), "the task has not ended");
        // SAFETY: settled, so the result belongs to `self`; made as a cell of some closure with result T.
        let result = unsafe { &mut *self.result() };
        let ending = result.take().expect("a result is taken once");
        ending.map_err(|failure| (self.fiber.clone(), failure))
    }

    fn result(&self) -> *mut Option<Ending<T>> {
        let front = self.fiber.as_ptr().cast::<Front<T>>();
        // SAFETY: alive by the reference; the header is the first field.
        unsafe { front.as_ref() }.result.get()
    }
}

impl<T> Drop for Owned<T> {
    #[inline]
    fn drop(&mut self) {
        if !self.fiber.join.detach() {
            // SAFETY: settled, so the result belongs to `self`.
            let ending = unsafe { &mut *self.result() }.take();
            if ending.is_some() {
                drop_unclaimed(ending, &self.fiber, &());
            }
        }
    }
}
