//! The atomics that the lock-free parts are built from, in one place.
//!
//! Built with `--cfg loom` they are those of the model checker, and so are [`Cell`](super::cell::Cell) and
//! [`Lock`](super::lock::Lock): then the tests named `…::loom::…` run every interleaving, up to a number of preemptions,
//! of the protocols' real code (`ci/loom.sh`), and the rest of the crate is only there to be compiled.
//! What no model touches (statics, stacks, options of sockets) uses core's.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// A function that is `const`, but for the model checker, whose atomics cannot be made in a constant.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visible:vis const fn $($function:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visible const fn $($function)*
        #[cfg(loom)]
        $(#[$attribute])*
        $visible fn $($function)*
    };
}

pub(crate) use const_fn;
