//! Making tasks: the cell that holds closure and result, `spawn`, and the handle that joins.

mod builder;
mod cell;
mod error;
mod handle;
mod id;
mod info;
mod later;
mod local;
#[cfg(all(test, loom))]
mod loom;
mod root;
mod task;

pub use self::builder::{Builder, spawn, spawn_eager, spawn_local};
pub use self::error::JoinError;
pub use self::handle::JoinHandle;
pub use self::id::TaskId;
pub use self::info::TaskInfo;
pub use self::later::{Delayed, spawn_after, spawn_at};
pub use self::local::{AccessError, LocalKey, inherited_key, local_key, task_local};
pub use self::task::{Task, check_cancelled, current, is_cancellation, is_cancelled, panicking};
pub use self::task::{park, park_timeout, yield_now};

pub(crate) use self::builder::{Target, failed_to_spawn, plain, spawn_local_overseen, spawn_overseen};
pub(crate) use self::cell::{Failure, Overseer};
pub(crate) use self::root::{run_on, run_root, spawn_on};
