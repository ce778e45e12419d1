//! `try_scope`: the first failure ends all, and no failure is lost.

use core::fmt;
use core::marker::PhantomData;
use core::panic::{AssertUnwindSafe, Location};
use core::time::Duration;
use std::error::Error;
use std::panic::catch_unwind;
use std::sync::Arc;

use super::block::{Block, report_unjoined};
use super::{Payload, ScopedJoinHandle};
use crate::fiber::Attributes;
use crate::park::{self, Caught, Tripwire};
use crate::spawn::{JoinError, Target, failed_to_spawn, plain};
use crate::util::lock::Lock;

/// As [`scope`](super::scope()), for children that can fail: the first `Err` or panic of one cancels the others, and the body.
///
/// All have ended when it returns; what fails meanwhile is listed, too, in the order of the failures. The body is cancelled like
/// a task, at its next suspension point; it may return a value or an error of its own first.
///
/// # Cancellation
/// As [`scope`](super::scope()). A cancellation from outside, or a timeout, goes on outwards; but the panic of a child goes before it.
///
/// # Errors
/// A child, or the body, has failed.
///
/// # Panics
/// With the panic of the body.
///
/// # Examples
/// ```
/// use layby::{sleep, try_scope};
/// use std::time::Duration;
///
/// let result = try_scope(|s| {
///     s.spawn(|| "12".parse::<i32>());
///     s.spawn(|| {
///         sleep(Duration::MAX); // cancelled
///         Ok(1)
///     });
///     s.spawn(|| "twelve".parse::<i32>());
///     sleep(Duration::MAX); // cancelled, too
///     Ok(())
/// });
/// let error = result.unwrap_err();
/// assert_eq!(error.iter().count(), 1);
/// assert!(error.to_string().contains("invalid digit"));
/// ```
#[track_caller]
pub fn try_scope<'env, F, T, E>(f: F) -> Result<T, ScopeError<E>>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: Send,
{
    park::checkpoint();
    let scope = TryScope {
        block: Block::new(),
        wire: Tripwire::new(),
        failures: Lock::new(None),
        scope: PhantomData,
        env: PhantomData,
    };
    // In this order: a failure ends the body, and nobody waits for the rest of its children.
    park::nested(scope.block.clone(), || conclude(&scope, f))
}

/// Runs the body and sees all children to their end.
#[inline]
fn conclude<'scope, 'env, F, T, E>(scope: &'scope TryScope<'scope, 'env, E>, f: F) -> Result<T, ScopeError<E>>
where
    F: FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: Send,
{
    let body = park::enclose(Duration::MAX, Some(scope.wire.clone()), |_| f(scope));
    let (value, thrown) = match body {
        Ok(Ok(value)) => (Some(value), None),
        Ok(Err(error)) => {
            scope.fail(Failure::Err(error));
            (None, None)
        }
        Err(Caught::Expiry) => (None, None),
        Err(Caught::Other(payload)) => (None, Some(payload)),
    };
    let cancelled = super::end(&scope.block, value.is_none());
    let failures = scope.take_failures();
    match (thrown, value) {
        (Some(payload), _) => go_on(payload, failures),
        (None, Some(value)) if failures.is_empty() => {
            if cancelled {
                park::check_cancelled();
            }
            Ok(value)
        }
        // A cancellation that has come meanwhile comes at the next suspension point.
        _ => Err(ScopeError { failures }),
    }
}

/// Nothing is returned: the body has panicked, or the task is cancelled.
fn go_on<E>(payload: Payload, failures: Vec<Failure<E>>) -> ! {
    let mut panics = failures.into_iter().filter_map(|failure| match failure {
        Failure::Panic(error) => Some(error),
        Failure::Err(_) => None,
    });
    if park::is_cancellation(&*payload)
        && let Some(first) = panics.next()
    {
        panics.for_each(|error| report_unjoined(&error));
        park::rethrow(first.into());
    }
    panics.for_each(|error| report_unjoined(&error));
    park::rethrow(payload)
}

/// Where the children of a [`try_scope`] are spawned. As [`Scope`](super::Scope), but the children return [`Result`]s.
pub struct TryScope<'scope, 'env: 'scope, E> {
    block: Arc<Block>,
    /// Stops the body.
    wire: Arc<Tripwire>,
    /// The newest first.
    failures: Lock<Option<Box<Link<E>>>>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

struct Link<E> {
    failure: Failure<E>,
    older: Option<Box<Link<E>>>,
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope").finish_non_exhaustive()
    }
}

impl<'scope, E: Send> TryScope<'scope, '_, E> {
    /// Spawns a child. As [`Scope::spawn`](super::Scope::spawn); its `Err` or panic fails the scope.
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let target = Target::here();
        let attributes = Attributes { structured: true, ..plain(&target, Location::caller()) };
        // SAFETY: `'scope` lasts until `try_scope` returns or unwinds, which it does after all children have ended.
        unsafe { super::spawn(&self.block, target, attributes, || self.attempt(f)) }
            .unwrap_or_else(|error| failed_to_spawn(error))
    }

    /// Spawns a child on the caller's worker. As [`Scope::spawn_local`](super::Scope::spawn_local).
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
    {
        // SAFETY: as in `spawn`.
        unsafe { super::spawn_local(&self.block, Location::caller(), || self.attempt(f)) }
    }

    /// Cancels all children, and those to come. The body goes on, and this is no failure.
    pub fn cancel(&self) {
        self.block.cancel();
    }

    /// In a child. `None`: it has failed, and the scope knows.
    fn attempt<T>(&self, f: impl FnOnce() -> Result<T, E>) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => self.fail(Failure::Err(error)),
            Err(payload) if park::is_cancellation(&*payload) => park::rethrow(payload),
            Err(payload) => self.fail(Failure::Panic(JoinError::of_running(payload))),
        }
        None
    }

    fn fail(&self, failure: Failure<E>) {
        let mut link = Box::new(Link { failure, older: None });
        {
            let mut newest = self.failures.lock();
            link.older = newest.take();
            *newest = Some(link);
        }
        self.wire.trip();
        self.block.cancel();
    }

    fn take_failures(&self) -> Vec<Failure<E>> {
        let mut next = self.failures.lock().take();
        let mut failures = Vec::new();
        while let Some(link) = next {
            failures.push(link.failure);
            next = link.older;
        }
        failures.reverse();
        failures
    }
}

/// How a child of a [`try_scope`], or its body, has failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// It returned this error.
    Err(E),
    /// It panicked.
    Panic(JoinError),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Err(error) => error.fmt(f),
            Failure::Panic(error) => error.fmt(f),
        }
    }
}

/// The failures of a [`try_scope`], in the order in which they happened: one at least.
#[derive(Debug)]
pub struct ScopeError<E> {
    failures: Vec<Failure<E>>,
}

impl<E> ScopeError<E> {
    /// The first, which has cancelled the others.
    pub fn first(&self) -> &Failure<E> {
        &self.failures[0]
    }

    /// All of them.
    pub fn iter(&self) -> core::slice::Iter<'_, Failure<E>> {
        self.failures.iter()
    }
}

impl<E> IntoIterator for ScopeError<E> {
    type Item = Failure<E>;
    type IntoIter = std::vec::IntoIter<Failure<E>>;
    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a ScopeError<E> {
    type Item = &'a Failure<E>;
    type IntoIter = core::slice::Iter<'a, Failure<E>>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Display> fmt::Display for ScopeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first().fmt(f)?;
        match self.failures.len() - 1 {
            0 => Ok(()),
            further => write!(f, " (and {further} more)"),
        }
    }
}

impl<E: Error + 'static> Error for ScopeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self.first() {
            Failure::Err(error) => error,
            Failure::Panic(error) => error,
        })
    }
}
