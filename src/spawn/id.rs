//! Task ids.

use core::cell::Cell;
use core::fmt;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

/// The id of a task, or of a thread that is no task. Unique in the process; never used again.
///
/// Like [`std::thread::ThreadId`]. Ids of one spawner ascend; those of several are not in the order of
/// the spawns, since each thread takes them in blocks.
///
/// # Examples
/// ```
/// let a = layby::spawn(|| layby::task::current().id());
/// let id = a.task().id();
/// assert_eq!(a.join().unwrap(), id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId(pub(super) NonZeroU64);

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

/// How many ids a thread takes at a time: the counter is shared by all cores.
const BLOCK: u64 = 256;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The next id of this thread, and the end of its block.
    static MINE: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A fresh id.
#[inline]
pub(super) fn next() -> NonZeroU64 {
    let (mut id, mut end) = MINE.get();
    if id == end {
        // Relaxed: only uniqueness matters.
        id = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
        end = id + BLOCK;
    }
    MINE.set((id + 1, end));
    NonZeroU64::new(id).expect("ids start at 1, and 2^64 are never used up")
}

impl TaskId {
    pub(super) fn from_number(id: u64) -> TaskId {
        TaskId(NonZeroU64::new(id).expect("ids start at 1"))
    }
}
