//! Tasks: spawning, joining, parking. Like [`std::thread`], except where an item says otherwise.
//!
//! A task is a closure that runs on a stack of its own, on one of the runtime's workers. Once it has
//! started it never changes thread, so what is not `Send` may live across any call that waits.

pub use crate::group::{Group, as_completed};
pub use crate::scope::{Failure, Scope, ScopeError, ScopedJoinHandle, TryScope, scope, try_scope};
pub use crate::sleep::{sleep, sleep_until};
pub use crate::spawn::{
    AccessError, Builder, Delayed, JoinError, JoinHandle, LocalKey, Task, TaskId, TaskInfo, check_cancelled,
    current, is_cancellation, is_cancelled, panicking, park, park_timeout, spawn, spawn_after, spawn_at,
    spawn_eager, spawn_local, task_local, yield_now,
};
pub use crate::timeout::shield;
