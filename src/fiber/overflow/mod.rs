//! The report of a stack overflow: which task, spawned where, with what stack, and what to raise.
//!
//! # The way of a fault
//! 1. A task that runs over the end of its stack touches the guard below, and the kernel raises SIGSEGV on
//!    its thread. The handler runs on the thread's signal stack ([`SignalStack`]), since the task's has no
//!    room left.
//! 2. `judge` walks this thread's [`Watch`]es, each of which lends it the slabs of one pool, and finds the
//!    slot by arithmetic on the address ([`Slabs::find`]). An address that is in no guard is not ours.
//! 3. An address in a guard is an overflow only if who runs *on that stack* touched it, not any stray
//!    pointer. The slot's occupant is the task that runs now; or the stack pointer lies in the slot. The first
//!    alone would not know a coroutine that runs on a stack of its own inside a task; the second alone not
//!    the C function whose frame is larger than the guard, and which then touches its upper part.
//! 4. Ours: one message, by `write(2)` alone, and `abort`. Not ours: `judge` returns, and the fault goes to
//!    the handler that was there before ([`crate::sys::signal`]); to std's, for example, which knows the guards of
//!    the threads' own stacks.
//!
//! A switch does nothing for this. What the handler reads is there anyway: the worker's pointer to the task that
//! runs, and the slot's occupant, which changes once in a task's life.
//!
//! # Why the handler may read that
//! It interrupts its own thread at any instruction, the pool's included, and nothing else runs there
//! meanwhile.
//! * *The thread-local* is a constant-initialised `Cell` of a pointer without a destructor: a plain load from the
//!   thread's static block. (In a library that was opened by `dlopen` the block of a thread comes on the
//!   first access; a thread that has a watch has had that.)
//! * *The watches and slabs*: lists that change by one store of a pointer, to something that is complete by then.
//!   What leaves a list is freed after that store. (One thread: a compiler fence keeps the order.)
//! * *The header*: the occupant is set after it was written, and taken back before it goes. Id, name, place
//!   and size are never written after that. The task has not ended, so its header lives.
//!
//! *Rejected*: one table of all slabs in the process, which would find a slot from any thread. A foreign thread's
//! fault in a guard is a stray pointer, never an overflow; and a table that other threads shrink needs a lock, or
//! keeps everything for ever.

mod message;
#[cfg(test)]
mod tests;

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering, compiler_fence};
use core::{fmt, iter};
use std::io;
use std::process;
use std::rc::Rc;

use super::Header;
use crate::stack::Slabs;
use crate::sys::signal::{self, Fault};
use crate::sys::signal_stack::SignalStack;

/// One pool of this thread. Freed after it has left the list.
struct Watch {
    /// Held, so that nothing is unmapped while the handler may look at it.
    slabs: Rc<Slabs>,
    /// What says which task runs; null for a pool that has no tasks.
    running: *const AtomicPtr<Header>,
    /// The watch that began before this one.
    next: Cell<*const Watch>,
}

thread_local! {
    /// The latest watch.
    static WATCHES: Cell<*const Watch> = const { Cell::new(ptr::null()) };
}

/// Overflows of a pool's stacks are reported while this lives. It stays on its thread, and is dropped there.
pub(crate) struct Watched<'a> {
    watch: NonNull<Watch>,
    /// `running` is read as long as this lives.
    _running: PhantomData<&'a AtomicPtr<Header>>,
}

impl fmt::Debug for Watched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// Installs the handler, once in the process, and sees to it that the calling thread has a stack to run it on.
///
/// # Errors
/// As [`SignalStack::ensure`].
pub(crate) fn prepare() -> io::Result<SignalStack> {
    signal::watch_faults(judge);
    SignalStack::ensure()
}

impl<'a> Watched<'a> {
    /// Watches a pool of the calling thread. Its occupants are headers or nobody.
    ///
    /// `running` says which task has the thread, null for none. A pool for other coroutines than tasks has
    /// none of its own; the report then names the task of another watch, inside which it runs.
    pub(crate) fn new(slabs: Rc<Slabs>, running: Option<&'a AtomicPtr<Header>>) -> Watched<'a> {
        let running = running.map_or(ptr::null(), ptr::from_ref);
        let watch = Watch { slabs, running, next: Cell::new(WATCHES.get()) };
        let watch = NonNull::from(Box::leak(Box::new(watch)));
        // Release, here and below: the handler finds the list with complete watches in it, or without.
        compiler_fence(Ordering::Release);
        WATCHES.set(watch.as_ptr());
        Watched { watch, _running: PhantomData }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and freed below alone.
        let next = unsafe { self.watch.as_ref() }.next.get();
        let before = watches().find(|watch| ptr::eq(watch.next.get(), self.watch.as_ptr()));
        match before {
            Some(before) => before.next.set(next),
            None => WATCHES.set(next),
        }
        compiler_fence(Ordering::AcqRel);
        // SAFETY: made by Box::leak in `new`; out of the list, so no later fault finds it, and a handler that
        // has found it ends before the thread it interrupted goes on.
        drop(unsafe { Box::from_raw(self.watch.as_ptr()) });
    }
}

/// The thread's watches, the latest first.
fn watches<'a>() -> impl Iterator<Item = &'a Watch> {
    let mut next = WATCHES.get();
    iter::from_fn(move || {
        // SAFETY: null, or a watch that is in the list and so was not freed. The callers do not keep it.
        let watch = unsafe { next.as_ref() }?;
        next = watch.next.get();
        Some(watch)
    })
}

/// The task that has this thread.
fn running<'a>() -> Option<&'a Header> {
    let mut pointers = watches().filter_map(|watch| {
        // SAFETY: null, or valid while the watch is in the list (`'a` of `Watched`).
        unsafe { watch.running.as_ref() }
    });
    // Relaxed: it was written by this thread.
    let task = pointers.find_map(|pointer| NonNull::new(pointer.load(Ordering::Relaxed)))?;
    // SAFETY: the scheduler holds a reference to the task while it runs.
    Some(unsafe { task.as_ref() })
}

/// Reports the fault and ends the process if it is an overflow. See the module's documentation.
fn judge(fault: &Fault) {
    let Some(slot) = watches().find_map(|watch| watch.slabs.find(fault.addr)) else { return };
    if !slot.is_guard(fault.addr) {
        return;
    }
    let running = running();
    let occupant: *const Header = slot.occupant.cast_const().cast();
    let own = running.is_some_and(|task| ptr::eq(task, occupant));
    let on_it = || fault.sp.is_none_or(|sp| (slot.guard..=slot.base).contains(&sp));
    if !own && !on_it() {
        return;
    }
    // SAFETY: null, or a header as `Watched::new` was promised; it takes itself out before it goes.
    match unsafe { occupant.as_ref() } {
        Some(task) => message::task(task, slot.size),
        None => message::generator(running, slot.size),
    }
    process::abort()
}
