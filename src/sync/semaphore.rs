//! `Semaphore`.
//!
//! One word, and a queue. While somebody is queued the permits stay where they are until they are enough for the head:
//! so a large request is not starved by small ones. Who brings permits then does so under the queue's lock, and *serves*: gives to
//! the head, and the next, for as long as there is enough. A waiter that leaves without (cancelled) serves, too: what it kept
//! the next from may be enough for that one.

use core::fmt::{self, Write};
use core::mem;
use std::error::Error;
use std::sync::Arc;

use super::queue::{Node, Queue};
use crate::park::{self, Deadline, Details, Outcome, Reason, Wait};
use crate::util::atomic::{AtomicUsize, Ordering, const_fn};

/// Somebody is queued. Changed under the queue's lock.
const QUEUED: usize = 1;
/// For good. Set under the queue's lock.
const CLOSED: usize = 1 << 1;
/// One permit.
const PERMIT: usize = 1 << 2;

/// A node's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Wants(usize),
    Granted,
    Closed,
}

/// A number of permits, which tasks take and give back.
///
/// First come, first served, whatever the numbers: who asks for many waits until there are many, and who comes later waits behind. Works from
/// tasks and from OS threads; where it has to wait, a task lets the others of its worker run.
///
/// # Examples
/// ```
/// use layby::sync::Semaphore;
///
/// layby::run(|| {
///     let connections = Semaphore::new(3);
///     layby::gather((0..10).map(|_| {
///         || {
///             let _permit = connections.acquire(1).unwrap();
///             layby::yield_now(); // at most three at a time are here
///         }
///     }));
///     assert_eq!(connections.available(), 3);
/// });
/// ```
pub struct Semaphore {
    state: AtomicUsize,
    queue: Queue<Note>,
}

/// The semaphore is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(());

/// Why [`Semaphore::try_acquire`] got nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryAcquireError {
    closed: bool,
}

/// Permits of a [`Semaphore`], given back when this is dropped.
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
#[clippy::has_significant_drop]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// As [`Permit`], with a share in the semaphore instead of a reference.
#[must_use = "if unused the permits go back at once"]
#[derive(Debug)]
#[clippy::has_significant_drop]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

struct Waiting<'a>(&'a Semaphore, &'a Node<Note>);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let Waiting(semaphore, node) = self;
        let mut queue = semaphore.queue.lock();
        // SAFETY: in this queue, or in none.
        if !unsafe { queue.unlink(node) } {
            return false;
        }
        if queue.is_empty() {
            // Relaxed: the bit says what the queue's lock orders.
            semaphore.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        drop(queue);
        semaphore.serve();
        true
    }

    fn describe(&self, details: &mut Details) {
        let _ = write!(details, "permits of a Semaphore, {} free", self.0.available());
    }
}

impl Semaphore {
    /// The most permits there can be.
    pub const MAX_PERMITS: usize = usize::MAX / PERMIT / 2;

    const_fn! {
        /// A semaphore with so many permits.
        ///
        /// # Panics
        /// If they are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
        pub const fn new(permits: usize) -> Semaphore {
            assert!(permits <= Semaphore::MAX_PERMITS, "too many permits");
            Semaphore { state: AtomicUsize::new(permits * PERMIT), queue: Queue::new() }
        }
    }

    /// How many permits there are to be taken. Those that are kept for the next in the queue count.
    pub fn available(&self) -> usize {
        // Relaxed: a look.
        self.state.load(Ordering::Relaxed) / PERMIT
    }

    /// Takes `n` permits; waits until it is the caller's turn and there are so many.
    ///
    /// # Cancellation
    /// A suspension point, also if it need not wait. Who is cancelled takes none, and passes its turn on.
    ///
    /// # Errors
    /// If the semaphore is closed, or is while this waits.
    ///
    /// # Examples
    /// ```
    /// use layby::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(5);
    /// let permit = semaphore.acquire(3).unwrap();
    /// assert_eq!((permit.permits(), semaphore.available()), (3, 2));
    /// drop(permit);
    /// semaphore.close();
    /// assert!(semaphore.acquire(1).is_err());
    /// ```
    #[inline(always)]
    pub fn acquire(&self, n: usize) -> Result<Permit<'_>, Closed> {
        self.take(n)?;
        Ok(Permit { semaphore: self, permits: n })
    }

    /// As [`acquire`](Semaphore::acquire), for a permit that keeps the semaphore alive.
    ///
    /// # Cancellation
    /// As [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    /// As [`acquire`](Semaphore::acquire).
    #[inline(always)]
    pub fn acquire_owned(self: Arc<Semaphore>, n: usize) -> Result<OwnedPermit, Closed> {
        self.take(n)?;
        Ok(OwnedPermit { semaphore: self, permits: n })
    }

    /// Takes `n` permits if there are so many and nobody waits. Never waits for them; but a task that asks in vain again and again
    /// yields now and then.
    ///
    /// # Cancellation
    /// A suspension point if it gets none.
    ///
    /// # Errors
    /// If there are not, somebody waits, or the semaphore is closed.
    pub fn try_acquire(&self, n: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.try_take(n).inspect_err(|_| park::in_vain())?;
        Ok(Permit { semaphore: self, permits: n })
    }

    /// As [`try_acquire`](Semaphore::try_acquire), for a permit that keeps the semaphore alive.
    ///
    /// # Cancellation
    /// As [`try_acquire`](Semaphore::try_acquire).
    ///
    /// # Errors
    /// As [`try_acquire`](Semaphore::try_acquire).
    pub fn try_acquire_owned(self: Arc<Semaphore>, n: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(n).inspect_err(|_| park::in_vain())?;
        Ok(OwnedPermit { semaphore: self, permits: n })
    }

    /// Adds `n` permits. Never waits.
    ///
    /// # Panics
    /// If there are more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS) then.
    pub fn add(&self, n: usize) {
        if n == 0 {
            return;
        }
        let added = |state: usize| {
            let room = n <= Semaphore::MAX_PERMITS - state / PERMIT;
            assert!(room, "too many permits");
            state + n * PERMIT
        };
        // Release pairs with the Acquire of who takes them. Relaxed: the exchange looks again.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let after = added(state);
            match self.state.compare_exchange_weak(state, after, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        if state & QUEUED != 0 {
            self.serve();
        }
    }

    /// Closes it: whoever waits, and whoever comes, gets [`Closed`]. Permits that are out can still be given back.
    pub fn close(&self) {
        let queue = self.queue.lock();
        // Relaxed: the bit says what the queue's lock orders.
        self.state.fetch_or(CLOSED, Ordering::Relaxed);
        drop(queue);
        self.serve();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        // Relaxed: a look.
        self.state.load(Ordering::Relaxed) & CLOSED != 0
    }

    #[inline(always)]
    fn take(&self, n: usize) -> Result<(), Closed> {
        park::checkpoint();
        match self.try_take(n) {
            Ok(()) => return Ok(()),
            Err(error) if error.closed => return Err(Closed(())),
            Err(_) => {}
        }
        let node = Node::new(Note::Wants(n));
        if !self.enlist(&node, n)? {
            return Ok(());
        }
        match park::park(Reason::Semaphore, Deadline::NEVER, &node.waiter, &Waiting(self, &node)) {
            Outcome::Cancelled => park::throw_cancelled(),
            Outcome::Woken | Outcome::TimedOut => match node.note() {
                Note::Granted => Ok(()),
                _ => Err(Closed(())),
            },
        }
    }

    fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        // Relaxed: the exchange looks again.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return Err(TryAcquireError { closed: true });
            }
            if n != 0 && (state & QUEUED != 0 || state / PERMIT < n) {
                return Err(TryAcquireError { closed: false });
            }
            let after = state - n * PERMIT;
            // Acquire pairs with the Releases in `add` (exchanges in between go on with their sequence).
            match self.state.compare_exchange_weak(state, after, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
    }

    /// True: `node` is linked. False: the permits were there.
    #[inline(never)]
    fn enlist(&self, node: &Node<Note>, n: usize) -> Result<bool, Closed> {
        let mut queue = self.queue.lock();
        // Relaxed: the exchange looks again.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return Err(Closed(()));
            }
            let enough = state & QUEUED == 0 && state / PERMIT >= n;
            let after = if enough { state - n * PERMIT } else { state | QUEUED };
            // Acquire as in `try_take`.
            match self.state.compare_exchange_weak(state, after, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if enough => return Ok(false),
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // SAFETY: in no queue, and its frame is there until it is unlinked.
        unsafe { queue.push_back(node) };
        Ok(true)
    }

    /// Gives to those who wait, in their order, while there is enough; once closed, sends them away.
    #[cold]
    fn serve(&self) {
        while let Some(claimed) = {
            let mut queue = self.queue.lock();
            let wants = match queue.front().map(Node::note) {
                Some(Note::Wants(n)) => n,
                _ => return,
            };
            // AcqRel: what came before the permits were added is passed on by the wake. While somebody is queued they grow
            // only, and CLOSED is the queue's lock's.
            let state = self.state.load(Ordering::Relaxed);
            let claimed = if state & CLOSED != 0 {
                queue.pop(Note::Closed)
            } else if state / PERMIT >= wants {
                self.state.fetch_sub(wants * PERMIT, Ordering::AcqRel);
                queue.pop(Note::Granted)
            } else {
                None
            };
            if queue.is_empty() {
                // Relaxed: the bit says what the queue's lock orders.
                self.state.fetch_and(!QUEUED, Ordering::Relaxed);
            }
            claimed
        } {
            claimed.wake();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

macro_rules! permit {
    ($permit:ident, [$($lifetime:lifetime)?]) => {
        impl$(<$lifetime>)? $permit$(<$lifetime>)? {
            /// How many they are.
            pub fn permits(&self) -> usize {
                self.permits
            }

            /// Does not give them back: the semaphore has so many less.
            pub fn forget(mut self) {
                self.permits = 0;
            }

            /// Takes `n` of them apart, if there are so many.
            pub fn split(&mut self, n: usize) -> Option<Self> {
                self.permits = self.permits.checked_sub(n)?;
                Some($permit { semaphore: self.semaphore.clone(), permits: n })
            }

            /// Adds those of `other`.
            ///
            /// # Panics
            /// If they are of another semaphore.
            #[track_caller]
            pub fn merge(&mut self, mut other: Self) {
                let same = core::ptr::eq::<Semaphore>(&*self.semaphore, &*other.semaphore);
                assert!(same, "permits of two semaphores");
                self.permits += mem::take(&mut other.permits);
            }
        }

        impl$(<$lifetime>)? Drop for $permit$(<$lifetime>)? {
            fn drop(&mut self) {
                self.semaphore.add(self.permits);
            }
        }
    };
}

permit!(Permit, ['a]);
permit!(OwnedPermit, []);

impl TryAcquireError {
    /// Whether the semaphore is closed; otherwise there were not enough permits, or others waited.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.closed { "the semaphore is closed" } else { "no permits available" })
    }
}

impl Error for Closed {}
impl Error for TryAcquireError {}
