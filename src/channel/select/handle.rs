//! A sender or receiver as a select sees it, whatever its messages are.

use core::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use super::room::Room;
use crate::channel::TryRecvError;
use crate::channel::node::{Given, Node};
use crate::channel::receiver::{Receiver, Source};
use crate::channel::sender::Sender;
use crate::channel::shared::Side;
use crate::channel::state::{Reserved, Took};
use crate::park::{Claim, Details};

/// What a select has got, which its operation is completed with, or which is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A message, in the room.
    Message,
    /// A receiver, claimed, that waits for the message.
    Peer(NonNull<Node>),
    /// A place in the buffer.
    Place,
    /// The other side is gone.
    Disconnected,
    /// Nothing any more.
    Completed,
}

/// How an operation's turn to be linked went.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Its node is in the queue.
    Linked,
    /// It need not wait, but the select has been claimed by another of its nodes: a wake is coming.
    Claimed,
    /// It needed not wait just now. The claim word is withdrawn. So it is for all that follow.
    Ready,
    /// It is done.
    Got(Got),
    /// Another select's send was claimed, and will hand its message to the node: a wake is coming.
    Promised,
}

impl From<Reserved> for Link {
    fn from(reserved: Reserved) -> Link {
        match reserved {
            Reserved::Nothing => Link::Ready,
            Reserved::Peer(receiver) => Link::Got(Got::Peer(receiver)),
            Reserved::Place => Link::Got(Got::Place),
            Reserved::Disconnected => Link::Got(Got::Disconnected),
        }
    }
}

impl From<Took> for Link {
    fn from(took: Took) -> Link {
        match took {
            Took::Message => Link::Got(Got::Message),
            Took::Disconnected => Link::Got(Got::Disconnected),
            Took::Promised => Link::Promised,
            Took::Empty | Took::Owed => Link::Ready,
        }
    }
}

/// The operation of one side, its type erased.
///
/// # Safety
/// `link` keeps the node only until it is claimed, or `unlink` has returned.
pub(crate) unsafe trait Handle {
    /// Which queue the operation waits in, as a number to sort by. 0: none.
    fn queue(&self) -> usize;
    /// Gets the operation done as far as it can be without the caller, if it need not wait.
    fn try_select(&self, room: &Room) -> Option<Got>;
    /// Whether it need not wait.
    fn is_ready(&self) -> bool;
    /// When it need not wait any more, whatever others do.
    fn due(&self) -> Option<Instant>;
    /// Tells the node where its message is to go.
    fn prepare(&self, node: &Node, room: &Room);
    /// Links the node, to `watch` or to be done; unless the operation need not wait.
    ///
    /// # Safety
    /// The node is prepared and unlinked, and stays where it is until it is claimed, or `unlink` has returned; if promised a
    /// message, until it is woken.
    unsafe fn link(&self, node: &Node, watch: bool, claim: &Claim) -> Link;
    /// Unlinks the node, if it is linked.
    fn unlink(&self, node: &Node, watch: bool);
    /// For a dump.
    fn describe(&self, details: &mut Details);
    /// Undoes `got`, so that nothing is lost.
    ///
    /// # Safety
    /// This handle's select has got it, and it is used for nothing else.
    unsafe fn give_back(&self, got: Got, room: &Room);
}

// SAFETY: the channel unlinks what it links.
unsafe impl<T> Handle for Sender<T> {
    fn queue(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn try_select(&self, _room: &Room) -> Option<Got> {
        match self.0.reserve().into() {
            Link::Got(got) => Some(got),
            _ => None,
        }
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready(Side::Send)
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn prepare(&self, node: &Node, _room: &Room) {
        // It has no message before the select is over.
        node.set_slot(ptr::null_mut());
    }

    unsafe fn link(&self, node: &Node, watch: bool, claim: &Claim) -> Link {
        // SAFETY: says the caller.
        unsafe { self.0.link(node, Side::Send, watch, claim) }
    }

    fn unlink(&self, node: &Node, watch: bool) {
        self.0.unlink(node, Side::Send, watch);
    }

    fn describe(&self, details: &mut Details) {
        self.0.describe(Side::Send, details);
    }

    unsafe fn give_back(&self, got: Got, _room: &Room) {
        match got {
            Got::Place => self.0.give_place_back(),
            Got::Peer(receiver) => {
                // SAFETY: claimed by this select, so it is there until its wake.
                unsafe { receiver.as_ref() }.give(Given::Again);
                crate::channel::node::wake(receiver);
            }
            Got::Message | Got::Disconnected | Got::Completed => {}
        }
    }
}

// SAFETY: the channel unlinks what it links; the others link nothing.
unsafe impl<T> Handle for Receiver<T> {
    fn queue(&self) -> usize {
        match &self.0 {
            Source::Channel(channel) => Arc::as_ptr(channel).addr(),
            Source::Clock(..) | Source::Never => 0,
        }
    }

    fn try_select(&self, room: &Room) -> Option<Got> {
        let received = match &self.0 {
            Source::Channel(channel) => channel.try_take(),
            Source::Clock(clock, of) => clock.try_take().map(of).ok_or(TryRecvError::Empty),
            Source::Never => return None,
        };
        match received {
            Ok(message) => {
                // SAFETY: the room is for a `T`.
                unsafe { room.place::<T>().write(message) };
                Some(Got::Message)
            }
            Err(TryRecvError::Disconnected) => Some(Got::Disconnected),
            Err(TryRecvError::Empty) => None,
        }
    }

    fn is_ready(&self) -> bool {
        match &self.0 {
            Source::Channel(channel) => channel.is_ready(Side::Receive),
            Source::Clock(clock, _) => clock.has_message(),
            Source::Never => false,
        }
    }

    fn due(&self) -> Option<Instant> {
        match &self.0 {
            Source::Clock(clock, _) => clock.next(),
            Source::Channel(_) | Source::Never => None,
        }
    }

    fn prepare(&self, node: &Node, room: &Room) {
        node.set_slot(room.place::<T>().cast());
    }

    unsafe fn link(&self, node: &Node, watch: bool, claim: &Claim) -> Link {
        match &self.0 {
            // SAFETY: says the caller.
            Source::Channel(channel) => unsafe { channel.link(node, Side::Receive, watch, claim) },
            Source::Clock(clock, _) => {
                if clock.has_message() {
                    return if claim.withdraw() { Link::Ready } else { Link::Claimed };
                }
                // SAFETY: says the caller.
                unsafe { clock.link(node, watch) };
                Link::Linked
            }
            Source::Never => Link::Linked,
        }
    }

    fn unlink(&self, node: &Node, watch: bool) {
        match &self.0 {
            Source::Channel(channel) => drop(channel.unlink(node, Side::Receive, watch)),
            Source::Clock(clock, _) => drop(clock.unlink(node, watch)),
            Source::Never => {}
        }
    }

    fn describe(&self, details: &mut Details) {
        match &self.0 {
            Source::Channel(channel) => channel.describe(Side::Receive, details),
            Source::Clock(clock, _) => details.text.push_str(clock.name()),
            Source::Never => details.text.push_str("recv on never channel"),
        }
    }

    unsafe fn give_back(&self, got: Got, room: &Room) {
        match (got, &self.0) {
            (Got::Message, Source::Channel(channel)) => {
                // SAFETY: `got` says that a message is there, and the caller that nobody else takes it.
                channel.give_message_back(unsafe { room.place::<T>().read() });
            }
            (Got::Message, Source::Clock(clock, _)) => {
                // SAFETY: as above, and a clock's `T` is `Instant`.
                clock.give_back(unsafe { room.place::<Instant>().read() });
            }
            _ => {}
        }
    }
}
