#![doc = include_str!("../README.md")]
//!
//! # Where things are
//! * [`go!`], [`spawn()`], [`run`], [`sleep()`], [`timeout()`], [`shield`], [`scope()`], [`try_scope`],
//!   [`gather!`], [`try_gather!`], [`race!`], [`unblock`],
//!   [`unblock_detached`]: at the root.
//! * [`task`] mirrors [`std::thread`]; [`thread`] is the same under std's names. It also has [`task::spawn_after`],
//!   [`task::spawn_eager`], [`task::Group`] and [`task::as_completed`].
//! * [`net`] mirrors [`std::net`]; [`net::unix`] mirrors [`std::os::unix::net`]. [`net::serve()`] is a server in one call.
//! * [`io`]: any descriptor ([`io::Fd`]), pipes, standard input, and `copy`.
//! * [`sync`] mirrors [`std::sync`], with [`sync::mpsc`].
//! * [`channel`] mirrors [`crossbeam_channel`], with [`select!`]; and has asyncio's other queues, [`channel::PriorityQueue`] and
//!   [`channel::LifoQueue`].
//! * [`generator`]: functions that hand out values one by one, and may be sent some.
//! * [`fs`] mirrors [`std::fs`], on the blocking pool.
//! * [`process`] mirrors [`std::process`]; [`signal`] waits for signals.
//! * [`testing`] runs tests with virtual time, in an order that a seed decides, or in many orders until one fails; and has connections
//!   in memory that are slow or break.
//! * [`runtime::dump()`]: what every task is doing, and why it waits; [`runtime::dump_on_sigquit`].
//! * [`Builder`] and [`Runtime`]: how many workers, which stacks, several runtimes; a watchdog, and debug mode.
//! * [`runtime`]: a runtime's numbers, and how much of their stacks tasks have used.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("layby runs on 64-bit Linux only, so far");

mod blocking;
mod coroutine;
mod dump;
mod fiber;
mod gather;
mod group;
mod instant;
mod interval;
mod macros;
mod park;
mod race;
mod reactor;
mod sched;
mod scope;
mod sleep;
mod spawn;
mod stack;
mod sys;
mod timeout;
mod timer;
mod util;

pub mod channel;
pub mod fs;
pub mod generator;
pub mod io;
pub mod net;
pub mod process;
pub mod runtime;
pub mod signal;
pub mod sync;
pub mod task;
pub mod testing;
pub mod thread;
pub mod time;

pub use crate::blocking::{unblock, unblock_detached};
pub use crate::gather::{gather, gather_limit, gather_results, try_gather};
pub use crate::race::race;
pub use crate::runtime::{Builder, Runtime, Unfinished, run};
pub use crate::scope::{scope, try_scope};
pub use crate::task::{JoinError, JoinHandle, sleep, sleep_until, spawn, spawn_local, yield_now};
pub use crate::timeout::{Elapsed, shield, timeout, timeout_at, timeout_with};

/// For the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::channel::select_parts as select;
    pub use crate::gather::{TryTuple, Tuple, TupleLocal};
    pub use crate::race::lane;
    pub use crate::spawn::{inherited_key, local_key};

    use crate::JoinHandle;
    use crate::task::{ScopedJoinHandle, Task};
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

    impl<'scope, T> Spawned for ScopedJoinHandle<'scope, T> {
        type Handle = ScopedJoinHandle<'scope, T>;
        fn handle(self) -> ScopedJoinHandle<'scope, T> {
            self
        }
    }

    impl Spawned for Task {
        type Handle = Task;
        fn handle(self) -> Task {
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
#[doc = include_str!("../docs/debugging.md")]
mod debugging {}

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../docs/soundness.md")]
mod soundness {}

#[cfg(doctest)]
#[doc = include_str!("../docs/cancellation.md")]
mod cancellation {}

#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
mod testing_page {}

#[cfg(doctest)]
#[doc = include_str!("../docs/from-asyncio.md")]
mod from_asyncio {}

#[cfg(doctest)]
#[doc = include_str!("../docs/from-go.md")]
mod from_go {}

#[cfg(doctest)]
#[doc = include_str!("../docs/porting.md")]
mod porting {}
