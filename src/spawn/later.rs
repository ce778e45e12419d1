//! `spawn_after` and `spawn_at`: tasks that begin at a given time.
//!
//! Until then such a task is its closure, its header, and an entry in the timer wheel of a *timekeeper*. Each worker on which such
//! tasks are made has one while there are any: a task that waits for the next deadline, and submits what is due. Threads that are
//! no workers share one in the default runtime.
//!
//! ```text
//!   spawn_after ──▶ Node ◀── Delayed (cancel)          linked: the node's task has not been submitted, so its closure, which
//!                    │ entry                            owns the node, is there. Who unlinks it, under the lock, has the
//!     Keeper: Lock<Pending { wheel, … }>                scheduler's reference to the task: to submit it, or to discard it.
//!                    │ pop_expired
//!             timekeeper ──▶ submit
//! ```
//!
//! A task that is cancelled before its time is discarded by who cancels it, at once. When the runtime ends, the timekeeper is
//! cancelled as any task is, and discards those that are left.
//!
//! Rejected: *a task that sleeps first*: a stack, for what may be cancelled a moment later. *The worker's own wheel*: a cancel from
//! another thread, and an end of the runtime, would have to reach tasks that live nowhere yet.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::panic::Location;
use core::ptr::NonNull;
use core::time::Duration;
use std::io;
use std::sync::{Arc, OnceLock, Weak};

use super::builder::{Builder, Target, failed_to_spawn, plain, spawn_borrowing, spawn_local_borrowing};
use super::cell::make;
use super::error::JoinError;
use super::handle::JoinHandle;
use super::task::Task;
use crate::fiber::{Attributes, FiberRef, Header};
use crate::instant::Instant;
use crate::park::{Deadline, Reason};
use crate::sched;
use crate::sync::{Button, Doorbell};
use crate::timer::{Entry, Wheel};
use crate::util::lock::Lock;

/// A deadline that no clock reaches (292 years), for what never begins: the wheel gives those back, too, at its end.
const LATEST_NS: u64 = u64::MAX / 2;

/// A task that begins at a given time: the right to wait for its end, and to cancel it.
///
/// As a [`JoinHandle`], which it is but for [`cancel`](Delayed::cancel). Dropping it detaches the task, which begins at its time all the same.
///
/// asyncio's `TimerHandle`, and Go's `Timer` of `AfterFunc`.
///
/// # Examples
/// See [`spawn_after`].
pub struct Delayed<T> {
    task: JoinHandle<T>,
    node: Node,
    keeper: Arc<Keeper>,
}

impl<T> fmt::Debug for Delayed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delayed").field("task", &self.task()).finish_non_exhaustive()
    }
}

impl<T> Delayed<T> {
    /// As [`JoinHandle::join`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Errors
    /// As there.
    pub fn join(self) -> Result<T, JoinError> {
        self.task.join()
    }

    /// As [`JoinHandle::cancel`]. If the task has not begun, its closure is dropped here and now.
    ///
    /// A panic of the closure's destructor is reported on stderr.
    pub fn cancel(&self) {
        match self.keeper.take(&self.node) {
            // SAFETY: it was in the wheel, so it was never submitted; the closure is `Send`.
            Some(task) => unsafe { discard(task) },
            None => self.task.cancel(),
        }
    }

    /// As [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// As [`JoinHandle::task`].
    pub fn task(&self) -> Task {
        self.task.task()
    }
}

/// What is in the wheel. The closure of its task owns one, so it is there as long as it may be linked.
#[derive(Clone)]
struct Node(Arc<Place>);

struct Place {
    entry: Entry,
    /// Set once, before the entry is linked.
    task: Cell<Option<NonNull<Header>>>,
}

// SAFETY: both fields are touched under the keeper's lock, or, before the node is linked, by who makes it.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    fn new() -> Node {
        Node(Arc::new_cyclic(|this: &Weak<Place>| {
            let this = NonNull::new(this.as_ptr().cast_mut()).expect("the address of what is being made");
            Place { entry: Entry::new(this.cast()), task: Cell::new(None) }
        }))
    }
}

/// The timekeeper's list.
struct Keeper(Lock<Pending>);

struct Pending {
    wheel: Wheel,
    /// Wakes the timekeeper. `None`: there is none, and nothing is in the wheel.
    button: Option<Button>,
    /// The wheel's time.
    latest: u64,
    /// The timekeeper was cancelled. What comes now goes to another one.
    closed: bool,
}

// SAFETY: the wheel points to entries of `Node`s, which are touched under this lock alone.
unsafe impl Send for Pending {}

thread_local! {
    /// That of the worker whose thread this is; or of one whose thread it was, then closed or empty.
    static KEEPER: RefCell<Option<Arc<Keeper>>> = const { RefCell::new(None) };
}

impl Keeper {
    fn new() -> Arc<Keeper> {
        let latest = sched::now();
        let wheel = Wheel::new(latest);
        Arc::new(Keeper(Lock::new(Pending { wheel, button: None, latest, closed: false })))
    }

    /// The caller's worker's; outside of any runtime, the one of all such threads.
    fn here() -> Arc<Keeper> {
        static OUTSIDE: OnceLock<Arc<Keeper>> = OnceLock::new();
        if sched::current_worker().is_none() {
            // The default runtime does not end.
            return OUTSIDE.get_or_init(Keeper::new).clone();
        }
        KEEPER.with_borrow_mut(|keeper| {
            if !keeper.as_ref().is_some_and(|keeper| keeper.is_of_use()) {
                *keeper = Some(Keeper::new());
            }
            keeper.clone().expect("just made")
        })
    }

    /// Not if it was left by a runtime that has ended, or by one whose virtual time was ahead of the caller's.
    fn is_of_use(&self) -> bool {
        let pending = self.0.lock();
        !pending.closed && pending.latest <= sched::now()
    }

    /// Puts a task into the wheel, and makes sure that somebody looks at it.
    ///
    /// # Errors
    /// There is no stack for the timekeeper; the task was discarded.
    ///
    /// # Safety
    /// `node` is that of the unstarted task, of which one reference is given up.
    unsafe fn put(self: &Arc<Keeper>, node: &Node, nanos: u64) -> io::Result<()> {
        let bell = Doorbell::new();
        let (ring, serve) = {
            let mut pending = self.0.lock();
            let first = pending.wheel.next_deadline().is_none_or(|next| nanos < next);
            // SAFETY: just made; the task's closure owns the node, and whoever discards or submits it has unlinked it before.
            unsafe { pending.wheel.insert(NonNull::from(&node.0.entry), nanos) };
            match &pending.button {
                Some(button) => (first.then(|| button.clone()), false),
                None => {
                    pending.button = Some(bell.button());
                    (None, true)
                }
            }
        };
        if let Some(button) = ring {
            button.ring();
        }
        if !serve {
            return Ok(());
        }
        let serving = Serving { keeper: self.clone(), ended: false };
        let serve = move || serving.serve(bell);
        let target = Target::here();
        let attributes = Attributes {
            name: Some("timekeeper".into()),
            inherits: false,
            ..plain(&target, Location::caller())
        };
        match target {
            // SAFETY: it borrows nothing.
            Target::Worker(worker) => unsafe { spawn_local_borrowing(worker, attributes, serve) }.map(drop),
            // SAFETY: as above.
            Target::Runtime(_) => unsafe { spawn_borrowing(target, attributes, serve) }.map(drop),
        }
    }

    /// Takes a task out again, with the scheduler's reference. `None`: it was submitted, or discarded.
    fn take(&self, node: &Node) -> Option<NonNull<Header>> {
        let (task, last) = {
            let mut pending = self.0.lock();
            if !node.0.entry.is_linked() {
                return None;
            }
            // SAFETY: alive; it is in this wheel or in none.
            unsafe { pending.wheel.remove(NonNull::from(&node.0.entry)) };
            (node.0.task.get(), if pending.wheel.is_empty() { pending.button.clone() } else { None })
        };
        if let Some(button) = last {
            // So that it ends: as long as it has something to wait for, no deadlock is certain.
            button.ring();
        }
        task
    }
}

impl Pending {
    /// One that is due at `now`, with the scheduler's reference.
    fn pop(&mut self, now: u64) -> Option<NonNull<Header>> {
        self.wheel.advance(now);
        self.latest = now;
        let place = self.wheel.pop_expired()?.cast::<Place>();
        // SAFETY: it was linked until now, so its task's closure, which owns it, is there.
        unsafe { place.as_ref() }.task.get()
    }
}

/// What a timekeeper runs with. Dropped otherwise than at its end, because it was cancelled or never began, it discards all that is left.
struct Serving {
    keeper: Arc<Keeper>,
    ended: bool,
}

/// What a timekeeper does next.
enum Next {
    Submit(NonNull<Header>),
    WaitUntil(Deadline),
    End,
}

impl Serving {
    fn serve(mut self, mut bell: Doorbell) {
        loop {
            match self.next() {
                Next::Submit(task) => {
                    let target = Target::here();
                    // SAFETY: it was in the wheel, so its reference is this one's, and it is alive.
                    let size = unsafe { task.as_ref() }.stack_size;
                    // If there is no room, it waits for a stack: nobody can be told.
                    let _ = target.make_room(size);
                    // SAFETY: the scheduler's reference; never submitted; its closure is `Send`.
                    unsafe { target.submit(task) };
                }
                Next::WaitUntil(deadline) => {
                    bell.wait_until(Reason::Sleep, deadline);
                }
                Next::End => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn next(&self) -> Next {
        let mut pending = self.keeper.0.lock();
        if let Some(task) = pending.pop(sched::now()) {
            return Next::Submit(task);
        }
        match pending.wheel.next_deadline() {
            Some(nanos) if nanos < LATEST_NS => Next::WaitUntil(Deadline::at(nanos)),
            // Until something else comes, or the runtime ends.
            Some(_) => Next::WaitUntil(Deadline::NEVER),
            None => {
                // Under the same lock as the look: what comes from here on finds no timekeeper.
                pending.button = None;
                Next::End
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        loop {
            let task = {
                let mut pending = self.keeper.0.lock();
                pending.closed = true;
                pending.button = None;
                pending.pop(u64::MAX)
            };
            let Some(task) = task else { return };
            // SAFETY: it was in the wheel, so it was never submitted; the closure is `Send`.
            unsafe { discard(task) };
        }
    }
}

/// Ends a task that never begins: drops its closure.
///
/// # Safety
/// The caller has the scheduler's reference of the task, which was never submitted and may end on this thread.
unsafe fn discard(task: NonNull<Header>) {
    // SAFETY: the caller's reference.
    let task = unsafe { FiberRef::from_raw(task) };
    // SAFETY: once, by this function's contract, and this is the caller's own stack.
    unsafe { (task.vtable.discard)(task.as_ptr()) };
    task.state.finish();
}

/// # Errors
/// As [`Builder::spawn`].
pub(super) fn schedule<F, T>(attributes: Attributes, deadline: Deadline, f: F) -> io::Result<Delayed<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (keeper, node) = (Keeper::here(), Node::new());
    let owner = node.clone();
    let closure = move || {
        drop(owner);
        f()
    };
    // SAFETY: it borrows nothing; both are `Send`.
    let (task, owned) = unsafe { make(closure, attributes) };
    node.0.task.set(Some(task));
    // SAFETY: the scheduler's reference.
    unsafe { keeper.put(&node, deadline.nanos().min(LATEST_NS)) }?;
    Ok(Delayed { task: JoinHandle::new(owned), node, keeper })
}

/// Spawns a task that begins when `dur` has passed. Until then it takes no stack, and no time.
///
/// As [`spawn`](super::spawn), later: nothing waits here. The clock is that of [`sleep`](crate::sleep()), and what it says of being late holds.
/// With [`Duration::MAX`] the task never begins. When its runtime ends before, the closure is dropped.
///
/// asyncio's `call_later`, and Go's `time.AfterFunc`.
///
/// # Panics
/// If there is no address space for stacks. If the default runtime is needed and cannot be started.
///
/// # Examples
/// ```
/// use layby::{sleep, task::spawn_after};
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let later = spawn_after(Duration::from_millis(20), move || start.elapsed());
/// let never = spawn_after(Duration::from_secs(3600), || unreachable!());
/// never.cancel();
/// assert!(never.join().unwrap_err().is_cancelled());
/// assert!(later.join().unwrap() >= Duration::from_millis(20));
/// ```
#[track_caller]
pub fn spawn_after<F, T>(dur: Duration, f: F) -> Delayed<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn_after(dur, f).unwrap_or_else(|error| failed_to_spawn(error))
}

/// As [`spawn_after`], at `deadline`; at once, if that is past. Takes std's [`Instant`](std::time::Instant), or
/// [layby's](crate::time::Instant).
///
/// asyncio's `call_at`.
///
/// # Panics
/// As [`spawn_after`].
///
/// # Examples
/// ```
/// use layby::{task::spawn_at, time::Instant};
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let noon = Instant::now() + Duration::from_secs(12 * 3600);
///     let bell = spawn_at(noon, move || Instant::now() >= noon);
///     assert!(bell.join().unwrap());
/// });
/// ```
#[track_caller]
pub fn spawn_at<F, T>(deadline: impl Into<Instant>, f: F) -> Delayed<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let dur = deadline.into().saturating_duration_since(Instant::now());
    Builder::new().spawn_after(dur, f).unwrap_or_else(|error| failed_to_spawn(error))
}
