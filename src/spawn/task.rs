//! `Task`: what a task, or a thread that is no task, is known by.

use core::any::Any;
use core::cell::OnceCell;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::id::{self, TaskId};
use crate::fiber::FiberRef;
use crate::park::{self, Deadline, ThreadTask};
use crate::sched;

/// A handle to a task, or to a thread that is no task.
///
/// Like [`std::thread::Thread`]. Cheap to clone; does not keep the task running.
///
/// # Examples
/// ```
/// layby::run(|| {
///     let task = layby::task::Builder::new().name("worker".into()).spawn(|| {
///         layby::task::park();
///         layby::task::current().name().map(String::from)
///     });
///     let task = task.unwrap();
///     task.task().unpark();
///     assert_eq!(task.join().unwrap().as_deref(), Some("worker"));
/// });
/// ```
#[derive(Clone)]
pub struct Task(Who);

#[derive(Clone)]
enum Who {
    Fiber(FiberRef),
    Thread(Arc<ThreadTask>),
}

thread_local! {
    static THREAD: OnceCell<Arc<ThreadTask>> = const { OnceCell::new() };
}

fn this_thread() -> Arc<ThreadTask> {
    let new = || Arc::new(ThreadTask::new(id::next()));
    // In a thread whose locals are gone: one that nobody else has.
    THREAD.try_with(|cell| cell.get_or_init(new).clone()).unwrap_or_else(|_| new())
}

impl Task {
    pub(super) fn from_fiber(fiber: FiberRef) -> Task {
        Task(Who::Fiber(fiber))
    }

    /// Its id, unique in the process.
    pub fn id(&self) -> TaskId {
        match &self.0 {
            Who::Fiber(fiber) => TaskId::from_number(fiber.id),
            Who::Thread(thread) => TaskId(thread.id),
        }
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Who::Fiber(fiber) => fiber.name.as_deref(),
            Who::Thread(thread) => thread.name.as_deref(),
        }
    }

    /// Leaves a token for the task's [`park()`]: the one that it is in, or its next one, returns.
    ///
    /// Like [`std::thread::Thread::unpark`]: there is one token at most. What happened before this call is
    /// seen after the `park` that takes the token. Never waits. No effect on a task that has ended.
    pub fn unpark(&self) {
        match &self.0 {
            Who::Fiber(fiber) => park::unpark(fiber),
            Who::Thread(thread) => thread.unpark(),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The caller: its task, or, on a thread that is no task, the thread.
///
/// Like [`std::thread::current`].
pub fn current() -> Task {
    match sched::current() {
        // SAFETY: the running task is alive.
        Some((worker, _)) => Task(Who::Fiber(unsafe { FiberRef::share(worker.running()) })),
        None => Task(Who::Thread(this_thread())),
    }
}

/// Waits until the caller's token is there (see [`Task::unpark`]), and takes it.
///
/// Like [`std::thread::park`]: it may also return without one, so look at what you wait for, in a loop.
///
/// # Cancellation
/// A suspension point. A token that is there is not lost.
#[inline(always)]
pub fn park() {
    match sched::current() {
        Some((worker, task)) => park::park_for_token(worker, task, Deadline::NEVER),
        None => this_thread().park(Deadline::NEVER),
    }
}

/// As [`park()`], but no longer than `dur`. Zero takes the token if it is there, and lets others run if not.
///
/// Like [`std::thread::park_timeout`]. [`Duration::MAX`] is no limit.
///
/// # Cancellation
/// As [`park()`].
#[inline(always)]
pub fn park_timeout(dur: Duration) {
    let deadline = Deadline::after(dur);
    match sched::current() {
        Some((worker, task)) => park::park_for_token(worker, task, deadline),
        None => this_thread().park(deadline),
    }
}

/// Lets every other ready task of the worker run before the caller goes on.
///
/// Like [`std::thread::yield_now`], which it is on a thread that is no task.
///
/// # Cancellation
/// A suspension point.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// layby::Builder::new().workers(1).run(|| {
///     let flag = Arc::new(AtomicBool::new(false));
///     let setter = flag.clone();
///     layby::spawn(move || setter.store(true, Ordering::Relaxed));
///     while !flag.load(Ordering::Relaxed) {
///         layby::yield_now();
///     }
/// });
/// ```
#[inline(always)]
pub fn yield_now() {
    park::yield_now();
}

/// Whether the caller's task unwinds: from a panic, or from a cancellation.
///
/// Like [`std::thread::panicking`], but of the task: std's also says yes when another task of the same
/// worker waits in a destructor while it unwinds. In one case it cannot know: a task that panics while such a
/// worker mate waits, until its unwinding meets a catch.
pub fn panicking() -> bool {
    park::panicking()
}

/// A suspension point that never waits: unwinds the task if it is cancelled. Does nothing on a thread
/// that is no task.
///
/// For long computations that should be cancellable.
pub fn check_cancelled() {
    park::check_cancelled();
}

/// Whether the caller's task is cancelled. It stays so. `false` on a thread that is no task.
pub fn is_cancelled() -> bool {
    park::is_cancelled()
}

/// Whether the payload of a caught unwind is that of a cancellation, which code that catches panics should
/// pass on with [`std::panic::resume_unwind`].
///
/// # Examples
/// ```
/// use std::panic;
/// use std::time::Duration;
///
/// let task = layby::spawn(|| {
///     let caught = panic::catch_unwind(|| layby::sleep(Duration::MAX)).unwrap_err();
///     assert!(layby::task::is_cancellation(&*caught));
///     panic::resume_unwind(caught);
/// });
/// task.cancel();
/// assert!(task.join().unwrap_err().is_cancelled());
/// ```
pub fn is_cancellation(payload: &(dyn Any + Send)) -> bool {
    park::is_cancellation(payload)
}
