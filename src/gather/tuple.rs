//! `gather!`, `gather_local!` and `try_gather!`: tuples of closures of different types.

use core::panic::Location;

use super::fallible::first_failure;
use super::iter::rethrow;
use crate::sched;
use crate::scope::{Scope, ScopedJoinHandle, scope, try_scope};

/// A tuple of closures that may run on other workers. What `gather!` is made of.
#[doc(hidden)]
pub trait Tuple {
    /// The tuple of their results.
    type Output;
    /// Runs them, each in a task.
    fn gather(self) -> Self::Output;
}

/// A tuple of closures that stay on the caller's worker. What `gather_local!` is made of.
#[doc(hidden)]
pub trait TupleLocal {
    /// The tuple of their results.
    type Output;
    /// Runs them, each in a task.
    fn gather_local(self) -> Self::Output;
}

/// A tuple of closures that return `Result`s with one type of error. What `try_gather!` is made of.
#[doc(hidden)]
pub trait TryTuple {
    /// The tuple of their values.
    type Output;
    /// Their error.
    type Error;
    /// Runs them, each in a task.
    ///
    /// # Errors
    /// The first, by time.
    fn try_gather(self) -> Result<Self::Output, Self::Error>;
}

/// A bound that bounds nothing, where the other trait has `Send`.
#[doc(hidden)]
pub trait Any {}

impl<T: ?Sized> Any for T {}

/// As `Scope::spawn`, for `gather!`.
fn shared<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    place: &'static Location<'static>,
    f: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    scope.spawn_at(place, f)
}

/// As `Scope::spawn_local`, for `gather_local!`.
fn local<'scope, T: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    place: &'static Location<'static>,
    f: impl FnOnce() -> T + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    if sched::current_worker().is_none() {
        panic!("gather_local! on a thread that is no worker of a layby runtime: call it inside `layby::run`");
    }
    scope.spawn_local_at(place, f)
}

macro_rules! tuples {
    ($($trait:ident $method:ident $spawn:ident $send:ident;)*) => {$(
        tuples!(@ $trait $method $spawn $send A FA B FB C FC D FD E FE F FF G FG H FH I FI J FJ K FK L FL M FM N FN O FO P FP);
    )*};
    (@ $trait:ident $method:ident $spawn:ident $send:ident) => {};
    (@ $trait:ident $method:ident $spawn:ident $send:ident $head:ident $h:ident $($name:ident $n:ident)*) => {
        tuples!(@ $trait $method $spawn $send $($name $n)*);
        tuples!(% $trait $method $spawn $send $head $h $($name $n)*);
    };
    (% $trait:ident $method:ident $spawn:ident $send:ident $($name:ident $n:ident)*) => {
        #[allow(non_snake_case, reason = "the closures go by the names of their types")]
        impl<$($name, $n),*> $trait for ($($n,)*)
        where
            $($n: FnOnce() -> $name + $send, $name: $send,)*
        {
            type Output = ($($name,)*);

            #[track_caller]
            fn $method(self) -> Self::Output {
                let place = Location::caller();
                let ($($n,)*) = self;
                let ($($n,)*) = scope(|s| {
                    $(let $n = $spawn(s, place, $n);)*
                    s.settle();
                    ($($n.result(),)*)
                });
                let ($($n,)*) = match ($($n,)*) {
                    ($(Ok($n),)*) => ($($n,)*),
                    ($($n,)*) => {
                        $(if let Err(error) = $n { rethrow(error); })*
                        unreachable!("one of them failed")
                    }
                };
                ($($n,)*)
            }
        }
    };
}

tuples! {
    Tuple gather shared Send;
    TupleLocal gather_local local Any;
}

macro_rules! try_tuples {
    () => {};
    ($head:ident $h:ident $($name:ident $n:ident)*) => {
        try_tuples!($($name $n)*);
        try_tuples!(% $head $h $($name $n)*);
    };
    (% $($name:ident $n:ident)*) => {
        #[allow(non_snake_case, reason = "the closures go by the names of their types")]
        impl<Error, $($name, $n),*> TryTuple for ($($n,)*)
        where
            Error: Send,
            $($n: FnOnce() -> Result<$name, Error> + Send, $name: Send,)*
        {
            type Output = ($($name,)*);
            type Error = Error;

            #[track_caller]
            fn try_gather(self) -> Result<Self::Output, Error> {
                let ($($n,)*) = self;
                let ($($n,)*) = first_failure(try_scope(|s| {
                    $(let $n = s.spawn($n);)*
                    // One that has failed has no value, and the scope knows why.
                    Ok(($($n.join(),)*))
                }))?;
                Ok(($($n.unwrap_or_else(|error| rethrow(error)),)*))
            }
        }
    };
}

try_tuples!(A FA B FB C FC D FD E FE F FF G FG H FH I FI J FJ K FK L FL M FM N FN O FO P FP);
