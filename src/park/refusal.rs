//! Built with `panic = "abort"`: what becomes of a cancellation, and of a timeout that has passed, where nothing can unwind.
//!
//! An operation that returns an `io::Result` fails where it would unwind otherwise: it calls [`refuse_if_due`] at its begin, and
//! after each wait that may have been cut short, which is one made inside of [`fallibly`]. All others wait on as if nothing had
//! come. So the word that a suspension point looks at stays the same; only `park` accepts a `CANCEL` in fewer waits.
//!
//! In other builds there is nothing left of this.

use std::io;

use super::cancel::look;
use super::frames::{Target, View, look_at_clock};
use super::thread;
use crate::sched;

/// In a build that cannot unwind: the error of an operation whose task is cancelled (`Other`), or whose time is over
/// (`TimedOut`). Never `Interrupted`, upon which std's callers would try again.
#[inline(always)]
pub(crate) fn refuse_if_due() -> io::Result<()> {
    if cfg!(panic = "unwind") { Ok(()) } else { refuse_now() }
}

#[cold]
fn refuse_now() -> io::Result<()> {
    let judge = |view: View| match view.due() {
        None => Ok(()),
        Some(Target::Frame(number)) if view.is_timed(number) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the deadline has passed"))
        }
        Some(_) => Err(io::Error::other("the task was cancelled")),
    };
    match sched::current() {
        Some((worker, task)) => {
            look_at_clock(worker, task, worker.now());
            look(&worker.unwinding, task);
            judge(View::of_task(task))
        }
        None => thread::state(|thread| judge(View::of_thread(thread))),
    }
}

/// Calls `wait`, which may end as cancelled in any build.
#[cfg(not(panic = "unwind"))]
pub(super) fn fallibly<R>(wait: impl FnOnce() -> R) -> R {
    let set = |on| {
        if let Some((_, task)) = sched::current() {
            task.fallible.set(on);
        }
    };
    set(true);
    let result = wait();
    set(false);
    result
}

#[cfg(panic = "unwind")]
#[inline(always)]
pub(super) fn fallibly<R>(wait: impl FnOnce() -> R) -> R {
    wait()
}
