//! Scopes: children that may borrow, and that have all ended when the scope is left, whichever way.
//!
//! That is what makes the borrowing sound: `scope` neither returns nor unwinds before. How the end is waited for is in
//! `block.rs`; here is who is cancelled when, and what goes on outwards:
//!
//! | the body | children are cancelled | then |
//! |---|---|---|
//! | returns | no | its value, or an unjoined panic |
//! | panics | when it has unwound | its panic |
//! | is cancelled | at once, all levels below too, whatever the body does (see `fiber::nest`) | an unjoined panic, or that |
//! | is in a timeout that has passed | when the body is told, or would be but for a shield | an unjoined panic, or that |
//!
//! In a `try_scope` the first failure cancels the children *and* the body, at its next suspension point.

mod block;
mod fallible;
mod handle;
#[cfg(all(test, loom))]
mod loom;

use core::any::Any;
use core::fmt;
use core::marker::PhantomData;
use core::panic::{AssertUnwindSafe, Location};
use std::io;
use std::panic::catch_unwind;
use std::sync::Arc;

use self::block::{Block, report_unjoined};
pub use self::fallible::{Failure, ScopeError, TryScope, try_scope};
pub use self::handle::ScopedJoinHandle;
use crate::fiber::Attributes;
use crate::park::{self, Open};
use crate::sched;
use crate::spawn::{Builder, Target, failed_to_spawn, plain, spawn_local_overseen, spawn_overseen};

/// Runs `f`, which may spawn tasks that borrow from what is around it: all have ended when `scope` returns.
///
/// Like [`std::thread::scope`], except: the children are tasks; if `f` panics, or the calling task is cancelled, they are
/// cancelled; and the panic of a child that nobody has joined goes on in the caller as it is (std's says only that there was one).
/// It cancels no sibling: see [`try_scope`] for that. On a thread that is no task the children go to the default
/// runtime.
///
/// # Cancellation
/// A suspension point, before `f` and where it waits for the end of the children. If the caller is cancelled, or a
/// [`timeout()`](crate::timeout()) around it has passed, the children are cancelled, and it unwinds when all have ended. A panic of a
/// child that nobody has joined goes before the cancellation.
///
/// A cancellation of the caller reaches the children at once, and theirs, also while `f` computes or is inside of a
/// [`shield`](crate::shield). (A shield *around* the scope protects them.)
///
/// # Panics
/// With the panic of `f`; otherwise with the first panic of a child that nobody has joined. Further ones are said on
/// stderr.
///
/// # Examples
/// ```
/// let mut numbers = vec![1, 2, 3];
/// let mut sum = 0;
/// layby::scope(|s| {
///     s.spawn(|| sum = numbers.iter().sum());
///     let first = s.spawn(|| numbers[0]);
///     assert_eq!(first.join().unwrap(), 1);
/// });
/// numbers.push(4);
/// assert_eq!(sum, 6);
/// ```
/// What lives shorter than the scope cannot be borrowed:
/// ```compile_fail
/// layby::scope(|s| {
///     let inner = 1;
///     s.spawn(|| inner + 1);
/// });
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    park::checkpoint();
    let _open = Open::new();
    let scope = Scope { block: Block::new(), scope: PhantomData, env: PhantomData };
    let (body, cancelled) = park::nested(scope.block.clone(), || {
        let body = catch_unwind(AssertUnwindSafe(|| f(&scope)));
        let cancelled = end(&scope.block, body.is_err());
        (body, cancelled)
    });
    let panic = scope.block.take_panic();
    match (body, panic) {
        (Err(payload), Some(panic)) if park::is_cancellation(&*payload) => park::rethrow(panic.into()),
        (Err(payload), panic) => {
            panic.iter().for_each(report_unjoined);
            park::rethrow(payload)
        }
        (Ok(_), Some(panic)) => park::rethrow(panic.into()),
        (Ok(value), None) => {
            if cancelled {
                park::check_cancelled();
            }
            value
        }
    }
}

/// Sees all children to their end. True: something is due for the parent, because of which they were cancelled, or are now.
fn end(block: &Block, failed: bool) -> bool {
    if !failed && block.wait() {
        return block.is_cut_short();
    }
    block.cancel();
    block.wait_whole();
    !failed
}

/// Where the children of a [`scope()`] are spawned.
///
/// Like [`std::thread::Scope`], except: [`spawn_local`](Scope::spawn_local) and [`cancel`](Scope::cancel). A child may spawn
/// into the scope, too.
pub struct Scope<'scope, 'env: 'scope> {
    block: Arc<Block>,
    /// Invariant, so that a scope's lifetime cannot shrink to a part of it.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a child. Like [`std::thread::Scope::spawn`].
    ///
    /// Into a scope that is cancelled already, the closure is dropped, and `join` says that the child was cancelled.
    ///
    /// # Panics
    /// If there is no address space for its stack ([`Builder::spawn_scoped`] returns that error). If the default runtime is needed
    /// and cannot be started.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_at(Location::caller(), f)
    }

    /// Spawns a child on the caller's worker: `f` and its result need not be `Send`.
    ///
    /// # Panics
    /// On a thread that is no worker, or if there is no address space for its stack.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// layby::run(|| {
    ///     let count = Cell::new(0);
    ///     layby::scope(|s| {
    ///         for _ in 0..3 {
    ///             s.spawn_local(|| count.set(count.get() + 1));
    ///         }
    ///     });
    ///     assert_eq!(count.get(), 3);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        self.spawn_local_at(Location::caller(), f)
    }

    /// Spawns a child on the caller's worker, which the caller has asked for at `place`.
    #[track_caller]
    pub(crate) fn spawn_local_at<F, T>(
        &'scope self,
        place: &'static Location<'static>,
        f: F,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        // SAFETY: as in `spawn_at`.
        unsafe { spawn_local(&self.block, place, || Some(f())) }
    }

    /// Spawns a child, which the caller has asked for at `place`.
    pub(crate) fn spawn_at<F, T>(
        &'scope self,
        place: &'static Location<'static>,
        f: F,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let target = Target::here();
        let attributes = Attributes { structured: true, ..plain(&target, place) };
        // SAFETY: `'scope` lasts until `scope` returns or unwinds, which it does after all children have ended.
        unsafe { spawn(&self.block, target, attributes, || Some(f())) }
            .unwrap_or_else(|error| failed_to_spawn(error))
    }

    /// Waits until all children have ended: `join` then does not wait. A suspension point, if it has to wait.
    pub(crate) fn settle(&self) {
        if !self.block.wait() {
            park::throw_cancelled();
        }
    }

    /// Cancels all children, and those to come. The body goes on.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let first = layby::scope(|s| {
    ///     s.spawn(|| layby::sleep(Duration::MAX));
    ///     let quick = s.spawn(|| 1).join();
    ///     s.cancel();
    ///     quick
    /// });
    /// assert_eq!(first.unwrap(), 1);
    /// ```
    pub fn cancel(&self) {
        self.block.cancel();
    }
}

impl Builder {
    /// Spawns a child of a scope. Like [`std::thread::Builder::spawn_scoped`].
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let target = Target::here();
        let attributes = self.structured(&target, Location::caller())?;
        // SAFETY: as in `Scope::spawn_at`.
        unsafe { spawn(&scope.block, target, attributes, || Some(f())) }
    }
}

/// # Safety
/// What `f` and its result borrow stays valid until all children of `block` have ended.
///
/// # Errors
/// No address space for its stack; the closure was dropped.
unsafe fn spawn<'scope, F, T>(
    block: &'scope Arc<Block>,
    target: Target<'_>,
    attributes: Attributes,
    f: F,
) -> io::Result<ScopedJoinHandle<'scope, T>>
where
    F: FnOnce() -> Option<T> + Send,
    T: Send,
{
    // SAFETY: new, of this block, in the cell of its task, which has not started, for good.
    let admit = |task, child| unsafe { block.admit(task, child) };
    // SAFETY: by this function's contract; the overseer's drop is the child's end to the block.
    let handle = unsafe { spawn_overseen(target, attributes, block.child(), admit, f) };
    Ok(ScopedJoinHandle::new(handle?, block))
}

/// As [`spawn`], on the caller's worker; panics where that fails.
///
/// # Safety
/// As [`spawn`].
#[track_caller]
unsafe fn spawn_local<'scope, F, T>(
    block: &'scope Arc<Block>,
    place: &'static Location<'static>,
    f: F,
) -> ScopedJoinHandle<'scope, T>
where
    F: FnOnce() -> Option<T>,
{
    let Some(worker) = sched::current_worker() else {
        panic!("spawn_local on a thread that is no worker of a layby runtime: call it inside `layby::run`")
    };
    let attributes = Attributes { structured: true, ..plain(&Target::Worker(worker), place) };
    // SAFETY: as in `spawn`.
    let admit = |task, child| unsafe { block.admit(task, child) };
    // SAFETY: as in `spawn`.
    let handle = unsafe { spawn_local_overseen(worker, attributes, block.child(), admit, f) };
    ScopedJoinHandle::new(handle.unwrap_or_else(|error| failed_to_spawn(error)), block)
}

/// The payload of a panic, as what goes on.
type Payload = Box<dyn Any + Send>;
