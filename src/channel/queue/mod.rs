//! Queues that are not first in, first out: `PriorityQueue` and `LifoQueue`.
//!
//! Made of channels, so that waiting, cancellation and the order of arrival are theirs:
//!
//! * `store`, of capacity 1, holds the items: who receives them has the lock, who sends them back gives it up. User
//!   code (`Ord`) runs meanwhile, and may wait: so a lock of the runtime's would not do.
//! * `ready` has a message for each item that nobody has a right to yet. Who gets one gets an item, whichever is next then.
//! * `room`, of a bounded queue, has a message for each place that is taken.
//!
//! Only an operation's first step waits for others (for room, for an item), and is a suspension point. What follows is
//! [masked](crate::park::Mask): who has the right to an item gets one. When the items go back they are counted, and `ready` and `room`
//! put right; so a panic in `Ord` costs at most the item that was on its way.

#![forbid(unsafe_code)]

mod core;
mod items;

use ::core::fmt;
use ::core::panic::{RefUnwindSafe, UnwindSafe};

use self::core::Queue;
use self::items::{Heap, Stack};
use super::{RecvError, SendError, TryRecvError, TrySendError};

/// A queue whose least item is next; of equal ones, that which was put first.
///
/// Like asyncio's `PriorityQueue`, for tasks and threads. [`Reverse`](::core::cmp::Reverse) turns the order around. If the items' `Ord`
/// panics, the operation does, and the order of what is left may be wrong. While it runs, others wait for the queue; it may wait for other
/// things, but not for a task that needs the queue.
///
/// # Panics
/// An operation on the queue by the `Ord` of its own items: it would wait for itself.
///
/// # Examples
/// ```
/// use layby::channel::PriorityQueue;
/// use layby::go;
/// use std::sync::Arc;
///
/// let queue = Arc::new(PriorityQueue::bounded(2));
/// let putting = queue.clone();
/// go!(move || {
///     for job in [(5, "sweep"), (1, "alarm"), (3, "serve")] {
///         putting.put(job).unwrap(); // waits while there are two
///     }
///     putting.shutdown();
/// });
/// while let Ok((_priority, name)) = queue.get() {
///     println!("{name}");
///     queue.task_done();
/// }
/// queue.join(); // all are done
/// ```
pub struct PriorityQueue<T>(Queue<Heap<T>>);

/// A queue whose newest item is next.
///
/// Like asyncio's `LifoQueue`, for tasks and threads.
///
/// # Examples
/// ```
/// let queue = layby::channel::LifoQueue::unbounded();
/// for page in ["a", "b", "c"] {
///     queue.put(page).unwrap();
/// }
/// assert_eq!(queue.get(), Ok("c"));
/// ```
pub struct LifoQueue<T>(Queue<Stack<T>>);

macro_rules! queue {
    ($queue:ident, $($bound:ident)?, [$put:literal] -> [$got:literal]) => {
        impl<T> UnwindSafe for $queue<T> {}
        impl<T> RefUnwindSafe for $queue<T> {}

        impl<T $(: $bound)?> $queue<T> {
            /// A queue for any number of items. Putting never waits for room.
            pub fn unbounded() -> $queue<T> {
                $queue(Queue::new(None))
            }

            /// A queue for at most `capacity` items. Putting into a full one waits.
            ///
            /// # Panics
            /// If `capacity` is 0.
            #[track_caller]
            pub fn bounded(capacity: usize) -> $queue<T> {
                $queue(Queue::new(Some(capacity)))
            }

            /// Puts `item` into the queue.
            ///
            /// Waits while the queue is full. Who waits is served in order of arrival.
            ///
            /// # Cancellation
            /// A suspension point: a cancelled task unwinds from here, and the item with it, which was not put.
            ///
            /// # Errors
            /// With the item, after a [`shutdown`](Self::shutdown), also one that comes while this waits.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("let queue = layby::channel::", stringify!($queue), "::unbounded();")]
            #[doc = concat!("for item in [", $put, "] {")]
            ///     queue.put(item).unwrap();
            /// }
            /// queue.shutdown();
            #[doc = concat!("for item in [", $got, "] {")]
            ///     assert_eq!(queue.get(), Ok(item));
            /// }
            /// assert!(queue.get().is_err());
            /// ```
            pub fn put(&self, item: T) -> Result<(), SendError<T>> {
                self.0.put(item)
            }

            /// Puts `item` into the queue if there is room.
            ///
            /// Never waits for room, only for who is just putting or getting; and a task that asks again and again yields now
            /// and then.
            ///
            /// # Cancellation
            /// As [`put`](Self::put).
            ///
            /// # Errors
            /// With the item, if the queue is full; after a [`shutdown`](Self::shutdown).
            pub fn try_put(&self, item: T) -> Result<(), TrySendError<T>> {
                self.0.try_put(item)
            }

            /// Takes the item that is next.
            ///
            /// Waits while there is none. Who waits is served in order of arrival.
            ///
            /// # Cancellation
            /// A suspension point: a cancelled task unwinds from here, and has taken nothing. If it had been given the right to an
            /// item already, it gets that, and the next suspension point unwinds.
            ///
            /// # Errors
            /// If there is no item, and a [`shutdown`](Self::shutdown) lets no more come.
            pub fn get(&self) -> Result<T, RecvError> {
                self.0.get()
            }

            /// Takes the item that is next, if there is one.
            ///
            /// Never waits for an item, only for who is just putting or getting; and a task that asks again and again yields now
            /// and then.
            ///
            /// # Cancellation
            /// As [`get`](Self::get).
            ///
            /// # Errors
            /// If there is no item; if there is none, and a [`shutdown`](Self::shutdown) lets no more come.
            pub fn try_get(&self) -> Result<T, TryRecvError> {
                self.0.try_get()
            }

            /// Says that what was to be done with an item that was gotten is done. See [`join`](Self::join).
            ///
            /// # Panics
            /// If it is called more often than items were put.
            #[track_caller]
            pub fn task_done(&self) {
                self.0.task_done();
            }

            /// Waits until everything that was put has been gotten and is [done](Self::task_done).
            ///
            /// # Cancellation
            /// A suspension point.
            ///
            /// # Examples
            /// ```
            /// use layby::{scope, yield_now};
            ///
            #[doc = concat!("let queue = layby::channel::", stringify!($queue), "::unbounded();")]
            /// scope(|s| {
            ///     for _ in 0..2 {
            ///         s.spawn(|| {
            ///             while let Ok(_item) = queue.get() {
            ///                 yield_now(); // some work
            ///                 queue.task_done();
            ///             }
            ///         });
            ///     }
            ///     (0..10).for_each(|i| queue.put(i).unwrap());
            ///     queue.join();
            ///     assert!(queue.is_empty());
            ///     queue.shutdown(); // ends the workers
            /// });
            /// ```
            pub fn join(&self) {
                self.0.join();
            }

            /// Lets nothing more be put. Who waits for room gets its item back; what is there can be gotten, and after that
            /// nobody waits.
            pub fn shutdown(&self) {
                self.0.shutdown();
            }

            /// As [`shutdown`](Self::shutdown), and takes all that is there, in the order of `get`. It counts as done.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("let queue = layby::channel::", stringify!($queue), "::unbounded();")]
            #[doc = concat!("for item in [", $put, "] {")]
            ///     queue.put(item).unwrap();
            /// }
            #[doc = concat!("assert_eq!(queue.shutdown_now(), [", $got, "]);")]
            /// queue.join();
            /// assert!(queue.get().is_err() && queue.put(9).is_err());
            /// ```
            pub fn shutdown_now(&self) -> Vec<T> {
                self.0.shutdown_now()
            }

            /// The number of items that there are to be gotten.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there is nothing to be gotten.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room.
            pub fn is_full(&self) -> bool {
                self.0.is_full()
            }

            /// How many items it holds; `None` if it is unbounded.
            pub fn capacity(&self) -> Option<usize> {
                self.0.capacity()
            }
        }

        impl<T> fmt::Debug for $queue<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($queue)).finish_non_exhaustive()
            }
        }
    };
}

queue!(PriorityQueue, Ord, ["3, 1, 2"] -> ["1, 2, 3"]);
queue!(LifoQueue, , ["3, 1, 2"] -> ["2, 1, 3"]);
