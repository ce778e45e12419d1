//! The certain deadlock: when nothing in the process can wake any task any more.
//!
//! `run` may not return before its root has ended, since the root may have lent the caller's frame. If the root can never
//! end, all that is left is to say so and to unwind it. So a report must be *certain*: a program that waits for
//! something that layby does not see is none of our business.
//!
//! # When it is certain
//! A worker is *at rest* if it sleeps in the kernel and nothing but a push can make one of its tasks ready: no task of its is
//! ready or wants a stack, none waits for a descriptor, a timer (or the end of time: `sleep(Duration::MAX)` is no
//! deadlock), or a closure on the blocking pool. It is certain that nothing will happen when
//!
//! * every worker of *every* runtime in the process is at rest, with nothing pushed to it,
//! * the blocking pool has no job,
//! * the process has no other threads, and
//! * no signal handler that something from outside could start.
//!
//! A thread that is about to become a worker, or was one and now runs the destructors of its thread-locals, is an other
//! thread: it counts as ours only while it is one. So is the thread that made a `Runtime` and waits for it.
//! And a seeded run is never at rest; it finds its own deadlocks (`sim`).
//!
//! # Who looks, and when
//! `ACTIVE` counts the workers that are not at rest. The last one to come to rest sets itself an alarm, [`LOOK_NS`] ahead,
//! and then looks. Reading `/proc` is slow, and a program whose tasks wait for an other thread comes to rest often; so it
//! costs such a program one wake-up in 100 ms, and an idle runtime one in all. None where no `run` is under way:
//! nobody could be told. The look is repeated only if some worker has had work since: `WORK` counts the
//! times that a worker found some after a rest, and `LOOKED` is its value at the last look that found other threads.
//! (What ends without any worker's doing, such as an other thread, is not noticed then. That is a report too few.)
//!
//! # The look
//! ```text
//!   a worker                                       the one that looks, at rest itself
//!   R1  S1 to S3 of `remote`: SLEEPING, no push    L1  lock the registry: no thread becomes ours, or ceases to be
//!   R2  rests += 1 (odd)                           L2  no job; of each worker: SLEEPING, no push;
//!   R3  epoll_wait                                     fence(SeqCst); rests is odd: remember it
//!   R4  rests += 1 (even); fence(SeqCst)           L3  ask the kernel for the number of threads (at a moment T)
//!   R5  S5: AWAKE, looks at the inbox, runs tasks  L4  as L2, and rests is as remembered
//! ```
//! *Claim*: if all of it holds, then at T no thread could do anything but the one that looks. At T there are the
//! registered threads only: L1 keeps them in the registry, so they exist, and their number is that of the process. Suppose that one
//! of them, a worker A, had left its rest before T. Something was pushed to it, by
//! * an other thread, gone by T: all that it did is seen by L4;
//! * a worker B, or a pool thread: not at rest (not without a job) then. If B's `rests` is the same in L2 and L4, it pushed before
//!   it came to the rest that L2 has seen, so before L4. The same goes for the pool thread, and the number of jobs.
//!
//! So L4 sees the push: the inbox or the queue is not empty, or A is NOTIFIED or AWAKE; then it fails. Or A sleeps again.
//! Then A has passed the fence of R4 before the SLEEPING that L4 read, so before L4's fence, and L4 sees that `rests` has moved.
//!
//! # Where it is not certain
//! If everything is at rest and the process has other threads, these may yet wake a task. In debug mode that is worth
//! a warning with a dump of all tasks, once in the process; it costs a program that waits for a thread of its own nothing but that. A thread of
//! ours makes the dump, for whoever asks for one waits, and workers may come and go meanwhile.
//!
//! # What then
//! 1. Every worker of the process says what its tasks do (each of its own; the look asks them by [`Request`]s, each of
//!    which is a push like others: a worker that has one is not at rest).
//! 2. The last to do so prints that, as a dump, and names one runtime, and its workers cancel *all* of its tasks, the root too. Then things go on:
//!    destructors run, the root ends, `run` panics.
//! 3. If all come to rest again, for they wait in destructors or shielded, the next runtime is told: first those with a
//!    root, from the newest to the oldest (it may wait for a task of another); then those without.
//!    If there is none left, nothing would ever end: the process is aborted.
//!
//! # Rejected
//! * *Deciding by the runtime's own tasks alone*: a worker of another runtime, in the middle of a computation, may hold the
//!   very handle that unparks one.
//! * *Comparing thread ids with `/proc/self/task`*: the listing is not one moment, and may miss a thread while another
//!   one ends. The count is taken under the kernel's lock.
//! * *Looking at once when all rest*: 20 µs for each of a million short rests.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::dump::dump;
use super::remote::Remote;
use super::shared::Shared;
use crate::dump::{Part, TaskDump, WorkerState};
use crate::sys::status::Status;
use crate::util::report;

/// How long all must have been at rest before the look.
pub(super) const LOOK_NS: u64 = 100_000_000;

/// Workers that are not at rest.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
/// Workers that run the root of a `run`.
static ROOTS: AtomicUsize = AtomicUsize::new(0);
/// Closures that the blocking pool has taken and has not finished.
static JOBS: AtomicUsize = AtomicUsize::new(0);
/// How often a worker has found something to do after a rest.
static WORK: AtomicU64 = AtomicU64::new(0);
/// `WORK` at the last look that found other threads.
static LOOKED: AtomicU64 = AtomicU64::new(u64::MAX);

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    workers: Vec::new(),
    pool_threads: 0,
    process: 0,
    unlisted: 0,
    parts: Vec::new(),
    warned: false,
});

/// The threads that are ours. Its lock is held while the kernel is asked, and by nobody who would be waited for there.
struct Registry {
    /// In the order of their start.
    workers: Vec<Member>,
    pool_threads: usize,
    /// Whose threads they are: in a forked child there is none of them.
    process: u32,
    /// Workers that have been asked for their list, and have not given it.
    unlisted: usize,
    /// What the others have said.
    parts: Vec<(Arc<Shared>, Part)>,
    /// It was said, in debug mode, that there may be a deadlock.
    warned: bool,
}

struct Member {
    remote: &'static Remote,
    shared: Arc<Shared>,
    rooted: bool,
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the workers of a stuck process are asked for (see [`Remote::ask`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Request {
    Nothing,
    /// List your tasks.
    List,
    /// Cancel your tasks.
    Cancel,
}

/// While it lives, the calling thread counts as a worker.
pub(super) struct Membership(&'static Remote);

impl Membership {
    pub(super) fn new(remote: &'static Remote, shared: &Arc<Shared>, rooted: bool) -> Membership {
        let mut registry = registry();
        registry.process = process::id();
        registry.workers.push(Member { remote, shared: shared.clone(), rooted });
        // Relaxed, here and below: counts that decide when to look; what the look finds is ordered by itself.
        ACTIVE.fetch_add(1, Ordering::Relaxed);
        ROOTS.fetch_add(usize::from(rooted), Ordering::Relaxed);
        Membership(remote)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut registry = registry();
        let is_self = |member: &Member| core::ptr::eq(member.remote, self.0);
        if let Some(index) = registry.workers.iter().position(is_self) {
            let member = registry.workers.remove(index);
            ROOTS.fetch_sub(usize::from(member.rooted), Ordering::Relaxed);
            ACTIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// While it lives, the calling thread counts as one of the blocking pool's.
#[derive(Debug)]
pub(crate) struct PoolThread(());

impl PoolThread {
    pub(crate) fn new() -> PoolThread {
        registry().pool_threads += 1;
        PoolThread(())
    }
}

impl Drop for PoolThread {
    fn drop(&mut self) {
        registry().pool_threads -= 1;
    }
}

/// The blocking pool takes a closure: before it is queued.
pub(crate) fn begin_job() {
    // Relaxed: by a task, whose worker is not at rest before it is counted.
    JOBS.fetch_add(1, Ordering::Relaxed);
}

/// It has run, and has woken whom it had to.
pub(crate) fn end_job() {
    // Release pairs with the Acquire in `collect`: who sees the job gone sees its wake.
    JOBS.fetch_sub(1, Ordering::Release);
}

/// R2. True: this was the last worker to come to rest, and a look is worth the while.
pub(super) fn begin_rest(remote: &Remote) -> bool {
    remote.begin_rest();
    let last = ACTIVE.fetch_sub(1, Ordering::Relaxed) == 1;
    last && ROOTS.load(Ordering::Relaxed) != 0
        && LOOKED.load(Ordering::Relaxed) != WORK.load(Ordering::Relaxed)
}

/// R4.
pub(super) fn end_rest(remote: &Remote) {
    ACTIVE.fetch_add(1, Ordering::Relaxed);
    remote.end_rest();
}

/// A worker has found something to do after a rest.
pub(super) fn note_work() {
    // Relaxed: a hint, as `LOOKED`.
    WORK.fetch_add(1, Ordering::Relaxed);
}

/// L1 to L4, by a worker that is at rest. True: it is certain, it was said, and every worker was asked to list its
/// tasks, the caller too.
pub(super) fn look() -> bool {
    let work = WORK.load(Ordering::Relaxed);
    let mut registry = registry();
    let Some(before) = registry.collect() else { return false };
    if !registry.is_alone() {
        LOOKED.store(work, Ordering::Relaxed);
        registry.warn();
        return false;
    }
    if registry.collect() != Some(before) {
        return false;
    }
    report!(
        "deadlock: every task waits, and nothing is left that could wake one (no timer, no descriptor, no closure on the \
         blocking pool, no other thread):"
    );
    registry.unlisted = registry.workers.len();
    for member in &registry.workers {
        member.remote.ask(Request::List);
    }
    true
}

/// A worker of that runtime has listed its tasks. The last one prints what all have said, and names the runtime whose tasks are cancelled.
pub(super) fn listed(shared: &Arc<Shared>, part: Part) {
    let mut registry = registry();
    registry.parts.push((shared.clone(), part));
    registry.unlisted -= 1;
    if registry.unlisted > 0 {
        return;
    }
    let parts = core::mem::take(&mut registry.parts);
    report!("{}", together(parts));
    let Some(chosen) = registry.next_to_cancel() else {
        report!("the tasks were cancelled, but that does not end them: the process is aborted");
        process::abort();
    };
    chosen.set_stuck();
    let (name, workers) = (chosen.name(), chosen.workers());
    report!("the tasks of a runtime ('{name}', of {workers} workers) are cancelled");
    for member in registry.workers.iter().filter(|member| Arc::ptr_eq(&member.shared, &chosen)) {
        member.remote.ask(Request::Cancel);
    }
}

fn together(parts: Vec<(Arc<Shared>, Part)>) -> TaskDump {
    let mut runtimes: Vec<(Arc<Shared>, Vec<_>)> = Vec::new();
    for (shared, part) in parts {
        let said = (WorkerState::Answered, part);
        match runtimes.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &shared)) {
            Some((_, parts)) => parts.push(said),
            None => runtimes.push((shared, vec![said])),
        }
    }
    let mut dump = TaskDump::default();
    runtimes.into_iter().for_each(|(shared, parts)| dump.add(shared.name(), parts));
    dump.finish()
}

/// Every runtime of the process that has a worker.
pub(crate) fn runtimes() -> Vec<Arc<Shared>> {
    let mut runtimes: Vec<Arc<Shared>> = Vec::new();
    for member in &registry().workers {
        if !runtimes.iter().any(|shared| Arc::ptr_eq(shared, &member.shared)) {
            runtimes.push(member.shared.clone());
        }
    }
    runtimes
}

impl Registry {
    /// L2, L4: each worker's number of rests, if all are at rest.
    fn collect(&self) -> Option<Vec<u64>> {
        // Acquire pairs with the Release in `end_job`.
        let jobs = JOBS.load(Ordering::Acquire);
        if jobs != 0 || !self.workers.iter().all(|member| member.remote.is_asleep_with_nothing()) {
            return None;
        }
        // Pairs with the one in `Remote::end_rest`.
        core::sync::atomic::fence(Ordering::SeqCst);
        self.workers.iter().map(|member| member.remote.rest()).collect()
    }

    /// L3: there is no thread but ours, and no handler of signals.
    fn is_alone(&self) -> bool {
        let ours = self.workers.len() + self.pool_threads;
        let alone = |status: Status| status.threads == ours && !status.has_signal_handlers();
        self.process == process::id() && Status::read().is_ok_and(alone)
    }

    /// Only other threads, or a handler of signals, could wake a task. Where a runtime is in debug mode that is said, once in the
    /// process, with a dump.
    fn warn(&mut self) {
        let debug = self.workers.iter().any(|member| member.shared.is_debug());
        if self.warned || !debug || self.process != process::id() {
            return;
        }
        self.warned = true;
        let say = || {
            let _own = PoolThread::new();
            report!(
                "every task waits, and layby knows of nothing that could wake one: no timer, no descriptor, no closure on the \
                 blocking pool. Only a thread that is not layby's, or a handler of signals, still could; if none does, this is \
                 a deadlock (debug mode says so once):"
            );
            report!("{}", dump(&runtimes()));
        };
        // Without a thread there is nobody to say it.
        let _ = thread::Builder::new().name("layby-dump".into()).spawn(say);
    }

    /// Of the runtimes that were not told yet: the newest with a root, or else the newest with tasks.
    fn next_to_cancel(&self) -> Option<Arc<Shared>> {
        let untold = || self.workers.iter().rev().filter(|member| !member.shared.is_stuck());
        let rooted = untold().find(|member| member.rooted);
        let chosen = rooted.or_else(|| untold().find(|member| member.shared.has_started_tasks()));
        chosen.map(|member| member.shared.clone())
    }
}
