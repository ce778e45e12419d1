//! `unblock`: closures that block, on threads of their own.
//!
//! The pool is one for the process. A task that calls [`unblock`] parks; a pool thread runs the closure on
//! its own stack and wakes the task. The job lives in the task's frame, so the closure may borrow; for that
//! the wait ends with the closure and not before: it cannot be cancelled. That of [`unblock_detached`] can.

mod detached;
mod pool;

pub use self::detached::unblock_detached;

use core::cell::UnsafeCell;
use core::panic::AssertUnwindSafe;
use core::ptr::NonNull;
use std::panic::catch_unwind;
use std::thread;

use crate::park::{self, Deadline, Mask, Outcome, Reason, Wait, Waiter};
use crate::sched;
use pool::Job;
pub(crate) use pool::Pool;

/// The pool behind `unblock`.
static POOL: Pool = Pool::new("layby-unblock", 512);

/// How many threads that pool has.
pub(crate) fn threads() -> usize {
    POOL.threads()
}

/// Runs `f` on a pool of threads while the calling task waits, so that what blocks in it blocks no worker.
///
/// For std's file operations, blocking C libraries, long computations: anything that would keep the worker's
/// other tasks waiting. `f` may borrow from the caller. On a thread that is no task it simply runs there.
///
/// The pool starts a thread for each closure that finds none idle, up to 512; further ones wait their turn. A
/// thread that was idle for 10 seconds ends. If no thread can be started and none is there, `f` runs on the
/// worker, after a warning.
///
/// # Cancellation
/// The wait is not a suspension point: a cancellation waits for the end of `f`, whose value is returned. (That of [`unblock_detached`]
/// is one.)
///
/// # Panics
/// With the payload of `f`, if `f` panics.
///
/// # Examples
/// ```
/// layby::run(|| {
///     let path = String::from("Cargo.toml");
///     let size = layby::unblock(|| std::fs::metadata(&path).map(|m| m.len()));
///     assert!(size.unwrap() > 0);
/// });
/// ```
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    unblock_for(Reason::Unblock, f)
}

/// As [`unblock`], for a reason of the caller's.
pub(crate) fn unblock_for<F, T>(reason: Reason, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if !park::on_task() {
        return f();
    }
    let call =
        Call { waiter: Waiter::current(), closure: UnsafeCell::new(Some(f)), result: UnsafeCell::new(None) };
    // SAFETY: `call` stays where it is until the job has run: the wait below ends only by its wake.
    let job = unsafe { Job::new(NonNull::from(&call).cast(), run::<F, T>) };
    let waiting = Waiting::new();
    let mask = Mask::new();
    submit(job);
    let outcome = park::park(reason, Deadline::NEVER, &call.waiter, &Claimed);
    debug_assert_eq!(outcome, Outcome::Woken);
    drop(mask);
    drop(waiting);
    let result = call.result.into_inner().expect("a job that woke its task has a result");
    result.unwrap_or_else(|payload| park::rethrow(payload))
}

/// Runs `f` on the pool, and waits for nothing.
pub(crate) fn run_detached(f: impl FnOnce() + Send + 'static) {
    POOL.run(f);
}

/// Gives it to the pool; if there can be no thread, runs it here, with all that wait for one.
fn submit(job: Job) {
    if let Err(jobs) = POOL.submit(job) {
        // Their panics are kept for who has given them; a cancellation of the task here is not.
        let mask = Mask::new();
        for job in jobs {
            // SAFETY: it was in the queue, so it was not run, and is run once here.
            unsafe { job.run() };
        }
        drop(mask);
    }
}

/// Counted by the worker: a seeded run does not take the task for one that waits for nothing.
#[derive(Debug)]
pub(crate) struct Waiting;

impl Waiting {
    pub(crate) fn new() -> Waiting {
        if let Some(worker) = sched::current_worker() {
            worker.unblocking.set(worker.unblocking.get() + 1);
        }
        Waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(worker) = sched::current_worker() {
            worker.unblocking.set(worker.unblocking.get() - 1);
        }
    }
}

/// What lies on the task's stack meanwhile. Until the wake it is the pool thread's.
struct Call<F, T> {
    waiter: Waiter,
    closure: UnsafeCell<Option<F>>,
    result: UnsafeCell<Option<thread::Result<T>>>,
}

/// The wait was claimed before it began: only the job ends it.
struct Claimed;

impl Wait for Claimed {
    fn withdraw(&self) -> bool {
        false
    }
}

/// On a pool thread: the closure, the result, the wake.
///
/// # Safety
/// `call` points to the `Call<F, T>` of a task that waits for it; once.
unsafe fn run<F: FnOnce() -> T, T>(call: NonNull<()>) {
    let call = call.cast::<Call<F, T>>();
    // SAFETY: the task waits, so its frame is there, until the wake below.
    let (waiter, closure, result) = unsafe {
        let call = call.as_ref();
        (&raw const call.waiter, call.closure.get(), call.result.get())
    };
    // SAFETY: this thread's, until the wake.
    let closure = unsafe { (*closure).take() }.expect("a job runs once");
    // On a pool thread there is no mark; on a worker, for want of threads, it is the caller's.
    let mark = park::unwinding();
    let value = catch_unwind(AssertUnwindSafe(closure));
    park::set_unwinding(mark);
    // SAFETY: as above.
    unsafe { *result = Some(value) };
    // SAFETY: the wait was this job's to end from the start, and nothing of the frame is touched again.
    unsafe { Waiter::wake(waiter) };
}
