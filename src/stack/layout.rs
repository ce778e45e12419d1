//! Where things lie in a slot: arithmetic only, no memory.

use std::io;

use super::{GUARD_SIZE, MIN_SIZE};

/// Colours that stacks of a class go through before the first comes again.
pub(super) const COLOURS: usize = 32;

/// Bytes from one colour to the next: a cache line.
const COLOUR_STEP: usize = 64;

// The largest colour fits the one page added for it, also where pages are smallest.
const _: () = assert!((COLOURS - 1) * COLOUR_STEP < 4096);
// Colours keep the alignment that every ABI asks of a stack.
const _: () = assert!(COLOUR_STEP.is_multiple_of(16));

/// The layout of one size class. See the picture in [`crate::stack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes at the low end that fault. Whole pages.
    pub(super) guard: usize,
    /// Bytes promised to the user of the stack. Whole pages, at least [`MIN_SIZE`].
    pub(super) size: usize,
    /// Bytes from one slot to the next: an odd number of pages, at least a page more than guard
    /// and size together.
    pub(super) stride: usize,
}

impl Layout {
    /// The layout for stacks of `size` bytes; `None` if no address space can hold one.
    pub(super) fn new(size: usize, page: usize) -> Option<Layout> {
        let guard = GUARD_SIZE.checked_next_multiple_of(page)?;
        let size = Self::round(size, page)?;
        let colour = page;
        let pages = guard.checked_add(size)?.checked_add(colour)? / page;
        let stride = (pages | 1).checked_mul(page)?;
        // Pointers reach no further than this from the start of a mapping.
        isize::try_from(stride).ok()?;
        Some(Layout { guard, size, stride })
    }

    /// Bytes of so many slots.
    ///
    /// # Errors
    /// `OutOfMemory` if that is more than pointers can span.
    pub(super) fn span(&self, count: u32) -> io::Result<usize> {
        let len = self.stride.checked_mul(count as usize);
        len.filter(|&len| isize::try_from(len).is_ok()).ok_or(io::ErrorKind::OutOfMemory.into())
    }

    /// The size class that serves a request of `size` bytes; `None` on overflow.
    pub(super) fn round(size: usize, page: usize) -> Option<usize> {
        size.max(MIN_SIZE).checked_next_multiple_of(page)
    }

    /// How far below the end of its slot the stack with this ordinal (in its class) starts.
    pub(super) fn colour(ordinal: usize) -> usize {
        ordinal % COLOURS * COLOUR_STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{DEFAULT_SIZE, ROOT_SIZE};

    #[test]
    fn sizes_round_up_to_pages_and_to_the_minimum() {
        assert_eq!(Layout::round(0, 4096), Some(MIN_SIZE));
        assert_eq!(Layout::round(MIN_SIZE, 4096), Some(MIN_SIZE));
        assert_eq!(Layout::round(MIN_SIZE + 1, 4096), Some(MIN_SIZE + 4096));
        assert_eq!(Layout::round(DEFAULT_SIZE, 4096), Some(DEFAULT_SIZE));
        assert_eq!(Layout::round(MIN_SIZE, 65536), Some(65536));
    }

    #[test]
    fn stride_is_odd_and_holds_guard_size_and_colour() {
        for page in [4096, 16384, 65536] {
            for size in (0..4 << 20).step_by(1000).chain([ROOT_SIZE, 1 << 30]) {
                let l = Layout::new(size, page).unwrap();
                assert_eq!(l.stride % page, 0);
                assert_eq!(l.stride / page % 2, 1, "{l:?}");
                assert!(l.size >= size && l.size >= MIN_SIZE && l.guard >= GUARD_SIZE);
                assert!(l.stride >= l.guard + l.size + page);
                assert!(l.stride <= l.guard + l.size + 2 * page);
            }
        }
        // 64 KiB + 256 KiB + a page for the colour is odd already.
        assert_eq!(Layout::new(DEFAULT_SIZE, 4096).unwrap().stride, 324 * 1024);
    }

    #[test]
    fn what_no_address_space_holds_has_no_layout() {
        for size in [usize::MAX, usize::MAX - 4096, usize::MAX - (1 << 20), isize::MAX as usize] {
            assert_eq!(Layout::new(size, 4096), None);
        }
    }

    #[test]
    fn colours_are_distinct_cache_lines() {
        let mut seen: Vec<usize> = (5..5 + COLOURS).map(Layout::colour).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), COLOURS);
        assert_eq!(Layout::colour(COLOURS), Layout::colour(0));
    }
}
