//! Small tools that know nothing of tasks: intrusive queues and lists, a lock without poison, a random number
//! generator.

pub(crate) mod atomic;
pub(crate) mod cell;
pub(crate) mod fifo;
pub(crate) mod list;
pub(crate) mod lock;
#[cfg(all(test, loom))]
pub(crate) mod model;
mod report;
pub(crate) mod rng;
pub(crate) mod spin;

pub(crate) use report::report;
