//! Plain memory that one thread at a time may touch, by a protocol: core's `Cell`. Under loom, a cell that
//! says so when two threads touch it and nothing orders them.

#[cfg(not(loom))]
pub(crate) use core::cell::Cell;
#[cfg(loom)]
pub(crate) use loom::cell::Cell;

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// As a `Cell`, which one thread writes, and which others may look at, for people: relaxed loads and stores, as cheap as plain ones.
#[derive(Debug)]
pub(crate) struct Shown<T>(T);

impl Shown<AtomicU8> {
    pub(crate) const fn byte(value: u8) -> Self {
        Shown(AtomicU8::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u8) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Shown<AtomicU32> {
    pub(crate) const fn word(value: u32) -> Self {
        Shown(AtomicU32::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}
