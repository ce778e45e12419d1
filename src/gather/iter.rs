//! The functions, over any number of closures of one type.

use core::panic::Location;

use crate::park::Reason;
use crate::scope::{ScopedJoinHandle, scope};
use crate::spawn::JoinError;
use crate::sync::{Button, Doorbell};

/// Runs closures concurrently, each in a task, and returns their results in the order of the closures.
///
/// They may borrow from the caller. An empty iterator returns at once.
///
/// # Cancellation
/// A suspension point. If the caller is cancelled, so are the closures, and it unwinds when all have ended.
///
/// # Panics
/// With the first panic in order of input, after all have ended.
///
/// # Examples
/// ```
/// let words = ["one", "three", "five"];
/// let lengths = layby::gather(words.iter().map(|word| || word.len()));
/// assert_eq!(lengths, [3, 5, 4]);
/// ```
#[track_caller]
pub fn gather<I, F, T>(closures: I) -> Vec<T>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    all(results(Location::caller(), closures))
}

/// As [`gather`], but each result says for itself whether its closure returned or panicked.
///
/// # Cancellation
/// As [`gather`].
///
/// # Examples
/// ```
/// # std::panic::set_hook(Box::new(|_| {}));
/// let results = layby::gather_results([1, 0].map(|n: i32| move || 10 / n));
/// assert_eq!(*results[0].as_ref().unwrap(), 10);
/// assert!(results[1].as_ref().unwrap_err().is_panic());
/// ```
#[track_caller]
pub fn gather_results<I, F, T>(closures: I) -> Vec<Result<T, JoinError>>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    results(Location::caller(), closures)
}

/// As [`gather`], with at most `limit` of them at a time. The iterator is asked for the next closure when there
/// is room for it.
///
/// # Cancellation
/// As [`gather`].
///
/// # Panics
/// As [`gather`]; closures after the panicking one are run, too. If `limit` is 0.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let running = AtomicUsize::new(0);
/// let most = layby::gather_limit(3, (0..20).map(|_| || {
///     let now = running.fetch_add(1, Ordering::SeqCst) + 1;
///     layby::yield_now();
///     running.fetch_sub(1, Ordering::SeqCst);
///     now
/// }));
/// assert!(most.into_iter().max() <= Some(3));
/// ```
#[track_caller]
pub fn gather_limit<I, F, T>(limit: usize, closures: I) -> Vec<T>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    assert!(limit > 0, "gather_limit with a limit of 0 would never run anything");
    let place = Location::caller();
    let mut bell = Doorbell::new();
    all(scope(|s| {
        let mut tasks = Vec::new();
        for (index, f) in closures.into_iter().enumerate() {
            if index >= limit {
                // One ring for each closure that has ended: there are at most `limit` that have not rung.
                bell.wait(Reason::Gather);
            }
            let ring = RingOnDrop(bell.button());
            tasks.push(s.spawn_at(place, move || {
                let _ring = ring;
                f()
            }));
        }
        s.settle();
        tasks.into_iter().map(ScopedJoinHandle::result).collect()
    }))
}

struct RingOnDrop(Button);

impl Drop for RingOnDrop {
    fn drop(&mut self) {
        self.0.ring();
    }
}

fn results<I, F, T>(place: &'static Location<'static>, closures: I) -> Vec<Result<T, JoinError>>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send,
    T: Send,
{
    scope(|s| {
        let tasks: Vec<_> = closures.into_iter().map(|f| s.spawn_at(place, f)).collect();
        s.settle();
        tasks.into_iter().map(ScopedJoinHandle::result).collect()
    })
}

/// The values, or the first panic. All have ended.
fn all<T>(results: Vec<Result<T, JoinError>>) -> Vec<T> {
    let mut values = Vec::with_capacity(results.len());
    let mut failure = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        None => values,
        Some(error) => rethrow(error),
    }
}

/// A child's panic goes on in the caller.
#[cold]
pub(super) fn rethrow(error: JoinError) -> ! {
    if error.is_panic() {
        crate::park::rethrow(error.into_panic());
    }
    // Only the end of the runtime cancels a child whose parent is not cancelled.
    crate::park::check_cancelled();
    panic!("a task of a gather was cancelled: {error}")
}
