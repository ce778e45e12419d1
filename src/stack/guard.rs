//! The two kinds of guard, and the budget of mappings for the kind that costs some.
//!
//! A process whose last mapping went into a stack's guard is as good as dead: the next large
//! `malloc` fails, the next thread does not start. So protection guards stop while a sixteenth of
//! `vm.max_map_count` is still free. The count is per process, over all pools.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io};

use super::error::{Exhausted, What};
use crate::sys::mem;

/// How the guards below stacks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Markers in the page table: no mapping spent, Linux 6.13 and later.
    Marker,
    /// `mprotect`: two mappings a stack, so some 30,000 stacks at stock settings.
    Protect,
}

impl Guard {
    /// Markers if the kernel has them.
    pub(crate) fn detect() -> Guard {
        if mem::markers_supported() { Guard::Marker } else { Guard::Protect }
    }

    /// Guards the range and tells how: markers are refused for locked memory by some kernels, in
    /// which case protection steps in. `size` is that of the stack, for the error.
    ///
    /// # Safety
    ///
    /// As [`mem::guard_marker`].
    pub(super) unsafe fn install(self, start: NonNull<u8>, len: usize, size: usize) -> io::Result<Guard> {
        if self == Guard::Marker {
            // SAFETY: the caller's promise is the one asked for.
            match unsafe { mem::guard_marker(start, len) } {
                Ok(()) => return Ok(Guard::Marker),
                Err(e) if mem::is_enomem(&e) => {
                    return Err(Exhausted::error(What::PageTables, size, Some(e)));
                }
                Err(e) if !mem::is_einval(&e) => return Err(e),
                Err(_) => {}
            }
        }
        if !claim() {
            return Err(mappings_error(size, None));
        }
        // SAFETY: the caller's promise is the one asked for.
        match unsafe { mem::guard_protect(start, len) } {
            Ok(()) => Ok(Guard::Protect),
            Err(e) => {
                release(1);
                Err(if mem::is_enomem(&e) { mappings_error(size, Some(e)) } else { e })
            }
        }
    }
}

/// Protection guards in this process. A mere count, it publishes nothing: Relaxed throughout.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);

/// Takes one guard from the budget, if there is one.
fn claim() -> bool {
    if PROTECTED.fetch_add(1, Ordering::Relaxed) < budget(map_limit()) {
        return true;
    }
    release(1);
    false
}

/// Returns guards to the budget, whose mappings are gone.
pub(super) fn release(guards: usize) {
    PROTECTED.fetch_sub(guards, Ordering::Relaxed);
}

/// Guards to be had of a given number of mappings: two each, a sixteenth left over.
fn budget(limit: usize) -> usize {
    (limit - limit / 16) / 2
}

/// `vm.max_map_count` as it was at the first guard, or the stock value if the system hides it.
fn map_limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65_530)
    })
}

fn mappings_error(size: usize, source: Option<io::Error>) -> io::Error {
    Exhausted::error(What::Mappings { limit: map_limit() }, size, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_agrees_with_the_kernel() {
        assert_eq!(Guard::detect() == Guard::Marker, mem::markers_supported());
    }

    #[test]
    fn budget_leaves_a_sixteenth() {
        assert_eq!(budget(65_530), 30_717);
        assert_eq!(budget(0), 0);
    }
}
