//! `unblock_detached`: a closure on the pool that its task need not wait for.
//!
//! The call is on the heap, counted by the task and by the job. Between the two is a [`JoinSlot`], as between a task and its
//! handle: the task enlists itself, and is claimed by the job when the result is there; or it leaves (`abandon`), and then
//! the result is the job's, to drop. One word decides, so the result is taken once.

use core::cell::UnsafeCell;
use core::panic::AssertUnwindSafe;
use core::ptr::NonNull;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;

use super::pool::Job;
use super::{Waiting, submit};
use crate::fiber::{JoinSlot, Settled};
use crate::park::{self, Deadline, Outcome, Reason, Wait, Waiter};
use crate::util::report;

/// Runs `f` on the pool of threads of [`unblock`](super::unblock), while the calling task waits for it, but no longer than it has to:
/// a cancellation, or a `timeout` around it, ends the wait at once.
///
/// Then `f` runs to its end all the same, on its thread (or has yet to start there), and its result is dropped there. So it cannot
/// borrow. For what may take very long, or for ever, and is not worth waiting for: a lookup, a read from a terminal. On a thread that is no task `f` simply
/// runs there, to its end.
///
/// # Cancellation
/// A suspension point: at the begin, before `f` is given away, and while it runs. What `f` does is done; its result is lost if the
/// wait was given up. A panic of `f`, or of its result's destructor, is then said on stderr.
///
/// # Panics
/// With the payload of `f`, if `f` panics.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// layby::run(|| {
///     let slow = || std::thread::sleep(Duration::from_millis(200));
///     let result = layby::timeout(Duration::from_millis(5), || layby::unblock_detached(slow));
///     assert!(result.is_err()); // after 5 ms
///     assert_eq!(layby::unblock_detached(|| 1 + 1), 2);
/// });
/// ```
pub fn unblock_detached<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    park::checkpoint();
    if !park::on_task() {
        return f();
    }
    let call = Arc::new(Call {
        slot: JoinSlot::new(),
        closure: UnsafeCell::new(Some(f)),
        result: UnsafeCell::new(None),
    });
    let counted = Arc::into_raw(call.clone()).cast_mut();
    let counted = NonNull::new(counted).expect("an allocation is at some address");
    // SAFETY: the count keeps it there until the job has run, which takes it over.
    submit(unsafe { Job::new(counted.cast(), run::<F, T>) });
    let node = Node { slot: &call.slot, waiter: Waiter::current() };
    if node.slot.enlist(node.place()) {
        let waiting = Waiting::new();
        let outcome = park::park(Reason::Unblock, Deadline::NEVER, &node.waiter, &node);
        drop(waiting);
        if outcome == Outcome::Cancelled {
            park::throw_cancelled();
        }
    }
    // SAFETY: the slot is settled, and the task was there: the result is the task's.
    let result = unsafe { &mut *call.result.get() }.take();
    result.expect("a job that has settled has a result").unwrap_or_else(|payload| park::rethrow(payload))
}

struct Call<F, T> {
    slot: JoinSlot<Waiter>,
    /// The job's.
    closure: UnsafeCell<Option<F>>,
    /// The job's until the slot is settled; then the task's, unless it has left.
    result: UnsafeCell<Option<thread::Result<T>>>,
}

// SAFETY: each field has one owner at a time, as said beside it, which the slot hands over; both may be moved to another thread.
unsafe impl<F: Send, T: Send> Sync for Call<F, T> {}

struct Node<'a> {
    slot: &'a JoinSlot<Waiter>,
    waiter: Waiter,
}

impl Node<'_> {
    fn place(&self) -> NonNull<Waiter> {
        NonNull::from(&self.waiter)
    }
}

impl Wait for Node<'_> {
    /// The task leaves: the result is not for it.
    fn withdraw(&self) -> bool {
        self.slot.abandon(self.place())
    }
}

/// On a pool thread: the closure, the result, the wake; or the result's end.
///
/// # Safety
/// `call` is a count of a `Call<F, T>`, which the caller gives up.
unsafe fn run<F: FnOnce() -> T, T>(call: NonNull<()>) {
    // SAFETY: by this function's contract.
    let call = unsafe { Arc::from_raw(call.cast::<Call<F, T>>().as_ptr()) };
    // SAFETY: the job's.
    let closure = unsafe { &mut *call.closure.get() }.take().expect("a job runs once");
    let value = caught(closure);
    // SAFETY: the job's until the slot is settled, below.
    unsafe { *call.result.get() = Some(value) };
    match call.slot.settle() {
        Settled::Left => {}
        // SAFETY: `settle` has claimed it.
        Settled::Claimed(waiter) => unsafe { Waiter::wake(waiter.as_ptr()) },
        Settled::Detached => {
            // SAFETY: the task has left, so it is the job's still.
            let value = unsafe { &mut *call.result.get() }.take();
            drop_unclaimed(value.expect("stored above"));
        }
    }
}

fn drop_unclaimed<T>(value: thread::Result<T>) {
    let what = match &value {
        Ok(_) => "dropping the result of a closure",
        Err(_) => "a closure",
    };
    let failed = value.is_err();
    // Its payload, too, may panic when it is dropped.
    if let Err(payload) = caught(|| drop(value)) {
        core::mem::forget(payload);
    } else if !failed {
        return;
    }
    report!("{what} given to unblock_detached has panicked, and the task that gave it has not waited");
}

/// Calls `f`. On a pool thread there is no mark; on a worker, for want of threads, it is that of the task there.
fn caught<R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    let mark = park::unwinding();
    let result = catch_unwind(AssertUnwindSafe(f));
    park::set_unwinding(mark);
    result
}
