//! Loom: selects, which lock their queues one after the other, against each other and against what makes them ready.

use std::sync::Arc;

use ::loom::thread;

use super::Select;
use super::handle::Handle;
use crate::channel::{Receiver, Sender, bounded};
use crate::util::model::check;

type Ends = (Sender<u32>, Receiver<u32>);

/// Two channels, that of the lower address first: by that they are locked, and loom wants the same program each time.
fn two(capacity: usize) -> Arc<[Ends; 2]> {
    let mut channels = [bounded(capacity), bounded(capacity)];
    channels.sort_by_key(|(s, _)| s.queue());
    Arc::new(channels)
}

/// Receives, and has `Some`, or sends.
fn receive_or_send(r: &Receiver<u32>, s: &Sender<u32>, message: u32) -> Option<u32> {
    let mut select = Select::new_biased();
    let receive = select.recv(r);
    select.send(s);
    let operation = select.select();
    if operation.index() == receive {
        return Some(operation.recv(r).expect("nobody leaves"));
    }
    operation.send(s, message).expect("nobody leaves");
    None
}

/// `f(1)` on another thread, `f(0)` on this.
fn with_one(f: impl Fn(usize) -> Option<u32> + Send + Sync + 'static) -> [Option<u32>; 2] {
    let f = Arc::new(f);
    let other = thread::spawn({
        let f = f.clone();
        move || f(1)
    });
    [f(0), other.join().unwrap()]
}

/// Two selects face each other: each sends where the other receives. They meet on one of the channels.
///
/// Seen to fail: with a node that is linked without a look at who waits on the other side (both wait for ever).
#[test]
fn select_opposite() {
    check("select: two, opposite", 4, || {
        let channels = two(0);
        let went = with_one(move |i| {
            let ((_, r), (s, _)) = (&channels[i], &channels[1 - i]);
            receive_or_send(r, s, i as u32)
        });
        assert!(matches!(went, [Some(1), None] | [None, Some(0)]), "{went:?}");
    });
}

/// Two selects, each of both ends of one channel. Neither meets itself, and they do not chase each other.
///
/// Seen to fail: with own nodes that count (one finds itself ready, and never done).
#[test]
fn select_both_ends() {
    check("select: two, both ends", 4, || {
        let ends = Arc::new(bounded(0));
        let went = with_one(move |i| receive_or_send(&ends.1, &ends.0, i as u32));
        assert!(matches!(went, [Some(1), None] | [None, Some(0)]), "{went:?}");
    });
}

/// Messages come into both channels while one selects from them, twice: before its try, between its locks, and when it waits.
///
/// Seen to fail: with a node that is linked without a look at what is there, with a withdrawal that was lost and taken for won.
#[test]
fn select_between_the_locks() {
    check("select: between the locks", 2, || {
        let channels = two(1);
        let senders = [0, 1].map(|i| {
            let channels = channels.clone();
            thread::spawn(move || channels[i].0.try_send(1 << i).unwrap())
        });
        let mut sum = 0;
        for _ in 0..2 {
            let mut select = Select::new_biased();
            for (_, r) in channels.iter() {
                select.recv(r);
            }
            let operation = select.select();
            let r = &channels[operation.index()].1;
            sum += operation.recv(r).unwrap();
        }
        assert_eq!(sum, 3, "a message is lost, or came twice");
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

/// The last sender of one of two channels goes while one selects from both.
///
/// Seen to fail: with a disconnection that wakes nobody.
#[test]
fn select_the_last_leaves() {
    check("select: the last leaves", 4, || {
        let [(_s, stays), (goes, r)] = [bounded::<u32>(0), bounded(0)];
        let leaver = thread::spawn(move || drop(goes));
        let handles = if stays.queue() < r.queue() { [&stays, &r] } else { [&r, &stays] };
        let mut select = Select::new_biased();
        for r in handles {
            select.recv(r);
        }
        let operation = select.select();
        assert!(core::ptr::eq(handles[operation.index()], &r), "the other is not ready");
        assert!(operation.recv(&r).is_err());
        leaver.join().unwrap();
    });
}
