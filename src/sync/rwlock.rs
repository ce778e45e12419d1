//! `RwLock`.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};

use crate::park::{self, Deadline};
use crate::util::atomic::const_fn;

use super::common::{exclusive, shared, value};
use super::poison::Since;
use super::raw::{Mode, RawLock};

/// A lock that many may hold to read, or one to write. While a task waits the others of its worker run.
///
/// Like [`std::sync::RwLock`], except:
///
/// * Where it has to wait, only the calling task waits, not its worker; on a thread that is no task, the thread.
/// * Waiters are served in order of arrival, readers that are next together. A reader that comes while a writer waits queues behind
///   it, so writers do not starve; nor do readers, since a writer that waits is served after those who came before. Who comes
///   just when the lock is released, or while a writer is being woken, may pass; after three wakes in vain that writer is handed the lock.
/// * It is poisoned by a panic of a writer, not by a [cancellation](crate::JoinHandle::cancel).
///
/// As with std's, a task that takes a second read lock may wait for a writer that waits for its first.
///
/// # Cancellation
/// As with [`Mutex`](super::Mutex#cancellation). Whoever is cancelled while it waits passes its turn on.
///
/// # Examples
/// ```
/// use layby::sync::RwLock;
///
/// let lock = RwLock::new(5);
/// {
///     let (one, two) = (lock.read().unwrap(), lock.read().unwrap());
///     assert_eq!(*one + *two, 10);
/// }
/// *lock.write().unwrap() += 1;
/// assert_eq!(*lock.read().unwrap(), 6);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawLock,
    data: UnsafeCell<T>,
}

// SAFETY: it owns the value; the rest is `Send`.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers on several threads share the value (`Sync`), and a writer may take it along (`Send`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
value!(RwLock);

/// The read lock of a [`RwLock`], held until this is dropped. Like [`std::sync::RwLockReadGuard`].
///
/// It stays on its thread:
/// ```compile_fail,E0277
/// fn is_send<T: Send>(_: T) {}
/// let lock = layby::sync::RwLock::new(0);
/// is_send(lock.read());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    /// A pointer, not the lock: that would make the guard invariant in `T`.
    data: NonNull<T>,
    raw: &'a RawLock,
    _not_send: PhantomData<&'a T>,
}

/// The write lock of a [`RwLock`], held until this is dropped. Like [`std::sync::RwLockWriteGuard`].
///
/// It stays on its thread:
/// ```compile_fail,E0277
/// fn is_send<T: Send>(_: T) {}
/// let lock = layby::sync::RwLock::new(0);
/// is_send(lock.write());
/// ```
#[must_use = "if unused the RwLock will immediately unlock"]
#[clippy::has_significant_drop]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    since: Since,
    _not_send: PhantomData<*const ()>,
}

impl<T> RwLock<T> {
    const_fn! {
        /// An unlocked lock around `value`.
        #[inline]
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawLock::new(), data: UnsafeCell::new(value) }
        }
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes a read lock; waits while a writer has the lock or waits for it.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If the lock is poisoned; the guard is in the error.
    ///
    /// # Panics
    /// If there are more than 267 million readers.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        park::checkpoint();
        if !self.raw.try_lock(Mode::Read) {
            self.raw.lock_contended(Mode::Read, Deadline::NEVER);
        }
        self.read_guard()
    }

    /// Takes a read lock if no writer has the lock or waits for it. Never waits for that; but a task that asks in vain again and
    /// again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if it gets nothing.
    ///
    /// # Errors
    /// `WouldBlock` if a writer has it or waits. `Poisoned`, with the guard, if the lock is poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.raw.try_lock(Mode::Read) {
            park::in_vain();
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.read_guard()?)
    }

    /// Takes the write lock; waits until nobody has the lock.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If the lock is poisoned; the guard is in the error.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        park::checkpoint();
        self.raw.lock(Mode::Write);
        self.write_guard()
    }

    /// Takes the write lock if nobody has the lock. Otherwise as [`try_read`](RwLock::try_read).
    ///
    /// # Cancellation
    /// As [`try_read`](RwLock::try_read).
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it. `Poisoned`, with the guard, if the lock is poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.raw.try_lock(Mode::Write) {
            park::in_vain();
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.write_guard()?)
    }

    /// The caller has just taken a read lock.
    #[inline]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        // SAFETY: the pointer of a cell is not null.
        let data = unsafe { NonNull::new_unchecked(self.data.get()) };
        self.raw.poison.result(RwLockReadGuard { data, raw: &self.raw, _not_send: PhantomData })
    }

    /// The caller has just taken the write lock.
    #[inline]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.raw.note_holder();
        self.raw.poison.result(RwLockWriteGuard { lock: self, since: Since::now(), _not_send: PhantomData })
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_struct("RwLock");
        // Not `try_read`: who prints does not yield.
        match self.raw.try_lock(Mode::Read).then(|| self.read_guard()) {
            Some(Ok(guard)) => d.field("data", &&*guard),
            Some(Err(poisoned)) => d.field("data", &&**poisoned.get_ref()),
            None => d.field("data", &format_args!("<locked>")),
        };
        d.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Turns the write lock into a read lock; nobody writes in between, and readers that are next come in.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let lock = RwLock::new(0);
    /// let mut write = lock.write().unwrap();
    /// *write = 1;
    /// let read = RwLockWriteGuard::downgrade(write);
    /// assert_eq!((*read, *lock.read().unwrap()), (1, 1));
    /// ```
    pub fn downgrade(s: Self) -> RwLockReadGuard<'a, T> {
        let lock = s.lock;
        core::mem::forget(s);
        // SAFETY: the guard was the write lock.
        unsafe { lock.raw.downgrade() };
        // SAFETY: the pointer of a cell is not null.
        let data = unsafe { NonNull::new_unchecked(lock.data.get()) };
        RwLockReadGuard { data, raw: &lock.raw, _not_send: PhantomData }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so it is there and nobody writes.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard is a read lock.
        unsafe { self.raw.unlock(Mode::Read) };
    }
}

exclusive!(RwLockWriteGuard);
shared!(RwLockReadGuard);
shared!(RwLockWriteGuard);
