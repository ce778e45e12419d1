//! Asking a program what its tasks are doing.

use std::sync::Arc;

use crate::blocking;
use crate::dump::TaskDump;
use crate::park::{self, Reason};
use crate::sched::{self, Shared};

/// What every task of the process is doing: its state, what it waits for and how long it has, where it was spawned, and its
/// backtrace. Of all runtimes; [`Runtime::dump`](super::Runtime::dump) is of one.
///
/// From any task, and any other thread. Each worker asks its own tasks, and runs others in between: it is held for about a
/// millisecond at a time. Names for the addresses are looked up elsewhere. A worker that one of its tasks keeps busy is waited for a tenth of a second;
/// then its tasks are listed as they look from outside, without what only they can say.
///
/// It is no moment at which all stood still: each task is seen at a moment of its own.
///
/// Costs nothing while nobody asks. Functions are named as far as the program has symbols; with `debug = "limited"` in the profile there
/// are lines, too.
///
/// The caller waits: a task parks. (In a panic hook its worker counts as busy.)
///
/// # Cancellation
/// Not a suspension point.
///
/// # Examples
/// ```
/// use layby::{go, runtime, sync::Event};
/// use std::sync::Arc;
///
/// layby::run(|| {
///     let event = Arc::new(Event::new());
///     let waiter = go!(layby::task::Builder::new().name("waiter".into()), {
///         let event = event.clone();
///         move || event.wait()
///     });
///     layby::yield_now();
///     let dump = runtime::dump();
///     println!("{dump}");
///     assert!(dump.tasks().iter().any(|task| task.name() == Some("waiter")));
///     event.set();
///     waiter.join().unwrap();
/// });
/// ```
pub fn dump() -> TaskDump {
    of(sched::runtimes)
}

/// Of these runtimes.
pub(super) fn of(runtimes: impl FnOnce() -> Vec<Arc<Shared>> + Send) -> TaskDump {
    let ask = || sched::dump(&runtimes());
    // Inside a panic hook no task can wait: there it is a busy worker's.
    if park::is_in_hook() { ask() } else { blocking::unblock_for(Reason::Dump, ask) }
}
