//! The panic hook: how a task that panics by itself is known to unwind.
//!
//! std shows only whether *some* panic is under way on the thread. While a task is parked in a destructor, mid-unwind, that
//! says nothing of the others. So the runtime puts a hook in front of the one that is there: it runs on the stack of the
//! task that panics, before any destructor, and marks the task. (A program that sets a hook of its own later, without
//! calling the one before, takes this away; then a task that panics in the said situation is not known to unwind.)
//!
//! It also notes that the task is inside a hook. A task cannot wait there: std would take the next panic of any task on the
//! thread for a panic inside the hook, and abort.

use std::panic;
use std::sync::Mutex;
use std::thread;

use super::worker::current;

/// Puts the hook in front, once in the process.
pub(super) fn install() {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    // std does not let a panicking thread change the hook: the next start does it.
    if thread::panicking() {
        return;
    }
    let Ok(mut installed) = INSTALLED.lock() else { return };
    if core::mem::replace(&mut *installed, true) {
        return;
    }
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let Some((_, task)) = current() else { return previous(info) };
        task.unwinding.set(true);
        task.by_panic.set(true);
        // The payload of an earlier throw, dropped from now on, does not mean that the unwinding is over.
        task.unwind.set(task.next_number());
        task.in_hook.set(true);
        previous(info);
        task.in_hook.set(false);
    }));
}
