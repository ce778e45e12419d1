//! Poison: a flag that a guard sets when it goes by a panic.

#![forbid(unsafe_code)]

use std::sync::{LockResult, PoisonError};

use crate::park;
use crate::util::atomic::{AtomicBool, Ordering, const_fn};

/// The flag of a lock. Read and written by who holds the lock, which orders it; so Relaxed is enough.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

/// What a guard remembers: whether a panic that ends it may have begun before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    unwinding: bool,
}

impl Since {
    /// Of a guard that is made now.
    #[inline]
    pub(super) fn now() -> Since {
        Since { unwinding: std::thread::panicking() && park::panicking() }
    }
}

impl Flag {
    const_fn! {
        pub(super) const fn new() -> Flag {
            Flag(AtomicBool::new(false))
        }
    }

    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// A guard goes.
    #[inline]
    pub(super) fn leave(&self, since: Since) {
        if !since.unwinding && park::panicking_by_panic() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// `value`, as std gives it out.
    #[inline]
    pub(super) fn result<T>(&self, value: T) -> LockResult<T> {
        if self.get() { Err(PoisonError::new(value)) } else { Ok(value) }
    }
}
