//! Channels with one receiver. Like [`std::sync::mpsc`], with its error types, except:
//!
//! * Who waits is a task; its worker runs others meanwhile. Tasks and OS threads may share a channel.
//! * Every operation is a suspension point: a cancelled task unwinds from it, and no message is lost that
//!   way. A task whose operations never have to wait yields now and then all the same.
//! * Timeouts go by the virtual clock in a seeded run ([`testing::run`](crate::testing::run)).
//! * Who waits is served in order of arrival.
//!
//! [`layby::channel`](crate::channel) has more: several receivers, `select!`, timeouts for senders.
//!
//! # Examples
//! ```
//! use layby::go;
//! use layby::sync::mpsc;
//!
//! let (s, r) = mpsc::channel();
//! for i in 0..3 {
//!     let s = s.clone();
//!     go!(move || s.send(i * i).unwrap());
//! }
//! drop(s); // so that the iteration ends when the tasks have
//! assert_eq!(r.iter().sum::<i32>(), 5);
//! ```

#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::panic::RefUnwindSafe;
use core::time::Duration;

use crate::channel;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

/// The sending side of a [`channel`](channel()).
///
/// Like [`std::sync::mpsc::Sender`].
///
/// # Examples
/// ```
/// let (s, r) = layby::sync::mpsc::channel();
/// let s2 = s.clone();
/// s.send(1).unwrap();
/// s2.send(2).unwrap();
/// assert_eq!((r.recv(), r.recv()), (Ok(1), Ok(2)));
/// ```
pub struct Sender<T>(channel::Sender<T>);

/// The sending side of a [`sync_channel`].
///
/// Like [`std::sync::mpsc::SyncSender`], except: a task that waits for room lets the others of its worker run.
///
/// # Examples
/// ```
/// use layby::go;
/// use layby::sync::mpsc;
///
/// let (s, r) = mpsc::sync_channel(1);
/// go!(move || (0..5).for_each(|i| s.send(i).unwrap()));
/// assert_eq!(r.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
/// ```
pub struct SyncSender<T>(channel::Sender<T>);

/// The receiving side of either channel.
///
/// Like [`std::sync::mpsc::Receiver`], except: a task that waits lets the others of its worker run.
///
/// One task or thread at a time has it, so this is refused:
/// ```compile_fail
/// let (_s, r) = layby::sync::mpsc::channel::<u32>();
/// std::thread::scope(|scope| {
///     scope.spawn(|| r.try_recv());
/// });
/// ```
/// # Examples
/// ```
/// use layby::go;
/// use layby::sync::mpsc;
///
/// let (s, r) = mpsc::channel();
/// go!(move || s.send("hello").unwrap());
/// assert_eq!(r.recv(), Ok("hello"));
/// ```
pub struct Receiver<T> {
    channel: channel::Receiver<T>,
    /// Not `Sync`, as std's.
    alone: PhantomData<Cell<()>>,
}

// The marker is not, the channel is; so is std's.
impl<T> RefUnwindSafe for Receiver<T> {}

/// A channel for any number of messages. Sending never waits for room.
///
/// # Examples
/// ```
/// let (s, r) = layby::sync::mpsc::channel();
/// (0..100).for_each(|i| s.send(i).unwrap());
/// assert_eq!(r.try_iter().count(), 100);
/// ```
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let (s, r) = channel::unbounded();
    (Sender(s), Receiver::new(r))
}

/// A channel for at most `bound` messages. Sending into a full one waits.
///
/// With a bound of 0 it holds none: a sender waits for the receiver, and the message passes between them.
///
/// # Panics
/// If memory for that many messages cannot even be asked for.
///
/// # Examples
/// ```
/// use layby::sync::mpsc::{TrySendError, sync_channel};
///
/// let (s, _r) = sync_channel(1);
/// s.send(1).unwrap();
/// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
/// ```
#[must_use]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let (s, r) = channel::bounded(bound);
    (SyncSender(s), Receiver::new(r))
}

impl<T> Sender<T> {
    /// Sends `t`. Never waits for room.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and the message with it.
    ///
    /// # Errors
    /// With the message, if there is no receiver any more.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::mpsc::{SendError, channel};
    ///
    /// let (s, r) = channel();
    /// assert_eq!(s.send(1), Ok(()));
    /// drop(r);
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// ```
    #[inline(always)]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.0.send(t).map_err(|error| SendError(error.0))
    }
}

impl<T> SyncSender<T> {
    /// Sends `t`.
    ///
    /// Waits while the channel is full; with a bound of 0, until the receiver takes it.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and the message with it, unless that has been taken.
    ///
    /// # Errors
    /// With the message, if there is no receiver any more.
    ///
    /// # Examples
    /// ```
    /// use layby::go;
    /// use layby::sync::mpsc::sync_channel;
    ///
    /// let (s, r) = sync_channel(0);
    /// let sender = go!(move || s.send(5));
    /// assert_eq!(r.recv(), Ok(5));
    /// assert_eq!(sender.join().unwrap(), Ok(()));
    /// ```
    #[inline(always)]
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.0.send(t).map_err(|error| SendError(error.0))
    }

    /// Sends `t` if that is possible at once.
    ///
    /// Never waits for room or the receiver; but a task that asks again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point: a cancelled task unwinds from here, and the message with it.
    ///
    /// # Errors
    /// With the message, if the channel is full (with a bound of 0: if the receiver does not wait), or if there is no receiver
    /// any more.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::mpsc::{TrySendError, sync_channel};
    ///
    /// let (s, r) = sync_channel(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// drop(r);
    /// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
        self.0.try_send(t).map_err(|error| match error {
            channel::TrySendError::Full(t) => TrySendError::Full(t),
            channel::TrySendError::Disconnected(t) => TrySendError::Disconnected(t),
        })
    }
}

impl<T> Receiver<T> {
    fn new(channel: channel::Receiver<T>) -> Receiver<T> {
        Receiver { channel, alone: PhantomData }
    }

    /// Takes a message if there is one.
    ///
    /// Never waits; but a task that asks again and again yields now and then.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// If there is no message; if there is none, and no sender any more.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::mpsc::{TryRecvError, channel};
    ///
    /// let (s, r) = channel();
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.try_recv(), Ok(5));
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_recv().map_err(|error| match error {
            channel::TryRecvError::Empty => TryRecvError::Empty,
            channel::TryRecvError::Disconnected => TryRecvError::Disconnected,
        })
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
    /// use layby::sync::mpsc::{RecvError, channel};
    ///
    /// let (s, r) = channel();
    /// layby::go!(move || s.send(5).unwrap());
    /// assert_eq!(r.recv(), Ok(5));
    /// assert_eq!(r.recv(), Err(RecvError));
    /// ```
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.recv().map_err(|_| RecvError)
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
    /// use layby::sync::mpsc::{RecvTimeoutError, channel};
    /// use std::time::Duration;
    ///
    /// let (s, r) = channel::<u32>();
    /// assert_eq!(r.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
    /// drop(s);
    /// assert_eq!(r.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Disconnected));
    /// ```
    #[inline(always)]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.channel.recv_timeout(timeout).map_err(|error| match error {
            channel::RecvTimeoutError::Timeout => RecvTimeoutError::Timeout,
            channel::RecvTimeoutError::Disconnected => RecvTimeoutError::Disconnected,
        })
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
    /// let (s, r) = layby::sync::mpsc::channel();
    /// layby::go!(move || (1..=3).for_each(|i| s.send(i).unwrap()));
    /// assert_eq!(r.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { rx: self }
    }

    /// Iterates over the messages that are there. Never waits.
    ///
    /// # Cancellation
    /// Each step is a suspension point.
    ///
    /// # Examples
    /// ```
    /// let (s, r) = layby::sync::mpsc::channel();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { rx: self }
    }
}

/// Waits for each message: [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    rx: &'a Receiver<T>,
}

/// Takes what is there: [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    rx: &'a Receiver<T>,
}

/// As [`Iter`], and owns the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    rx: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.rx.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter { rx: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(self.0.clone())
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        SyncSender(self.0.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
