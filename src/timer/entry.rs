//! What a sleeper puts into the wheel: a node in its own stack frame.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::NonNull;

use crate::util::list::{Links, Listed};

/// One deadline of one waiter; linked into at most one [`Wheel`](super::Wheel) at a time.
///
/// It lives in the waiter's frame. While it is linked the wheel holds a pointer to it: it must not
/// move or die, and only shared references to it may exist (hence the cells). It belongs to the
/// thread of its wheel:
///
/// ```text
///           insert                  advance                 pop_expired
/// unlinked --------> in the wheel ----------> in the list ---------------> unlinked
///                         |      of the expired    |
///                         +------------------------+---------------------> unlinked
///                                          remove
/// ```
///
/// An entry may be inserted again once it is unlinked.
#[derive(Debug)]
pub(crate) struct Entry {
    links: Links<Entry>,
    /// The last deadline it was inserted with, in ns. Constant while linked.
    pub(super) deadline: Cell<u64>,
    /// Which of the wheel's lists holds it, or [`UNLINKED`]. The list itself can't tell: taking out
    /// a head, a tail or the last entry changes the list's own fields.
    pub(super) place: Cell<u16>,
    /// Whose deadline this is. The wheel hands it back and never looks behind it.
    owner: NonNull<()>,
    /// The wheel points here: neither `Unpin`, nor (by `NonNull`) `Send` or `Sync`.
    _pinned: PhantomPinned,
}

/// The [`Entry::place`] of an entry that is in no list.
pub(super) const UNLINKED: u16 = u16::MAX;

impl Entry {
    /// An unlinked entry. `owner` is what [`pop_expired`](super::Wheel::pop_expired) will return.
    pub(crate) const fn new(owner: NonNull<()>) -> Entry {
        Entry {
            links: Links::new(),
            deadline: Cell::new(0),
            place: Cell::new(UNLINKED),
            owner,
            _pinned: PhantomPinned,
        }
    }

    /// Whether a wheel holds it: inserted, and neither removed nor popped since. An entry that has
    /// expired counts as linked until it is popped.
    pub(crate) fn is_linked(&self) -> bool {
        self.place.get() != UNLINKED
    }

    /// What it was made with.
    pub(crate) fn owner(&self) -> NonNull<()> {
        self.owner
    }

    /// The deadline it was last inserted with, exactly (not rounded to a tick); 0 before that.
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.get()
    }
}

// SAFETY: a field, and only the wheel's lists use it.
unsafe impl Listed for Entry {
    #[inline]
    fn links(&self) -> &Links<Entry> {
        &self.links
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        debug_assert!(!self.is_linked(), "a timer entry died while it was linked");
    }
}
