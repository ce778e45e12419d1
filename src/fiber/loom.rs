//! Loom: the join slot, and a task without a closure for the models of the layers above.

use core::panic::Location;
use core::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::join::{JoinSlot, Settled};
use super::{Attributes, FiberRef, Header, Run, Vtable};
use crate::util::model::check;

/// A header with what a model wants to know of it behind.
#[repr(C)]
struct Plain {
    header: Header,
    ends: Ends,
}

/// What has become of a task of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    freed: Arc<AtomicUsize>,
    discarded: Arc<AtomicUsize>,
}

impl Ends {
    /// How often its last reference went.
    pub(crate) fn freed(&self) -> usize {
        self.freed.load(Ordering::Relaxed)
    }

    /// How often its closure was dropped unrun.
    pub(crate) fn discarded(&self) -> usize {
        self.discarded.load(Ordering::Relaxed)
    }
}

/// A task that nobody runs, with `refs` references: the first, as the scheduler's, is the pointer's.
pub(crate) fn task(refs: usize) -> (NonNull<Header>, Vec<FiberRef>, Ends) {
    unsafe fn run(_: NonNull<Header>) {
        unreachable!("the models' tasks have no stack")
    }
    unsafe fn discard(task: NonNull<Header>) {
        // SAFETY: made below, and alive.
        let plain = unsafe { task.cast::<Plain>().as_ref() };
        plain.ends.discarded.fetch_add(1, Ordering::Relaxed);
    }
    unsafe fn free(task: NonNull<Header>) {
        // SAFETY: made below, of this type, and this is the last use.
        let mut plain = unsafe { Box::from_raw(task.cast::<Plain>().as_ptr()) };
        plain.header.check_last_use();
        plain.ends.freed.fetch_add(1, Ordering::Relaxed);
        // Not given back: who comes too late shall find memory that is there, and an atomic that loom knows.
        Box::leak(plain);
    }
    static VTABLE: Vtable = Vtable { run, discard, free };
    let attributes = Attributes {
        name: None,
        stack_size: 0,
        spawned_at: Location::caller(),
        structured: false,
        inherits: true,
        parent: 0,
    };
    let ends = Ends::default();
    let plain = Plain { header: Header::new(&VTABLE, 1, attributes, refs), ends: ends.clone() };
    let header = NonNull::from(Box::leak(Box::new(plain))).cast();
    // SAFETY: each of the references but the first.
    let references = (1..refs).map(|_| unsafe { FiberRef::from_raw(header) }).collect();
    (header, references, ends)
}

/// What the worker's loop does when a task has ended.
///
/// # Safety
/// On the home worker, once; the caller gives up the scheduler's reference.
pub(crate) unsafe fn finish(task: NonNull<Header>) {
    // SAFETY: the reference that is given up.
    let task = unsafe { FiberRef::from_raw(task) };
    task.run.set(Run::Done);
    task.state.finish();
}

/// A wait node with an outcome, on a frame that dies.
#[derive(Debug)]
struct Node(UnsafeCell<u32>);

/// A slot, and the result that it hands over.
#[derive(Debug)]
struct Ending(JoinSlot<Node>, UnsafeCell<u32>);

// SAFETY: what the slot's protocol is for; loom sees to it.
unsafe impl Send for Ending {}
// SAFETY: as above.
unsafe impl Sync for Ending {}

/// The ender writes the result and settles; the handle's owner waits, gives the wait up, and detaches.
///
/// Seen to fail: with Relaxed for `settle`'s AcqRel and for the Acquire in `is_done` and in `detach` (the result is read
/// unordered), with Relaxed for `enlist`'s Release (the node is written unordered).
#[test]
fn join_slot_settle_against_enlist_withdraw_detach() {
    check("join slot", 3, || {
        let slot = Arc::new(Ending(JoinSlot::new(), UnsafeCell::new(0)));
        let ender = thread::spawn({
            let slot = slot.clone();
            move || {
                slot.1.with_mut(|result| {
                    // SAFETY: the ender's until it settles.
                    unsafe { *result = 7 }
                });
                match slot.0.settle() {
                    Settled::Left => None,
                    Settled::Detached => {
                        slot.1.with_mut(|result| {
                            // SAFETY: there is no handle.
                            unsafe { *result = 0 }
                        });
                        Some(true)
                    }
                    Settled::Claimed(node) => {
                        // SAFETY: claimed, so its waiter cannot go on before it is woken.
                        unsafe { node.as_ref() }.0.with_mut(|outcome| {
                            // SAFETY: the claimer's alone.
                            unsafe { *outcome = 9 }
                        });
                        Some(false)
                    }
                }
            }
        });
        let read_result = || {
            slot.1.with(|result| {
                // SAFETY: settled, and the handle is here.
                unsafe { *result }
            })
        };
        if slot.0.is_done() {
            assert_eq!(read_result(), 7, "what the ender left");
        }
        let node = Node(UnsafeCell::new(0));
        node.0.with_mut(|outcome| {
            // SAFETY: not linked yet.
            unsafe { *outcome = 1 }
        });
        let enlisted = slot.0.enlist(NonNull::from(&node));
        let withdrawn = enlisted && slot.0.withdraw(NonNull::from(&node));
        let detached = withdrawn && slot.0.detach();
        if !detached && (!enlisted || withdrawn) {
            assert_eq!(read_result(), 7, "what the ender left");
        }
        let ender = ender.join().unwrap();
        let claimed = enlisted && !withdrawn;
        assert_eq!(ender, if claimed { Some(false) } else { detached.then_some(true) });
        let outcome = node.0.with(|outcome| {
            // SAFETY: the ender is gone.
            unsafe { *outcome }
        });
        assert_eq!(outcome, if claimed { 9 } else { 1 });
    });
}
