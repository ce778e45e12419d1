//! Loom: the last child's end against the parent's return; a cancel against a child's end, and against a nest that opens and closes.

use core::ptr::NonNull;
use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::block::{Block, Child};
use crate::fiber::loom::{finish, task};
use crate::fiber::{FiberRef, Header, Nest};
use crate::park;
use crate::util::model::check;

/// A child of a model: its task's header and where its overseer is.
struct Spawned(NonNull<Header>, NonNull<Child>);

// SAFETY: what a spawn hands to the worker that starts the task.
unsafe impl Send for Spawned {}

fn spawn(block: &Arc<Block>) -> Spawned {
    let (task, _, _) = task(1);
    let child = NonNull::from(Box::leak(Box::new(block.child())));
    // SAFETY: new, of this block; it stays until it is dropped in `end`.
    if !unsafe { block.admit(task, child) } {
        // SAFETY: new.
        unsafe { task.as_ref() }.state.set_cancelled();
    }
    Spawned(task, child)
}

/// What a child's stack does last.
fn end(spawned: Spawned) {
    // SAFETY: made by `Box::leak` in `spawn`, once.
    drop(unsafe { Box::from_raw(spawned.1.as_ptr()) });
    // SAFETY: it has ended.
    unsafe { finish(spawned.0) };
}

/// Two children that end while the parent, an OS thread, waits; what they have borrowed goes when it has waited.
///
/// Seen to fail: with a `leave` that wakes nobody, with an `enlist` that does not look whether anybody is left.
#[test]
fn scope_two_ends_against_the_parent() {
    check("scope: two ends, parent", 3, || {
        let block = Block::new();
        #[allow(
            clippy::arc_with_non_send_sync,
            reason = "it is the model that says whether they are shared as they may be"
        )]
        let borrowed = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let children = [0, 1].map(|index| {
            let (spawned, borrowed) = (spawn(&block), borrowed.clone());
            thread::spawn(move || {
                let spawned = spawned;
                borrowed[index].with_mut(|place| {
                    // SAFETY: this child's, until it ends; loom sees to it.
                    unsafe { *place = 1 }
                });
                drop(borrowed);
                end(spawned);
            })
        });
        block.wait_whole();
        for place in borrowed.iter() {
            place.with_mut(|place| {
                // SAFETY: all children have ended.
                unsafe { assert_eq!(*place, 1) }
            });
        }
        drop(block);
        children.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A child ends while the scope is cancelled: it is told while it lives, or not at all.
#[test]
fn scope_a_cancel_against_an_end() {
    check("scope: cancel, end", 3, || {
        let block = Block::new();
        let spawned = spawn(&block);
        let child = thread::spawn(move || {
            let spawned = spawned;
            end(spawned);
        });
        block.cancel();
        block.wait_whole();
        child.join().unwrap();
    });
}

/// A parent whose only nest is of `block`; and the reference to cancel it by.
fn parent(block: &Arc<Block>) -> (NonNull<Header>, FiberRef, Nest) {
    let (task, mut references, _) = task(2);
    // SAFETY: it lives until `finish`.
    let header = unsafe { task.as_ref() };
    (task, references.remove(0), Nest::new(header, block.clone()))
}

/// Steps 1 and 2 of `fiber::nest`: a parent opens a nest and spawns while it is cancelled. The child knows, whoever was first.
///
/// Seen to fail: with an `open` that does not look, with a `cancel` that goes down before it tells, with an `admit` that always admits.
#[test]
fn scope_a_cancel_of_the_parent_against_its_opening() {
    check("scope: cancel, open", 3, || {
        let block = Block::new();
        let (task, reference, nest) = parent(&block);
        let canceller = thread::spawn(move || park::cancel(&reference));
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        // SAFETY: it stays here until it is closed below.
        unsafe { park::open(header, &nest) };
        let spawned = spawn(&block);
        canceller.join().unwrap();
        // SAFETY: it has not ended.
        assert!(unsafe { spawned.0.as_ref() }.state.is_cancelled(), "the child does not know");
        assert!(block.is_cut_short());
        end(spawned);
        // SAFETY: opened above.
        unsafe { header.nests.close(&nest) };
        // SAFETY: it has ended.
        unsafe { finish(task) };
    });
}

/// Step 4: a nest is closed, and its frame goes, while its task is cancelled.
///
/// Seen to fail: with a `close` that leaves it linked.
#[test]
fn scope_a_cancel_of_the_parent_against_its_closing() {
    check("scope: cancel, close", 3, || {
        let block = Block::new();
        let (task, reference, nest) = parent(&block);
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        // SAFETY: it stays here until it is closed below.
        unsafe { park::open(header, &nest) };
        let spawned = spawn(&block);
        let canceller = thread::spawn(move || park::cancel(&reference));
        end(spawned);
        block.wait_whole();
        // SAFETY: opened above.
        unsafe { header.nests.close(&nest) };
        nest.reuse();
        canceller.join().unwrap();
        // SAFETY: it has ended.
        unsafe { finish(task) };
    });
}
