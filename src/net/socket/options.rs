//! The settings of a socket that decide how layby's calls on it wait.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::io::descriptor::Patience;
use crate::sys::poll::would_block;

const NO_LIMIT: u64 = u64::MAX;

/// Shared by the clones of a socket, as the kernel shares its own copy of them.
///
/// All accesses are relaxed: each value stands for itself and orders nothing else.
#[derive(Debug)]
pub(in crate::net) struct Options {
    nonblocking: AtomicBool,
    /// Nanoseconds.
    read_limit: AtomicU64,
    write_limit: AtomicU64,
    /// Closing may take its time.
    lingers: AtomicBool,
}

impl Options {
    /// Calls wait, without limit.
    pub(super) const fn new() -> Options {
        Options {
            nonblocking: AtomicBool::new(false),
            read_limit: AtomicU64::new(NO_LIMIT),
            write_limit: AtomicU64::new(NO_LIMIT),
            lingers: AtomicBool::new(false),
        }
    }

    pub(super) fn nonblocking(&self) -> bool {
        self.nonblocking.load(Relaxed)
    }

    pub(super) fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Relaxed);
    }

    pub(super) fn set_read_limit(&self, limit: Option<Duration>) {
        self.read_limit.store(nanoseconds(limit), Relaxed);
    }

    pub(super) fn set_write_limit(&self, limit: Option<Duration>) {
        self.write_limit.store(nanoseconds(limit), Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    /// The kernel counts whole seconds, and zero is a reset, which waits for nothing.
    pub(super) fn set_linger(&self, linger: Option<Duration>) {
        self.lingers.store(linger.is_some_and(|linger| linger.as_secs() > 0), Relaxed);
    }

    /// How long a call waits that no timeout applies to.
    #[inline]
    pub(super) fn patience(&self) -> Patience {
        if self.nonblocking() { Patience::None } else { Patience::Endless }
    }

    #[inline]
    pub(super) fn read_patience(&self) -> Patience {
        self.patience_within(&self.read_limit)
    }

    #[inline]
    pub(super) fn write_patience(&self) -> Patience {
        self.patience_within(&self.write_limit)
    }

    #[inline]
    fn patience_within(&self, limit: &AtomicU64) -> Patience {
        match limit.load(Relaxed) {
            _ if self.nonblocking() => Patience::None,
            NO_LIMIT => Patience::Endless,
            // As the kernel: a timeout that is over looks like a socket that would block.
            limit => Patience::Within(Duration::from_nanos(limit), would_block),
        }
    }
}

fn nanoseconds(limit: Option<Duration>) -> u64 {
    limit.map_or(NO_LIMIT, |limit| u64::try_from(limit.as_nanos()).unwrap_or(NO_LIMIT).min(NO_LIMIT - 1))
}

/// The error of std for a time that must not be zero.
pub(in crate::net) fn zero_duration() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout")
}
