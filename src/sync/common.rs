//! What is the same in `Mutex` and `RwLock`: all that does not lock.

/// For a lock of the fields `raw` and `data`, with a `new`.
macro_rules! value {
    ($lock:ident) => {
        impl<T: ?Sized> UnwindSafe for $lock<T> {}
        impl<T: ?Sized> RefUnwindSafe for $lock<T> {}

        impl<T> $lock<T> {
            /// The value.
            ///
            /// # Errors
            /// If the lock is poisoned; the value is in the error.
            pub fn into_inner(self) -> LockResult<T> {
                self.raw.poison.result(self.data.into_inner())
            }
        }

        impl<T: ?Sized> $lock<T> {
            /// Whether the lock is poisoned.
            #[inline]
            pub fn is_poisoned(&self) -> bool {
                self.raw.poison.get()
            }

            /// Takes the poison away.
            #[inline]
            pub fn clear_poison(&self) {
                self.raw.poison.clear();
            }

            /// The value; the exclusive reference is lock enough.
            ///
            /// # Errors
            /// If the lock is poisoned; the reference is in the error.
            pub fn get_mut(&mut self) -> LockResult<&mut T> {
                self.raw.poison.result(self.data.get_mut())
            }
        }

        impl<T> From<T> for $lock<T> {
            fn from(value: T) -> $lock<T> {
                $lock::new(value)
            }
        }

        impl<T: Default> Default for $lock<T> {
            fn default() -> $lock<T> {
                $lock::new(T::default())
            }
        }
    };
}

/// For a guard of the fields `lock` and `since`: it excludes all others.
macro_rules! exclusive {
    ($guard:ident) => {
        impl<T: ?Sized> Deref for $guard<'_, T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: locked.
                unsafe { &*self.lock.data.get() }
            }
        }

        impl<T: ?Sized> DerefMut for $guard<'_, T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: locked, and the guard is borrowed exclusively.
                unsafe { &mut *self.lock.data.get() }
            }
        }

        impl<T: ?Sized> Drop for $guard<'_, T> {
            #[inline]
            fn drop(&mut self) {
                self.lock.raw.poison.leave(self.since);
                // SAFETY: the guard is the lock.
                unsafe { self.lock.raw.unlock(Mode::Write) };
            }
        }
    };
}

/// For every guard: what a shared one gives.
macro_rules! shared {
    ($guard:ident) => {
        // SAFETY: a shared guard gives shared references to the value, and nothing else.
        unsafe impl<T: ?Sized + Sync> Sync for $guard<'_, T> {}

        impl<T: ?Sized + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

pub(super) use {exclusive, shared, value};
