//! `Condvar`.
//!
//! A notification is the claim of a node (rule 3 of `park`), so it is given to one waiter, and to one that waits still: a
//! deadline or a cancellation that comes at the same time either has taken the node out before, or finds it claimed and the wait
//! returns as notified. `notify_all` claims a whole generation at once.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;
use std::sync::{LockResult, PoisonError};

use super::MutexGuard;
use super::queue::{Node, Queue};
use crate::park::{self, Deadline, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering, const_fn};

/// A condition variable: waiting for what other tasks do to the value of a [`Mutex`](super::Mutex).
///
/// Like [`std::sync::Condvar`], except: only the calling task waits, not its worker (on a thread that is no task, the thread
/// does). Waiters are notified in order of arrival. It never wakes without a notification, but as with std's the condition may have changed again
/// by the time the lock is taken. It may be used with several mutexes.
///
/// # Cancellation
/// All `wait*` are suspension points, which a cancellation unwinds from with the mutex unlocked. A waiter that has been notified is no longer
/// cancelled, nor timed out: it takes the lock and returns, so that no notification is lost; the cancellation comes at its next
/// suspension point.
///
/// # Examples
/// ```
/// use layby::{go, sync::{Arc, Condvar, Mutex}};
///
/// layby::run(|| {
///     let pair = Arc::new((Mutex::new(false), Condvar::new()));
///     let other = pair.clone();
///     go!(move || {
///         *other.0.lock().unwrap() = true;
///         other.1.notify_one();
///     });
///     let (ready, changed) = &*pair;
///     let ready = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
///     assert!(*ready);
/// });
/// ```
pub struct Condvar {
    /// The notes are generations.
    queue: Queue<usize>,
    /// The generation of those who come now. Under the queue's lock.
    generation: AtomicUsize,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Whether a wait ended because its time was over. Like [`std::sync::WaitTimeoutResult`], which nobody else can make.
#[derive(Debug, PartialEq, Eq, Copy, Clone)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

struct Waiting<'a>(&'a Condvar, &'a Node<usize>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let Waiting(condvar, node) = self;
        let mut queue = condvar.queue.lock();
        // One of an older generation is claimed, linked or not.
        if node.note() != condvar.generation() {
            return false;
        }
        // SAFETY: in this queue, or in none.
        unsafe { queue.unlink(node) }
    }
}

impl Condvar {
    const_fn! {
        /// A condition variable that nobody waits for.
        pub const fn new() -> Condvar {
            Condvar { queue: Queue::new(), generation: AtomicUsize::new(0) }
        }
    }

    /// Under the queue's lock, which orders it.
    fn generation(&self) -> usize {
        self.generation.load(Ordering::Relaxed)
    }

    /// Releases the mutex, waits for a notification, and takes the mutex again.
    ///
    /// # Cancellation
    /// A suspension point until it is notified.
    ///
    /// # Errors
    /// If the mutex is poisoned when it is taken again; the guard is in the error.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        match self.wait_until(guard, Deadline::NEVER) {
            Ok((guard, _)) => Ok(guard),
            Err(error) => Err(PoisonError::new(error.into_inner().0)),
        }
    }

    /// Waits until `condition` is false.
    ///
    /// # Cancellation
    /// As [`wait`](Condvar::wait).
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait_timeout`](Condvar::wait_timeout), in milliseconds, and with `false` if the time was over.
    ///
    /// # Cancellation
    /// As [`wait`](Condvar::wait).
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    #[deprecated(note = "replaced by `wait_timeout`, as in std")]
    pub fn wait_timeout_ms<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        ms: u32,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let notified = |(guard, result): (_, WaitTimeoutResult)| (guard, !result.timed_out());
        match self.wait_timeout(guard, Duration::from_millis(u64::from(ms))) {
            Ok(pair) => Ok(notified(pair)),
            Err(error) => Err(PoisonError::new(notified(error.into_inner()))),
        }
    }

    /// As [`wait`](Condvar::wait), but for no longer than `timeout`. Taking the lock again is not limited.
    ///
    /// # Cancellation
    /// As [`wait`](Condvar::wait).
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    ///
    /// # Examples
    /// ```
    /// use layby::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// layby::testing::run(1, || {
    ///     let (mutex, never) = (Mutex::new(()), Condvar::new());
    ///     let guard = mutex.lock().unwrap();
    ///     let (_guard, result) = never.wait_timeout(guard, Duration::from_secs(60)).unwrap();
    ///     assert!(result.timed_out());
    /// });
    /// ```
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_until(guard, Deadline::after(timeout))
    }

    /// Waits until `condition` is false, but for no longer than `timeout`. It has timed out only if the
    /// condition is still true.
    ///
    /// # Cancellation
    /// As [`wait`](Condvar::wait).
    ///
    /// # Errors
    /// As [`wait`](Condvar::wait).
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        timeout: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let deadline = Deadline::after(timeout);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if !deadline.is_never() && deadline.remaining().is_zero() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = self.wait_until(guard, deadline)?.0;
        }
    }

    #[inline(always)]
    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let node = Node::new(0);
        self.enlist(&node);
        let mutex = guard.release();
        let timed_out = match park::park(Reason::Condvar, deadline, &node.waiter, &Waiting(self, &node)) {
            Outcome::Woken => false,
            Outcome::TimedOut => true,
            Outcome::Cancelled => park::throw_cancelled(),
        };
        let result = WaitTimeoutResult(timed_out);
        match mutex.lock_again() {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    #[inline(never)]
    fn enlist(&self, node: &Node<usize>) {
        let mut queue = self.queue.lock();
        node.set_note(self.generation());
        // SAFETY: in no queue, and its frame is there until it is unlinked.
        unsafe { queue.push_back(node) };
    }

    /// Wakes the waiter that has waited longest, if there is one. Never waits.
    pub fn notify_one(&self) {
        // A waiter that must be seen was linked before it released the mutex, which the caller has taken since.
        while !self.queue.seems_empty() {
            let mut queue = self.queue.lock();
            // One of an older generation is a `notify_all`'s, which may be waking the others meanwhile: that one is helped.
            let older = queue.front().is_some_and(|node| node.note() != self.generation());
            let claimed = queue.pop(0);
            drop(queue);
            if let Some(claimed) = claimed {
                claimed.wake();
            }
            if !older {
                return;
            }
        }
    }

    /// Wakes all that wait now. Never waits.
    pub fn notify_all(&self) {
        if self.queue.seems_empty() {
            return; // as in `notify_one`
        }
        let queue = self.queue.lock();
        let generation = self.generation() + 1;
        self.generation.store(generation, Ordering::Relaxed);
        drop(queue);
        self.queue.wake_older(generation);
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}
