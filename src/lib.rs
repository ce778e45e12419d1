#![doc = include_str!("../README.md")]
//!
//! # Where things are
//! * [`go!`], [`spawn()`], [`run`], [`sleep()`], [`gather!`], [`unblock`]: at the root.
//! * [`task`] mirrors [`std::thread`]; [`thread`] is the same under std's names.
//! * [`net`] mirrors [`std::net`]; [`net::unix`] mirrors [`std::os::unix::net`].
//! * [`io`]: any descriptor ([`io::Fd`]), pipes, standard input, and `copy`.
//! * [`fs`] mirrors [`std::fs`], on the blocking pool.
//! * [`process`] mirrors [`std::process`]; [`signal`] waits for signals.
//! * [`testing`] runs tests with virtual time, in an order that a seed decides.
//! * [`Builder`] and [`Runtime`]: how many workers, which stacks, several runtimes.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("layby runs on 64-bit Linux only, so far");

mod blocking;
mod coroutine;
mod fiber;
mod gather;
mod instant;
mod interval;
mod macros;
mod park;
mod reactor;
mod sched;
mod sleep;
mod spawn;
mod stack;
mod sync;
mod sys;
mod timer;
mod util;

pub mod fs;
pub mod io;
pub mod net;
pub mod process;
pub mod runtime;
pub mod signal;
pub mod task;
pub mod testing;
pub mod thread;
pub mod time;

pub use crate::blocking::unblock;
pub use crate::gather::{gather, gather_limit, gather_results};
pub use crate::runtime::{Builder, Runtime, run};
pub use crate::task::{JoinError, JoinHandle, sleep, sleep_until, spawn, spawn_local, yield_now};

/// For the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::gather::{Tuple, TupleLocal};
    pub use crate::spawn::local_key;

    use crate::JoinHandle;
    use std::io;

    /// What a `spawn` method returns: a handle, or a result that has one.
    pub trait Spawned {
        /// The type of the handle.
        type Handle;
        /// The handle.
        fn handle(self) -> Self::Handle;
    }

    impl<T> Spawned for JoinHandle<T> {
        type Handle = JoinHandle<T>;
        fn handle(self) -> JoinHandle<T> {
            self
        }
    }

    impl<T> Spawned for io::Result<JoinHandle<T>> {
        type Handle = JoinHandle<T>;
        #[track_caller]
        fn handle(self) -> JoinHandle<T> {
            self.unwrap_or_else(|error| panic!("go!: the task cannot be spawned: {error}"))
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/soundness.md")]
mod soundness {}
