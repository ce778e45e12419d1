//! Loom: rings against the listener, a thread's and a task's, and against a cancellation.

use ::loom::thread;

use super::{Doorbell, Listening};
use crate::fiber::loom::{finish, task};
use crate::park::loom::park;
use crate::park::{Outcome, Reason, Waiter, cancel};
use crate::sched::loom::Home;
use crate::util::model::check;

/// Two ring, an OS thread waits for both.
///
/// Seen to fail: with a ring that finds a waiter and neither wakes nor counts, with a listener that does not look at
/// the count under the lock.
#[test]
fn doorbell_two_rings_and_a_thread() {
    check("doorbell: two rings, thread", 3, || {
        let mut bell = Doorbell::new();
        let ringers = [(); 2].map(|()| {
            let button = bell.button();
            thread::spawn(move || button.ring())
        });
        bell.wait(Reason::Unblock);
        bell.wait(Reason::Unblock);
        ringers.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(bell.0.lock().rings, 0);
    });
}

/// One rings, one cancels the task that waits: it has the ring, or the ring is still there.
///
/// Seen to fail: with a `withdraw` that always says that the node was linked.
#[test]
fn doorbell_a_ring_and_a_cancel() {
    check("doorbell: ring, cancel", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let bell = Doorbell::new();
        let button = bell.button();
        let ringer = thread::spawn(move || button.ring());
        let reference = references.remove(0);
        let canceller = thread::spawn(move || cancel(&reference));
        let waiter = Waiter::Task(task);
        let rung = !bell.enlist(&waiter) || {
            // SAFETY: it lives until `finish`.
            let outcome = park(&home, unsafe { task.as_ref() }, &Listening(&bell));
            assert_ne!(outcome, Outcome::TimedOut);
            outcome == Outcome::Woken
        };
        // SAFETY: it has ended.
        unsafe { finish(task) };
        ringer.join().unwrap();
        canceller.join().unwrap();
        home.drain();
        assert_eq!(bell.0.lock().rings, usize::from(!rung), "the ring is lost, or there twice");
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}
