//! Return addresses, and nothing else: no lock, no names.

use core::ops::Range;

/// Appends the return addresses of the stack that the caller runs on, from the inside out: from the first frame that does not lie in `skip`,
/// to the last one in `stack`. Returns the lowest address in use of `stack`.
///
/// Other stacks may lie between the two, as those of generators do.
pub(crate) fn trace(addresses: &mut Vec<usize>, skip: Range<usize>, stack: Range<usize>) -> Option<usize> {
    let mut lowest = None;
    let frame = |frame: &backtrace::Frame| {
        let sp = frame.sp().addr();
        if skip.contains(&sp) {
            return true;
        }
        if stack.contains(&sp) {
            lowest.get_or_insert(sp);
        } else if lowest.is_some() {
            return false;
        }
        addresses.push(frame.ip().addr());
        addresses.len() < MOST
    };
    // SAFETY: what would have to be synchronized are other systems' tables; on Linux the unwinder of the C library is called, which
    // any thread may do at any time.
    unsafe { backtrace::trace_unsynchronized(frame) };
    lowest
}

/// The deepest recursions are cut off.
const MOST: usize = 256;
