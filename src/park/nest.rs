//! Where the running task has children that are cancelled with it. What that means, and why nothing is missed: `fiber::nest`.

use std::sync::Arc;

use super::cancel;
use crate::fiber::{Brood, Header, Nest};
use crate::sched;

/// Runs `f`, which has `brood` for children: a cancellation of the running task reaches them at once, from `f`'s begin to its end,
/// unless there is a shield around `f`. (Not of a thread that is no task: that is not cancelled.)
#[inline]
pub(crate) fn nested<T>(brood: Arc<dyn Brood>, f: impl FnOnce() -> T) -> T {
    let Some((worker, task)) = sched::current() else { return f() };
    // Built with `panic = "abort"` a parent waits on as if not cancelled, and so its children must not be.
    if cfg!(not(panic = "unwind")) {
        return f();
    }
    cancel::look(&worker.unwinding, task);
    let nest = Nest::new(task, brood);
    // SAFETY: it stays where it is, and is closed below, whichever way `f` ends. What was opened inside was closed in the same way.
    unsafe { open(task, &nest) };
    let _close = Close(task, &nest);
    f()
}

/// # Safety
/// As `Nests::open`.
#[inline(never)]
pub(crate) unsafe fn open(task: &Header, nest: &Nest) {
    // SAFETY: by this function's contract.
    unsafe { task.nests.open(nest) };
    // Step 1, the other half: it may have been cancelled since it last looked.
    if task.state.is_cancelled() {
        tell(task, Nest::is_free);
    }
}

/// Cancels the children of the open nests that `which` picks.
#[cold]
pub(super) fn tell(task: &Header, which: impl Fn(&Nest) -> bool) {
    while let Some(brood) = task.nests.claim(&which) {
        sched::cancel_brood(&*brood, true);
    }
}

struct Close<'a>(&'a Header, &'a Nest);

impl Drop for Close<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        // SAFETY: opened in `nested`, which is still there.
        unsafe { self.0.nests.close(self.1) };
    }
}
