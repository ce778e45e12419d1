//! Loom: the queue's lock, and each lock's word against its queue, with threads, tasks and a cancellation.

use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::queue::{Node, Queue};
use super::raw::{Mode, RawLock};
use super::{Barrier, Condvar, Event, Mutex, Once, Semaphore, WaitGroup};
use crate::fiber::loom::{finish, task};
use crate::park::loom::park;
use crate::park::{Waiter, cancel};
use crate::sched::loom::Home;
use crate::util::model::check;

/// A value that only the lock orders.
#[derive(Debug, Default)]
struct Guarded(RawLock, UnsafeCell<u32>);

// SAFETY: what the lock is for; loom sees to it.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Default for RawLock {
    fn default() -> RawLock {
        RawLock::new()
    }
}

impl Guarded {
    /// The holder writes.
    fn write(&self) {
        self.1.with_mut(|value| {
            // SAFETY: the writer's; loom sees to it.
            unsafe { *value += 1 }
        });
    }

    /// A holder reads.
    fn read(&self) -> u32 {
        self.1.with(|value| {
            // SAFETY: nobody writes; loom sees to it.
            unsafe { *value }
        })
    }

    fn add_one(&self) {
        self.0.lock(Mode::Write);
        self.write();
        // SAFETY: locked.
        unsafe { self.0.unlock(Mode::Write) };
    }

    fn look(&self) -> u32 {
        self.0.lock(Mode::Read);
        let value = self.read();
        // SAFETY: locked.
        unsafe { self.0.unlock(Mode::Read) };
        value
    }
}

/// Runs `f` on two threads and on this one.
fn with_two(f: impl Fn(usize) + Send + Sync + 'static) {
    let f = Arc::new(f);
    let threads = [0, 1].map(|i| {
        let f = f.clone();
        thread::spawn(move || f(i))
    });
    f(2);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The bit: two push and pop.
///
/// Seen to fail: with Relaxed in `try_lock`, with Relaxed in the drop of `Locked`.
#[test]
fn queue_two_under_the_bit() {
    check("queue: two", 3, || {
        let queue = Arc::new(Queue::new());
        let work = |queue: &Queue<u32>| {
            let node = Node::new(7);
            // SAFETY: it is taken out below, by this thread.
            unsafe { queue.lock().push_back(&node) };
            // SAFETY: in this queue.
            assert!(unsafe { queue.lock().unlink(&node) });
        };
        let other = thread::spawn({
            let queue = queue.clone();
            move || work(&queue)
        });
        work(&queue);
        other.join().unwrap();
        assert!(queue.seems_empty());
    });
}

/// Three writers: barging, waking, trying again.
///
/// Seen to fail: with a release that owes no wake, with a woken writer that keeps `WOKEN` when it queues again, with Relaxed in
/// `take`.
#[test]
fn raw_three_writers() {
    check("raw lock: three writers", 2, || {
        let lock = Arc::new(Guarded::default());
        let other = lock.clone();
        with_two(move |_| other.add_one());
        assert_eq!(lock.look(), 3);
        assert!(lock.0.is_pristine());
    });
}

/// Two readers and a writer.
///
/// Seen to fail: with Relaxed for `unlock`'s Release.
#[test]
fn raw_readers_and_a_writer() {
    check("raw lock: readers, a writer", 2, || {
        let lock = Arc::new(Guarded::default());
        let other = lock.clone();
        with_two(move |i| match i {
            0 => other.add_one(),
            _ => assert!(other.look() <= 1),
        });
        assert_eq!(lock.look(), 1);
        assert!(lock.0.is_pristine());
    });
}

/// A writer turns reader while a reader and a writer come.
///
/// Seen to fail: with a downgrade that admits nobody (here: a reader waits that the other reader waits for).
#[test]
fn raw_downgrade() {
    check("raw lock: downgrade", 2, || {
        let lock = Arc::new(Guarded::default());
        lock.0.lock(Mode::Write);
        let reader = thread::spawn({
            let lock = lock.clone();
            move || assert_eq!(lock.look(), 1)
        });
        lock.write();
        // SAFETY: locked.
        unsafe { lock.0.downgrade() };
        reader.join().unwrap();
        assert_eq!(lock.read(), 1);
        // SAFETY: locked.
        unsafe { lock.0.unlock(Mode::Read) };
        assert!(lock.0.is_pristine());
    });
}

/// A task that waits is cancelled while the lock is released, and while another waits behind it.
///
/// Seen to fail: with a `withdraw` that always says that the node was linked, with one that leaves `QUEUED` on.
#[test]
fn raw_release_against_a_cancel() {
    check("raw lock: release, cancel", 3, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let lock = Arc::new(Guarded::default());
        let other = thread::spawn({
            let lock = lock.clone();
            move || lock.add_one()
        });
        let reference = references.remove(0);
        let canceller = thread::spawn(move || cancel(&reference));
        let taken = lock.0.lock_as(Waiter::Task(task), Mode::Write, |wait| {
            // SAFETY: it lives until `finish`.
            park(&home, unsafe { task.as_ref() }, &wait)
        });
        if taken {
            lock.write();
            // SAFETY: locked.
            unsafe { lock.0.unlock(Mode::Write) };
        }
        // SAFETY: it has ended.
        unsafe { finish(task) };
        other.join().unwrap();
        canceller.join().unwrap();
        home.drain();
        assert_eq!(lock.look(), 1 + u32::from(taken));
        assert!(lock.0.is_pristine());
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}

/// A reader waits behind a writer that is cancelled, and the first reader waits for the second.
///
/// Seen to fail: with a withdrawal that does not admit the readers behind it.
#[test]
fn raw_a_cancelled_writer_lets_readers_pass() {
    check("raw lock: cancelled writer", 2, || {
        let home = Home::new();
        let (task, mut references, _) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let lock = Arc::new(Guarded::default());
        lock.0.lock(Mode::Read);
        let canceller = thread::spawn({
            let reference = references.remove(0);
            move || cancel(&reference)
        });
        let reader = thread::spawn({
            let lock = lock.clone();
            move || lock.look()
        });
        let taken = lock.0.lock_as(Waiter::Task(task), Mode::Write, |wait| {
            // SAFETY: it lives until `finish`.
            park(&home, unsafe { task.as_ref() }, &wait)
        });
        assert!(!taken, "a reader is there");
        reader.join().unwrap();
        canceller.join().unwrap();
        // SAFETY: it has ended.
        unsafe { finish(task) };
        // SAFETY: locked.
        unsafe { lock.0.unlock(Mode::Read) };
        home.drain();
        assert!(lock.0.is_pristine());
    });
}

/// Two wait for a value, one of them for the notification that the other may take.
///
/// Seen to fail: with a wait that releases the mutex before it is linked.
#[test]
fn condvar_notify_one_and_all() {
    check("condvar: notify one, all", 2, || {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let waiter = thread::spawn({
            let pair = pair.clone();
            move || {
                let mut turn = pair.0.lock().unwrap();
                while *turn == 0 {
                    turn = pair.1.wait(turn).unwrap();
                }
                *turn += 1;
                drop(turn);
                pair.1.notify_all();
            }
        });
        *pair.0.lock().unwrap() = 1;
        pair.1.notify_one();
        let mut turn = pair.0.lock().unwrap();
        while *turn != 2 {
            turn = pair.1.wait(turn).unwrap();
        }
        drop(turn);
        waiter.join().unwrap();
    });
}

/// Permits come and go between three.
///
/// Seen to fail: with an `add` that does not serve.
#[test]
fn semaphore_three() {
    check("semaphore: three", 2, || {
        let semaphore = Arc::new(Semaphore::new(2));
        let other = semaphore.clone();
        with_two(move |i| drop(other.acquire(if i == 0 { 2 } else { 1 })));
        assert_eq!(semaphore.available(), 2);
        assert!(semaphore.try_acquire(2).is_ok());
    });
}

/// A closure that others wait for, and the once that is asked before.
///
/// Seen to fail: with a `finish` that does not wake, with Relaxed in `finish`.
#[test]
fn once_three() {
    check("once: three", 2, || {
        let once = Arc::new((Once::new(), Guarded::default()));
        let other = once.clone();
        with_two(move |i| {
            match i {
                0 => other.0.wait(),
                _ => other.0.call_once(|| other.1.write()),
            }
            assert_eq!(other.1.read(), 1);
        });
        assert_eq!(once.1.read(), 1);
    });
}

/// Set and cleared at once, while two wait.
///
/// Seen to fail: with a `set` that wakes nobody.
#[test]
fn event_set_and_clear() {
    check("event: set, clear, set", 2, || {
        let event = Arc::new((Event::new(), Guarded::default()));
        let other = event.clone();
        let waiter = thread::spawn(move || {
            other.0.wait();
            assert_eq!(other.1.read(), 1);
        });
        event.1.write();
        event.0.set();
        event.0.clear();
        event.0.set();
        waiter.join().unwrap();
    });
}

/// The last of the others goes while one waits.
///
/// Seen to fail: with a drop that wakes nobody, with Relaxed in it.
#[test]
fn wait_group_two_and_a_waiter() {
    check("wait group: two, a waiter", 2, || {
        let work = Arc::new(Guarded::default());
        let group = WaitGroup::new();
        let worker = thread::spawn({
            let (group, work) = (group.clone(), work.clone());
            move || {
                work.write();
                drop(group);
            }
        });
        let dropper = thread::spawn({
            let group = group.clone();
            move || drop(group)
        });
        group.wait();
        assert_eq!(work.read(), 1);
        worker.join().unwrap();
        dropper.join().unwrap();
    });
}

/// One of two is cancelled while the other comes; if it has not been let through, a third takes its place.
///
/// Seen to fail: with a `withdraw` that does not look at the generation.
#[test]
fn barrier_the_last_comes_and_the_first_is_cancelled() {
    check("barrier: the last, a cancel", 2, || {
        let home = Home::new();
        let (task, mut references, ends) = task(2);
        // SAFETY: new.
        unsafe { home.start(task) };
        let barrier = Arc::new(Barrier::new(2));
        let other = thread::spawn({
            let barrier = barrier.clone();
            move || {
                let _ = barrier.wait();
            }
        });
        let reference = references.remove(0);
        let canceller = thread::spawn(move || cancel(&reference));
        let through = barrier.wait_as(Waiter::Task(task), |wait| {
            // SAFETY: it lives until `finish`.
            park(&home, unsafe { task.as_ref() }, &wait)
        });
        if !through {
            let _ = barrier.wait();
        }
        // SAFETY: it has ended.
        unsafe { finish(task) };
        other.join().unwrap();
        canceller.join().unwrap();
        home.drain();
        assert_eq!(barrier.here(), 0);
        assert_eq!(ends.freed(), 1, "a reference was lost");
    });
}
