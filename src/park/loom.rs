//! Loom: push and drain, cancel against park, `unpark`'s token, select's claim.

use core::ptr::NonNull;
use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use ::loom::thread;

use super::claim::Claim;
use super::token::{has_token, take_token, unpark};
use super::{Deadline, Outcome, Reason, Wait, Waiter, cancel, end_park, finish, prepare, wake_task};
use crate::fiber::loom::task;
use crate::fiber::{FiberRef, Header, JoinSlot, NOTIFY, Run, Settled, Signals};
use crate::sched::loom::Home;
use crate::sched::post;
use crate::util::lock::Lock;
use crate::util::model::check;

/// As `park`, for a task of `home`, which is on the caller's stack.
pub(crate) fn park(home: &Home, task: &Header, wait: &impl Wait) -> Outcome {
    let suspend = |task: &Header| home.suspend(task);
    if prepare(&home.unwinding, task, Reason::Join, Signals::WAKE) {
        suspend(task);
    }
    finish(&home.unwinding, task, wait, Deadline::NEVER, suspend)
}

/// As `park_for_token`.
fn park_for_token(home: &Home, task: &Header) {
    while !has_token(task) {
        if prepare(&home.unwinding, task, Reason::Park, Signals::NOTIFY) {
            home.suspend(task);
        }
        if task.accepts.get() != 0 {
            end_park(&home.unwinding, task);
        }
    }
    take_token(task);
}

/// A wait node with an outcome. Its frame dies when its waiter writes to it for the last time.
pub(crate) struct Node {
    waiter: Waiter,
    outcome: UnsafeCell<u32>,
}

impl Node {
    pub(crate) fn new(task: NonNull<Header>) -> Node {
        Node { waiter: Waiter::Task(task), outcome: UnsafeCell::new(0) }
    }

    pub(crate) fn write(&self, outcome: u32) {
        self.outcome.with_mut(|place| {
            // SAFETY: the claimer's, by its lease, or the waiter's; loom sees to it.
            unsafe { *place = outcome }
        });
    }

    pub(crate) fn read(&self) -> u32 {
        self.outcome.with(|place| {
            // SAFETY: as in `write`.
            unsafe { *place }
        })
    }
}

/// A node in a join slot: a queue of one place.
pub(crate) struct InSlot<'a>(pub(crate) &'a JoinSlot<Node>, pub(crate) &'a Node);

impl Wait for InSlot<'_> {
    fn withdraw(&self) -> bool {
        self.0.withdraw(NonNull::from(self.1))
    }
}

/// The waker's side of `InSlot`. Whether there was somebody to wake.
pub(crate) fn claim_and_wake(slot: &JoinSlot<Node>) -> bool {
    let Settled::Claimed(node) = slot.settle() else { return false };
    // SAFETY: claimed, so it is there until the push.
    unsafe { node.as_ref() }.write(42);
    // SAFETY: as above.
    let waiter = unsafe { &raw const (*node.as_ptr()).waiter };
    // SAFETY: claimed, and this is the last touch.
    unsafe { Waiter::wake(waiter) };
    true
}

/// Rules 5 and 6: two that post the same bit, each with news, while the home drains.
///
/// Seen to fail: with a `post` that writes nothing where it finds the bit on (its news is not seen), or pushes there;
/// with Relaxed in `drain`; with Relaxed in `FiberRef`'s drop (it is freed while it is used).
#[test]
fn push_two_notifiers_and_the_drain() {
    check("push: two notifiers", 2, || {
        let home = Home::new();
        let (task, references, ends) = task(3);
        // SAFETY: new.
        unsafe { home.start(task) };
        let news = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let post = |(i, reference): (usize, FiberRef)| {
            let news = news.clone();
            thread::spawn(move || {
                news[i].store(1, Relaxed);
                post(&reference, |state| state.post(NOTIFY));
            })
        };
        let threads: Vec<_> = references.into_iter().enumerate().map(post).collect();
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        while news.iter().map(|news| news.load(Relaxed)).sum::<usize>() < 2 {
            if header.signals.replace(0) & Signals::NOTIFY == 0 && home.drain() == 0 {
                home.sleep();
            }
        }
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Rules 4 to 6: a wake, and a cancel that may come before, with or after it, also when the task has ended.
///
/// Seen to fail: with a `post`, and with a `post_wake`, that pushes although another bit is on (twice in the inbox); with
/// `references` that counts WAKE; with a merged post that forgets its reference.
#[test]
fn push_a_wake_and_a_late_cancel() {
    check("push: wake, late cancel", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let waker = thread::spawn(move || {
            // SAFETY: the model's task waits for this wake, so it is claimed.
            unsafe { wake_task(task) };
        });
        let canceller = thread::spawn({
            let reference = references.remove(0);
            move || cancel(&reference)
        });
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        header.accepts.set(Signals::WAKE);
        header.run.set(Run::Parked);
        home.suspend(header);
        assert_ne!(header.signals.get() & Signals::WAKE, 0);
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        waker.join().unwrap();
        canceller.join().unwrap();
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Rules 5 and 9: `unpark` while the task starts, from two threads. What came before each is seen.
///
/// Seen to fail: with Acquire alone in `State::start` (the poster does not see the home), with a `start` that keeps the
/// references, with Relaxed for `unpark`'s Release, with an `unpark` that notifies before it sets the token.
#[test]
fn token_two_unparks_against_the_start_and_the_park() {
    check("token: unpark, start, park", 2, || {
        let home = Home::new();
        let (task, references, ends) = task(3);
        let news = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let unpark = |(i, reference): (usize, FiberRef)| {
            let news = news.clone();
            thread::spawn(move || {
                news[i].store(1, Relaxed);
                unpark(&reference);
            })
        };
        let threads: Vec<_> = references.into_iter().enumerate().map(unpark).collect();
        // SAFETY: new.
        unsafe { home.start(task) };
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        while news.iter().map(|news| news.load(Relaxed)).sum::<usize>() < 2 {
            park_for_token(&home, header);
        }
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Rule 7: a cancel while the task links, tests and suspends. Nobody else ends the wait.
///
/// Seen to fail: with the flag but no message, with the message but no flag, with a `prepare` that does not accept CANCEL.
#[test]
fn cancel_against_park() {
    check("cancel: park", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        let canceller = thread::spawn({
            let reference = references.remove(0);
            move || cancel(&reference)
        });
        // SAFETY: new.
        unsafe { home.start(task) };
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        let slot = JoinSlot::new();
        let node = Node::new(task);
        assert!(slot.enlist(NonNull::from(&node)));
        assert_eq!(park(&home, header, &InSlot(&slot, &node)), Outcome::Cancelled);
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        canceller.join().unwrap();
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Rules 3, 4, 6 and 7: a cancel and a claim at once, and what the claimer gave is not lost.
///
/// Seen to fail: with a `finish` that is cancelled although its withdrawal was lost (the frame dies under the claimer),
/// with Relaxed in `post_wake` (the outcome is read unordered).
#[test]
fn cancel_against_claim() {
    check("cancel: claim", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let slot = Arc::new(JoinSlot::new());
        let node = Node::new(task);
        assert!(slot.enlist(NonNull::from(&node)));
        let canceller = thread::spawn({
            let reference = references.remove(0);
            move || cancel(&reference)
        });
        let claimer = thread::spawn({
            let slot = slot.clone();
            move || claim_and_wake(&slot)
        });
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        let outcome = park(&home, header, &InSlot(&slot, &node));
        let given = node.read();
        // The frame goes.
        node.write(0);
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        canceller.join().unwrap();
        let claimed = claimer.join().unwrap();
        home.drain();
        match outcome {
            Outcome::Woken => assert!(claimed && given == 42),
            _ => assert!(!claimed && given == 0, "{outcome:?}: what the claimer gave is lost"),
        }
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Rule 6: the deadline has passed, and a claim comes at the same time.
///
/// Seen to fail: with a `finish` that times out although its withdrawal was lost.
#[test]
fn deadline_against_claim() {
    check("deadline: claim", 3, || {
        let home = Home::new();
        let (task, _, ends) = task(1);
        // SAFETY: new.
        unsafe { home.start(task) };
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        let slot = Arc::new(JoinSlot::new());
        let node = Node::new(task);
        assert!(slot.enlist(NonNull::from(&node)));
        let claimer = thread::spawn({
            let slot = slot.clone();
            move || claim_and_wake(&slot)
        });
        let wait = InSlot(&slot, &node);
        if prepare(&home.unwinding, header, Reason::Join, Signals::WAKE | Signals::TIMEOUT) {
            home.signal(header, Signals::TIMEOUT);
            home.suspend(header);
        }
        let outcome = finish(&home.unwinding, header, &wait, Deadline::NEVER, |task| home.suspend(task));
        let given = node.read();
        // The frame goes.
        node.write(0);
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        let claimed = claimer.join().unwrap();
        home.drain();
        assert_eq!((outcome == Outcome::Woken, given == 42), (claimed, claimed));
        assert_eq!(ends.freed(), 1);
    });
}

/// A select's frame: a claim word, and one outcome for whoever wins.
struct Select {
    claim: Claim,
    node: Node,
}

/// A queue of one place and a stock of messages, as a channel's.
#[derive(Default)]
struct Channel {
    waiter: Option<NonNull<Select>>,
    messages: u32,
}

type Channels = Arc<[Lock<Channel>; 2]>;

/// Sends one message into channel `index`: to the select, if it can be claimed.
fn send(channels: &Channels, index: usize) {
    let mut channel = channels[index].lock();
    let won = channel.waiter.filter(|select| {
        // SAFETY: linked, so it is there while the lock is held.
        unsafe { select.as_ref() }.claim.claim(index)
    });
    let Some(select) = won else {
        channel.messages += 1;
        return;
    };
    channel.waiter = None;
    drop(channel);
    // SAFETY: claimed, so it is there until the push.
    unsafe { select.as_ref() }.node.write(1);
    // SAFETY: as above.
    let waiter = unsafe { &raw const (*select.as_ptr()).node.waiter };
    // SAFETY: claimed, and this is the last touch.
    unsafe { Waiter::wake(waiter) };
}

struct Selecting<'a>(&'a Select);

impl Wait for Selecting<'_> {
    fn withdraw(&self) -> bool {
        self.0.claim.withdraw()
    }
}

/// Rule 8: two channels get a message while one task selects from both, and is cancelled if `cancelled`.
fn select(cancelled: bool) {
    let home = Home::new();
    let (task, mut references, ends) = task(2);
    // SAFETY: new.
    unsafe { home.start(task) };
    let channels = Channels::default();
    let senders = [0, 1].map(|index| {
        let channels = channels.clone();
        thread::spawn(move || send(&channels, index))
    });
    let reference = references.remove(0);
    let canceller = cancelled.then(|| thread::spawn(move || cancel(&reference)));
    // SAFETY: it lives until `finish`.
    let header = unsafe { task.as_ref() };
    let frame = Select { claim: Claim::new(), node: Node::new(task) };
    let tried = {
        // All locks, in the order of their addresses.
        let mut locked = [channels[0].lock(), channels[1].lock()];
        let ready = locked.iter_mut().find(|channel| channel.messages > 0);
        let tried = ready.map(|channel| channel.messages -= 1);
        if tried.is_none() {
            locked.iter_mut().for_each(|channel| channel.waiter = Some(NonNull::from(&frame)));
        }
        tried
    };
    let mut received = u32::from(tried.is_some());
    if tried.is_none() {
        let outcome = park(&home, header, &Selecting(&frame));
        for (index, channel) in channels.iter().enumerate() {
            if frame.claim.winner() != Some(index) {
                let linked = channel.lock().waiter.take();
                assert!(linked.is_some(), "unlinked by one that has not won");
            }
        }
        received += frame.node.read();
        assert_eq!(received, u32::from(outcome == Outcome::Woken));
    }
    // The frame goes.
    frame.node.write(0);
    // SAFETY: it has ended.
    unsafe { crate::fiber::loom::finish(task) };
    senders.into_iter().for_each(|thread| thread.join().unwrap());
    canceller.into_iter().for_each(|thread| thread.join().unwrap());
    home.drain();
    let left: u32 = channels.iter().map(|channel| channel.lock().messages).sum();
    assert_eq!(received + left, 2, "a message was lost, or came twice");
    assert_eq!(ends.freed(), 1, "a reference was lost");
}

/// Seen to fail: with a swap in place of `claim`'s CAS (both have won).
#[test]
fn select_two_wakers() {
    check("select: two wakers", 3, || select(false));
}

/// Seen to fail: with a load in place of `withdraw`'s CAS (a message is given to a wait that was withdrawn).
#[test]
fn select_two_wakers_and_a_cancel() {
    check("select: two wakers, cancel", 2, || select(true));
}
