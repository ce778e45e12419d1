//! What a channel's lock guards: the messages, the waiters, and each operation's step under the lock.
//!
//! Nothing here waits, wakes, allocates, frees, or drops a message. Who is to be woken is claimed and put in a
//! [`Wakes`], what is to be freed in a [`Garbage`]; the caller sees to both when it has given the lock back.
//!
//! Invariants, whenever the lock is free:
//! * A receiver that could be claimed waits only while there is no message, in the buffer or given back.
//! * A sender that could be claimed waits only while `buffer.len() + reserved` is the capacity.
//! * Nobody waits on a side when the other side is gone.

use core::mem::MaybeUninit;
use core::ptr;

use super::buffer::{Block, Buffer};
use super::node::{Given, Node, Waiters, Wakes};
use crate::park::Claim;

pub(super) struct State<T> {
    buffer: Buffer<T>,
    /// Given back by selects that unwound. These come before the buffer's.
    returned: Option<Box<Returned<T>>>,
    /// `usize::MAX` in an unbounded channel.
    capacity: usize,
    /// Places that were promised to selects which have not completed their send yet.
    reserved: usize,
    pub(super) senders: Waiters,
    pub(super) receivers: Waiters,
    senders_gone: bool,
    receivers_gone: bool,
}

/// A message that was given back.
pub(super) struct Returned<T> {
    message: MaybeUninit<T>,
    next: Option<Box<Returned<T>>>,
}

impl<T> Returned<T> {
    pub(super) fn new(message: T) -> Box<Returned<T>> {
        Box::new(Returned { message: MaybeUninit::new(message), next: None })
    }
}

/// Memory that was freed under the lock. It holds no message.
pub(super) struct Garbage<T> {
    block: Option<Box<Block<T>>>,
    #[allow(dead_code, reason = "only dropped")]
    returned: Option<Box<Returned<T>>>,
}

impl<T> Garbage<T> {
    #[inline]
    pub(super) fn new() -> Garbage<T> {
        Garbage { block: None, returned: None }
    }
}

/// How an attempt to send went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The message is moved.
    Done,
    Full,
    Disconnected,
    /// An unbounded channel wants a block.
    NoBlock,
}

/// How an attempt to receive went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// The message is where it was to go.
    Message,
    Empty,
    Disconnected,
    /// There is none but one that a select owes. With a node it can be waited for.
    Owed,
    /// A select has been claimed, and the node is its partner: a wake is coming.
    Promised,
}

/// What a select's send may count on.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    Nothing,
    /// This receiver is claimed.
    Peer(ptr::NonNull<Node>),
    /// A place in the buffer.
    Place,
    Disconnected,
}

impl<T> State<T> {
    /// `None`: unbounded.
    pub(super) fn new(capacity: Option<usize>) -> State<T> {
        State {
            buffer: capacity.map_or_else(Buffer::chain, Buffer::ring),
            returned: None,
            capacity: capacity.unwrap_or(usize::MAX),
            reserved: 0,
            senders: Waiters::EMPTY,
            receivers: Waiters::EMPTY,
            senders_gone: false,
            receivers_gone: false,
        }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.buffer.len() + self.reserved < self.capacity
    }

    /// Sends: to a receiver that waits, or into the buffer.
    ///
    /// # Safety
    /// There is a message at `message`. After `Done` the caller has it no more.
    #[inline]
    pub(super) unsafe fn put(&mut self, message: *const T, wakes: &mut Wakes) -> Put {
        if self.receivers_gone {
            return Put::Disconnected;
        }
        if !self.receivers.is_empty()
            && let Some(receiver) = self.receivers.claim()
        {
            // SAFETY: claimed, so it is there until its wake.
            let slot = unsafe { receiver.as_ref() }.slot();
            // SAFETY: a message, says the caller; a receiver's slot has room for one, and is leased to us.
            unsafe { ptr::copy_nonoverlapping(message, slot, 1) };
            wakes.push(receiver, Given::Done);
            return Put::Done;
        }
        if !self.has_room() {
            return Put::Full;
        }
        // SAFETY: a message, says the caller, and there is room.
        if !unsafe { self.buffer.push(message) } {
            return Put::NoBlock;
        }
        self.receivers.tell(wakes);
        Put::Done
    }

    /// [`put`](State::put), else the sender waits, with the message in its slot. True: it waits.
    ///
    /// # Safety
    /// As for `put`, and for [`Waiters::link`].
    pub(super) unsafe fn put_or_link(&mut self, node: &Node, wakes: &mut Wakes) -> Put {
        // SAFETY: a message is there, says the caller.
        let put = unsafe { self.put(node.slot(), wakes) };
        if put == Put::Full {
            // SAFETY: says the caller.
            unsafe { self.senders.link(node, false) };
            self.receivers.tell(wakes);
        }
        put
    }

    /// Receives into `into`: what was given back, what lies in the buffer, or from a sender that waits.
    ///
    /// # Safety
    /// There is room for a message at `into`, and the slot of `node` is that room.
    #[inline]
    pub(super) unsafe fn take(
        &mut self,
        into: *mut T,
        node: Option<&Node>,
        garbage: &mut Garbage<T>,
        wakes: &mut Wakes,
    ) -> Took {
        if self.returned.is_some() {
            // SAFETY: room, says the caller.
            unsafe { self.take_returned(into, garbage) };
            return Took::Message;
        }
        // SAFETY: room, says the caller.
        if unsafe { self.buffer.pop(into, &mut garbage.block) } {
            self.refill(wakes);
            return Took::Message;
        }
        if self.senders.is_empty() {
            return if self.senders_gone { Took::Disconnected } else { Took::Empty };
        }
        // SAFETY: room, says the caller.
        unsafe { self.take_from_waiting(into, node, wakes) }
    }

    /// # Safety
    /// There is room for a message at `into`.
    #[cold]
    unsafe fn take_returned(&mut self, into: *mut T, garbage: &mut Garbage<T>) {
        let mut first = self.returned.take().expect("there is one");
        self.returned = first.next.take();
        // SAFETY: a message, which counts as moved out from here on; room, says the caller.
        unsafe { ptr::copy_nonoverlapping(first.message.as_ptr(), into, 1) };
        garbage.returned = Some(first);
    }

    /// # Safety
    /// As for [`take`](State::take).
    unsafe fn take_from_waiting(&mut self, into: *mut T, node: Option<&Node>, wakes: &mut Wakes) -> Took {
        loop {
            match self.senders.claim_with_message() {
                Ok(Some(sender)) => {
                    // SAFETY: claimed, so it is there until its wake.
                    let slot = unsafe { sender.as_ref() }.slot();
                    // SAFETY: a sender's slot holds a message, which is leased to us; room, says the caller.
                    unsafe { ptr::copy_nonoverlapping::<T>(slot, into, 1) };
                    wakes.push(sender, Given::Done);
                    return Took::Message;
                }
                Ok(None) => return if self.senders_gone { Took::Disconnected } else { Took::Empty },
                Err(_) => {
                    let Some(node) = node else { return Took::Owed };
                    let Some(sender) = self.senders.claim_owing() else { continue };
                    // SAFETY: claimed, so it is there until its wake.
                    unsafe { sender.as_ref() }.set_partner(node);
                    wakes.push(sender, Given::Partner);
                    return Took::Promised;
                }
            }
        }
    }

    /// [`take`](State::take), else the receiver waits: `Empty`.
    ///
    /// # Safety
    /// As for `take`, and for [`Waiters::link`].
    pub(super) unsafe fn take_or_link(
        &mut self,
        node: &Node,
        garbage: &mut Garbage<T>,
        wakes: &mut Wakes,
    ) -> Took {
        // SAFETY: says the caller.
        let took = unsafe { self.take(node.slot(), Some(node), garbage, wakes) };
        if took == Took::Empty {
            // SAFETY: says the caller.
            unsafe { self.receivers.link(node, false) };
            self.senders.tell(wakes);
        }
        took
    }

    /// A place has become free: it is the next sender's.
    #[inline]
    fn refill(&mut self, wakes: &mut Wakes) {
        if !self.senders.is_empty()
            && let Some(sender) = self.senders.claim()
        {
            // SAFETY: claimed, so it is there until its wake.
            let node = unsafe { sender.as_ref() };
            if node.owes() {
                self.reserved += 1;
                wakes.push(sender, Given::Place);
            } else {
                // SAFETY: its message, leased to us; and a place is free.
                let pushed = unsafe { self.buffer.push(node.slot()) };
                debug_assert!(pushed, "senders wait in bounded channels only");
                wakes.push(sender, Given::Done);
            }
            return;
        }
        self.senders.tell(wakes);
    }

    /// For a select's send.
    pub(super) fn reserve(&mut self) -> Reserved {
        if self.receivers_gone {
            return Reserved::Disconnected;
        }
        if let Some(receiver) = self.receivers.claim() {
            return Reserved::Peer(receiver);
        }
        if !self.has_room() {
            return Reserved::Nothing;
        }
        self.reserved += 1;
        Reserved::Place
    }

    /// A select's send into its place.
    ///
    /// # Safety
    /// As for [`put`](State::put). The place was reserved, and after anything but `NoBlock` it is not any more.
    pub(super) unsafe fn put_reserved(&mut self, message: *const T, wakes: &mut Wakes) -> Put {
        self.reserved -= 1;
        // SAFETY: says the caller.
        let put = unsafe { self.put(message, wakes) };
        debug_assert_ne!(put, Put::Full, "a place was reserved");
        if put == Put::NoBlock {
            self.reserved += 1;
        }
        put
    }

    /// A select's send that does not come.
    pub(super) fn give_place_back(&mut self, wakes: &mut Wakes) {
        self.reserved -= 1;
        self.refill(wakes);
    }

    /// A message that a select had received, and that nobody has taken. It is next.
    pub(super) fn give_message_back(
        &mut self,
        mut message: Box<Returned<T>>,
        garbage: &mut Garbage<T>,
        wakes: &mut Wakes,
    ) {
        if let Some(receiver) = self.receivers.claim() {
            // SAFETY: claimed, so it is there until its wake.
            let slot = unsafe { receiver.as_ref() }.slot();
            // SAFETY: a message, moved out; a receiver's slot has room for one, and is leased to us.
            unsafe { ptr::copy_nonoverlapping(message.message.as_ptr(), slot, 1) };
            wakes.push(receiver, Given::Done);
            garbage.returned = Some(message);
            return;
        }
        message.next = self.returned.take();
        self.returned = Some(message);
        self.receivers.tell(wakes);
    }

    /// Whether a send would not block, to a wait whose own nodes do not count.
    pub(super) fn can_send(&self, own: *const Claim) -> bool {
        self.receivers_gone || self.has_room() || self.receivers.has_open(own)
    }

    /// Whether a receive would not block, to a wait whose own nodes do not count.
    pub(super) fn can_receive(&self, own: *const Claim) -> bool {
        self.senders_gone || self.len() > 0 || self.senders.has_open(own)
    }

    pub(super) fn grow(&mut self, block: Box<Block<T>>) -> Option<Box<Block<T>>> {
        self.buffer.grow(block)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        let mut returned = 0;
        let mut next = &self.returned;
        while let Some(message) = next {
            returned += 1;
            next = &message.next;
        }
        self.buffer.len() + returned
    }

    /// Without room, that is.
    pub(super) fn is_full(&self) -> bool {
        !self.has_room()
    }

    pub(super) fn senders_leave(&mut self, wakes: &mut Wakes) {
        self.senders_gone = true;
        self.receivers.disconnect(wakes);
    }

    /// What is returned has the messages, for the caller to drop.
    pub(super) fn receivers_leave(&mut self, wakes: &mut Wakes) -> Left<T> {
        self.receivers_gone = true;
        self.senders.disconnect(wakes);
        Left { returned: self.returned.take(), buffer: Some(self.buffer.take()) }
    }
}

/// The messages of a channel that nobody will receive. Dropped, each is dropped once; if one panics in its drop, those
/// behind it leak.
pub(super) struct Left<T> {
    returned: Option<Box<Returned<T>>>,
    buffer: Option<Buffer<T>>,
}

impl<T> Drop for Left<T> {
    fn drop(&mut self) {
        let buffer = core::mem::ManuallyDrop::new(self.buffer.take());
        while let Some(mut first) = self.returned.take() {
            self.returned = first.next.take();
            // SAFETY: it holds a message, and only the box is dropped after this.
            unsafe { first.message.assume_init_drop() };
        }
        drop(core::mem::ManuallyDrop::into_inner(buffer));
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        drop(Left { returned: self.returned.take(), buffer: Some(self.buffer.take()) });
    }
}
