//! `OnceLock`.

use core::cell::UnsafeCell;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use super::Once;
use crate::park;
use crate::util::atomic::const_fn;

/// A cell that is written once.
///
/// Like [`std::sync::OnceLock`], except: only the calling task waits for another's closure, not its worker. A closure of
/// [`get_or_init`](OnceLock::get_or_init) that is left by a [cancellation](crate::JoinHandle::cancel) leaves the cell empty, and the next
/// that waits runs its own.
///
/// # Examples
/// ```
/// use layby::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get(), None);
/// assert_eq!(CONFIG.get_or_init(|| "default".into()), "default");
/// assert!(CONFIG.set("other".into()).is_err());
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// Written by the closure of `once`; `Some` from its completion on. An `Option`, so that it drops itself: then the cell may
    /// hold what ends at the same time as it.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is shared, and may be dropped by another thread than wrote it.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: it owns the value; the rest is `Send`.
unsafe impl<T: Send> Send for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    const_fn! {
        /// An empty cell.
        #[inline]
        #[must_use]
        pub const fn new() -> OnceLock<T> {
            OnceLock { once: Once::new(), value: UnsafeCell::new(None) }
        }
    }

    /// The value, if it is there. Never waits for it; but a task that asks in vain again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if the value is not there.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        let value = self.look();
        if value.is_none() {
            park::in_vain();
        }
        value
    }

    /// [`get`](OnceLock::get), but no suspension point.
    #[inline]
    fn look(&self) -> Option<&T> {
        if !self.once.has_completed() {
            return None;
        }
        // SAFETY: completed, so nobody writes while the cell is shared.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value, if it is there.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until the value is there.
    ///
    /// # Cancellation
    /// A suspension point if it is not there yet.
    #[inline]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.completed()
    }

    /// Writes the value, unless there is one; waits if another is being made.
    ///
    /// # Cancellation
    /// A suspension point if it has to wait.
    ///
    /// # Errors
    /// With `value`, if there is one already.
    #[inline]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("the closure runs once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; `f` makes it if it is not there. Waits while another makes it.
    ///
    /// # Cancellation
    /// A suspension point if it has to wait. If `f` is left by a cancellation the cell stays empty.
    ///
    /// # Panics
    /// With the panic of `f`; the cell stays empty.
    #[inline]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: this closure runs in one task at a time, and nobody reads before it has returned.
            unsafe { *self.value.get() = Some(value) };
        });
        self.completed()
    }

    fn completed(&self) -> &T {
        self.look().expect("completed")
    }

    /// The value, if it is there.
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out; the cell is empty then.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        self.once = Once::new();
        self.value.get_mut().take()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut d = f.debug_tuple("OnceLock");
        match self.look() {
            Some(value) => d.field(value),
            None => d.field(&format_args!("<uninit>")),
        };
        d.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.look().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let cell = OnceLock::new();
        let set = cell.set(value);
        debug_assert!(set.is_ok());
        cell
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.look() == other.look()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
