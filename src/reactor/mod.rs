//! Readiness of descriptors, from epoll by way of mio: one [`Reactor`] per worker.
//!
//! It knows no scheduler. The worker calls [`Reactor::poll`] when it has nothing else to do (and now
//! and then when it has), and takes from [`Reactor::pop_ready`] the owners that are to run.
//!
//! # Who touches what
//!
//! | | touched by |
//! |---|---|
//! | [`Reactor`], its slots and flags, every [`FdWait`] | the home worker, plain memory |
//! | [`Source`], one per descriptor | any thread: a chain of `OnceLock`s |
//! | `Shared` (epoll descriptor, slots to free) | any thread: a lock |
//!
//! A descriptor is registered with the reactor of *each worker on which somebody waits for it*, when
//! he first does: both directions at once, edge triggered. So one `epoll_ctl` serves the descriptor's
//! whole life on that worker, and a descriptor that never blocks is never registered.
//!
//! # Why no edge is lost
//!
//! For each direction of each registration there are two flags. READY: the next call may succeed.
//! STICKY: an end (`EPOLLRDHUP`, `EPOLLHUP`), an error or urgent data was reported. "Known not ready"
//! means that neither is set, and only then does an operation wait without trying. The steps:
//!
//! ```text
//!   read:  1  registered here and known not ready?  -> 4
//!          2  the system call.  all asked for -> return      less -> mark_short, return
//!          3  EAGAIN: mark_drained, if registered
//!          4  register if need be; enqueue; suspend; on wake-up -> 1
//!   poll:  5  epoll_wait; per event: set READY (and STICKY), claim ALL waiters of that direction
//! ```
//!
//! 1. *Everything above runs on one thread.* A task is not moved and `poll` runs only while no task
//!    does. So between the system call of step 2 and the end of the enqueueing in step 4 no flag
//!    changes and no event is taken in. What happens to the descriptor meanwhile stays in the
//!    kernel's ready list and comes with the next step 5, which is after the enqueueing.
//! 2. *First wait.* The call said EAGAIN, *then* comes `EPOLL_CTL_ADD`, which looks at the descriptor
//!    and reports what is there as if it had just come. Data that arrived between the two is
//!    reported by the next `epoll_wait`. So a new registration starts as not ready in both directions.
//! 3. *EAGAIN* is the kernel's word that at that moment there was neither data nor end nor error.
//!    So clearing both flags is right: whatever comes later makes a new edge.
//! 4. *A short transfer* says that the buffer was empty (full, for a write) at that moment, in stream
//!    sockets, so later data makes a new edge and READY may go. It does **not** say so of an end or an
//!    error: the data and the FIN may have come in *one* edge, which has been taken in already. Then a
//!    task that parked after the short read would wait for an edge that never comes. But that edge set
//!    STICKY, which only EAGAIN clears, so the call is tried. And if the FIN came after the last step
//!    5, its edge is still to come. The same holds for urgent data, before which a read stops short;
//!    that is why priority events are asked for, though nobody waits for them.
//!    Whether a short transfer means anything is for the caller to know. It does not for terminals,
//!    datagrams, or unix sockets that pass descriptors: there `mark_short` must not be called.
//! 5. *Several waiters.* An edge wakes all of that direction, on each worker that has registered
//!    (each has its own epoll, which gets its own edge). They try in turn; when one finds the
//!    descriptor drained, the flags say so and the rest wait again without a call. Had only one been
//!    woken, and had he then left (a deadline), the data would lie there with nobody to tell.
//! 6. *Another thread* may drain the descriptor after READY was set: then the call says EAGAIN. The
//!    flags are hints in that direction only; "known not ready" is never wrong for want of an event.
//! 7. *Stale events.* The events of one `epoll_wait` are all taken in before any task runs, so no slot
//!    changes hands between. An event of a registration that could not be undone (the descriptor was
//!    closed by other means, a duplicate lives on) carries a generation that the slot no longer has.
//!
//! Rejected: level triggering (each wait would cost an `epoll_ctl` to arm and one to disarm);
//! registering at creation (a `connect`, request, response, close often never waits); one epoll for all
//! workers (the flags would need to be shared, and 1. is what makes them simple).

mod registrations;
mod source;
#[cfg(test)]
mod tests;
mod waiters;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use mio::Waker;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

pub(crate) use self::registrations::Key;
use self::registrations::{Registrations, Report};
pub(crate) use self::source::Source;
pub(crate) use self::waiters::FdWait;
pub(crate) use crate::sys::poll::Direction;
use crate::util::lock::Lock;

/// Events taken in by one `epoll_wait`; the rest come with the next.
const EVENTS: usize = 1024;

/// The waker's events. In a slot number that no registration has, whatever the generation.
const WAKER: Token = Token(Key::FIRST_RESERVED_SLOT as usize);
/// The timer's events.
const TIMER: Token = Token(Key::FIRST_RESERVED_SLOT as usize + 1);

/// One worker's view of the descriptors on which its tasks wait. Neither `Send` nor `Sync`.
pub(crate) struct Reactor {
    poller: RefCell<Poller>,
    registrations: RefCell<Registrations>,
    /// Owners whose waiters have been claimed, in the order of the events.
    ready: RefCell<VecDeque<NonNull<()>>>,
    shared: Arc<Shared>,
}

struct Poller {
    poll: Poll,
    events: Events,
}

/// What other threads need of a reactor: its epoll, and a place for the slots that they no longer use.
#[derive(Debug)]
struct Shared {
    /// A duplicate of the epoll descriptor, so it outlives the reactor if need be.
    registry: Registry,
    /// Slots of descriptors that are gone. The owner takes them over when it runs out of free ones. It
    /// always has room for all slots there are, so that nobody allocates under the lock.
    given_back: Lock<Vec<u32>>,
}

impl Shared {
    fn give_back(&self, key: Key) {
        self.given_back.lock().push(key.slot());
    }
}

impl Reactor {
    /// A reactor with no registration. To be made on the thread that is going to poll it.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)`: no more descriptors.
    pub(crate) fn new() -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Reactor {
            poller: RefCell::new(Poller { poll, events: Events::with_capacity(EVENTS) }),
            registrations: RefCell::default(),
            ready: RefCell::default(),
            shared: Arc::new(Shared { registry, given_back: Lock::default() }),
        })
    }

    /// What makes [`poll`](Reactor::poll) return from another thread. Once per reactor: mio panics in
    /// debug builds if there are two.
    ///
    /// # Errors
    /// Those of `eventfd(2)` and `epoll_ctl(2)`.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(&self.shared.registry, WAKER)
    }

    /// Makes [`poll`](Reactor::poll) return whenever this timerfd fires.
    ///
    /// It is never read: each firing is an edge of its own, and setting it anew clears its count.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub(crate) fn watch_timer(&self, fd: RawFd) -> io::Result<()> {
        self.shared.registry.register(&mut SourceFd(&fd), TIMER, Interest::READABLE)
    }

    /// Waits until something happens or `timeout` is over (`None`: no limit), then claims the waiters of
    /// all that became ready; [`pop_ready`](Reactor::pop_ready) gives them.
    ///
    /// The time is rounded up to milliseconds. May return early with nothing ready: the waker, the
    /// timer, or a signal.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`, none of which can happen to an epoll that is intact.
    pub(crate) fn poll(&self, timeout: Option<Duration>) -> io::Result<()> {
        let Poller { poll, events } = &mut *self.poller.borrow_mut();
        match poll.poll(events, timeout) {
            Ok(()) => {}
            // The caller looks at the clock and at its queues, then comes again if need be.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut registrations = self.registrations.borrow_mut();
        let mut ready = self.ready.borrow_mut();
        for event in events.iter() {
            // The waker's and the timer's slots do not exist, so their events end there.
            registrations.apply(Key::of(event.token()), Report::of(event), &mut ready);
        }
        Ok(())
    }

    /// The next owner to wake, in the order of the events. Its waiter is unlinked already.
    pub(crate) fn pop_ready(&self) -> Option<NonNull<()>> {
        self.ready.borrow_mut().pop_front()
    }

    /// Whether any task of this worker waits for a descriptor. While none does, there is no need to
    /// poll for their sake.
    pub(crate) fn has_waiters(&self) -> bool {
        self.registrations.borrow().waiting() > 0
    }

    /// Whether any descriptor is registered (or has been given back without our noticing so far).
    #[cfg(test)]
    pub(crate) fn has_registrations(&self) -> bool {
        self.registrations.borrow().live() > 0
    }

    /// `false`: a call in this direction would block, so do not try.
    #[inline]
    pub(crate) fn may_be_ready(&self, key: Key, direction: Direction) -> bool {
        self.registrations.borrow().may_be_ready(key, direction)
    }

    /// A call in this direction said `EAGAIN`: there is neither data (room) nor end nor error.
    pub(crate) fn mark_drained(&self, key: Key, direction: Direction) {
        self.registrations.borrow_mut().mark_drained(key, direction);
    }

    /// A call on a stream transferred less than was asked for: the next would block, unless an end or
    /// an error is there. See point 4 of the module's documentation for what this presupposes.
    pub(crate) fn mark_short(&self, key: Key, direction: Direction) {
        self.registrations.borrow_mut().mark_short(key, direction);
    }

    /// Links a waiter; its owner comes out of [`pop_ready`](Reactor::pop_ready) after the next event
    /// in this direction.
    ///
    /// # Safety
    /// `node` is in no list. It stays valid and where it is until it has been unlinked, that is until
    /// its owner was popped or [`remove`](Reactor::remove) was called.
    pub(crate) unsafe fn enqueue(&self, key: Key, direction: Direction, node: NonNull<FdWait>) {
        let mut registrations = self.registrations.borrow_mut();
        // SAFETY: the caller upholds the contract, which is the same; that the node is used on one
        // thread only follows from the reactor's being `!Sync` and `!Send`.
        unsafe { registrations.enqueue(key, direction, node) };
    }

    /// Withdraws a waiter: `true` if it was linked, so that nobody is going to wake its owner; `false`
    /// if it has been claimed, so that its owner is (or was) on the way out of
    /// [`pop_ready`](Reactor::pop_ready).
    ///
    /// # Safety
    /// `node` is valid. If it was ever enqueued, then with this reactor.
    pub(crate) unsafe fn remove(&self, node: NonNull<FdWait>) -> bool {
        // SAFETY: the caller upholds the contract, which is the same.
        unsafe { self.registrations.borrow_mut().withdraw(node) }
    }

    /// Registers a descriptor in both directions. Called by [`Source::key`] alone.
    fn register(&self, fd: RawFd) -> io::Result<Key> {
        let mut registrations = self.registrations.borrow_mut();
        if !registrations.has_free_slot() {
            let mut given_back = registrations.take_spare();
            mem::swap(&mut *self.shared.given_back.lock(), &mut given_back);
            registrations.reclaim(given_back);
        }
        let key = registrations.insert();
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        self.shared
            .registry
            .register(&mut SourceFd(&fd), key.token(), interest)
            .inspect_err(|_| registrations.remove(key.slot()))?;
        Ok(key)
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registrations = self.registrations.borrow();
        f.debug_struct("Reactor")
            .field("registrations", &registrations.live())
            .field("waiters", &registrations.waiting())
            .field("ready", &self.ready.borrow().len())
            .finish_non_exhaustive()
    }
}
