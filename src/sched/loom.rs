//! Loom: sleep and wake, placement, shutdown; and a worker without tasks' stacks for the layers above.

use core::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use ::loom::thread;

use super::placement::Watch;
use super::remote::{Remote, Wake, bump};
use super::shared::{Phase, Shared};
use super::{Config, Unwinding};
use crate::fiber::loom::{Ends, task};
use crate::fiber::{FiberRef, Header, Run};
use crate::util::cell::Cell;
use crate::util::fifo::Fifo;
use crate::util::lock::{Condvar, Lock};
use crate::util::model::check;

/// An eventfd in an epoll that waits for nothing else.
#[derive(Clone, Default)]
struct Eventfd(Arc<EventfdState>);

#[derive(Default)]
struct EventfdState {
    written: Lock<bool>,
    changed: Condvar,
    writes: AtomicUsize,
}

impl Wake for Eventfd {
    fn wake(&self) {
        self.0.writes.fetch_add(1, Relaxed);
        *self.0.written.lock() = true;
        self.0.changed.notify_one();
    }
}

impl Eventfd {
    /// `epoll_wait`: without a limit, or to look.
    fn poll(&self, wait: bool) {
        let mut written = self.0.written.lock();
        while wait && !*written {
            written = self.0.changed.wait(written).expect("no poison under loom");
        }
        *written = false;
    }
}

/// The part of a worker that takes what comes from others: the thread that has made it.
pub(crate) struct Home {
    pub(crate) remote: &'static Remote,
    eventfd: Eventfd,
    queue: Fifo<Header>,
    pub(crate) unwinding: Unwinding,
    sleeps: Cell<usize>,
}

impl Home {
    pub(crate) fn new() -> Home {
        let remote = Remote::lease();
        let eventfd = Eventfd::default();
        remote.set_waker(Box::new(eventfd.clone()));
        let unwinding = Unwinding::default();
        Home { remote, eventfd, queue: Fifo::default(), unwinding, sleeps: Cell::new(0) }
    }

    /// Starts a task here, which then runs on the caller's stack.
    ///
    /// # Safety
    /// `task` is alive and unstarted.
    pub(crate) unsafe fn start(&self, task: NonNull<Header>) {
        let home: *const Remote = self.remote;
        // SAFETY: by this function's contract; it is in no queue.
        unsafe { Header::start(task, home.cast_mut().cast()) };
        // SAFETY: alive.
        unsafe { task.as_ref() }.run.set(Run::Running);
    }

    /// As `Worker::drain_inbox`. How many there were in the inbox.
    pub(crate) fn drain(&self) -> usize {
        let mut received = 0;
        let take = |task| {
            received += 1;
            // SAFETY: just taken out of this worker's inbox.
            if unsafe { Header::receive(task) } {
                // SAFETY: it was parked, so in no queue; the models' tasks live until they have ended.
                unsafe { self.queue.push(task) };
            }
        };
        // SAFETY: this is the worker.
        unsafe { self.remote.drain(take) };
        received
    }

    /// As `Worker::signal`, from this thread.
    pub(crate) fn signal(&self, task: &Header, signals: u8) {
        if task.signal(signals) {
            // SAFETY: as in `drain`.
            unsafe { self.queue.push(NonNull::from(task)) };
        }
    }

    /// Nothing is ready: as `Worker::sleep`.
    pub(crate) fn sleep(&self) {
        self.sleeps.set(self.sleeps.get() + 1);
        let quiet = self.remote.begin_sleep();
        self.eventfd.poll(quiet);
        self.remote.end_sleep();
    }

    /// In place of the switch: the worker's loop until the task, its only one, is ready again.
    pub(crate) fn suspend(&self, task: &Header) {
        loop {
            self.drain();
            if let Some(ready) = self.queue.pop() {
                assert_eq!(ready, NonNull::from(task));
                task.run.set(Run::Running);
                return;
            }
            self.sleep();
        }
    }

    /// S: one write at most for each sleep.
    pub(crate) fn check_writes(&self) {
        assert!(self.eventfd.0.writes.load(Relaxed) <= self.sleeps.get(), "an eventfd written for nothing");
    }
}

/// S: two that push into the inbox while the worker goes to sleep.
///
/// Seen to fail: without S2's fence, without W2's fence, without the look of S3 (the worker sleeps for ever); with
/// a store in place of W4's CAS (the eventfd is written twice).
#[test]
fn sleep_two_pushers_into_the_inbox() {
    check("sleep: two pushers into the inbox", 3, || {
        let home = Home::new();
        let remote = home.remote;
        let threads = [(); 2].map(|()| {
            thread::spawn(move || {
                let (task, _, _) = task(1);
                // SAFETY: new, and never freed.
                unsafe { remote.push(task) };
            })
        });
        let mut received = 0;
        while received < 2 {
            let now = home.drain_unread();
            received += now;
            if now == 0 {
                home.sleep();
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        home.check_writes();
    });
}

/// S: one pushes into the inbox, one a closure into `fresh`.
///
/// Seen to fail: without the look at `fresh` in S3, without S2's fence.
#[test]
fn sleep_a_push_and_a_fresh_closure() {
    check("sleep: a push and a fresh closure", 3, || {
        let home = Home::new();
        let remote = home.remote;
        let pusher = thread::spawn(move || {
            let (task, _, _) = task(1);
            // SAFETY: new, and never freed.
            unsafe { remote.push(task) };
        });
        let spawner = thread::spawn(move || {
            let (task, _, _) = task(1);
            // SAFETY: new, and never freed.
            unsafe { remote.fresh.push(task) };
            remote.notify();
        });
        let mut received = 0;
        while received < 2 {
            let now = home.drain_unread() + usize::from(remote.fresh.take().is_some());
            received += now;
            if now == 0 {
                home.sleep();
            }
        }
        pusher.join().unwrap();
        spawner.join().unwrap();
        home.check_writes();
    });
}

impl Home {
    /// Takes what is in the inbox and leaves the tasks alone.
    fn drain_unread(&self) -> usize {
        let mut received = 0;
        // SAFETY: this is the worker.
        unsafe { self.remote.drain(|_| received += 1) };
        received
    }
}

/// A runtime of `workers` workers without stacks, each to be played by one thread.
struct Runtime {
    shared: Arc<Shared>,
    eventfds: Vec<Eventfd>,
    /// A closure has run; the workers may leave.
    ran: (Lock<bool>, Condvar),
    over: AtomicBool,
}

impl Runtime {
    fn new(workers: usize) -> Arc<Runtime> {
        let config = Config::bare(workers, 0);
        let shared = Shared::new(config);
        let eventfds: Vec<Eventfd> = (0..workers).map(|_| Eventfd::default()).collect();
        for (remote, eventfd) in shared.remotes.iter().zip(&eventfds) {
            remote.set_waker(Box::new(eventfd.clone()));
        }
        Arc::new(Runtime { shared, eventfds, ran: Default::default(), over: AtomicBool::new(false) })
    }

    /// The life of worker `index`, as in `run_loop`: closures "run" as soon as they are taken. Ends with the
    /// runtime, or with the model.
    fn work(&self, index: usize, watch: &Watch, mut now: u64) -> usize {
        let shared = &*self.shared;
        let remote = shared.remotes[index];
        let mut ran = 0;
        loop {
            while remote.fresh.len_hint() != 0 {
                shared.stop_watching(index, watch);
                let Some(task) = remote.fresh.take() else { break };
                ran += 1;
                bump(&remote.counts.finished);
                // SAFETY: the reference that came with the submission.
                drop(unsafe { FiberRef::from_raw(task) });
                *self.ran.0.lock() = true;
                self.ran.1.notify_one();
            }
            if self.over.load(Relaxed) {
                return ran;
            }
            let phase = shared.phase();
            if phase == Phase::Exiting || phase == Phase::Cancelling && shared.exit_if_quiescent() {
                return ran;
            }
            if let Some(look) = shared.watch(index, watch, now, |wanted| wanted) {
                shared.sleep(index, phase, |quiet| {
                    let for_ever = look == u64::MAX;
                    self.eventfds[index].poll(quiet && for_ever);
                    if quiet && !for_ever {
                        // The time until the next look passes.
                        now = look;
                    }
                });
            }
        }
    }

    /// Waits until a closure has run, and lets the workers leave.
    fn wait(&self) {
        let mut ran = self.ran.0.lock();
        while !*ran {
            ran = self.ran.1.wait(ran).expect("no poison under loom");
        }
        drop(ran);
        self.over.store(true, Relaxed);
        self.eventfds.iter().for_each(Eventfd::wake);
    }

    /// As `work`, of a worker that has nothing to do but the end.
    fn end(&self, index: usize) {
        let shared = &*self.shared;
        loop {
            let phase = shared.phase();
            if phase == Phase::Exiting || phase == Phase::Cancelling && shared.exit_if_quiescent() {
                return;
            }
            shared.sleep(index, phase, |quiet| self.eventfds[index].poll(quiet));
        }
    }

    /// From worker `index`'s thread: as `Worker::submit`.
    fn submit(&self, index: usize) -> Ends {
        let (task, _, ends) = task(1);
        let remote = self.shared.remotes[index];
        bump(&remote.counts.submitted);
        // SAFETY: new; the reference is the queue's.
        unsafe { remote.fresh.push(task) };
        self.shared.mind_fresh();
        ends
    }
}

/// Worker 0 spawns and computes on; worker 1 is on its way to its first sleep.
///
/// Seen to fail: without the look at the other queues before the sleep (`unwatched_fresh`), with a `poke` that does not look again
/// for one that went to sleep meanwhile.
#[test]
fn placement_a_spawn_against_a_worker_that_goes_to_sleep() {
    check("placement: spawn, sleeper", 3, || {
        let runtime = Runtime::new(2);
        let sleeper = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.work(1, &Watch::new(2), 1)
        });
        let ends = runtime.submit(0);
        runtime.wait();
        assert_eq!(sleeper.join().unwrap(), 1);
        assert_eq!(ends.freed(), 1);
    });
}

/// Worker 0 spawns and computes on; worker 1 is the watcher, at its last look.
///
/// Seen to fail: without both exact looks after `cease_watching`, the watcher's own and `unwatched_fresh`. (Each covers for the
/// other.)
#[test]
fn placement_a_spawn_against_a_watcher_that_stops() {
    check("placement: spawn, stopping watcher", 3, || {
        let runtime = Runtime::new(2);
        let watch = runtime.shared.at_last_look(1);
        let watcher = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.work(1, &watch, 10_000_000)
        });
        let ends = runtime.submit(0);
        runtime.wait();
        assert_eq!(watcher.join().unwrap(), 1);
        assert_eq!(ends.freed(), 1);
    });
}

/// Worker 0 spawns and computes on; worker 1 is the watcher, at its last look; worker 2 goes to sleep.
///
/// Seen to fail: as the one before.
#[test]
fn placement_a_spawn_a_watcher_that_stops_and_a_sleeper() {
    check("placement: spawn, stopping watcher, sleeper", 1, || {
        let runtime = Runtime::new(3);
        let watch = runtime.shared.at_last_look(1);
        let watcher = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.work(1, &watch, 10_000_000)
        });
        let sleeper = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.work(2, &Watch::new(3), 1)
        });
        let ends = runtime.submit(0);
        runtime.wait();
        assert_eq!(watcher.join().unwrap() + sleeper.join().unwrap(), 1);
        assert_eq!(ends.freed(), 1);
    });
}

/// A task from outside, while the runtime is told to end and its worker looks whether it can.
///
/// Seen to fail: without the fence in `submit` (the closure is queued and nobody is left), without its `wake_all`, without
/// the last look for quiescence in `sleep`.
#[test]
fn shutdown_a_submit_from_outside_against_the_end() {
    check("shutdown: submit from outside", 3, || {
        let runtime = Runtime::new(1);
        let worker = thread::spawn({
            let runtime = runtime.clone();
            move || runtime.work(0, &Watch::new(1), 1)
        });
        let outside = thread::spawn({
            let runtime = runtime.clone();
            move || {
                let (task, _, ends) = task(1);
                // SAFETY: new; the reference is the scheduler's.
                unsafe { runtime.shared.submit(task) };
                ends
            }
        });
        runtime.shared.begin_shutdown();
        let (ran, ends) = (worker.join().unwrap(), outside.join().unwrap());
        assert_eq!(ran + ends.discarded(), 1, "the closure runs, or comes back");
        assert_eq!(ends.freed(), 1);
        assert!(runtime.shared.remotes[0].fresh.is_empty());
    });
}

/// Two workers, each with a last task, one of which ends the runtime.
///
/// Seen to fail: without the `wake_all` of who says EXITING; without the fence in `exit_if_quiescent` and the look in `sleep`.
/// (Here, each covers for the other.)
#[test]
fn shutdown_two_workers_end_their_last_tasks() {
    check("shutdown: two last tasks", 3, || {
        let runtime = Runtime::new(2);
        let last_task = |runtime: &Runtime, index: usize| {
            bump(&runtime.shared.remotes[index].counts.finished);
            runtime.end(index);
        };
        runtime.shared.remotes.iter().for_each(|remote| bump(&remote.counts.submitted));
        let other = thread::spawn({
            let runtime = runtime.clone();
            move || last_task(&runtime, 1)
        });
        runtime.shared.begin_shutdown();
        last_task(&runtime, 0);
        other.join().unwrap();
    });
}
