//! Plain memory that one thread at a time may touch, by a protocol: core's `Cell`. Under loom, a cell that
//! says so when two threads touch it and nothing orders them.

#[cfg(not(loom))]
pub(crate) use core::cell::Cell;
#[cfg(loom)]
pub(crate) use loom::cell::Cell;
