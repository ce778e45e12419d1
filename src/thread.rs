//! The items of [`task`](crate::task) under the names of [`std::thread`], for porting by changing `use` lines.

pub use std::thread::available_parallelism;

pub use crate::task::{
    AccessError, Builder, JoinHandle, LocalKey, Scope, ScopedJoinHandle, Task as Thread, TaskId as ThreadId,
    current, panicking, park, park_timeout, scope, sleep, sleep_until, spawn, task_local as thread_local,
    yield_now,
};

/// What joining gives. Like [`std::thread::Result`], except for the error.
pub type Result<T> = core::result::Result<T, crate::task::JoinError>;
