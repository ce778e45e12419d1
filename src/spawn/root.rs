//! Tasks whose spawner waits for them: the root of `run`, and `Runtime::run`.

use core::panic::Location;
use std::io;
use std::sync::Arc;
use std::thread;

use super::builder::{Target, failed_to_spawn, plain, spawn_borrowing};
use super::cell::{Failure, Owned, make};
use super::error::JoinError;
use super::handle::JoinHandle;
use crate::fiber::{Attributes, FiberRef};
use crate::park::{self, Mask};
use crate::sched::{self, Config, Ran, Shared};
use crate::stack;

/// Runs `f` as the root of a new runtime, on this thread.
///
/// # Errors
/// The runtime cannot start; `f` was dropped.
///
/// # Panics
/// On a thread that is a worker.
pub(crate) fn run_root<F, T>(
    config: Config,
    place: &'static Location<'static>,
    f: F,
) -> io::Result<(Ran, thread::Result<T>)>
where
    F: FnOnce() -> T,
{
    assert!(
        sched::current_worker().is_none(),
        "a task has a runtime already: call the closure directly, or spawn it as a task"
    );
    let attributes = Attributes {
        name: Some("main".into()),
        stack_size: stack::ROOT_SIZE,
        spawned_at: place,
        structured: false,
        inherits: false,
        parent: 0,
    };
    // SAFETY: the root runs, and its result is taken, on this thread; this frame stays until it has ended:
    // `run_root` returns only then, and does not unwind.
    let (task, owned): (_, Owned<T>) = unsafe { make(f, attributes) };
    // SAFETY: the scheduler's reference; new.
    let ran = match unsafe { sched::run_root(config, task) } {
        Ok(ran) => ran,
        Err(error) => {
            // SAFETY: the scheduler's reference has stayed here.
            let task = unsafe { FiberRef::from_raw(task) };
            // SAFETY: it was not submitted, and this is the caller's own stack.
            unsafe { (task.vtable.discard)(task.as_ptr()) };
            task.state.finish();
            return Err(error);
        }
    };
    let result = owned.take().map_err(|(task, failure)| match failure {
        Failure::Panic(payload) => payload,
        Failure::Cancelled => Box::new(JoinError::new(&task, Failure::Cancelled)),
    });
    Ok((ran, result))
}

/// Spawns a task on a runtime, from wherever the caller is.
#[track_caller]
pub(crate) fn spawn_on<F, T>(shared: &Arc<Shared>, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let target = Target::of(shared);
    let attributes = plain(&target, Location::caller());
    // SAFETY: it borrows nothing.
    unsafe { spawn_borrowing(target, attributes, f) }.unwrap_or_else(|error| failed_to_spawn(error))
}

/// Runs a task on a runtime while the caller waits.
#[track_caller]
pub(crate) fn run_on<F, T>(shared: &Arc<Shared>, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let target = Target::of(shared);
    let attributes = Attributes { stack_size: stack::ROOT_SIZE, ..plain(&target, Location::caller()) };
    // SAFETY: the wait below cannot be cancelled and does not unwind: it is the next thing, and ends with
    // the task.
    let task =
        unsafe { spawn_borrowing(target, attributes, f) }.unwrap_or_else(|error| failed_to_spawn(error));
    let mask = Mask::new();
    task.wait();
    drop(mask);
    match task.into_result() {
        Ok(value) => value,
        Err(error) if error.is_panic() => park::rethrow(error.into_panic()),
        Err(_) => panic!("the runtime has ended, or is being dropped, and its tasks are cancelled"),
    }
}
