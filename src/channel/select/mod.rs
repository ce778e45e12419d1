//! Waiting for the first of several operations.

pub(super) mod handle;
#[cfg(all(test, loom))]
mod loom;
pub mod macros;
mod operation;
mod room;
mod wait;

pub use self::operation::SelectedOperation;

use core::fmt;
use core::time::Duration;

use self::wait::Entry;
use super::clock::{deadline, wait as wait_until};
use super::{ReadyTimeoutError, Receiver, SelectTimeoutError, Sender, TryReadyError, TrySelectError};
use crate::instant::Instant;
use crate::park::{Deadline, Reason};

/// A list of operations, of which one is to be done: whichever need not wait.
///
/// Like [`crossbeam_channel::Select`], except: it is the task that waits. A task may wait on both ends of a channel in one
/// select; it does not meet itself. An operation on a channel that is disconnected need not wait. Of several that need not
/// wait a random one is taken, unless the select is [biased](Select::new_biased).
///
/// For a fixed list [`select!`](crate::select!) is handier.
///
/// # Examples
/// ```
/// use layby::channel::{Select, unbounded};
/// use layby::go;
///
/// let (s1, r1) = unbounded();
/// let (s2, r2) = unbounded();
/// go!(move || s1.send(10).unwrap());
/// go!(move || s2.send(20).unwrap());
///
/// let mut select = Select::new();
/// let first = select.recv(&r1);
/// let second = select.recv(&r2);
/// let operation = select.select();
/// match operation.index() {
///     i if i == first => assert_eq!(operation.recv(&r1), Ok(10)),
///     i if i == second => assert_eq!(operation.recv(&r2), Ok(20)),
///     _ => unreachable!(),
/// }
/// ```
pub struct Select<'a> {
    entries: Vec<Entry<'a>>,
    next_index: usize,
    biased: bool,
}

// SAFETY: it refers to senders and receivers, which may be of messages that are not `Send`. On another thread it moves such
// messages, from a channel into its operation and back, and lets nobody see or drop one: for that one has to
// pass the sender or receiver itself, which is bound to its thread then. While the select refers to a receiver, no
// message is dropped for want of one.
unsafe impl Send for Select<'_> {}
// SAFETY: a shared reference lets one clone it and no more.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// An empty list.
    ///
    /// # Examples
    /// ```
    /// let select = layby::channel::Select::new();
    /// # drop(select);
    /// ```
    pub fn new() -> Select<'a> {
        Select { entries: Vec::with_capacity(4), next_index: 0, biased: false }
    }

    /// An empty list, of whose operations the first that need not wait is taken.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// let mut select = Select::new_biased();
    /// let receiving = select.recv(&r);
    /// select.send(&s);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), receiving);
    /// operation.recv(&r).unwrap();
    /// ```
    pub fn new_biased() -> Select<'a> {
        Select { biased: true, ..Select::new() }
    }

    fn add(&mut self, handle: &'a dyn handle::Handle) -> usize {
        let index = self.next_index;
        self.entries.push(Entry::new(handle, index));
        self.next_index += 1;
        index
    }

    /// Adds a send by `s`. Returns its number in this list: 0, 1, and so on.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, _r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// assert_eq!(select.send(&s), 0);
    /// ```
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(s)
    }

    /// Adds a receive by `r`. Returns its number in this list: 0, 1, and so on.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// assert_eq!(select.recv(&r), 0);
    /// ```
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(r)
    }

    /// Removes the operation with that number, for instance because its channel is disconnected. Numbers are not used
    /// again.
    ///
    /// # Panics
    /// If there is no such operation, or not any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, r) = unbounded::<u32>();
    /// drop(s);
    /// let mut select = Select::new();
    /// let receiving = select.recv(&r);
    /// assert!(select.select().recv(&r).is_err());
    /// select.remove(receiving);
    /// assert!(select.try_select().is_err());
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "index out of bounds; {index} >= {}", self.next_index);
        let place = self.entries.iter().position(|entry| entry.index == index);
        self.entries.remove(place.expect("no operation with this index"));
    }

    #[track_caller]
    fn assert_some(&self) {
        assert!(!self.entries.is_empty(), "no operations have been added to `Select`");
    }

    /// Selects an operation that need not wait, if there is one. It is to be completed.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If every operation would have to wait.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.try_select().is_err());
    /// s.send(1).unwrap();
    /// assert_eq!(select.try_select().unwrap().recv(&r), Ok(1));
    /// ```
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        wait::select(&self.entries, self.biased, wait::NOT).ok_or(TrySelectError)
    }

    /// Selects an operation, which is to be completed.
    ///
    /// Waits until one of the operations need not wait any more.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and no operation was done.
    ///
    /// # Panics
    /// If there is no operation.
    ///
    /// # Examples
    /// See [`Select`].
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.assert_some();
        wait::select(&self.entries, self.biased, Some(|| Deadline::NEVER)).expect("never is never over")
    }

    /// Selects an operation, which is to be completed, unless all have to wait for longer than `timeout`.
    ///
    /// Waits until one of the operations need not wait any more.
    ///
    /// # Cancellation
    /// As [`select`](Select::select).
    ///
    /// # Errors
    /// If it took too long.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    /// use std::time::Duration;
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.select_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let until = Some(|| Deadline::after(timeout));
        wait::select(&self.entries, self.biased, until).ok_or(SelectTimeoutError)
    }

    /// As [`select_timeout`](Select::select_timeout), until a point in time: std's [`Instant`](std::time::Instant), or
    /// [layby's](crate::time::Instant).
    ///
    /// # Cancellation
    /// As [`select`](Select::select).
    ///
    /// # Errors
    /// If it took too long.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    /// use std::time::{Duration, Instant};
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.select_deadline(Instant::now() + Duration::from_millis(5)).is_err());
    /// ```
    pub fn select_deadline(
        &mut self,
        until: impl Into<Instant>,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let until = until.into();
        wait::select(&self.entries, self.biased, Some(|| deadline(until))).ok_or(SelectTimeoutError)
    }

    /// The number of an operation that need not wait, if there is one. Nothing is done, so somebody else may be quicker.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If every operation would have to wait.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// let mut select = Select::new();
    /// let receiving = select.recv(&r);
    /// assert!(select.try_ready().is_err());
    /// s.send(1).unwrap();
    /// assert_eq!(select.try_ready(), Ok(receiving));
    /// assert_eq!(r.try_recv(), Ok(1));
    /// ```
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        wait::ready(&self.entries, self.biased, wait::NOT).ok_or(TryReadyError)
    }

    /// The number of an operation that need not wait. Nothing is done, so somebody else may be quicker.
    ///
    /// Waits until there is one.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Panics
    /// If there is no operation.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    /// use layby::go;
    ///
    /// let (s, r) = unbounded();
    /// go!(move || s.send(1));
    /// let mut select = Select::new();
    /// assert_eq!(select.recv(&r), select.ready());
    /// assert_eq!(r.try_recv(), Ok(1));
    /// ```
    pub fn ready(&mut self) -> usize {
        self.assert_some();
        wait::ready(&self.entries, self.biased, Some(|| Deadline::NEVER)).expect("never is never over")
    }

    /// As [`ready`](Select::ready), unless it takes longer than `timeout`.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If it took too long.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    /// use std::time::Duration;
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.ready_timeout(Duration::from_millis(5)).is_err());
    /// ```
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        let until = Some(|| Deadline::after(timeout));
        wait::ready(&self.entries, self.biased, until).ok_or(ReadyTimeoutError)
    }

    /// As [`ready_timeout`](Select::ready_timeout), until a point in time.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If it took too long.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{Select, unbounded};
    /// use std::time::{Duration, Instant};
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert!(select.ready_deadline(Instant::now() + Duration::from_millis(5)).is_err());
    /// ```
    pub fn ready_deadline(&mut self, until: impl Into<Instant>) -> Result<usize, ReadyTimeoutError> {
        let until = until.into();
        wait::ready(&self.entries, self.biased, Some(|| deadline(until))).ok_or(ReadyTimeoutError)
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        let entries = self.entries.iter().map(|entry| Entry::new(entry.handle, entry.index)).collect();
        Select { entries, ..*self }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

/// A select of nothing but a deadline.
fn sleep(timeout: Duration) {
    wait_until(Reason::Select, Deadline::after(timeout));
}
