//! One channel: its state behind a lock, and the operations that wait.

#[cfg(all(test, loom))]
mod loom;

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::buffer::Block;
use super::node::{Given, Node, Wakes, wake};
use super::select::handle::Link;
use super::state::{Garbage, Put, Reserved, Returned, State, Took};
use super::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use crate::park::{self, Claim, Deadline, Details, Outcome, Reason, Wait, Waiter, park, throw_cancelled};
use crate::util::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::util::spin::SpinLock;

pub(super) struct Channel<T> {
    state: SpinLock<State<T>>,
    capacity: Option<usize>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Whether the last receive had to wait. If so, the next one does not try first: it would take the lock twice.
    receive_waits: AtomicBool,
}

// SAFETY: messages pass from thread to thread, which `T: Send` allows; no two threads refer to one. Nodes are touched by
// rules 2 to 4 of `park`, which hold between threads.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Channel<T> {}

/// Where a waiting operation has its message: on its frame, for others to reach.
struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

impl<T> Slot<T> {
    #[inline(always)]
    fn empty() -> Slot<T> {
        Slot(UnsafeCell::new(MaybeUninit::uninit()))
    }

    #[inline(always)]
    fn of(message: T) -> Slot<T> {
        Slot(UnsafeCell::new(MaybeUninit::new(message)))
    }

    #[inline(always)]
    fn place(&self) -> *mut T {
        self.0.get().cast()
    }

    /// # Safety
    /// There is a message, and nobody will look for it here.
    #[inline(always)]
    unsafe fn take(&self) -> T {
        // SAFETY: says the caller.
        unsafe { self.place().read() }
    }
}

/// A sender's or receiver's node in its queue.
struct Waiting<'a, T> {
    channel: &'a Channel<T>,
    node: &'a Node,
    side: Side,
}

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Send,
    Receive,
}

/// The wait of a receiver for the message of a select that it has claimed: claimed itself, from the start.
pub(super) struct Promised;

impl Wait for Promised {
    fn withdraw(&self) -> bool {
        false
    }
}

impl<T> Wait for Waiting<'_, T> {
    fn withdraw(&self) -> bool {
        self.channel.unlink(self.node, self.side, false)
    }

    fn describe(&self, details: &mut Details) {
        self.channel.describe(self.side, details);
    }
}

impl<T> Channel<T> {
    /// With one sender and one receiver. `None`: unbounded.
    pub(super) fn new(capacity: Option<usize>) -> Channel<T> {
        Channel {
            state: SpinLock::new(State::new(capacity)),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            receive_waits: AtomicBool::new(false),
        }
    }

    #[inline(always)]
    pub(super) fn send(
        &self,
        message: T,
        deadline: impl FnOnce() -> Deadline,
    ) -> Result<(), SendTimeoutError<T>> {
        park::spend_budget(1);
        let message = Slot::of(message);
        match self.put(&message) {
            Put::Done => return Ok(()),
            // SAFETY: it was not moved.
            Put::Disconnected => return Err(SendTimeoutError::Disconnected(unsafe { message.take() })),
            Put::Full | Put::NoBlock => {}
        }
        let deadline = deadline();
        loop {
            let waiter = Waiter::current();
            let node = Node::plain(&waiter, message.place().cast());
            match self.put_or_link(&node) {
                Put::Done => return Ok(()),
                // SAFETY: it was not moved.
                Put::Disconnected => return Err(SendTimeoutError::Disconnected(unsafe { message.take() })),
                Put::Full | Put::NoBlock => {}
            }
            let waiting = Waiting { channel: self, node: &node, side: Side::Send };
            match park(Reason::Send, deadline, &waiter, &waiting) {
                Outcome::Woken => match node.given() {
                    Given::Done => return Ok(()),
                    Given::Disconnected => {
                        // SAFETY: who says `Disconnected` has not moved it.
                        return Err(SendTimeoutError::Disconnected(unsafe { message.take() }));
                    }
                    _ => {}
                },
                // SAFETY: unlinked before anybody has moved it.
                Outcome::TimedOut => return Err(SendTimeoutError::Timeout(unsafe { message.take() })),
                Outcome::Cancelled => {
                    // SAFETY: as above. The unwinding drops it.
                    let _message = unsafe { message.take() };
                    throw_cancelled();
                }
            }
        }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        park::spend_budget(1);
        self.try_put(message)
    }

    /// [`try_send`](Channel::try_send), but no suspension point.
    #[inline]
    pub(super) fn try_put(&self, message: T) -> Result<(), TrySendError<T>> {
        let message = Slot::of(message);
        match self.put(&message) {
            Put::Done => Ok(()),
            // SAFETY: it was not moved.
            Put::Disconnected => Err(TrySendError::Disconnected(unsafe { message.take() })),
            Put::Full | Put::NoBlock => {
                // SAFETY: as above.
                Err(TrySendError::Full(unsafe { message.take() }))
            }
        }
    }

    /// The message is moved after `Done`, and only then. Never `NoBlock`.
    #[inline]
    fn put(&self, message: &Slot<T>) -> Put {
        let mut wakes = Wakes::new();
        // SAFETY: a message is there, as its makers see to.
        let put = unsafe { self.state.lock().put(message.place(), &mut wakes) };
        wakes.fire();
        if put == Put::NoBlock {
            return self.put_with_block(message);
        }
        put
    }

    #[cold]
    #[inline(never)]
    fn put_with_block(&self, message: &Slot<T>) -> Put {
        loop {
            let block = Block::new();
            let mut wakes = Wakes::new();
            let mut state = self.state.lock();
            let unneeded = state.grow(block);
            // SAFETY: as in `put`.
            let put = unsafe { state.put(message.place(), &mut wakes) };
            drop(state);
            drop(unneeded);
            wakes.fire();
            if put != Put::NoBlock {
                return put;
            }
        }
    }

    #[inline(never)]
    fn put_or_link(&self, node: &Node) -> Put {
        let mut wakes = Wakes::new();
        // SAFETY: the message is in its slot; the node is new, and its frame ends the wait before it goes.
        let put = unsafe { self.state.lock().put_or_link(node, &mut wakes) };
        wakes.fire();
        put
    }

    #[inline(always)]
    pub(super) fn recv(&self, deadline: impl FnOnce() -> Deadline) -> Result<T, RecvTimeoutError> {
        park::spend_budget(1);
        let message = Slot::empty();
        // Relaxed: a guess, either way is right.
        if !self.receive_waits.load(Ordering::Relaxed) {
            match self.take(&message) {
                // SAFETY: `take` says so.
                Took::Message => return Ok(unsafe { message.take() }),
                Took::Disconnected => return Err(RecvTimeoutError::Disconnected),
                Took::Empty | Took::Owed | Took::Promised => {}
            }
        }
        let deadline = deadline();
        loop {
            let waiter = Waiter::current();
            let node = Node::plain(&waiter, message.place().cast());
            match self.take_or_link(&node) {
                // SAFETY: `take_or_link` says so.
                Took::Message => return Ok(unsafe { message.take() }),
                Took::Disconnected => return Err(RecvTimeoutError::Disconnected),
                Took::Empty | Took::Owed | Took::Promised => {}
            }
            let waiting = Waiting { channel: self, node: &node, side: Side::Receive };
            match park(Reason::Receive, deadline, &waiter, &waiting) {
                Outcome::Woken => match node.given() {
                    // SAFETY: who says `Done` has moved one in.
                    Given::Done => return Ok(unsafe { message.take() }),
                    Given::Disconnected => return Err(RecvTimeoutError::Disconnected),
                    _ => {}
                },
                Outcome::TimedOut => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => throw_cancelled(),
            }
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        park::spend_budget(1);
        self.try_take()
    }

    /// [`try_recv`](Channel::try_recv), but no suspension point.
    #[inline]
    pub(super) fn try_take(&self) -> Result<T, TryRecvError> {
        let message = Slot::empty();
        match self.take(&message) {
            // SAFETY: `take` says so.
            Took::Message => Ok(unsafe { message.take() }),
            Took::Disconnected => Err(TryRecvError::Disconnected),
            Took::Empty | Took::Promised => Err(TryRecvError::Empty),
            Took::Owed => self.take_owed(&message),
        }
    }

    #[inline]
    fn take(&self, message: &Slot<T>) -> Took {
        let mut wakes = Wakes::new();
        let mut garbage = Garbage::new();
        // SAFETY: a slot has room for one.
        let took = unsafe { self.state.lock().take(message.place(), None, &mut garbage, &mut wakes) };
        wakes.fire();
        took
    }

    #[inline(never)]
    fn take_or_link(&self, node: &Node) -> Took {
        let mut wakes = Wakes::new();
        let mut garbage = Garbage::new();
        // SAFETY: the slot has room; the node is new, and its frame ends the wait before it goes.
        let took = unsafe { self.state.lock().take_or_link(node, &mut garbage, &mut wakes) };
        wakes.fire();
        let waits = took == Took::Empty;
        // Relaxed: as in `recv`. The look first spares the cache line.
        if self.receive_waits.load(Ordering::Relaxed) != waits {
            self.receive_waits.store(waits, Ordering::Relaxed);
        }
        took
    }

    /// A select's send is there, so there will be a message: waits for the select to hand it over.
    #[cold]
    #[inline(never)]
    fn take_owed(&self, message: &Slot<T>) -> Result<T, TryRecvError> {
        loop {
            let waiter = Waiter::current();
            let node = Node::plain(&waiter, message.place().cast());
            let mut wakes = Wakes::new();
            let mut garbage = Garbage::new();
            let took = {
                let mut state = self.state.lock();
                // SAFETY: a slot has room for one, and the node's slot is this one.
                unsafe { state.take(message.place(), Some(&node), &mut garbage, &mut wakes) }
            };
            wakes.fire();
            match took {
                // SAFETY: `take` says so.
                Took::Message => return Ok(unsafe { message.take() }),
                Took::Disconnected => return Err(TryRecvError::Disconnected),
                Took::Empty | Took::Owed => return Err(TryRecvError::Empty),
                Took::Promised => {}
            }
            // It ends by the wake alone.
            let _ = park(Reason::Receive, Deadline::NEVER, &waiter, &Promised);
            if node.given() == Given::Done {
                // SAFETY: who says `Done` has moved one in.
                return Ok(unsafe { message.take() });
            }
        }
    }

    /// For a select's send: what it may count on.
    pub(super) fn reserve(&self) -> Reserved {
        self.state.lock().reserve()
    }

    /// A select's send into the place that was reserved.
    pub(super) fn put_reserved(&self, message: T) -> Result<(), SendError<T>> {
        let message = Slot::of(message);
        let mut block = None;
        loop {
            let mut wakes = Wakes::new();
            let mut state = self.state.lock();
            let unneeded = block.take().and_then(|block| state.grow(block));
            // SAFETY: a message is there; the place was reserved by `reserve` or `refill`.
            let put = unsafe { state.put_reserved(message.place(), &mut wakes) };
            drop(state);
            drop(unneeded);
            wakes.fire();
            match put {
                Put::Done => return Ok(()),
                Put::NoBlock => block = Some(Block::new()),
                // SAFETY: it was not moved.
                Put::Disconnected | Put::Full => return Err(SendError(unsafe { message.take() })),
            }
        }
    }

    /// A select's send to the receiver that it has claimed.
    ///
    /// # Safety
    /// `receiver` is claimed by the caller, and waits in this channel.
    pub(super) unsafe fn hand_over(&self, receiver: NonNull<Node>, message: T) {
        // SAFETY: claimed, so it is there until its wake.
        let node = unsafe { receiver.as_ref() };
        // SAFETY: a receiver's slot has room for one, and is leased to us.
        unsafe { node.slot::<T>().write(message) };
        node.give(Given::Done);
        wake(receiver);
    }

    pub(super) fn give_place_back(&self) {
        let mut wakes = Wakes::new();
        self.state.lock().give_place_back(&mut wakes);
        wakes.fire();
    }

    pub(super) fn give_message_back(&self, message: T) {
        let message = Returned::new(message);
        let mut wakes = Wakes::new();
        let mut garbage = Garbage::new();
        self.state.lock().give_message_back(message, &mut garbage, &mut wakes);
        wakes.fire();
    }

    /// Whether the operation would not block.
    pub(super) fn is_ready(&self, side: Side) -> bool {
        let state = self.state.lock();
        match side {
            Side::Send => state.can_send(core::ptr::null()),
            Side::Receive => state.can_receive(core::ptr::null()),
        }
    }

    /// A select's operation: links its node; or, if it need not wait, withdraws the select's claim word and, unless it is to
    /// `watch`, gets it done, under the lock under which it was found so.
    ///
    /// # Safety
    /// As for [`Waiters::link`](super::node::Waiters::link). The node's slot is room for a message, or null in a send.
    pub(super) unsafe fn link(&self, node: &Node, side: Side, watch: bool, claim: &Claim) -> Link {
        let mut wakes = Wakes::new();
        let mut garbage = Garbage::new();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (ready, own, other) = match side {
            Side::Send => (state.can_send(claim), &mut state.senders, &mut state.receivers),
            Side::Receive => (state.can_receive(claim), &mut state.receivers, &mut state.senders),
        };
        let link = if !ready {
            // SAFETY: says the caller.
            unsafe { own.link(node, watch) };
            if !watch {
                other.tell(&mut wakes);
            }
            Link::Linked
        } else if !claim.withdraw() {
            Link::Claimed
        } else if watch {
            Link::Ready
        } else {
            match side {
                Side::Send => state.reserve().into(),
                Side::Receive => {
                    // SAFETY: a slot with room, says the caller.
                    let took = unsafe { state.take(node.slot(), Some(node), &mut garbage, &mut wakes) };
                    took.into()
                }
            }
        };
        drop(guard);
        wakes.fire();
        link
    }

    /// An operation of that side, for a dump.
    pub(super) fn describe(&self, side: Side, details: &mut Details) {
        let length = self.state.lock().len();
        let what = match side {
            Side::Send => "send into",
            Side::Receive => "recv on",
        };
        let _ = match self.capacity {
            Some(capacity) => write!(details, "{what} bounded({capacity}) channel"),
            None => write!(details, "{what} unbounded channel"),
        };
        let _ = match length {
            _ if self.capacity == Some(0) => Ok(()),
            0 => write!(details, ", empty"),
            length if Some(length) == self.capacity => write!(details, ", full"),
            length => write!(details, ", with {length} messages"),
        };
    }

    /// False: it was not linked any more.
    pub(super) fn unlink(&self, node: &Node, side: Side, watch: bool) -> bool {
        let mut state = self.state.lock();
        let waiters = match side {
            Side::Send => &mut state.senders,
            Side::Receive => &mut state.receivers,
        };
        // SAFETY: if it is linked, then by this channel's operation of that side.
        unsafe { waiters.unlink(node, watch) }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.lock().is_full()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    fn count(&self, side: Side) -> &AtomicUsize {
        match side {
            Side::Send => &self.senders,
            Side::Receive => &self.receivers,
        }
    }

    /// One more handle of that side.
    pub(super) fn enter(&self, side: Side) {
        // Relaxed: made from another handle of the side, so the count is not 0.
        self.count(side).fetch_add(1, Ordering::Relaxed);
    }

    /// One less. The last tells those who wait on the other side.
    pub(super) fn leave(&self, side: Side) {
        // AcqRel: the last one comes after all that the others did.
        if self.count(side).fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let mut wakes = Wakes::new();
        let mut state = self.state.lock();
        let left = match side {
            Side::Send => {
                state.senders_leave(&mut wakes);
                None
            }
            Side::Receive => Some(state.receivers_leave(&mut wakes)),
        };
        drop(state);
        wakes.fire();
        // Messages that nobody will receive: user code, so last.
        drop(left);
    }
}
