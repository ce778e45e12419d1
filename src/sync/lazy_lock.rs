//! `LazyLock`.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::Once;
use crate::park::Mask;
use crate::util::atomic::const_fn;

/// A value that is made when it is first asked for.
///
/// Like [`std::sync::LazyLock`], except: only the calling task waits for another that makes it, not its worker.
///
/// # Cancellation
/// Asking for the value is a suspension point while another makes it. The closure itself is shielded: a cancellation of the task that runs it waits
/// for its end. (It exists once; were it left half way, there would never be a value.)
///
/// # Examples
/// ```
/// use layby::sync::LazyLock;
///
/// static NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| (0..3).collect());
/// assert_eq!(NUMBERS.len(), 3);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: Once,
    data: UnsafeCell<Data<T, F>>,
}

enum Data<T, F> {
    Closure(F),
    /// From the completion of `once` on.
    Value(T),
    /// The closure runs, or it was left.
    Neither,
}

// SAFETY: the value is shared, and may be dropped by another thread than made it; the closure is called by one.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}
impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    const_fn! {
        /// A value that `f` will make.
        #[inline]
        pub const fn new(f: F) -> LazyLock<T, F> {
            LazyLock { once: Once::new(), data: UnsafeCell::new(Data::Closure(f)) }
        }
    }

    /// The value, made now if it has to be. As `&*this`.
    ///
    /// # Cancellation
    /// A suspension point while another makes it.
    ///
    /// # Panics
    /// With the panic of the closure; and from then on always.
    #[inline]
    #[track_caller]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.once.call_once_force(|_| {
            // SAFETY: this closure runs in one task at a time, and nobody reads before it has returned.
            let data = unsafe { &mut *this.data.get() };
            // Not there: it has panicked, or what it was left by was a payload of layby's that somebody had kept.
            let Data::Closure(f) = mem::replace(data, Data::Neither) else {
                panic!("LazyLock instance has previously been poisoned");
            };
            let shield = Mask::new();
            *data = Data::Value(f());
            drop(shield);
        });
        LazyLock::get(this).expect("completed")
    }

    /// The value, made now if it has to be. As `&mut *this`.
    ///
    /// # Panics
    /// As [`force`](LazyLock::force).
    #[inline]
    #[track_caller]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        LazyLock::force(this);
        LazyLock::get_mut(this).expect("completed")
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made.
    #[inline]
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        match this.data.get_mut() {
            Data::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The value, if it has been made. Never waits.
    #[inline]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        if !this.once.has_completed() {
            return None;
        }
        // SAFETY: completed, so nobody writes while it is shared.
        match unsafe { &*this.data.get() } {
            Data::Value(value) => Some(value),
            _ => None,
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}
