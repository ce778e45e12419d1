//! The receiving side.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::sync::Arc;
use std::time;

use super::clock::{Clock, deadline, wait};
use super::iter::{Iter, TryIter};
use super::shared::{Channel, Side};
use super::{RecvError, RecvTimeoutError, TryRecvError};
use crate::instant::Instant;
use crate::park::{self, Deadline, Reason};

/// The receiving side of a channel.
///
/// Like [`crossbeam_channel::Receiver`], except: a task that waits parks, and its worker runs others.
///
/// # Examples
/// ```
/// use layby::{channel, go};
///
/// let (s, r) = channel::bounded(0);
/// go!(move || (0..5).for_each(|i| s.send(i).unwrap()));
/// assert_eq!(r.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
/// ```
pub struct Receiver<T>(pub(super) Source<T>);

/// Where the messages come from.
pub(super) enum Source<T> {
    /// Senders.
    Channel(Arc<Channel<T>>),
    /// The clock. `T` is std's `Instant`, and the function the identity.
    Clock(Arc<Clock>, fn(time::Instant) -> T),
    /// Nowhere.
    Never,
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// Takes a message if there is one.
    ///
    /// Never waits for a sender; but a task that asks again and again yields now and then. (One that has been promised the message of a select, in a channel of capacity 0, waits for that
    /// select to hand it over.)
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If there is no message; if there is none, and no sender any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{TryRecvError, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.try_recv(), Ok(5));
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.0 {
            Source::Channel(channel) => channel.try_recv(),
            Source::Clock(clock, of) => clock.try_recv().map(of),
            Source::Never => {
                park::spend_budget(1);
                Err(TryRecvError::Empty)
            }
        }
    }

    /// Takes a message.
    ///
    /// Waits while there is none.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and has taken no message. If one had been given to it already,
    /// that is returned, and the next suspension point unwinds.
    ///
    /// # Errors
    /// If there is no message, and no sender any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{RecvError, unbounded};
    /// use layby::go;
    ///
    /// let (s, r) = unbounded();
    /// go!(move || s.send(5).unwrap());
    /// assert_eq!(r.recv(), Ok(5));
    /// assert_eq!(r.recv(), Err(RecvError));
    /// ```
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(|| Deadline::NEVER).map_err(|_| RecvError)
    }

    /// Takes a message, unless none comes within `timeout`.
    ///
    /// Waits while there is none.
    ///
    /// # Cancellation
    /// As [`recv`](Receiver::recv).
    ///
    /// # Errors
    /// If none came in time; if there is none, and no sender any more.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{RecvTimeoutError, unbounded};
    /// use std::time::Duration;
    ///
    /// let (s, r) = unbounded::<u32>();
    /// assert_eq!(r.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// drop(s);
    /// assert_eq!(r.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Disconnected));
    /// ```
    #[inline(always)]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive(|| Deadline::after(timeout))
    }

    /// Takes a message, unless none comes until `until`: std's [`Instant`](std::time::Instant), or
    /// [layby's](crate::time::Instant).
    ///
    /// Waits while there is none.
    ///
    /// # Cancellation
    /// As [`recv`](Receiver::recv).
    ///
    /// # Errors
    /// As [`recv_timeout`](Receiver::recv_timeout).
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{RecvTimeoutError, unbounded};
    /// use std::time::{Duration, Instant};
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert_eq!(r.recv_deadline(soon), Err(RecvTimeoutError::Timeout));
    /// ```
    #[inline(always)]
    pub fn recv_deadline(&self, until: impl Into<Instant>) -> Result<T, RecvTimeoutError> {
        let until = until.into();
        self.receive(|| deadline(until))
    }

    #[inline(always)]
    fn receive(&self, until: impl FnOnce() -> Deadline) -> Result<T, RecvTimeoutError> {
        match &self.0 {
            Source::Channel(channel) => channel.recv(until),
            Source::Clock(clock, of) => clock.recv(until).map(of),
            Source::Never => {
                wait(Reason::Receive, until());
                Err(RecvTimeoutError::Timeout)
            }
        }
    }

    /// Whether there is no message. Always true for a capacity of 0.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::unbounded();
    /// assert!(r.is_empty());
    /// s.send(1).unwrap();
    /// assert!(!r.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room. Always true for a capacity of 0.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::bounded(1);
    /// assert!(!r.is_full());
    /// s.send(1).unwrap();
    /// assert!(r.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        match &self.0 {
            Source::Channel(channel) => channel.is_full(),
            Source::Clock(clock, _) => clock.has_message(),
            Source::Never => true,
        }
    }

    /// The number of messages in the channel.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        match &self.0 {
            Source::Channel(channel) => channel.len(),
            Source::Clock(clock, _) => usize::from(clock.has_message()),
            Source::Never => 0,
        }
    }

    /// How many messages the channel holds; `None` if it is unbounded. Those of [`after`](super::after), [`at`](super::at) and
    /// [`tick`](super::tick) hold 1, that of [`never`](super::never) 0.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::{bounded, unbounded};
    ///
    /// assert_eq!(unbounded::<u32>().1.capacity(), None);
    /// assert_eq!(bounded::<u32>(0).1.capacity(), Some(0));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match &self.0 {
            Source::Channel(channel) => channel.capacity(),
            Source::Clock(..) => Some(1),
            Source::Never => Some(0),
        }
    }

    /// Iterates over the messages, until there is none and no sender any more.
    ///
    /// Each step waits while there is no message.
    ///
    /// # Cancellation
    /// Each step as [`recv`](Receiver::recv).
    ///
    /// # Examples
    /// ```
    /// use layby::{channel, go};
    ///
    /// let (s, r) = channel::unbounded();
    /// go!(move || (1..=3).for_each(|i| s.send(i).unwrap()));
    /// assert_eq!(r.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// Iterates over the messages that are there. Never waits.
    ///
    /// # Cancellation
    /// Each step is a suspension point.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::channel::unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }

    /// Whether both receive from one channel.
    ///
    /// # Examples
    /// ```
    /// use layby::channel::unbounded;
    ///
    /// let (_s, r) = unbounded::<u32>();
    /// assert!(r.same_channel(&r.clone()));
    /// assert!(!r.same_channel(&unbounded().1));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.0, &other.0) {
            (Source::Channel(a), Source::Channel(b)) => Arc::ptr_eq(a, b),
            (Source::Clock(a, _), Source::Clock(b, _)) => Arc::ptr_eq(a, b),
            (Source::Never, Source::Never) => true,
            _ => false,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver(match &self.0 {
            Source::Channel(channel) => {
                channel.enter(Side::Receive);
                Source::Channel(channel.clone())
            }
            Source::Clock(clock, of) => Source::Clock(clock.clone(), *of),
            Source::Never => Source::Never,
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Source::Channel(channel) = &self.0 {
            channel.leave(Side::Receive);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
