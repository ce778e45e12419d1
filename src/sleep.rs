//! Sleeping.

use crate::instant::Instant;
use crate::park::{self, Deadline};
use core::time::Duration;

/// Puts the current task to sleep for at least `dur`; the other tasks of its worker run meanwhile.
///
/// Like [`std::thread::sleep`], except: only the task waits, not the OS thread. On a thread that is no task
/// it blocks the thread.
///
/// It never wakes early. How late it wakes is a matter of tens of microseconds on an idle worker, and of what
/// the other tasks of the worker do on a busy one. A zero duration is a [`yield_now`](crate::yield_now).
/// A duration that ends beyond the range of the clock, such as [`Duration::MAX`], never ends.
///
/// # Cancellation
/// A suspension point: a cancelled task unwinds from here, at once.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// layby::run(|| {
///     let start = Instant::now();
///     let tasks: Vec<_> = (0..100)
///         .map(|_| layby::spawn(|| layby::sleep(Duration::from_millis(50))))
///         .collect();
///     for task in tasks {
///         task.join().unwrap();
///     }
///     assert!(start.elapsed() >= Duration::from_millis(50));
/// });
/// ```
#[inline(always)]
pub fn sleep(dur: Duration) {
    if dur.is_zero() {
        park::yield_now();
    } else {
        park::sleep_until(Deadline::after(dur));
    }
}

/// Puts the current task to sleep until `deadline` at least. One that is past is a
/// [`yield_now`](crate::yield_now). Takes std's [`Instant`](std::time::Instant), or [layby's](crate::time::Instant).
///
/// # Cancellation
/// As [`sleep`].
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// layby::run(|| {
///     let next = Instant::now() + Duration::from_millis(5);
///     layby::sleep_until(next);
///     assert!(Instant::now() >= next);
/// });
/// ```
#[inline(always)]
pub fn sleep_until(deadline: impl Into<Instant>) {
    let (deadline, now) = (deadline.into(), Instant::now());
    if deadline <= now {
        park::yield_now();
    } else {
        park::sleep_until(Deadline::after(deadline - now));
    }
}
