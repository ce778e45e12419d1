//! Channels.
//!
//! Like the crate [`crossbeam_channel`], under its names and with its error types, except:
//!
//! * Who waits is a task; its worker runs others meanwhile. A thread that is no task waits, too. Tasks and threads may share a channel.
//! * Every operation is a suspension point: a cancelled task unwinds from it, and no message is lost that
//!   way. A task whose operations never have to wait yields now and then all the same. A message that was given to a waiting task is returned to it.
//! * [`after`], [`at`] and [`tick`], all timeouts and deadlines go by the virtual clock in a seeded run
//!   ([`testing::run`](crate::testing::run)). Deadlines may be std's [`Instant`](std::time::Instant) or [layby's](crate::time::Instant).
//! * Messages that are not [`Send`] may pass between the tasks of one worker ([`spawn_local`](crate::spawn_local)).
//! * An operation that a [`Select`] has promised and that an unwind drops is given back.
//!
//! [`PriorityQueue`] and [`LifoQueue`] are queues in another order, after asyncio's.
//!
//! # Examples
//! ```
//! use layby::{channel, go};
//!
//! let (s, r) = channel::unbounded();
//! for i in 0..3 {
//!     let s = s.clone();
//!     go!(move || s.send(i * i).unwrap());
//! }
//! drop(s); // so that the iteration ends when the tasks have
//! assert_eq!(r.iter().sum::<i32>(), 5);
//! ```
//! Whichever comes first:
//! ```
//! use layby::channel::{self, select};
//! use layby::go;
//! use std::time::Duration;
//!
//! let (s, r) = channel::bounded(0);
//! go!(move || s.send("hello").unwrap());
//! select! {
//!     recv(r) -> greeting => assert_eq!(greeting, Ok("hello")),
//!     recv(channel::after(Duration::from_secs(10))) -> _ => panic!("nobody greets"),
//! }
//! ```
// # How it is made
//
// One lock per channel, held for some tens of instructions, over a buffer and two queues of wait nodes (`state`); the
// waiters' side of it, by the rules of `park` (`shared`); and selects (`select::wait`).
//
// * *Direct hand-over.* A sender that finds a receiver waiting moves the message into the receiver's frame and wakes it: it need not
//   come for the lock again, and nobody can snatch the message. Likewise a receiver that makes room moves the next
//   sender's message into the buffer. So waiters are served in order of arrival, and a wake ends a wait for good.
// * *A capacity of 0* is no case of its own: a buffer that is always full and always empty.
// * *A select's send* has no message until the user completes it. It is promised a place, or a receiver, which then waits for it.
//
// Rejected: lock-free rings, as crossbeam's. They need an atomic exchange for each operation, too, and fences between the ring and the
// queue of waiters besides; the lock is one exchange, and the queue comes with it.

mod buffer;
mod clock;
mod iter;
mod node;
mod queue;
mod receiver;
mod select;
mod sender;
mod shared;
mod state;

pub use crossbeam_channel::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError,
    TryReadyError, TryRecvError, TrySelectError, TrySendError,
};

pub use self::iter::{IntoIter, Iter, TryIter};
pub use self::queue::{LifoQueue, PriorityQueue};
pub use self::receiver::Receiver;
#[doc(hidden)]
pub use self::select::macros as select_parts;
pub use self::select::macros::{select, select_biased};
pub use self::select::{Select, SelectedOperation};
pub use self::sender::Sender;

use core::time::Duration;
use std::sync::Arc;
use std::time;

use self::clock::Clock;
use self::receiver::Source;
use self::shared::Channel;
use crate::instant::Instant;

fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel::new(capacity));
    (Sender(channel.clone()), Receiver(Source::Channel(channel)))
}

/// A channel for any number of messages. Sending never waits for room.
///
/// # Examples
/// ```
/// let (s, r) = layby::channel::unbounded();
/// (0..100).for_each(|i| s.send(i).unwrap());
/// assert_eq!(r.len(), 100);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

/// A channel for at most `capacity` messages. Sending into a full one waits.
///
/// With a capacity of 0 it holds none: a sender waits for a receiver, a receiver for a sender, and the message passes between them.
///
/// # Panics
/// If memory for that many messages cannot even be asked for.
///
/// # Examples
/// ```
/// use layby::{channel, go};
///
/// let (s, r) = channel::bounded(0);
/// let sender = go!(move || s.send("here").unwrap());
/// assert_eq!(r.recv(), Ok("here"));
/// sender.join().unwrap();
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(Some(capacity))
}

fn clock(first: Option<Instant>, period: Option<Duration>) -> Receiver<time::Instant> {
    first.map_or_else(never, |first| {
        Receiver(Source::Clock(Arc::new(Clock::new(first, period)), core::convert::identity))
    })
}

/// A receiver of one message, the time at which it is due: `duration` from now.
///
/// The time is std's [`Instant`](time::Instant), in a seeded run the virtual time; [layby's](crate::time::Instant) compares with it.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let r = layby::channel::after(Duration::from_millis(5));
/// assert!(r.recv().unwrap() >= start + Duration::from_millis(5));
/// ```
pub fn after(duration: Duration) -> Receiver<time::Instant> {
    clock(Instant::now().checked_add(duration), None)
}

/// A receiver of one message, the time `when`, at that time.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// let when = Instant::now() + Duration::from_millis(5);
/// assert_eq!(layby::channel::at(when).recv(), Ok(when));
/// ```
pub fn at(when: impl Into<Instant>) -> Receiver<time::Instant> {
    clock(Some(when.into()), None)
}

/// A receiver of a message every `duration`, the time at which it was due. One that is not received in time
/// delays the following.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let ticks = layby::channel::tick(Duration::from_millis(5));
/// assert!(ticks.iter().nth(2).unwrap() >= start + Duration::from_millis(15));
/// ```
pub fn tick(duration: Duration) -> Receiver<time::Instant> {
    clock(Instant::now().checked_add(duration), Some(duration))
}

/// A receiver of no message ever, to leave an operation of a select out.
///
/// # Examples
/// ```
/// use layby::channel::{after, bounded, never, select};
/// use std::time::Duration;
///
/// let (_s, r) = bounded::<u32>(1);
/// for limit in [None, Some(Duration::from_millis(5))] {
///     let limit = limit.map_or_else(never, after);
///     let limited = select! {
///         recv(r) -> _ => unreachable!(),
///         recv(limit) -> _ => true,
///         default(Duration::from_millis(20)) => false,
///     };
///     assert_eq!(limited, limit.capacity() == Some(1));
/// }
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver(Source::Never)
}
