//! The sending side.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::sync::Arc;

use super::clock::deadline;
use super::shared::{Channel, Side};
use super::{SendError, SendTimeoutError, TrySendError};
use crate::instant::Instant;
use crate::park::Deadline;

/// The sending side of a channel.
///
/// Like [`crossbeam_channel::Sender`], except: a task that waits parks, and its worker runs others.
///
/// # Examples
/// ```
/// use layby::{channel, go};
///
/// let (s, r) = channel::bounded(1);
/// let s2 = s.clone();
/// go!(move || s.send(1).unwrap());
/// go!(move || s2.send(2).unwrap());
/// assert_eq!(r.recv().unwrap() + r.recv().unwrap(), 3);
/// ```
///
/// It goes where its messages may go, so this is refused:
/// ```compile_fail
/// let (s, r) = layby::channel::unbounded::<std::rc::Rc<u32>>();
/// layby::go!(move || s.send(std::rc::Rc::new(1)));
/// ```
pub struct Sender<T>(pub(super) Arc<Channel<T>>);

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// Sends `message` if that is possible at once.
    ///
    /// Never waits for room or a receiver; but a task that asks again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and the message with it.
    ///
    /// # Errors
    /// With the message, if the channel is full (in a channel of capacity 0: if no receiver waits), or if there is no
    /// receiver any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{TrySendError, bounded};
    ///
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// drop(r);
    /// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(message)
    }

    /// Sends `message`.
    ///
    /// Waits while the channel is full; in a channel of capacity 0, until a receiver takes it.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and the message with it, unless that has been taken.
    ///
    /// # Errors
    /// With the message, if there is no receiver any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{SendError, bounded};
    ///
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.send(1), Ok(()));
    /// drop(r);
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// ```
    #[inline(always)]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.0.send(message, || Deadline::NEVER).map_err(|error| SendError(error.into_inner()))
    }

    /// Sends `message`, unless that takes longer than `timeout`.
    ///
    /// Waits as [`send`](Sender::send).
    ///
    /// # Cancellation
    /// As [`send`](Sender::send).
    ///
    /// # Errors
    /// With the message, if it took too long, or if there is no receiver any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{SendTimeoutError, bounded};
    /// use std::time::Duration;
    ///
    /// let (s, _r) = bounded(0);
    /// let sent = s.send_timeout(1, Duration::from_millis(5));
    /// assert_eq!(sent, Err(SendTimeoutError::Timeout(1)));
    /// ```
    #[inline(always)]
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.0.send(message, || Deadline::after(timeout))
    }

    /// Sends `message`, unless that takes until after `until`: std's [`Instant`](std::time::Instant), or
    /// [layby's](crate::time::Instant).
    ///
    /// Waits as [`send`](Sender::send).
    ///
    /// # Cancellation
    /// As [`send`](Sender::send).
    ///
    /// # Errors
    /// As [`send_timeout`](Sender::send_timeout).
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{SendTimeoutError, bounded};
    /// use std::time::{Duration, Instant};
    ///
    /// let (s, r) = bounded(0);
    /// let soon = || Instant::now() + Duration::from_millis(5);
    /// assert_eq!(s.send_deadline(1, soon()), Err(SendTimeoutError::Timeout(1)));
    /// drop(r);
    /// assert_eq!(s.send_deadline(2, soon()), Err(SendTimeoutError::Disconnected(2)));
    /// ```
    #[inline(always)]
    pub fn send_deadline(&self, message: T, until: impl Into<Instant>) -> Result<(), SendTimeoutError<T>> {
        let until = until.into();
        self.0.send(message, || deadline(until))
    }

    /// Whether there is no message. Always true for a capacity of 0.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::unbounded();
    /// assert!(s.is_empty());
    /// s.send(1).unwrap();
    /// assert!(!s.is_empty() && !r.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Whether there is no room. Always true for a capacity of 0.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::bounded(1);
    /// assert!(!s.is_full());
    /// s.send(1).unwrap();
    /// assert!(s.is_full() && r.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// The number of messages in the channel.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::unbounded();
    /// s.send(1).unwrap();
    /// assert_eq!((s.len(), r.len()), (1, 1));
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many messages the channel holds; `None` if it is unbounded.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{bounded, unbounded};
    ///
    /// assert_eq!(unbounded::<u32>().0.capacity(), None);
    /// assert_eq!(bounded::<u32>(5).0.capacity(), Some(5));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.0.capacity()
    }

    /// Whether both send into one channel.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::unbounded;
    ///
    /// let (s, _r) = unbounded::<u32>();
    /// assert!(s.same_channel(&s.clone()));
    /// assert!(!s.same_channel(&unbounded().0));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.enter(Side::Send);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.leave(Side::Send);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
