//! Loom: the last child's end against the parent's return, and a cancel against a child's end.

use core::ptr::NonNull;
use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::block::{Block, Child};
use crate::fiber::Header;
use crate::fiber::loom::{finish, task};
use crate::util::model::check;

/// A child of a model: its task's header and where its overseer is.
struct Spawned(NonNull<Header>, NonNull<Child>);

// SAFETY: what a spawn hands to the worker that starts the task.
unsafe impl Send for Spawned {}

fn spawn(block: &Arc<Block>) -> Spawned {
    let (task, _, _) = task(1);
    let child = NonNull::from(Box::leak(Box::new(block.child())));
    // SAFETY: new, of this block; it stays until it is dropped in `end`.
    unsafe { block.admit(task, child) };
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
