//! `race`: the first of several closures to finish wins.

#![forbid(unsafe_code)]

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::park::{self, Reason};
use crate::scope::scope;
use crate::sync::{Button, Doorbell};

/// Runs closures concurrently, each in a task, until the first has finished, and returns its value.
///
/// The others are cancelled, and have ended when it returns; so they may borrow from the caller, and what they hold is
/// released. Values of those that finish all the same are dropped. See [`race!`](crate::race!) for expressions.
///
/// # Cancellation
/// A suspension point. If the caller is cancelled, so are the closures, and it unwinds when all have ended.
///
/// # Panics
/// With the panic of a closure: the first to finish, or another one, which then takes the place of the value. If there are no
/// closures.
///
/// # Examples
/// ```
/// use layby::sleep;
/// use std::time::Duration;
///
/// let mirrors = [("far", 500), ("near", 5), ("lost", 1000)];
/// let first = layby::race(mirrors.map(|(name, distance)| {
///     move || {
///         sleep(Duration::from_millis(distance));
///         name
///     }
/// }));
/// assert_eq!(first, "near");
/// ```
#[track_caller]
pub fn race<I, F, T>(closures: I) -> T
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    let first = Mutex::new(None);
    let mut bell = Doorbell::new();
    scope(|s| {
        let mut running = 0;
        for f in closures {
            running += 1;
            let (ring, first) = (RingOnDrop(bell.button()), &first);
            s.spawn(move || {
                let _ring = ring;
                finish(first, catch_unwind(AssertUnwindSafe(f)));
            });
        }
        assert!(running > 0, "a race of nobody has no winner");
        // The bell rings once for each that has ended; one that somebody has cancelled has not finished.
        while running > 0 && is_empty(&first) {
            bell.wait(Reason::Gather);
            running -= 1;
        }
        s.cancel();
    });
    let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    if first.is_none() {
        // With the caller, if it is the deadlock report that has cancelled them.
        park::check_cancelled();
    }
    match first.expect("the tasks of a race were cancelled") {
        Ok(value) => value,
        Err(payload) => park::rethrow(payload),
    }
}

type First<T> = Mutex<Option<thread::Result<T>>>;

fn is_empty<T>(first: &First<T>) -> bool {
    first.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

/// In a task of the race: this is how its closure has ended.
fn finish<T>(first: &First<T>, result: thread::Result<T>) {
    let late = match result {
        Err(payload) if park::is_cancellation(&*payload) => park::rethrow(payload),
        result => {
            let mut place = first.lock().unwrap_or_else(PoisonError::into_inner);
            match *place {
                None => {
                    *place = Some(result);
                    return;
                }
                Some(_) => result,
            }
        }
    };
    // Too late. A value is dropped; a panic is the scope's.
    if let Err(payload) = late {
        park::rethrow(payload);
    }
}

struct RingOnDrop(Button);

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// One expression of a `race!`, as closures of one type.
#[doc(hidden)]
pub fn lane<'a, F, T>(f: F) -> Box<dyn FnOnce() -> T + Send + 'a>
where
    F: FnOnce() -> T + Send + 'a,
{
    Box::new(f)
}
