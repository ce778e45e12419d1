//! Loom: a message that is handed over against a cancellation of who waits, on either side.

use std::sync::Arc;

use ::loom::thread;

use super::{Channel, Side, Slot, Waiting};
use crate::channel::node::{Given, Node};
use crate::channel::state::{Put, Took};
use crate::channel::{RecvTimeoutError, SendTimeoutError};
use crate::fiber::loom::{finish, task};
use crate::park::loom::park;
use crate::park::{Deadline, Outcome, Waiter, cancel};
use crate::sched::loom::Home;
use crate::util::model::check;

/// How the operation of a model's task went. `None`: cancelled.
type Went = Option<Given>;

/// A task waits at `side` of `channel`, is cancelled, and then `rest` is called.
fn against_a_cancel(
    channel: &Arc<Channel<u32>>,
    side: Side,
    message: &Slot<u32>,
    others: impl FnOnce() -> Vec<thread::JoinHandle<()>>,
    rest: impl FnOnce(Went),
) {
    let home = Home::new();
    let (task, mut references, ends) = task(2);
    // SAFETY: new.
    unsafe { home.start(task) };
    let mut others = others();
    let reference = references.remove(0);
    others.push(thread::spawn(move || cancel(&reference)));
    let waiter = Waiter::Task(task);
    let node = Node::plain(&waiter, message.place().cast());
    let at_once = match side {
        Side::Send => match channel.put_or_link(&node) {
            Put::Done => Some(Given::Done),
            _ => None,
        },
        Side::Receive => match channel.take_or_link(&node) {
            Took::Message => Some(Given::Done),
            Took::Disconnected => Some(Given::Disconnected),
            _ => None,
        },
    };
    let went = at_once.or_else(|| {
        // SAFETY: it lives until `finish`.
        match park(&home, unsafe { task.as_ref() }, &Waiting { channel, node: &node, side }) {
            Outcome::Woken => Some(node.given()),
            Outcome::Cancelled => None,
            Outcome::TimedOut => unreachable!("no deadline"),
        }
    });
    // SAFETY: it has ended.
    unsafe { finish(task) };
    rest(went);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    home.drain();
    assert_eq!(ends.freed(), 1, "a reference was lost");
}

/// One sends, one cancels the task that receives: it has the message, or that is in the channel.
///
/// Seen to fail: with a `withdraw` that always says that the node was linked, with Relaxed in the lock.
#[test]
fn channel_a_send_and_a_cancel() {
    check("channel: a send, a cancel", 3, || {
        let channel = Arc::new(Channel::new(Some(1)));
        let (theirs, message) = (channel.clone(), Slot::empty());
        let send = move || vec![thread::spawn(move || theirs.try_put(7).unwrap())];
        let mut received = false;
        against_a_cancel(&channel, Side::Receive, &message, send, |went| {
            received = went.is_some();
            if received {
                assert_eq!(went, Some(Given::Done));
                // SAFETY: it was moved in.
                assert_eq!(unsafe { message.take() }, 7);
            }
        });
        assert_eq!(channel.try_take().ok(), (!received).then_some(7), "the message is lost, or there twice");
    });
}

/// One receives, one cancels the task that waits for room: its message is in the channel, or it has it still.
///
/// Seen to fail: with a `withdraw` that always says that the node was linked.
#[test]
fn channel_a_receive_and_a_cancel() {
    check("channel: a receive, a cancel", 3, || {
        let channel = Arc::new(Channel::new(Some(1)));
        channel.try_put(7).unwrap();
        let (theirs, message) = (channel.clone(), Slot::of(8));
        let receive = move || vec![thread::spawn(move || assert_eq!(theirs.try_take(), Ok(7)))];
        let mut sent = false;
        against_a_cancel(&channel, Side::Send, &message, receive, |went| {
            sent = went.is_some();
            assert!(matches!(went, None | Some(Given::Done)));
        });
        assert_eq!(channel.try_take().ok(), sent.then_some(8), "the message is lost, or there twice");
    });
}

/// The same without room: a thread waits with its message, until the task has it, or somebody else.
///
/// Seen to fail: with a sender that links without a look for who waits.
#[test]
fn channel_a_rendezvous_and_a_cancel() {
    check("channel: rendezvous, a cancel", 2, || {
        let channel = Arc::new(Channel::new(Some(0)));
        let (theirs, message) = (channel.clone(), Slot::empty());
        let send = move || vec![thread::spawn(move || theirs.send(7, || Deadline::NEVER).unwrap())];
        against_a_cancel(&channel, Side::Receive, &message, send, |went| match went {
            // SAFETY: it was moved in.
            Some(given) => assert_eq!((given, unsafe { message.take() }), (Given::Done, 7)),
            None => assert_eq!(channel.recv(|| Deadline::NEVER), Ok(7)),
        });
    });
}

/// The last sender goes, one cancels the task that receives.
///
/// Seen to fail: with a `withdraw` that always says that the node was linked.
#[test]
fn channel_the_last_leaves_and_a_cancel() {
    check("channel: the last leaves, a cancel", 3, || {
        let channel = Arc::new(Channel::new(Some(1)));
        let (theirs, message) = (channel.clone(), Slot::empty());
        let leave = move || vec![thread::spawn(move || theirs.leave(Side::Send))];
        against_a_cancel(&channel, Side::Receive, &message, leave, |went| {
            assert!(matches!(went, None | Some(Given::Disconnected)));
        });
        assert!(channel.try_take().is_err());
    });
}

/// The last sender goes while a receiver waits, the last receiver while a sender waits for room. Nothing else ends their waits.
///
/// Seen to fail: with a disconnection that wakes nobody, on either side.
#[test]
fn channel_the_last_leaves_and_one_waits() {
    check("channel: the last leaves, one waits", 3, || {
        let [empty, full] = [Arc::new(Channel::new(Some(1))), Arc::new(Channel::new(Some(0)))];
        let theirs = (empty.clone(), full.clone());
        let leaver = thread::spawn(move || {
            theirs.0.leave(Side::Send);
            theirs.1.leave(Side::Receive);
        });
        assert_eq!(empty.recv(|| Deadline::NEVER), Err::<u32, _>(RecvTimeoutError::Disconnected));
        assert_eq!(full.send(7, || Deadline::NEVER), Err(SendTimeoutError::Disconnected(7)));
        leaver.join().unwrap();
    });
}
