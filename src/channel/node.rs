//! Wait nodes, and the queues that they wait in.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::park::{Claim, Waiter};
use crate::util::cell::Cell;
use crate::util::list::{Links, List, Listed};

/// What a claimer has left in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Not claimed yet.
    Nothing,
    /// The message has been moved, out of the sender's slot or into the receiver's. To who only watches: look.
    Done,
    /// The other side is gone.
    Disconnected,
    /// What was promised has been given back by a select that unwound: try again.
    Again,
    /// To a select's send: a place in the buffer is reserved for it.
    Place,
    /// To a select's send: the receiver at `partner` waits for its message.
    Partner,
}

/// One wait in one queue, on the waiter's frame. Rules 2 to 4 of `park`: while it is linked it is touched under the
/// channel's lock, from the claim to the push by the claimer, else by the waiter.
pub(super) struct Node {
    links: Links<Node>,
    linked: Cell<bool>,
    given: Cell<Given>,
    /// On the same frame as the node.
    waiter: Cell<*const Waiter>,
    /// Null, or the claim word of the select that this is one node of, and which of them.
    claim: Cell<*const Claim>,
    index: Cell<usize>,
    /// Where the message comes from, or goes to. Null in a select's send: it has none yet.
    slot: Cell<*mut ()>,
    partner: Cell<*const Node>,
}

// SAFETY: a field, used by the list alone.
unsafe impl Listed for Node {
    fn links(&self) -> &Links<Node> {
        &self.links
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("given", &self.given).finish_non_exhaustive()
    }
}

impl Node {
    /// One that waits for nothing yet.
    #[inline]
    pub(super) fn new() -> Node {
        Node {
            links: Links::new(),
            linked: Cell::new(false),
            given: Cell::new(Given::Nothing),
            waiter: Cell::new(ptr::null()),
            claim: Cell::new(ptr::null()),
            index: Cell::new(0),
            slot: Cell::new(ptr::null_mut()),
            partner: Cell::new(ptr::null()),
        }
    }

    /// For `waiter`, whose message lies or will lie at `slot`.
    #[inline]
    pub(super) fn plain(waiter: &Waiter, slot: *mut ()) -> Node {
        let node = Node::new();
        node.waiter.set(waiter);
        node.slot.set(slot);
        node
    }

    /// Makes it node `index` of a select.
    pub(super) fn prepare(&self, waiter: &Waiter, claim: &Claim, index: usize) {
        self.given.set(Given::Nothing);
        self.waiter.set(waiter);
        self.claim.set(claim);
        self.index.set(index);
    }

    pub(super) fn set_slot(&self, slot: *mut ()) {
        self.slot.set(slot);
    }

    #[inline]
    pub(super) fn slot<T>(&self) -> *mut T {
        self.slot.get().cast()
    }

    #[inline]
    pub(super) fn given(&self) -> Given {
        self.given.get()
    }

    #[inline]
    pub(super) fn give(&self, given: Given) {
        self.given.set(given);
    }

    /// The receiver that waits for this select's message.
    pub(super) fn partner(&self) -> NonNull<Node> {
        NonNull::new(self.partner.get().cast_mut()).expect("set by who gave `Partner`")
    }

    pub(super) fn set_partner(&self, partner: &Node) {
        self.partner.set(partner);
    }

    /// A send of a select, which has no message before the select is over.
    #[inline]
    pub(super) fn owes(&self) -> bool {
        self.slot.get().is_null()
    }

    /// Under the lock, when linked or just unlinked: decides the wait.
    #[inline]
    fn claim(&self) -> bool {
        // SAFETY: not null, then on the waiter's frame, which is there as long as the node is linked.
        unsafe { self.claim.get().as_ref() }.is_none_or(|claim| claim.claim(self.index.get()))
    }

    /// Under the lock, when linked: whether it could be claimed, by another than the wait `own`.
    fn is_open_to(&self, own: *const Claim) -> bool {
        let claim = self.claim.get();
        // SAFETY: as above.
        unsafe { claim.as_ref() }.is_none_or(|claim| !ptr::eq(claim, own) && claim.is_open())
    }
}

/// Claimed nodes, to be woken when the lock has been given back.
#[must_use]
#[derive(Debug)]
pub(super) struct Wakes(List<Node>);

impl Wakes {
    #[inline]
    pub(super) fn new() -> Wakes {
        Wakes(List::EMPTY)
    }

    /// Says what `node` is given. It is claimed, and in no list.
    #[inline]
    pub(super) fn push(&mut self, node: NonNull<Node>, given: Given) {
        // SAFETY: claimed, so it is there until its wake.
        unsafe { node.as_ref() }.give(given);
        // SAFETY: as above, in no list, and this list is used no more after that wake.
        unsafe { self.0.push_back(node) };
    }

    #[inline]
    pub(super) fn fire(mut self) {
        while let Some(node) = self.0.pop_front() {
            wake(node);
        }
    }
}

/// The last touch of a claimed node.
#[inline]
pub(super) fn wake(node: NonNull<Node>) {
    // SAFETY: claimed, so it is there until the wake.
    let waiter = unsafe { node.as_ref() }.waiter.get();
    // SAFETY: claimed; everything is written.
    unsafe { Waiter::wake(waiter) };
}

/// One side of a channel: who waits there, oldest first.
#[derive(Debug)]
pub(super) struct Waiters {
    /// Who wants the operation done. Each event ends one wait.
    queue: List<Node>,
    /// Who waits to be told that the operation would not block (`Select::ready`). Each event ends all.
    watchers: List<Node>,
}

impl Waiters {
    pub(super) const EMPTY: Waiters = Waiters { queue: List::EMPTY, watchers: List::EMPTY };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// # Safety
    /// `node` is not linked, and stays where it is until it is claimed or has been unlinked.
    pub(super) unsafe fn link(&mut self, node: &Node, watch: bool) {
        node.linked.set(true);
        let list = if watch { &mut self.watchers } else { &mut self.queue };
        // SAFETY: by this function's contract.
        unsafe { list.push_back(NonNull::from(node)) };
    }

    /// False: it was unlinked already.
    ///
    /// # Safety
    /// If `node` is linked, then here.
    pub(super) unsafe fn unlink(&mut self, node: &Node, watch: bool) -> bool {
        let linked = node.linked.replace(false);
        if linked {
            let list = if watch { &mut self.watchers } else { &mut self.queue };
            // SAFETY: linked, so in that list.
            unsafe { list.unlink(NonNull::from(node)) };
        }
        linked
    }

    /// Claims the oldest that can be. Nodes of selects that have been decided elsewhere leave the queue on the way,
    /// so each is passed once; their waiters find them unlinked.
    #[inline]
    pub(super) fn claim(&mut self) -> Option<NonNull<Node>> {
        loop {
            let first = self.queue.pop_front()?;
            // SAFETY: it was linked until now, under this lock, so it is there.
            let node = unsafe { first.as_ref() };
            node.linked.set(false);
            if node.claim() {
                return Some(first);
            }
        }
    }

    /// As [`claim`](Waiters::claim), but leaves one that [owes](Node::owes) its message alone, and says so.
    #[inline]
    pub(super) fn claim_with_message(&mut self) -> Result<Option<NonNull<Node>>, Owes> {
        loop {
            let Some(first) = self.queue.front() else { return Ok(None) };
            // SAFETY: linked, under this lock.
            let node = unsafe { first.as_ref() };
            if node.owes() && node.is_open_to(ptr::null()) {
                return Err(Owes);
            }
            let popped = self.queue.pop_front();
            debug_assert_eq!(popped, Some(first));
            node.linked.set(false);
            if node.claim() {
                return Ok(Some(first));
            }
        }
    }

    /// Claims the first if it owes its message; if it does not, or was decided elsewhere: look again.
    pub(super) fn claim_owing(&mut self) -> Option<NonNull<Node>> {
        let first = self.queue.front()?;
        // SAFETY: linked, under this lock.
        let node = unsafe { first.as_ref() };
        if !node.owes() {
            return None;
        }
        let popped = self.queue.pop_front();
        debug_assert_eq!(popped, Some(first));
        node.linked.set(false);
        node.claim().then_some(first)
    }

    /// Whether there is one to claim, other than the wait `own`.
    pub(super) fn has_open(&self, own: *const Claim) -> bool {
        let mut next = self.queue.front();
        while let Some(node) = next {
            // SAFETY: linked, under this lock.
            if unsafe { node.as_ref() }.is_open_to(own) {
                return true;
            }
            // SAFETY: in the queue.
            next = unsafe { self.queue.after(node) };
        }
        false
    }

    /// Claims everyone.
    pub(super) fn disconnect(&mut self, wakes: &mut Wakes) {
        while let Some(node) = self.claim() {
            wakes.push(node, Given::Disconnected);
        }
        self.tell(wakes);
    }

    /// Claims all watchers.
    #[inline]
    pub(super) fn tell(&mut self, wakes: &mut Wakes) {
        while let Some(node) = self.watchers.pop_front() {
            // SAFETY: it was linked until now, under this lock, so it is there.
            let watcher = unsafe { node.as_ref() };
            watcher.linked.set(false);
            if watcher.claim() {
                wakes.push(node, Given::Done);
            }
        }
    }
}

/// The first in the queue is a select's send, which has no message yet.
#[derive(Debug)]
pub(super) struct Owes;
