//! `try_gather`: the first failure cancels the rest.

use super::iter::rethrow;
use crate::park;
use crate::scope::{Failure, ScopeError, try_scope};

/// As [`gather`](super::gather), for closures that can fail: the first `Err` cancels the others, and is returned when all have ended.
///
/// Further errors are dropped ([`try_scope`] keeps them). An empty iterator returns at once. See
/// [`try_gather!`](crate::try_gather!) for expressions.
///
/// # Cancellation
/// As [`gather`](super::gather).
///
/// # Errors
/// The first `Err`, by time.
///
/// # Panics
/// With the first panic of a closure, which cancels the others as an `Err` does.
///
/// # Examples
/// ```
/// let parse = |texts: &[&str]| layby::try_gather(texts.iter().map(|text| || text.parse::<i32>()));
/// assert_eq!(parse(&["1", "2"]), Ok(vec![1, 2]));
/// assert!(parse(&["1", "two"]).is_err());
/// ```
#[track_caller]
pub fn try_gather<I, F, T, E>(closures: I) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    let values = first_failure(try_scope(|s| {
        let tasks: Vec<_> = closures.into_iter().map(|f| s.spawn(f)).collect();
        // One that has failed has no value, and the scope knows why.
        Ok(tasks.into_iter().map(|task| task.join()).collect::<Vec<_>>())
    }))?;
    Ok(values.into_iter().map(|value| value.unwrap_or_else(|error| rethrow(error))).collect())
}

/// What a `try_gather` makes of its scope's error.
pub(super) fn first_failure<T, E>(result: Result<T, ScopeError<E>>) -> Result<T, E> {
    let error = match result {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut first = None;
    for failure in error {
        match failure {
            Failure::Panic(error) => park::rethrow(error.into()),
            Failure::Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.expect("a scope that has failed has a failure"))
}
