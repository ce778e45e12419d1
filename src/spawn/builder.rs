//! `spawn`, and the builder for a task with a name or a stack size of its own.

use core::panic::Location;
use core::ptr::NonNull;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use super::cell::{Overseer, Owned, make, make_overseen};
use super::handle::JoinHandle;
use super::later::{Delayed, schedule};
use crate::fiber::{Attributes, Header};
use crate::park::{self, Deadline};
use crate::sched::{self, Shared, Worker};

/// Where a new task goes.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// To the runtime of the task that spawns it, from there.
    Worker(&'a Worker),
    /// To a runtime, from a thread that is not one of its workers.
    Runtime(&'a Arc<Shared>),
}

impl<'a> Target<'a> {
    /// The caller's runtime; outside of any, the default one.
    #[inline]
    pub(crate) fn here() -> Target<'a> {
        match sched::current_worker() {
            Some(worker) => Target::Worker(worker),
            None => Target::Runtime(sched::default_runtime()),
        }
    }

    /// The runtime `shared`, from wherever the caller is.
    pub(crate) fn of(shared: &'a Arc<Shared>) -> Target<'a> {
        match sched::current_worker() {
            Some(worker) if Arc::ptr_eq(&worker.shared, shared) => Target::Worker(worker),
            _ => Target::Runtime(shared),
        }
    }

    /// Which runtime it is: an address, which is its own as long as it has tasks.
    pub(crate) fn runtime(&self) -> usize {
        match self {
            Target::Worker(worker) => Arc::as_ptr(&worker.shared).addr(),
            Target::Runtime(shared) => Arc::as_ptr(shared).addr(),
        }
    }

    pub(crate) fn stack_size(&self) -> usize {
        match self {
            Target::Worker(worker) => worker.shared.stack_size(),
            Target::Runtime(shared) => shared.stack_size(),
        }
    }

    /// Makes sure that there will be a stack for one more task, as far as that can be known.
    ///
    /// # Errors
    /// `OutOfMemory`, which names the limit, and what to raise.
    #[inline]
    pub(super) fn make_room(&self, stack_size: usize) -> io::Result<()> {
        match self {
            Target::Worker(worker) => worker.make_room(stack_size),
            Target::Runtime(shared) => shared.make_room(stack_size),
        }
    }

    /// # Safety
    /// The scheduler takes over one reference to `task`, which was never submitted before and may start on
    /// another thread.
    #[inline]
    pub(super) unsafe fn submit(&self, task: NonNull<Header>) {
        match self {
            // SAFETY: by this function's contract.
            Target::Worker(worker) => unsafe { worker.submit(task) },
            // SAFETY: by this function's contract.
            Target::Runtime(shared) => unsafe { shared.submit(task) },
        }
    }
}

/// The attributes of a task that has nothing special, for that target.
#[inline]
pub(crate) fn plain(target: &Target<'_>, spawned_at: &'static Location<'static>) -> Attributes {
    Attributes {
        name: None,
        stack_size: target.stack_size(),
        spawned_at,
        structured: false,
        inherits: true,
        parent: spawner(),
    }
}

/// The id of the task that spawns, for dumps; 0 for a thread that is no task.
#[inline]
pub(super) fn spawner() -> u64 {
    sched::current().map_or(0, |(_, task)| task.id)
}

/// Spawns a task that may borrow.
///
/// # Safety
/// What the closure and the result borrow outlives the task: the caller does not return, or unwind, past that
/// before the task has ended (`JoinHandle::wait` has returned).
///
/// # Errors
/// No address space for its stack; the closure was dropped.
#[inline]
pub(crate) unsafe fn spawn_borrowing<F, T>(
    target: Target<'_>,
    attributes: Attributes,
    closure: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    target.make_room(attributes.stack_size)?;
    // SAFETY: valid until the end by this function's contract; both are Send.
    let (task, owned) = unsafe { make(closure, attributes) };
    // SAFETY: the scheduler's reference; new; Send.
    unsafe { target.submit(task) };
    Ok(JoinHandle::new(owned))
}

/// As [`spawn_borrowing`], on the caller's worker, without `Send`.
///
/// # Safety
/// As [`spawn_borrowing`].
///
/// # Errors
/// As [`spawn_borrowing`].
pub(crate) unsafe fn spawn_local_borrowing<F, T>(
    worker: &Worker,
    attributes: Attributes,
    closure: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T,
{
    worker.make_room(attributes.stack_size)?;
    // SAFETY: valid until the end by this function's contract; `submit_local` keeps it on this thread, and a
    // `JoinHandle` of a result that is not Send does not leave it either.
    let (task, owned): (_, Owned<T>) = unsafe { make(closure, attributes) };
    // SAFETY: the scheduler's reference; new.
    unsafe { worker.submit_local(task) };
    Ok(JoinHandle::new(owned))
}

/// Where an error cannot be returned: says it as std does for a thread.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn failed_to_spawn(error: io::Error) -> ! {
    panic!("failed to spawn task: {error}")
}

/// As [`spawn_borrowing`], with an overseer. Before the task can start `admit` is told where both are; if it says no, the closure
/// never runs.
///
/// # Safety
/// What the closure and the result borrow outlives the overseer, which is dropped at the task's end.
///
/// # Errors
/// As [`spawn_borrowing`]; `admit` was not called.
pub(crate) unsafe fn spawn_overseen<F, T, O>(
    target: Target<'_>,
    attributes: Attributes,
    overseer: O,
    admit: impl FnOnce(NonNull<Header>, NonNull<O>) -> bool,
    closure: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
    O: Overseer + Send,
{
    target.make_room(attributes.stack_size)?;
    // SAFETY: valid until the overseer is dropped; all are Send.
    let (task, owned, overseer) = unsafe { make_overseen(closure, overseer, attributes) };
    if !admit(task, overseer) {
        owned.fiber().state.set_cancelled();
    }
    // SAFETY: the scheduler's reference; new; Send.
    unsafe { target.submit(task) };
    Ok(JoinHandle::new(owned))
}

/// As [`spawn_overseen`], on the caller's worker, without `Send`.
///
/// # Safety
/// As [`spawn_overseen`].
///
/// # Errors
/// As [`spawn_overseen`].
pub(crate) unsafe fn spawn_local_overseen<F, T, O>(
    worker: &Worker,
    attributes: Attributes,
    overseer: O,
    admit: impl FnOnce(NonNull<Header>, NonNull<O>) -> bool,
    closure: F,
) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T,
    O: Overseer,
{
    worker.make_room(attributes.stack_size)?;
    // SAFETY: valid until the overseer is dropped; all stay on this thread, as in `spawn_local_borrowing`.
    let (task, owned, overseer) = unsafe { make_overseen(closure, overseer, attributes) };
    if !admit(task, overseer) {
        owned.fiber().state.set_cancelled();
    }
    // SAFETY: the scheduler's reference; new.
    unsafe { worker.submit_local(task) };
    Ok(JoinHandle::new(owned))
}

/// Spawns a task: `f` runs concurrently with the caller, on a stack of its own.
///
/// Like [`std::thread::spawn`], except: the task goes to the caller's runtime (outside of any: to a
/// process-wide default one, which is started on first use and does not keep the process alive). Nothing waits
/// here. Until `f` starts, it may be moved to another worker; from then on the task stays on its worker's
/// thread. See [`go!`](crate::go).
///
/// # Panics
/// If there is no address space for its stack; [`Builder::spawn`] returns that error. If the default runtime is needed
/// and cannot be started.
///
/// # Examples
/// ```
/// let tasks: Vec<_> = (0..10).map(|i| layby::spawn(move || i * i)).collect();
/// let sum: i32 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
/// assert_eq!(sum, 285);
/// ```
///
/// What a task takes along may go to another thread, so it must be `Send`, and `'static`:
/// ```compile_fail
/// let rc = std::rc::Rc::new(1);
/// layby::spawn(move || *rc);
/// ```
/// ```compile_fail
/// let local = 1;
/// layby::spawn(|| &local);
/// ```
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let target = Target::here();
    let attributes = plain(&target, Location::caller());
    // SAFETY: it borrows nothing.
    unsafe { spawn_borrowing(target, attributes, f) }.unwrap_or_else(|error| failed_to_spawn(error))
}

/// Spawns a task on the caller's worker: `f` and its result need not be `Send`.
///
/// # Panics
/// On a thread that is no worker, or if there is no address space for its stack. ([`Builder::spawn_local`] fails there instead.)
///
/// # Examples
/// ```
/// use std::rc::Rc;
///
/// layby::run(|| {
///     let shared = Rc::new(5);
///     let other = shared.clone();
///     let task = layby::spawn_local(move || *other + 1);
///     assert_eq!(task.join().unwrap(), 6);
///     assert_eq!(Rc::strong_count(&shared), 1);
/// });
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new().spawn_local(f).unwrap_or_else(|error| failed_to_spawn(error))
}

/// Spawns a task and runs it at once, on the caller's worker, until it waits for the first time or ends; then the caller goes on.
///
/// As [`spawn_local`], which leaves it to the others that are ready to go first. A task that never waits has ended when this
/// returns, and has cost two switches and no queue. asyncio's `eager_start`.
///
/// If there is no stack for the task, it begins later. The caller gives way as after a yield when it has begun a hundred and more in a row.
///
/// # Cancellation
/// A suspension point, before anything is spawned. A cancellation that comes meanwhile is delivered at the caller's next one.
///
/// # Panics
/// As [`spawn_local`].
///
/// # Examples
/// ```
/// use layby::{sleep, task::spawn_eager};
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let log = Rc::new(RefCell::new(vec![]));
///     let of_task = log.clone();
///     let task = spawn_eager(move || {
///         of_task.borrow_mut().push("begins");
///         sleep(Duration::from_secs(1));
///         of_task.borrow_mut().push("ends");
///     });
///     log.borrow_mut().push("spawned");
///     task.join().unwrap();
///     assert_eq!(*log.borrow(), ["begins", "spawned", "ends"]);
///
///     assert!(spawn_eager(|| "it never waits").is_finished());
/// });
/// ```
#[track_caller]
#[inline(always)]
pub fn spawn_eager<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new().spawn_eager(f).unwrap_or_else(|error| failed_to_spawn(error))
}

#[cold]
fn no_worker() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the calling thread is no worker of a layby runtime, so no task can be spawned on it; call \
         this inside `layby::run`, or use `spawn`",
    )
}

/// Settings for one task.
///
/// Like [`std::thread::Builder`].
///
/// # Examples
/// ```
/// let task = layby::task::Builder::new()
///     .name("deep".into())
///     .stack_size(2 * 1024 * 1024)
///     .spawn(|| "done")
///     .unwrap();
/// assert_eq!(task.task().name(), Some("deep"));
/// assert_eq!(task.join().unwrap(), "done");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until a task is spawned with it"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// No name, the runtime's stack size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// The task's name, for messages and [`Task::name`](super::Task::name).
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name.into_boxed_str());
        self
    }

    /// The usable size of the task's stack, in bytes, rounded up to whole pages: 32 KiB at least.
    ///
    /// It is address space; memory is used as the stack is. The default is 256 KiB, or what the runtime was
    /// given.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// As [`spawn`].
    ///
    /// # Errors
    /// `InvalidInput` if the stack size is below 32 KiB or absurdly large. `OutOfMemory` if there is no address space
    /// for the stack: the message names the limit that was met, and what to raise. (Where the kernel has no guard markers, before
    /// Linux 6.13, nobody can know that beforehand: the task waits for a stack, and a warning says so.)
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.check()?;
        let target = Target::here();
        let attributes = self.attributes(target.stack_size(), Location::caller());
        // SAFETY: it borrows nothing.
        unsafe { spawn_borrowing(target, attributes, f) }
    }

    /// As [`spawn_local`].
    ///
    /// # Errors
    /// `InvalidInput` and `OutOfMemory` as for [`spawn`](Builder::spawn); `Unsupported` on a thread that is no worker.
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.check()?;
        let worker = sched::current_worker().ok_or_else(no_worker)?;
        let attributes = self.attributes(worker.shared.stack_size(), Location::caller());
        // SAFETY: it borrows nothing.
        unsafe { spawn_local_borrowing(worker, attributes, f) }
    }

    /// As [`spawn_eager`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Errors
    /// As [`spawn_local`](Builder::spawn_local).
    #[track_caller]
    #[inline(always)]
    pub fn spawn_eager<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        park::checkpoint_before_begin();
        let (task, handle) = self.make_eager(Location::caller(), f)?;
        // SAFETY: the scheduler's reference; new; it stays on this thread.
        unsafe { park::let_begin(task) };
        Ok(handle)
    }

    /// A task that may begin on this worker: the scheduler's reference, and the handle.
    fn make_eager<F, T>(
        self,
        place: &'static Location<'static>,
        f: F,
    ) -> io::Result<(NonNull<Header>, JoinHandle<T>)>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        self.check()?;
        let (worker, _) = sched::current().ok_or_else(no_worker)?;
        let attributes = self.attributes(worker.shared.stack_size(), place);
        worker.make_room(attributes.stack_size)?;
        // SAFETY: it borrows nothing; the caller keeps it on this thread, and a `JoinHandle` of a result that is not Send does
        // not leave it either.
        let (task, owned) = unsafe { make(f, attributes) };
        Ok((task, JoinHandle::new(owned)))
    }

    /// As [`spawn_after`](super::spawn_after).
    ///
    /// # Errors
    /// `InvalidInput` as for [`spawn`](Builder::spawn); `OutOfMemory`, if there is no address space for stacks now. If there is
    /// none when the task is to begin, it waits for a stack.
    #[track_caller]
    pub fn spawn_after<F, T>(self, dur: Duration, f: F) -> io::Result<Delayed<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.check()?;
        let attributes = self.attributes(Target::here().stack_size(), Location::caller());
        schedule(attributes, Deadline::after(dur), f)
    }

    /// What a child of a scope is made with.
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    pub(crate) fn of_child(
        self,
        target: &Target<'_>,
        spawned_at: &'static Location<'static>,
    ) -> io::Result<Attributes> {
        self.check()?;
        Ok(self.attributes(target.stack_size(), spawned_at))
    }

    fn attributes(self, stack_size: usize, spawned_at: &'static Location<'static>) -> Attributes {
        let stack_size = self.stack_size.unwrap_or(stack_size);
        let parent = spawner();
        Attributes { name: self.name, stack_size, spawned_at, structured: false, inherits: true, parent }
    }

    fn check(&self) -> io::Result<()> {
        self.stack_size.map_or(Ok(()), sched::check_stack_size)
    }
}
