//! The macros. They expand to no `unsafe`.

/// Spawns a task: `go!(closure)` is [`spawn(closure)`](crate::spawn()), `go!(x, closure)` is
/// `x.spawn(closure)` for a task [`Builder`](crate::task::Builder), a [`Scope`](crate::task::Scope), a
/// [`Group`](crate::task::Group) or a [`Runtime`](crate::Runtime).
///
/// # Panics
/// Where the `spawn` of a [`Builder`](crate::task::Builder) returns an error.
///
/// # Examples
/// ```
/// use layby::go;
///
/// let task = go!(|| 40 + 2);
/// assert_eq!(task.join().unwrap(), 42);
///
/// let named = go!(layby::task::Builder::new().name("adder".into()), || 1 + 1);
/// assert_eq!(named.join().unwrap(), 2);
/// ```
#[macro_export]
macro_rules! go {
    ($closure:expr $(,)?) => {
        $crate::spawn($closure)
    };
    ($spawner:expr, $closure:expr $(,)?) => {
        $crate::__private::Spawned::handle($spawner.spawn($closure))
    };
}

/// Runs expressions concurrently, each in a task of its own, and returns the tuple of their values.
///
/// They may borrow from the caller, as in [`std::thread::scope`], and must be `Send` as there.
/// `?`, `return` and `break` belong to the expression that they are in. Up to 16 expressions.
///
/// # Cancellation
/// A suspension point. If the caller is cancelled, so are the expressions, and it unwinds when all have ended.
///
/// # Panics
/// With the first panic in order of the expressions, after all have ended.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let name = String::from("layby");
/// let (length, upper) = layby::gather!(
///     {
///         layby::sleep(Duration::from_millis(5));
///         name.len()
///     },
///     name.to_uppercase(),
/// );
/// assert_eq!((length, upper.as_str()), (5, "LAYBY"));
/// ```
///
/// What is not `Send` is refused:
/// ```compile_fail
/// let rc = std::rc::Rc::new(1);
/// layby::gather!(*rc, *rc);
/// ```
#[macro_export]
macro_rules! gather {
    () => {
        ()
    };
    ($($value:expr),+ $(,)?) => {
        $crate::__private::Tuple::gather(($(|| $value,)+))
    };
}

/// As [`gather!`], on the caller's worker: the expressions need not be `Send`.
///
/// # Panics
/// As [`gather!`]; on a thread that is no worker.
///
/// # Examples
/// ```
/// use std::rc::Rc;
///
/// layby::run(|| {
///     let shared = Rc::new(20);
///     let (a, b) = layby::gather_local!(*shared + 1, *shared + 2);
///     assert_eq!(a + b, 43);
/// });
/// ```
#[macro_export]
macro_rules! gather_local {
    () => {
        ()
    };
    ($($value:expr),+ $(,)?) => {
        $crate::__private::TupleLocal::gather_local(($(|| $value,)+))
    };
}

/// As [`gather!`], for expressions that are `Result`s with one type of error: the first `Err` cancels the others and is
/// returned, when all have ended; otherwise the tuple of the values. As [`try_gather()`](crate::try_gather()).
///
/// # Examples
/// ```
/// use layby::{sleep, try_gather};
/// use std::time::Duration;
///
/// let both = try_gather!("1".parse::<i32>(), "200".parse::<u8>());
/// assert_eq!(both, Ok((1, 200)));
///
/// let failed = try_gather!(
///     {
///         sleep(Duration::MAX); // cancelled
///         Ok(1)
///     },
///     Err::<u8, _>("no"),
/// );
/// assert_eq!(failed, Err("no"));
/// ```
#[macro_export]
macro_rules! try_gather {
    ($($value:expr),+ $(,)?) => {
        $crate::__private::TryTuple::try_gather(($(|| $value,)+))
    };
}

/// Runs expressions of one type concurrently, each in a task, until the first has finished, and returns its value. The others
/// are cancelled, and have ended when it returns. As [`race()`](crate::race()).
///
/// They may borrow from the caller, as in [`gather!`].
///
/// # Examples
/// ```
/// use layby::{race, sleep};
/// use std::time::Duration;
///
/// let name = String::from("layby");
/// let winner = race!(
///     {
///         sleep(Duration::MAX); // cancelled
///         0
///     },
///     name.len(),
/// );
/// assert_eq!(winner, 5);
/// ```
#[macro_export]
macro_rules! race {
    ($($value:expr),+ $(,)?) => {
        $crate::race([$($crate::__private::lane(|| $value)),+])
    };
}
