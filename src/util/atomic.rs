//! The atomics that the lock-free parts are built from, in one place, so that a model checker's can be
//! put in theirs by one `cfg`.

pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
