//! `select!` and `select_biased!`.
//!
//! One internal macro works in three steps. `@cases` takes the cases one by one; `@body` takes a case's body and adds the case
//! to a list; `@run` makes code of the list. A case brings an identifier of its own along, the same word each time,
//! but from another expansion, so hygiene keeps them apart: it stands for the reference to the sender or receiver.
//!
//! The bodies stand where the user wrote them, in no closure and no loop, so `return`, `break` and `?` are the user's. When one
//! runs nothing borrows the senders and receivers any more.

use core::time::Duration;

use super::wait::{self, Entry};
use super::{Receiver, SelectedOperation, Sender};
use crate::park::Deadline;

/// The reference that `recv(…)` means, however many references are around it.
#[inline(always)]
pub fn recv<T>(r: &Receiver<T>) -> &Receiver<T> {
    r
}

/// The reference that `send(…)` means.
#[inline(always)]
pub fn send<T>(s: &Sender<T>) -> &Sender<T> {
    s
}

/// What a select may wait on.
pub trait Selects {
    /// As operation `index` of a select.
    fn entry(&self, index: usize) -> Entry<'_>;
}

impl<T> Selects for Sender<T> {
    #[inline]
    fn entry(&self, index: usize) -> Entry<'_> {
        Entry::new(self, index)
    }
}

impl<T> Selects for Receiver<T> {
    #[inline]
    fn entry(&self, index: usize) -> Entry<'_> {
        Entry::new(self, index)
    }
}

/// No `default`.
#[inline]
pub fn wait_select<'a>(entries: &[Entry<'a>], biased: bool) -> SelectedOperation<'a> {
    let selected = wait::select(entries, biased, Some(|| Deadline::NEVER));
    selected.expect("never is never over").quietly()
}

/// `default`.
#[inline]
pub fn try_select<'a>(entries: &[Entry<'a>], biased: bool) -> Option<SelectedOperation<'a>> {
    wait::select(entries, biased, wait::NOT).map(SelectedOperation::quietly)
}

/// `default(timeout)`.
#[inline]
pub fn select_timeout<'a>(
    entries: &[Entry<'a>],
    biased: bool,
    timeout: Duration,
) -> Option<SelectedOperation<'a>> {
    wait::select(entries, biased, Some(|| Deadline::after(timeout))).map(SelectedOperation::quietly)
}

/// `default(timeout)` alone.
pub fn sleep(timeout: Duration) {
    super::sleep(timeout);
}

/// Every operation has a case.
#[cold]
pub fn no_case() -> ! {
    unreachable!("the selected operation has no case")
}

/// Waits for the first of several channel operations, and does it.
///
/// Like [`crossbeam_channel::select!`], except: it is the task that waits, and the code that it stands for has no `unsafe`.
///
/// The cases, with commas between them, which may be left out after a block:
/// * `recv(r) -> pattern => body`: receives; the pattern is matched with a `Result<T, RecvError>`.
/// * `send(s, message) -> pattern => body`: sends; `message` is evaluated only if this operation is selected. The pattern
///   is matched with a `Result<(), SendError<T>>`.
/// * `default => body`: nothing is ready at once. `default(timeout) => body`: nothing becomes ready within that
///   [`Duration`].
///
/// An operation is ready if it need not wait, also when that is because the channel is disconnected. Of several that are ready a random
/// one is taken; with [`select_biased!`](crate::select_biased!) the first. The value is that of the body. To wait for a list that is not known
/// beforehand there is [`Select`](crate::channel::Select).
///
/// # Cancellation
/// A suspension point: a cancelled task unwinds from here, and no operation was done.
///
/// # Examples
/// ```
/// use layby::channel::{after, select, unbounded};
/// use layby::go;
/// use std::time::Duration;
///
/// let (s, numbers) = unbounded();
/// go!(move || (1..=3).for_each(|i| s.send(i).unwrap()));
/// let limit = after(Duration::from_secs(10));
/// let mut sum = 0;
/// loop {
///     select! {
///         recv(numbers) -> number => match number {
///             Ok(number) => sum += number,
///             Err(_) => break,
///         },
///         recv(limit) -> _ => panic!("it takes too long"),
///     }
/// }
/// assert_eq!(sum, 6);
/// ```
/// Without waiting, or not for long:
/// ```
/// use layby::channel::bounded;
/// use std::time::Duration;
///
/// let (s, r) = bounded(0);
/// let sent = layby::select! {
///     send(s, 1) -> result => result.is_ok(),
///     default => false,
/// };
/// let received = layby::select! {
///     recv(r) -> message => message.ok(),
///     default(Duration::from_millis(5)) => None,
/// };
/// assert_eq!((sent, received), (false, None));
/// ```
#[macro_export]
macro_rules! select {
    ($($tokens:tt)*) => {
        $crate::__select!(@cases false [] [] [0usize] $($tokens)*)
    };
}

/// As [`select!`](crate::select!), but of several operations that are ready the first in the list is taken.
///
/// # Cancellation
/// As [`select!`](crate::select!).
///
/// # Examples
/// ```
/// use layby::channel::{select_biased, unbounded};
///
/// let (s, r) = unbounded();
/// s.send(1).unwrap();
/// for _ in 0..10 {
///     select_biased! {
///         recv(r) -> message => s.send(message.unwrap()).unwrap(),
///         send(s, 2) -> _ => unreachable!(),
///     }
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($tokens:tt)*) => {
        $crate::__select!(@cases true [] [] [0usize] $($tokens)*)
    };
}

#[doc(inline)]
pub use {select, select_biased};

#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Every case is in the list.
    (@cases $biased:tt [] [] $index:tt) => {
        ::core::compile_error!("empty `select!` block")
    };
    (@cases $biased:tt $cases:tt $default:tt $index:tt) => {
        $crate::__select!(@run $biased $cases $default)
    };
    // One case more: what it is, then its body.
    (@cases $biased:tt $cases:tt $default:tt [$index:expr]
        recv($r:expr $(,)?) -> $result:pat => $($rest:tt)+) => {
        $crate::__select!(@body $biased $cases $default [$index + 1usize]
            [recv operation [$index] [$r] [] [$result]] $($rest)+)
    };
    (@cases $biased:tt $cases:tt $default:tt [$index:expr]
        send($s:expr, $message:expr $(,)?) -> $result:pat => $($rest:tt)+) => {
        $crate::__select!(@body $biased $cases $default [$index + 1usize]
            [send operation [$index] [$s] [, $message] [$result]] $($rest)+)
    };
    (@cases $biased:tt $cases:tt [] $index:tt default $(())? => $($rest:tt)+) => {
        $crate::__select!(@body $biased $cases [] $index [default] $($rest)+)
    };
    (@cases $biased:tt $cases:tt [] $index:tt default($timeout:expr $(,)?) => $($rest:tt)+) => {
        $crate::__select!(@body $biased $cases [] $index [default $timeout] $($rest)+)
    };
    (@cases $biased:tt $cases:tt [$($default:tt)+] $index:tt default $($rest:tt)*) => {
        ::core::compile_error!("a second `default` case in `select!`")
    };
    (@cases $biased:tt $cases:tt $default:tt $index:tt recv $args:tt => $($rest:tt)*) => {
        ::core::compile_error!("expected `->` after `recv(..)` in `select!`, found `=>`")
    };
    (@cases $biased:tt $cases:tt $default:tt $index:tt send $args:tt => $($rest:tt)*) => {
        ::core::compile_error!("expected `->` after `send(..)` in `select!`, found `=>`")
    };
    (@cases $biased:tt $cases:tt $default:tt $index:tt default $($rest:tt)*) => {
        ::core::compile_error!("expected `default => ..` or `default(timeout) => ..` in `select!`")
    };
    (@cases $biased:tt $cases:tt $default:tt $index:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(r) -> pattern => ..`, `send(s, message) -> pattern => ..` or `default => ..` in `select!`, found `",
            ::core::stringify!($($rest)+),
            "`",
        ))
    };

    // The body, to a comma; or a block; or all that is left.
    (@body $biased:tt $cases:tt $default:tt $index:tt $case:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@add $biased $cases $default $index $case [$body] $($rest)*)
    };
    (@body $biased:tt $cases:tt $default:tt $index:tt $case:tt $body:block $($rest:tt)*) => {
        $crate::__select!(@add $biased $cases $default $index $case [$body] $($rest)*)
    };
    (@body $biased:tt $cases:tt $default:tt $index:tt $case:tt $body:expr) => {
        $crate::__select!(@add $biased $cases $default $index $case [$body])
    };
    (@body $biased:tt $cases:tt $default:tt $index:tt $case:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected a body, and a comma after it unless it is a block, in `select!`, found `",
            ::core::stringify!($($rest)*),
            "`",
        ))
    };

    (@add $biased:tt $cases:tt [] $index:tt [default $($timeout:expr)?] $body:tt $($rest:tt)*) => {
        $crate::__select!(@cases $biased $cases [default [$($timeout)?] $body] $index $($rest)*)
    };
    (@add $biased:tt [$($case:tt)*] $default:tt $index:tt [$($new:tt)*] $body:tt $($rest:tt)*) => {
        $crate::__select!(@cases $biased [$($case)* [$($new)* $body]] $default $index $($rest)*)
    };

    // The code.
    (@run $biased:tt [] [default [] [$body:expr]]) => {
        $body
    };
    (@run $biased:tt [] [default [$timeout:expr] [$body:expr]]) => {{
        $crate::__private::select::sleep($timeout);
        $body
    }};
    (@run $biased:tt
        [$([$kind:ident $operation:ident [$index:expr] [$handle:expr] [$($message:tt)*] [$result:pat] [$body:expr]])+]
        $default:tt) => {
        match ($(&$handle,)+) {
            ($($operation,)+) => {
                $(let $operation = $crate::__private::select::$kind($operation);)+
                let selected = {
                    use $crate::__private::select::Selects as _;
                    $crate::__select!(@wait $default $biased [$($operation.entry($index)),+])
                };
                $crate::__select!(@complete selected $default
                    [$([$kind $operation [$index] [$($message)*] [$result] [$body]])+])
            }
        }
    };
    (@wait [] $biased:tt $entries:expr) => {
        $crate::__private::select::wait_select(&$entries, $biased)
    };
    (@wait [default [] $body:tt] $biased:tt $entries:expr) => {
        $crate::__private::select::try_select(&$entries, $biased)
    };
    (@wait [default [$timeout:expr] $body:tt] $biased:tt $entries:expr) => {
        $crate::__private::select::select_timeout(&$entries, $biased, $timeout)
    };
    (@complete $selected:ident [default $timeout:tt [$default:expr]] $cases:tt) => {
        match $selected {
            ::core::option::Option::None => $default,
            ::core::option::Option::Some(selected) => {
                $crate::__select!(@complete selected [] $cases)
            }
        }
    };
    (@complete $selected:ident []
        [$([$kind:ident $operation:ident [$index:expr] [$($message:tt)*] [$result:pat] [$body:expr]])+]) => {
        $(if $selected.index() == $index {
            let result = $selected.$kind($operation $($message)*);
            let $result = result;
            $body
        } else)+ {
            $crate::__private::select::no_case()
        }
    };
}
