//! A lock of one byte for critical sections of a few instructions.
//!
//! Taking it is one atomic exchange, giving it back one plain store: half of what a mutex costs, whose unlock must ask
//! in the same step whether somebody sleeps. So nobody sleeps on this one. Who finds it taken spins
//! for some hundred nanoseconds; if it is taken still, its holder was descheduled by the kernel, and the waiter gives the
//! processor away, at last for [`NAP`] at a time. All of it waits for a holder that is about to run: no task can park, run user code,
//! allocate or make a syscall while it holds one.
//!
//! Two tasks of one worker never meet here: a task that holds the lock does not switch.

#[cfg(all(test, loom))]
mod loom;

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};

use super::atomic::{AtomicBool, Ordering};

/// How often a waiter looks before it gives the processor away.
#[cfg(not(loom))]
const SPINS: u32 = 100;
/// How often it does so before it naps.
#[cfg(not(loom))]
const YIELDS: u32 = 20;
/// Long beside a time slice of the holder's, short beside a second.
#[cfg(not(loom))]
const NAP: core::time::Duration = core::time::Duration::from_micros(50);

/// The lock.
pub(crate) struct SpinLock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// What holds it.
#[must_use]
pub(crate) struct SpinGuard<'a, T>(&'a SpinLock<T>);

impl<T> SpinLock<T> {
    pub(crate) fn new(value: T) -> SpinLock<T> {
        SpinLock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[inline(always)]
    pub(crate) fn lock(&self) -> SpinGuard<'_, T> {
        if !self.try_take() {
            self.wait();
        }
        SpinGuard(self)
    }

    #[cfg(not(loom))]
    #[inline(always)]
    fn try_take(&self) -> bool {
        // Acquire pairs with the Release of the guard's drop.
        !self.locked.swap(true, Ordering::Acquire)
    }

    /// To loom, the store that gives the lock back does not come after the exchange of one who found it taken: he could find it
    /// taken for ever. So there he writes nothing.
    #[cfg(loom)]
    fn try_take(&self) -> bool {
        // As above.
        self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let mut looks = 0;
        loop {
            back_off(looks);
            looks += 1;
            // Relaxed: only a hint.
            if !self.locked.load(Ordering::Relaxed) && self.try_take() {
                return;
            }
        }
    }
}

#[cfg(not(loom))]
fn back_off(looks: u32) {
    match looks {
        0..SPINS => core::hint::spin_loop(),
        _ if looks < SPINS + YIELDS => std::thread::yield_now(),
        _ => std::thread::sleep(NAP),
    }
}

#[cfg(loom)]
fn back_off(_looks: u32) {
    ::loom::thread::yield_now();
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the lock held, so nobody else has a reference.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and this is the only guard.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release pairs with the Acquire of the next `lock`.
        self.0.locked.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SpinGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinGuard").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let lock = SpinLock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| *lock.lock() += 1));
            }
        });
        assert_eq!(*lock.lock(), 40_000);
    }
}
