//! Loom: a task's real cell, from the closure to the result, against its handle.

use core::panic::Location;
use core::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::cell::{Owned, make};
use super::handle::JoinHandle;
use crate::fiber::{Attributes, FiberRef, Header};
use crate::util::model::check;

/// A result that knows when it is touched, and dropped.
struct Tracked {
    place: UnsafeCell<u32>,
    drops: Arc<AtomicUsize>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.place.with_mut(|place| {
            // SAFETY: `&mut self`, if the protocol holds; loom sees to it.
            unsafe { *place = 0 }
        });
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// The cell of a task that leaves a `Tracked`, and how often that was dropped.
fn tracked() -> (NonNull<Header>, Owned<Tracked>, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let closure = {
        let drops = drops.clone();
        move || Tracked { place: UnsafeCell::new(7), drops }
    };
    let attributes = Attributes {
        name: None,
        stack_size: 0,
        spawned_at: Location::caller(),
        structured: false,
        inherits: true,
        parent: 0,
    };
    // SAFETY: it borrows nothing.
    let (task, owned) = unsafe { make(closure, attributes) };
    (task, owned, drops)
}

/// As the worker's loop and the carrier do: runs the closure, and drops the scheduler's reference.
fn run(task: NonNull<Header>) {
    // SAFETY: the scheduler's reference.
    let task = unsafe { FiberRef::from_raw(task) };
    // SAFETY: once; the model's threads have stacks of their own.
    unsafe { (task.vtable.run)(task.as_ptr()) };
}

/// A task that ends while an OS thread joins it.
///
/// Seen to fail: with Relaxed in `settle`.
#[test]
fn join_takes_the_result_once() {
    check("join: result", 3, || {
        let (task, owned, drops) = tracked();
        let runner = thread::spawn(move || run(task));
        let Ok(result) = JoinHandle::new(owned).join() else { unreachable!("it does not panic") };
        let read = result.place.with(|place| {
            // SAFETY: the result is here.
            unsafe { *place }
        });
        assert_eq!(read, 7);
        drop(result);
        runner.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

/// A task that ends while its handle is dropped.
///
/// Seen to fail: with Relaxed for `detach`'s Acquire on failure, with an ender that forgets the result.
#[test]
fn detach_drops_the_result_once() {
    check("join: detach", 3, || {
        let (task, owned, drops) = tracked();
        let runner = thread::spawn(move || run(task));
        drop(owned);
        runner.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}
