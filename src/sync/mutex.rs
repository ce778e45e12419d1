//! `Mutex`.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::sync::{LockResult, TryLockError, TryLockResult};

use crate::instant::Instant;
use crate::park::{self, Deadline};
use crate::util::atomic::const_fn;

use super::common::{exclusive, shared, value};
use super::poison::Since;
use super::raw::{Mode, RawLock};

/// Mutual exclusion that lets the other tasks of a worker run while one waits.
///
/// Like [`std::sync::Mutex`], except:
///
/// * Where it has to wait, only the calling task waits, not its worker. The guard may live across any call that waits. On a
///   thread that is no task it blocks the thread; tasks and threads may share one.
/// * Waiters are served in order of arrival. Who comes just when the lock is released, or while the next one is being woken, may pass it;
///   after three wakes in vain a waiter is handed the lock by whoever releases it then.
/// * It is poisoned by a panic, not by a [cancellation](crate::JoinHandle::cancel): see below. And exactly by the panic of the
///   guard's own task, whatever else unwinds on the thread.
/// * [`try_lock_for`](Mutex::try_lock_for) and [`try_lock_until`](Mutex::try_lock_until) wait with a limit.
///
/// Like std's it is not reentrant: a task that locks it twice waits for itself.
///
/// # Cancellation
/// `lock` is a suspension point, also if it need not wait; it takes nothing then. A task that is cancelled while it waits leaves the
/// queue, and nobody behind it waits for that.
///
/// A cancellation that comes while the guard is held, at some other suspension point, drops it like any other value, and
/// leaves what it guards as it is then. An update that must not be left half done, and waits in its middle, belongs between two suspension points,
/// or in a `shield`.
///
/// # Examples
/// ```
/// use layby::{go, sync::{Arc, Mutex}};
///
/// layby::run(|| {
///     let sum = Arc::new(Mutex::new(0));
///     let tasks: Vec<_> = (0..100)
///         .map(|i| {
///             let sum = sum.clone();
///             go!(move || {
///                 let mut sum = sum.lock().unwrap();
///                 layby::yield_now(); // the others wait
///                 *sum += i;
///             })
///         })
///         .collect();
///     for task in tasks {
///         task.join().unwrap();
///     }
///     assert_eq!(*sum.lock().unwrap(), 4950);
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawLock,
    data: UnsafeCell<T>,
}

// SAFETY: it owns the value; the rest is `Send`.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: by the lock, one thread at a time has a reference to the value.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
value!(Mutex);

/// The lock of a [`Mutex`], held until this is dropped. Like [`std::sync::MutexGuard`].
///
/// It stays on its thread:
/// ```compile_fail,E0277
/// fn is_send<T: Send>(_: T) {}
/// let mutex = layby::sync::Mutex::new(0);
/// is_send(mutex.lock());
/// ```
/// It can be shared only if the value can:
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>(_: T) {}
/// let mutex = layby::sync::Mutex::new(std::cell::Cell::new(0));
/// is_sync(mutex.lock());
/// ```
#[must_use = "if unused the Mutex will immediately unlock"]
#[clippy::has_significant_drop]
pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    since: Since,
    _not_send: PhantomData<*const ()>,
}

impl<T> Mutex<T> {
    const_fn! {
        /// An unlocked mutex around `value`.
        ///
        /// # Examples
        /// ```
        /// use layby::sync::Mutex;
        ///
        /// static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        /// NAMES.lock().unwrap().push("lay-by".into());
        /// ```
        #[inline]
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawLock::new(), data: UnsafeCell::new(value) }
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock; waits until it is free.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If the mutex is poisoned; the guard is in the error.
    ///
    /// # Examples
    /// ```
    /// let mutex = layby::sync::Mutex::new(1);
    /// *mutex.lock().unwrap() += 1;
    /// assert_eq!(mutex.into_inner().unwrap(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let holder = park::checkpoint_of_holder();
        self.raw.lock(Mode::Lock);
        self.raw.set_holder(holder);
        self.noted_guard()
    }

    /// Takes the lock if it is free. Never waits for it; but a task that asks in vain again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if the lock is held.
    ///
    /// # Errors
    /// `WouldBlock` if it is held. `Poisoned`, with the guard, if the mutex is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.raw.try_lock(Mode::Lock) {
            park::in_vain();
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// Takes the lock; waits until it is free, but no longer than `timeout`.
    ///
    /// # Cancellation
    /// As [`lock`](Mutex::lock).
    ///
    /// # Errors
    /// `WouldBlock` if it was held all the time. `Poisoned`, with the guard, if the mutex is poisoned.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::{Mutex, TryLockError};
    /// use std::time::Duration;
    ///
    /// layby::testing::run(1, || {
    ///     let mutex = Mutex::new(());
    ///     let held = mutex.lock().unwrap();
    ///     let result = mutex.try_lock_for(Duration::from_secs(5));
    ///     assert!(matches!(result, Err(TryLockError::WouldBlock)));
    ///     drop(held);
    ///     assert!(mutex.try_lock_for(Duration::ZERO).is_ok());
    /// });
    /// ```
    pub fn try_lock_for(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        park::checkpoint();
        if !self.raw.try_lock(Mode::Lock)
            && (timeout.is_zero() || !self.raw.lock_contended(Mode::Lock, Deadline::after(timeout)))
        {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// As [`try_lock_for`](Mutex::try_lock_for), until `deadline`.
    ///
    /// # Cancellation
    /// As [`lock`](Mutex::lock).
    ///
    /// # Errors
    /// As [`try_lock_for`](Mutex::try_lock_for).
    pub fn try_lock_until(&self, deadline: impl Into<Instant>) -> TryLockResult<MutexGuard<'_, T>> {
        self.try_lock_for(deadline.into().duration_since(Instant::now()))
    }

    /// The caller has just taken the lock.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.note_holder();
        self.noted_guard()
    }

    /// [`guard`](Mutex::guard), of a holder that is noted already.
    #[inline]
    fn noted_guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.raw.poison.result(MutexGuard { lock: self, since: Since::now(), _not_send: PhantomData })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("Mutex");
        // Not `try_lock`: who prints does not yield.
        match self.raw.try_lock(Mode::Write).then(|| self.guard()) {
            Some(Ok(guard)) => d.field("data", &&*guard),
            Some(Err(poisoned)) => d.field("data", &&**poisoned.get_ref()),
            None => d.field("data", &"<locked>"),
        };
        d.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Releases the lock without a look at the poison, as a condition variable does.
    pub(super) fn release(self) -> Released<'a, T> {
        let lock = self.lock;
        core::mem::forget(self);
        // SAFETY: the guard was the lock.
        unsafe { lock.raw.unlock(Mode::Lock) };
        Released(lock)
    }
}

/// The mutex of a guard that was released for a while.
pub(super) struct Released<'a, T: ?Sized>(&'a Mutex<T>);

impl<'a, T: ?Sized> Released<'a, T> {
    /// Takes the lock again, whatever comes.
    pub(super) fn lock_again(self) -> LockResult<MutexGuard<'a, T>> {
        self.0.raw.lock_regardless(Mode::Lock);
        self.0.guard()
    }
}

exclusive!(MutexGuard);
shared!(MutexGuard);
