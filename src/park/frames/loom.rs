//! Loom: tripwires against a wait, and against the end of a frame.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use std::sync::Arc;

use ::loom::thread;

use super::{Frame, Tripwire};
use crate::fiber::loom::task;
use crate::fiber::{Header, JoinSlot};
use crate::park::cancel::{self, Mark};
use crate::park::loom::{InSlot, Node, claim_and_wake, park};
use crate::park::{Deadline, Never, Outcome};
use crate::sched::TimerOwner;
use crate::sched::loom::Home;
use crate::timer;
use crate::util::model::check;

/// A frame of a model's task, which has no worker.
fn frame(task: NonNull<Header>, wire: &Arc<Tripwire>, outer: *const Frame) -> Frame {
    Frame {
        outer,
        number: if outer.is_null() { 1 } else { 2 },
        masked: 0,
        mark: Mark { unwinding: false, by_panic: false, unwind: 0 },
        task: Some(task),
        deadline: Cell::new(Deadline::NEVER),
        timer: timer::Entry::new(TimerOwner::Frame(task).into_raw()),
        wire: Some(wire.clone()),
    }
}

/// Frames, rules 2 to 4: a frame is tripped while its task waits in it, and the wait is claimed at the same time.
///
/// Seen to fail: with a `post_expired` that leaves no bit, with a `finish` that throws although its withdrawal was lost.
#[test]
fn frame_tripped_against_claim() {
    check("frame: trip, claim", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        let slot = Arc::new(JoinSlot::new());
        let node = Node::new(task);
        assert!(slot.enlist(NonNull::from(&node)));
        let wire = Tripwire::of(references.remove(0));
        let tripper = thread::spawn({
            let wire = wire.clone();
            move || wire.trip()
        });
        let claimer = thread::spawn({
            let slot = slot.clone();
            move || claim_and_wake(&slot)
        });
        let frame = frame(task, &wire, ptr::null());
        frame.link(header);
        let outcome = park(&home, header, &InSlot(&slot, &node));
        let given = node.read();
        // The frames go.
        node.write(0);
        assert_ne!(outcome, Outcome::TimedOut);
        let claimed_first = outcome == Outcome::Woken;
        tripper.join().unwrap();
        assert!(cancel::is_due(header), "what was tripped stays so");
        frame.unlink(header);
        assert!(!cancel::is_due(header));
        let claimed = claimer.join().unwrap();
        assert_eq!((claimed_first, given == 42), (claimed, claimed));
        drop((frame, wire));
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// Frames, rule 4: the inner of two frames is closed, expired, while the outer one is tripped.
///
/// Seen to fail: with a `trip` that sets its flag after the bit, with a `settle` that looks before it clears.
#[test]
fn frame_tripped_against_close() {
    check("frame: trip, close", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(3);
        // SAFETY: new.
        unsafe { home.start(task) };
        // SAFETY: it lives until `finish`.
        let header = unsafe { task.as_ref() };
        let (outer_wire, inner_wire) =
            (Tripwire::of(references.remove(0)), Tripwire::of(references.remove(0)));
        let outer = frame(task, &outer_wire, ptr::null());
        outer.link(header);
        let inner = frame(task, &inner_wire, &outer);
        inner.link(header);
        let trippers = [inner_wire, outer_wire.clone()].map(|wire| thread::spawn(move || wire.trip()));
        inner.unlink(header);
        // The outer one is learned of, if only by the message.
        while !cancel::is_due(header) {
            assert_eq!(park(&home, header, &Never), Outcome::Cancelled);
        }
        outer.unlink(header);
        trippers.into_iter().for_each(|thread| thread.join().unwrap());
        drop((outer, inner, outer_wire));
        // SAFETY: it has ended.
        unsafe { crate::fiber::loom::finish(task) };
        home.drain();
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}
