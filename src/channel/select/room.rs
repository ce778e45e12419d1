//! Where a select keeps a message whose type it does not know: in place if it is small, else in a box.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::MaybeUninit;

/// What fits in place.
type Small = [MaybeUninit<usize>; 4];

/// Room for one message. It does not know whether one is there, so it drops none.
pub(crate) struct Room {
    small: UnsafeCell<Small>,
    /// A box without its type, and what frees it.
    large: Cell<Option<Large>>,
}

type Large = (*mut (), unsafe fn(*mut ()));

/// # Safety
/// `boxed` came from a `Box<MaybeUninit<T>>`, and is not used again.
unsafe fn free<T>(boxed: *mut ()) {
    // SAFETY: says the caller.
    drop(unsafe { Box::from_raw(boxed.cast::<MaybeUninit<T>>()) });
}

impl Room {
    #[inline]
    pub(super) const fn new() -> Room {
        Room { small: UnsafeCell::new([const { MaybeUninit::uninit() }; 4]), large: Cell::new(None) }
    }

    /// Room for a `T`, always the same until it is moved. Asked for one `T` only.
    #[inline]
    pub(super) fn place<T>(&self) -> *mut T {
        if size_of::<T>() <= size_of::<Small>() && align_of::<T>() <= align_of::<Small>() {
            return self.small.get().cast();
        }
        if let Some((boxed, _)) = self.large.get() {
            return boxed.cast();
        }
        let boxed: *mut T = Box::into_raw(Box::<T>::new_uninit()).cast();
        self.large.set(Some((boxed.cast(), free::<T>)));
        boxed
    }

    /// Moves the room, with what is in it. What stays is empty.
    pub(super) fn take(&self) -> Room {
        // SAFETY: nobody has a reference into it; and any bytes are good.
        let small = unsafe { *self.small.get() };
        Room { small: UnsafeCell::new(small), large: Cell::new(self.large.take()) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some((boxed, free)) = self.large.take() {
            // SAFETY: `place` has made both, and this is the last use.
            unsafe { free(boxed) };
        }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
