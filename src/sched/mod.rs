//! The scheduler: workers, their queues, placement, the idle protocol, start and shutdown.
//!
//! A *worker* is an OS thread that runs tasks, one at a time, each on its own stack. A runtime is a
//! fixed set of workers ([`Shared`]); each has a part that only its own thread touches ([`Worker`]) and
//! a part that anyone may push into ([`Remote`]).
//!
//! ```text
//!             ┌───────────────────────────── worker (its thread only) ──────────────────────────────┐
//!             │  run queue (started tasks, FIFO)     carriers (idle stacks, LIFO)    stacks (slabs) │
//!             │  timer wheel + timerfd               reactor (epoll)                                │
//!             └─────────────────────────────────────────────────────────────────────────────────────┘
//!             ┌──────────────────────────────── remote (anyone) ────────────────────────────────────┐
//!  wakes ────▶│  inbox (lock-free)                   sleep state + eventfd                          │
//!  closures ─▶│  fresh: closures that have not started (a lock; thieves come here)                  │
//!             └─────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Order
//! The worker goes in rounds: everything that is in the run queue at the round's begin, then as many closures of
//! `fresh` as that was, or 64 if it was fewer, or a 256th of them if that is more. So neither starves the other and both go by order of arrival. The
//! inbox is drained at each round's begin; the clock is looked at every few switches (a number that
//! adapts, so that it is about every [`TICK_NS`] whatever the tasks cost), and at each such look due
//! timers fire and the kernel is asked for ready descriptors.
//!
//! # What bounds a wait
//! A ready task waits at most for one slice (the code between two suspension points) of each task that
//! is ready before it, and for the first slices of as many fresh closures, or 64, or a 256th of all. The n-th fresh closure waits for n / 64
//! rounds at most. A due timer or a ready descriptor waits at most about `TICK_NS` plus one slice
//! of the longest task, if slices are of like length; when they suddenly grow, at most 64 slices. An operation that
//! need not wait spends of a budget, so that a task that does nothing else yields. A started task that never suspends keeps
//! its worker: nothing preempts it. docs/fairness.md says all that to users.
//!
//! What must not happen is that one source of ready tasks keeps the worker from another: closures from started tasks, or these
//! from those (hence rounds), both from the clock and the kernel (hence ticks), timers that are due each time the worker
//! is about to sleep from the kernel (hence the look in `idle`).
//!
//! # Sleep and wake
//! A worker with nothing to do sleeps in `epoll_wait`. Nothing wakes it but an event, its timerfd or a
//! push. The race between falling asleep and a push is closed by fences on both sides ([`remote`]).
//! Placement over several workers is in [`placement`]. When nothing can ever wake anything again, [`deadlock`] says so; when a task keeps
//! its worker too long, [`watchdog`] does.

mod cancel;
mod config;
mod counters;
mod deadlock;
mod debug;
mod dump;
mod fresh;
mod hook;
mod listing;
#[cfg(all(test, loom))]
pub(crate) mod loom;
mod onlook;
mod placement;
mod priorities;
mod pulse;
mod remote;
mod rest;
mod roll_call;
mod room;
mod run_loop;
mod seed;
mod shared;
mod sim;
mod start;
mod trim;
mod watchdog;
mod worker;

pub(crate) use cancel::{cancel, cancel_brood, post};
pub(crate) use config::{Config, check_stack_size};
pub(crate) use deadlock::{PoolThread, begin_job, end_job, runtimes};
pub(crate) use debug::{StackUse, note_unjoined, stacks};
pub(crate) use dump::dump;
pub(crate) use listing::Sighting;
pub(crate) use remote::Remote;
pub(crate) use roll_call::Listener;
pub use seed::{ParseSeedError, Seed, Strategy};
pub(crate) use shared::Shared;
pub(crate) use sim::{Sim, Trace};
pub(crate) use start::{Ran, default_runtime, default_runtime_if_started, run_root, start};
pub(crate) use worker::{TimerOwner, Unwinding, Worker, current, current_worker};

/// About how often a busy worker looks at the clock, the timers and the kernel, in nanoseconds.
pub(crate) const TICK_NS: u64 = 100_000;

/// The time, in nanoseconds of the monotonic clock: virtual in a task of a seeded run, real elsewhere.
#[inline]
pub(crate) fn now() -> u64 {
    current_worker().map_or_else(crate::sys::clock::now_ns, Worker::now)
}

/// The simulation that the caller's task is in, if it is in one.
pub(crate) fn sim<'a>() -> Option<&'a Sim> {
    current_worker()?.sim.as_ref()
}
