//! `gather!`, `gather_local!` and `try_gather!`: tuples of closures of different types.

use core::panic::Location;

use super::child::{Child, Sibling, wait_all};
use super::fallible::first_failure;
use super::iter::rethrow;
use crate::park::Open;
use crate::scope::try_scope;

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
                let _open = Open::new();
                let ($($n,)*) = self;
                // SAFETY: each child is a local of this function, so it is finished or dropped before this
                // function ends, whichever way; nothing it borrows goes before.
                $(let $n = unsafe { Child::$spawn(place, $n) };)*
                wait_all([$(&$n as &dyn Sibling),*].into_iter());
                let ($($n,)*) = ($($n.result(),)*);
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
    Tuple gather spawn Send;
    TupleLocal gather_local spawn_local Any;
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
