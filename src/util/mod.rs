//! Small tools that know nothing of tasks: a FIFO of pointers, a lock without poison, a random number
//! generator.

pub(crate) mod atomic;
pub(crate) mod cell;
pub(crate) mod fifo;
pub(crate) mod lock;
#[cfg(all(test, loom))]
pub(crate) mod model;
mod report;
pub(crate) mod rng;

pub(crate) use report::report;
