//! A pool of connections, for crates that open their own and block: at most so many at once, by a `Semaphore`; each call
//! on one through `unblock`.
//!
//! The wait inside `unblock` is not cancellable, so a task that is cancelled, or out of time, leaves no connection in
//! the midst of an answer: it is back in the pool, or closed, before the task unwinds.

use std::fmt;

use layby::sync::{Mutex, Semaphore};
use layby::unblock;

use crate::Error;

/// Connections of type `C`.
pub struct Pool<C: Send> {
    permits: Semaphore,
    idle: Mutex<Vec<C>>,
    open: Box<dyn Fn() -> Result<C, Error> + Send + Sync>,
}

impl<C: Send> Pool<C> {
    /// At most `size` connections, each opened by `open` when it is wanted first. `open` may block.
    pub fn new<E: Into<Error>>(
        size: usize,
        open: impl Fn() -> Result<C, E> + Send + Sync + 'static,
    ) -> Pool<C> {
        let open = Box::new(move || open().map_err(Into::into));
        Pool { permits: Semaphore::new(size), idle: Mutex::new(Vec::new()), open }
    }

    /// Lends a connection to `work`, which may block. Waits for one to be free.
    ///
    /// A connection that `work` has failed with, or panicked with, is closed: what state it is in is not known here.
    ///
    /// # Cancellation
    /// Waiting for a connection is a suspension point; `work` is not.
    ///
    /// # Errors
    /// Those of `work`, and of opening a connection.
    pub fn with<T: Send, E: Into<Error>>(
        &self,
        work: impl FnOnce(&mut C) -> Result<T, E> + Send,
    ) -> Result<T, Error> {
        let _permit = self.permits.acquire(1)?;
        let idle = self.idle.lock().expect("nobody panics with this lock").pop();
        let (connection, value) = unblock(|| {
            let mut connection = idle.map_or_else(&self.open, Ok)?;
            let value = work(&mut connection).map_err(Into::into)?;
            Ok::<_, Error>((connection, value))
        })?;
        self.idle.lock().expect("nobody panics with this lock").push(connection);
        Ok(value)
    }
}

/// Closing a connection may block, too.
impl<C: Send> Drop for Pool<C> {
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().expect("nobody panics with this lock"));
        unblock(|| drop(idle));
    }
}

impl<C: Send> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("free", &self.permits.available()).finish_non_exhaustive()
    }
}
