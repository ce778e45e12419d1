//! How a select goes about it.
//!
//! 1. *Try* each operation, in random order (or, biased, in theirs). One that need not wait is the one.
//!    Without a wish to wait that is all; but each is looked at once more, so that of two that take turns in being ready one is found.
//! 2. None: *link* a node for each into its queue, one lock after the other, in the order of the queues'
//!    addresses. All nodes share one claim word ([`Claim`]). An operation that is found ready when its turn
//!    comes is not linked: the select withdraws its claim word and gets it done, both under that lock. If the
//!    withdrawal is lost, a waker has claimed in the meantime, and its wake is waited for, as in 3.
//! 3. *Park*. A waker claims the word under its own queue's lock, and gives the node what its operation gets.
//! 4. *Unlink* the rest, under each lock, before the frame goes. A queue that meets a node which has been
//!    decided elsewhere drops it on the way, so such nodes are passed once.
//!
//! * *No event is missed*: each node is linked under the lock under which its operation was found not ready. What makes it ready
//!   later takes that lock, and finds the node.
//! * *One event ends the select*: the claim word.
//! * *Own nodes do not count*: a task may send and receive on one channel in one select. Whether there is a peer is asked without the
//!   nodes that have one's own claim word. In 1 there are none linked.
//!
//! # Selects that find each other
//! Where one sends what the other receives, and nothing is buffered, each is ready by the other's node. They must meet, and not
//! chase each other. Say A withdraws in 2, in the queue q, since it has found B's node there. It then claims B, under the same lock. That fails only if
//! B has been decided in the moment between: by one that has claimed it, whose operation so is done; or by B itself,
//! by its cancellation or deadline (it is over), or by its own step 2, in a queue above q: in q it would have needed
//! the lock that A holds, and in those below it is done linking. Of B the same holds, with a queue above q; and there are finitely many. So whoever withdraws
//! and fails, somebody has got done: selects that meet each other again and again in vain there are none, whatever the timing. (A
//! select that fails tries again, from 1.)
//!
//! # Rejected
//! * *Holding all locks while trying and linking* (as Go does): correct, but the longer the select, the longer every one of its channels
//!   stands still, and the nodes must be typed by lock. What it buys, that of the ready ones a random one is picked at one point in time,
//!   nobody can observe.
//! * *Withdrawing, and then trying again from 1*: two that send and receive on one channel each may find the other, withdraw,
//!   and find nobody, in step, for as long as the timing likes.

use core::cell::Cell;
use core::fmt::{self, Write};
use core::hash::{BuildHasher, Hasher};
use std::hash::RandomState;

use super::handle::{Got, Handle, Link};
use super::operation::SelectedOperation;
use super::room::Room;
use crate::channel::clock::deadline;
use crate::channel::node::{Given, Node};
use crate::channel::shared::Promised;
use crate::park::{self, Claim, Deadline, Details, Outcome, Reason, Wait, Waiter, park, throw_cancelled};
use crate::sched;
use crate::util::rng::Rng;

/// Not to wait at all.
pub(super) const NOT: Option<fn() -> Deadline> = None;

/// One operation of a select. Not moved while its node is linked.
pub struct Entry<'a> {
    pub(super) handle: &'a dyn Handle,
    /// The operation's number for the user.
    pub(super) index: usize,
    /// Of the n-th entry: which entry is the n-th to be tried, or linked.
    order: Cell<usize>,
    node: Node,
    room: Room,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("index", &self.index).finish_non_exhaustive()
    }
}

impl<'a> Entry<'a> {
    #[inline]
    pub(super) fn new(handle: &'a dyn Handle, index: usize) -> Entry<'a> {
        Entry { handle, index, order: Cell::new(0), node: Node::new(), room: Room::new() }
    }
}

/// How a wait for several operations has ended.
enum Waited {
    /// This entry's operation need not wait, and this came of it; nothing, if it was only watched.
    Done(usize, Option<Got>),
    /// One may be ready.
    Look,
    TimedOut,
}

struct Selecting<'a>(&'a Claim, &'a [Entry<'a>]);

/// Of how many operations a dump says which they are.
const MOST_NAMED: usize = 8;

impl Wait for Selecting<'_> {
    fn withdraw(&self) -> bool {
        self.0.withdraw()
    }

    fn describe(&self, details: &mut Details) {
        details.text.push_str("select");
        for (index, entry) in self.1.iter().enumerate().take(MOST_NAMED) {
            details.text.push_str(if index == 0 { ": " } else { "; " });
            entry.handle.describe(details);
        }
        if self.1.len() > MOST_NAMED {
            let _ = write!(details, "; and {} more", self.1.len() - MOST_NAMED);
        }
    }
}

/// Gets one operation done. `None`: not in time. A suspension point.
#[inline]
pub(super) fn select<'a>(
    entries: &[Entry<'a>],
    biased: bool,
    until: Option<impl FnOnce() -> Deadline>,
) -> Option<SelectedOperation<'a>> {
    park::spend_budget(1);
    let tried = |entry: &Entry<'a>| {
        let got = entry.handle.try_select(&entry.room)?;
        Some(SelectedOperation::new(entry.handle, entry.index, got, &entry.room))
    };
    let until = loop {
        if let Some(operation) = try_each(entries, biased, tried) {
            return Some(operation);
        }
        if let Some(until) = until {
            break until();
        }
        if !entries.iter().any(|entry| entry.handle.is_ready()) {
            return None;
        }
    };
    loop {
        let waited = wait(entries, biased, until, false);
        if let Waited::Done(entry, Some(got)) = waited {
            let entry = &entries[entry];
            return Some(SelectedOperation::new(entry.handle, entry.index, got, &entry.room));
        }
        let operation = try_each(entries, biased, tried);
        if operation.is_some() || matches!(waited, Waited::TimedOut) {
            return operation;
        }
    }
}

/// What a claimer has left. `None`: it has changed its mind.
#[inline]
fn got(node: &Node) -> Option<Got> {
    Some(match node.given() {
        Given::Done => Got::Message,
        Given::Disconnected => Got::Disconnected,
        Given::Place => Got::Place,
        Given::Partner => Got::Peer(node.partner()),
        Given::Again => return None,
        Given::Nothing => unreachable!("who claims gives something"),
    })
}

/// The index of an operation that need not wait. `None`: not in time. A suspension point.
pub(super) fn ready(
    entries: &[Entry<'_>],
    biased: bool,
    until: Option<impl FnOnce() -> Deadline>,
) -> Option<usize> {
    park::spend_budget(1);
    let look = |entry: &Entry<'_>| entry.handle.is_ready().then_some(entry.index);
    if let Some(index) = try_each(entries, biased, look) {
        return Some(index);
    }
    let until = until?();
    loop {
        let waited = wait(entries, biased, until, true);
        if let Waited::Done(entry, _) = waited {
            return Some(entries[entry].index);
        }
        let index = try_each(entries, biased, look);
        if index.is_some() || matches!(waited, Waited::TimedOut) {
            return index;
        }
    }
}

#[inline]
fn try_each<'a, R>(
    entries: &[Entry<'a>],
    biased: bool,
    attempt: impl Fn(&Entry<'a>) -> Option<R>,
) -> Option<R> {
    if biased {
        return entries.iter().find_map(attempt);
    }
    shuffle(entries);
    entries.iter().find_map(|entry| attempt(&entries[entry.order.get()]))
}

/// Waits for any of the operations. Unwinds if the task is cancelled.
#[inline(always)]
fn wait(entries: &[Entry<'_>], biased: bool, until: Deadline, watch: bool) -> Waited {
    let waiter = Waiter::current();
    let claim = Claim::new();
    let (link, place, due) = link(entries, biased, watch, &waiter, &claim);
    let outcome = match link {
        Link::Linked | Link::Claimed => {
            park(Reason::Select, due.min(until), &waiter, &Selecting(&claim, entries))
        }
        Link::Promised => park(Reason::Select, Deadline::NEVER, &waiter, &Promised),
        Link::Ready | Link::Got(_) => Outcome::Woken,
    };
    unlink(entries, watch);
    match outcome {
        Outcome::Woken => match link {
            Link::Linked | Link::Claimed => {
                claimed(entries, claim.winner().expect("who wakes has claimed"), watch)
            }
            Link::Promised => claimed(entries, place, watch),
            Link::Got(got) => Waited::Done(place, Some(got)),
            Link::Ready if watch => Waited::Done(place, None),
            Link::Ready => Waited::Look,
        },
        Outcome::TimedOut if due < until => Waited::Look,
        Outcome::TimedOut => Waited::TimedOut,
        Outcome::Cancelled => throw_cancelled(),
    }
}

/// The node of that entry has been woken.
#[inline]
fn claimed(entries: &[Entry<'_>], entry: usize, watch: bool) -> Waited {
    match got(&entries[entry].node) {
        _ if watch => Waited::Done(entry, None),
        None => Waited::Look,
        got => Waited::Done(entry, got),
    }
}

/// Step 2: as far as `Linked` goes. With the entry that another answer came from, and with when the clock makes one ready.
#[inline(never)]
fn link(
    entries: &[Entry<'_>],
    biased: bool,
    watch: bool,
    waiter: &Waiter,
    claim: &Claim,
) -> (Link, usize, Deadline) {
    for (index, entry) in entries.iter().enumerate() {
        entry.node.prepare(waiter, claim, index);
        if !watch {
            entry.handle.prepare(&entry.node, &entry.room);
        }
    }
    sort(entries, biased);
    let mut due = Deadline::NEVER;
    for entry in entries {
        let place = entry.order.get();
        let entry = &entries[place];
        // SAFETY: `unlink` comes before the entries can move or go, and where a wake is coming it is waited for.
        let link = unsafe { entry.handle.link(&entry.node, watch, claim) };
        if link != Link::Linked {
            return (link, place, due);
        }
        if let Some(instant) = entry.handle.due() {
            due = due.min(deadline(instant.into()));
        }
    }
    (Link::Linked, 0, due)
}

#[inline(never)]
fn unlink(entries: &[Entry<'_>], watch: bool) {
    for entry in entries {
        entry.handle.unlink(&entry.node, watch);
    }
}

/// By address of the queues; those of one queue stay in the order in which they were tried. Insertion: selects are short.
fn sort(entries: &[Entry<'_>], biased: bool) {
    let queue = |of: usize| entries[of].handle.queue();
    for index in 0..entries.len() {
        let entry = if biased { index } else { entries[index].order.get() };
        let mut place = index;
        while place > 0 && queue(entries[place - 1].order.get()) > queue(entry) {
            entries[place].order.set(entries[place - 1].order.get());
            place -= 1;
        }
        entries[place].order.set(entry);
    }
}

/// Every order is as likely.
#[inline]
fn shuffle(entries: &[Entry<'_>]) {
    for index in 0..entries.len() {
        // Fisher and Yates, from the inside out.
        let place = if index == 0 { 0 } else { random_below(index + 1) };
        entries[index].order.set(entries[place].order.get());
        entries[place].order.set(index);
    }
}

/// By the seed, in a seeded run.
#[inline]
fn random_below(bound: usize) -> usize {
    thread_local! {
        static RNG: Rng = Rng::new(RandomState::new().build_hasher().finish());
    }
    if let Some(sim) = sched::sim() {
        return (sim.random() % bound as u64) as usize;
    }
    RNG.try_with(|rng| rng.below(bound as u64) as usize).unwrap_or(0)
}
