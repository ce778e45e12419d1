//! Locks and their relatives, for tasks and threads. Mirrors [`std::sync`].
//!
//! A program is ported by changing `use std::sync` to `use layby::sync`: names, signatures, errors, poisoning and
//! `Debug` are std's, and each item lists where it differs. Where std's would block the thread, these let the other tasks of the worker
//! run. All of them work from tasks, from OS threads and between the two, in and outside of a runtime.

mod barrier;
mod common;
mod condvar;
mod doorbell;
mod event;
mod lazy_lock;
#[cfg(all(test, loom))]
mod loom;
pub mod mpsc;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod queue;
mod raw;
mod rwlock;
mod semaphore;
mod wait_group;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Closed, OwnedPermit, Permit, Semaphore, TryAcquireError};
pub use wait_group::WaitGroup;

pub(crate) use self::doorbell::{Button, Doorbell};
