//! A dump: every worker is asked for its tasks, and each task that waits, for what and where.
//!
//! # Steps
//! ```text
//!   who asks (an OS thread)               the worker, in its loop                  a suspended task of its
//!   D1  leave a call at the worker,
//!       a push like others: S1 to W4
//!       of `remote`
//!                                         D2  between two tasks, for 1 ms at most:
//!                                             for each occupied stack
//!                                             set DUMP; resume the task ─────────▶ D3  in the end of its wait, before all
//!                                                                                      else: DUMP is on: says what it waits
//!                                                                                      for, and walks its stack; both on
//!                                             clear DUMP, note the answer ◀──────────  the worker's stack; suspends again
//!                                         D4  other tasks run; D2 goes on
//!   D6  names for the addresses, text ◀── D5  all stacks seen: gives its part
//! ```
//! The places of the worker's slabs are walked by a cursor, so nothing need be kept alive between two slices: a task that has ended meanwhile
//! is not met, nor one that started on a stack that was passed. Who asks is never a worker: a task asks from the blocking
//! pool, so its own worker can answer, and the names are looked up off the workers.
//!
//! # Why a task that waits may be resumed
//! The answer changes nothing that anyone else can see:
//! * What the worker has changed of the header for it (`run`, `accepts`, DUMP, the count of those that are parked mid-unwind) it puts back, so that
//!   the task is parked, or ready in the same place of the run queue, exactly as before. Nothing else of the worker's runs meanwhile.
//! * No wake is lost or taken: wakes and cancellations from elsewhere wait in the inbox, which is not drained meanwhile, and those from here come
//!   from code that does not run. A wake that had come before is in `signals`, where the answer leaves it (`finish` tests DUMP with it).
//! * The node stays where it is, linked or claimed; `describe` reads nothing that a claimer may write (rule 4 of `park`), and calls no code
//!   of the user's. The locks that it takes are never held over a switch.
//! * The deadline's entry stays in the wheel.
//!
//! A task suspends in four places: in `park`, in the wait for a token, in a yield, and where it lets a new task begin at once. (A seeded
//! run gives way by a yield.) Each of them tests DUMP first when it goes on; in `park` with WAKE, in a yield with CANCELLED, so at no
//! cost. A task that is parked inside of a generator is resumed there, on the generator's stack, as ever.
//!
//! # A worker that does not answer
//! One of its tasks keeps the thread, so nothing can be asked. See [`onlook`](super::onlook).
//!
//! # Since when
//! A task that parks notes its worker's clock, which the worker sets whenever it looks at the time; one load and one store. See [`STEP`].
//!
//! # Rejected
//! * *Unwinding from outside*, from the saved registers: unwinders begin where they are called.
//! * *Stopping all threads by a signal, as a debugger does*: a task would be found in the middle of malloc.
//! * *A text for what is waited for, or a pointer to one, set by each wait*: a cost for each wait, for the sake of the few that are asked.
//! * *std's backtrace*: its lock stalls a capture behind another thread's first look-up of a name, 58 ms.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::shared::Shared;
use super::worker::Worker;
use crate::dump::{Details, DumpedTask, Part, RunState, TaskDump, WorkerState, trace};
use crate::fiber::{Header, Reason, Run, Signals};
use crate::stack::{Cursor, Slot};
use crate::sys::clock;

/// How long a worker works at a dump before it runs tasks again.
const SLICE_NS: u64 = 1_000_000;
/// How long a worker may do nothing for the dump before it is taken for busy.
const PATIENCE: Duration = Duration::from_millis(100);
/// Of more tasks than this in a worker's queue of closures the rest is only counted.
pub(super) const MOST_UNSTARTED: usize = 1000;
/// The worker's clock for waits counts steps of 2^22 ns, 4.2 ms; for 208 days.
const STEP: u32 = 22;

/// What is said of how long a task has waited.
#[inline]
pub(super) fn steps(now: u64) -> u32 {
    // The low bits are meant.
    (now >> STEP) as u32
}

/// How long ago it was `since`, at `now`.
pub(super) fn ago(since: u32, now: u64) -> Duration {
    Duration::from_nanos(u64::from(steps(now).wrapping_sub(since)) << STEP)
}

/// What a task says when it is asked. Its parts are filled in by the task, on the worker's stack.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) details: Details,
    /// When its wait ends, and when the first timeout around it; `u64::MAX`: never.
    pub(crate) deadline: u64,
    pub(crate) timeout: u64,
    addresses: Vec<usize>,
    /// The lowest address of the task's stack that is in use.
    lowest: Option<usize>,
    /// An address of the worker's stack, above which there is nothing of the task's.
    ceiling: usize,
    /// From where to where the task's own stack goes.
    limit: usize,
    base: usize,
}

/// How far below the ceiling the worker's own frames may lie.
const FRAMES: usize = 64 * 1024;

impl Answer {
    fn begin(&mut self, slot: &Slot, ceiling: usize) {
        self.details = Details::default();
        self.addresses.clear();
        self.lowest = None;
        (self.deadline, self.timeout) = (u64::MAX, u64::MAX);
        (self.limit, self.base, self.ceiling) = (slot.limit, slot.base, ceiling);
    }

    /// Walks the stacks of the task that calls it, from the worker's stack.
    pub(crate) fn trace(&mut self) {
        let own = self.ceiling.saturating_sub(FRAMES)..self.ceiling;
        self.lowest = trace(&mut self.addresses, own, self.limit..self.base);
    }
}

/// A question to the workers of one runtime.
pub(crate) struct Call {
    shared: Arc<Shared>,
    /// What each has said.
    parts: Mutex<Vec<Option<Part>>>,
    news: Condvar,
    /// How many slices the workers have worked at it.
    slices: AtomicU64,
}

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Call").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// How far a worker has come with a call.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Which call; none, if it is done at once.
    call: Option<Arc<Call>>,
    cursor: Cursor,
    part: Part,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    fn new(shared: &Arc<Shared>) -> Arc<Call> {
        let parts = (0..shared.workers()).map(|_| None).collect();
        Arc::new(Call {
            shared: shared.clone(),
            parts: Mutex::new(parts),
            news: Condvar::new(),
            slices: AtomicU64::new(0),
        })
    }

    fn answer(&self, worker: usize, part: Part) {
        // Empty, if nobody waits any more.
        if let Some(place) = lock(&self.parts).get_mut(worker) {
            *place = Some(part);
        }
        self.news.notify_all();
    }

    /// What the workers say, and what there is to see of those that do not answer.
    fn wait(self: &Arc<Call>) -> Vec<(WorkerState, Part)> {
        let parts = self.wait_for_parts();
        // Those that have not answered need not, and must not keep the runtime alive by it.
        self.shared.remotes.iter().for_each(|remote| remote.end_dump_call(self));
        parts.into_iter().enumerate().map(|(worker, part)| self.part_of(worker, part)).collect()
    }

    /// Waits until all have answered, or those that are left do nothing for it.
    fn wait_for_parts(&self) -> Vec<Option<Part>> {
        let mut parts = lock(&self.parts);
        while parts.iter().any(Option::is_none) {
            let missing = parts.iter().filter(|part| part.is_none()).count();
            // Relaxed, here and below: a count that says that somebody works.
            let slices = self.slices.load(Ordering::Relaxed);
            let waited = self.news.wait_timeout(parts, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            parts = waited.0;
            let same = parts.iter().filter(|part| part.is_none()).count() == missing;
            if waited.1.timed_out() && same && self.slices.load(Ordering::Relaxed) == slices {
                break;
            }
        }
        core::mem::take(&mut *parts)
    }

    fn part_of(&self, worker: usize, part: Option<Part>) -> (WorkerState, Part) {
        let remote = self.shared.remotes[worker];
        let (state, mut part) = match part {
            Some(part) => (WorkerState::Answered, part),
            None => {
                let started = remote.started();
                match remote.view.look() {
                    Some(mut part) => {
                        if self.shared.config.seed.is_some() {
                            // By the virtual clock, which only the worker knows.
                            part.tasks.iter_mut().for_each(|task| task.since = None);
                        }
                        (WorkerState::Busy, part)
                    }
                    // It has ended, or is about to.
                    None if started == 0 => (WorkerState::Answered, Part::default()),
                    None => (WorkerState::Hidden, Part::of_unlisted(started)),
                }
            }
        };
        let (fresh, more) = remote.fresh.list(MOST_UNSTARTED);
        part.tasks.extend(fresh.iter().map(|task| unstarted(task)));
        part.unlisted += more;
        (state, part)
    }
}

/// What is known of a task before it starts: what never changes.
fn unstarted(task: &Header) -> DumpedTask {
    let mut record = DumpedTask::new(task.id, task.spawned_at, RunState::Unstarted);
    constant(&mut record, task);
    record
}

/// What never changes, and what anyone may ask.
pub(super) fn constant(record: &mut DumpedTask, task: &Header) {
    record.name = task.name.clone();
    record.parent = Some(task.parent).filter(|parent| *parent != 0);
    record.structured = task.structured;
    record.cancelled = task.state.is_cancelled();
}

/// Asks the workers of these runtimes, and waits for their answers. Not on a worker: its own tasks would be missing.
pub(crate) fn dump(runtimes: &[Arc<Shared>]) -> TaskDump {
    let calls: Vec<_> = runtimes.iter().map(Call::new).collect();
    for call in &calls {
        for (index, remote) in call.shared.remotes.iter().enumerate() {
            remote.leave_dump_call(call.clone(), index);
        }
    }
    let mut dump = TaskDump::default();
    for call in &calls {
        dump.add(call.shared.name(), call.wait());
    }
    dump.finish()
}

impl Worker {
    /// If there is a dump to work at: does so for a while.
    #[inline]
    pub(super) fn answer_dump_calls(&self) {
        if self.remote.has_dump_calls() {
            self.answer_a_slice();
        }
    }

    #[cold]
    fn answer_a_slice(&self) {
        let Some((call, index)) = self.remote.dump_call() else { return };
        // Relaxed: as in `Call::wait`.
        call.slices.fetch_add(1, Ordering::Relaxed);
        let same = |walk: &Walk| walk.call.as_ref().is_some_and(|other| Arc::ptr_eq(other, &call));
        let mut walk = self.walk.take().filter(same).unwrap_or_default();
        if self.walk_on(&mut walk, clock::now_ns() + SLICE_NS) {
            self.remote.end_dump_call(&call);
            call.answer(index, walk.part);
        } else {
            walk.call = Some(call);
            self.walk.replace(Some(walk));
        }
    }

    /// All that there is to say of this worker, at once.
    pub(super) fn part(&self) -> Part {
        let mut walk = Walk::default();
        self.walk_on(&mut walk, u64::MAX);
        walk.part
    }

    /// Of this worker alone, with closures that have not started.
    pub(super) fn dump(&self) -> TaskDump {
        let mut part = self.part();
        let (fresh, more) = self.remote.fresh.list(MOST_UNSTARTED);
        part.tasks.extend(fresh.iter().map(|task| unstarted(task)));
        part.unlisted += more;
        let mut dump = TaskDump::default();
        dump.add(self.shared.name(), vec![(WorkerState::Answered, part)]);
        dump.finish()
    }

    /// Goes on until `until`. True: it is done.
    fn walk_on(&self, walk: &mut Walk, until: u64) -> bool {
        self.note_time(self.now());
        let Walk { cursor, part, .. } = walk;
        let mut count = 0;
        let stacks = self.stacks.borrow();
        let visit = |slot: Slot| {
            let Some(task) = NonNull::new(slot.occupant) else { return true };
            // SAFETY: it occupies a stack of this worker, so it is alive and at home here.
            unsafe { self.note(part, task.cast(), &slot) };
            count += 1;
            // The clock takes as long as a short answer does.
            count % 8 != 0 || until == u64::MAX || clock::now_ns() < until
        };
        // SAFETY: a walk is of one worker, whose pool lives as long as it.
        let done = unsafe { stacks.walk(cursor, visit) };
        drop(stacks);
        if done {
            self.note_unstarted(part);
        }
        done
    }

    /// Those that may start here only, or have no stack.
    fn note_unstarted(&self, part: &mut Part) {
        let mut room = MOST_UNSTARTED;
        let mut note = |task: NonNull<Header>| {
            // SAFETY: in a queue, which has a reference.
            let task = unsafe { task.as_ref() };
            // SAFETY: the carrier is the worker's to look at, and none runs now.
            if unsafe { &*task.carrier.get() }.is_some() {
                return;
            }
            match room.checked_sub(1) {
                None => part.unlisted += 1,
                Some(left) => {
                    room = left;
                    part.tasks.push(unstarted(task));
                }
            }
        };
        if self.local_unstarted.get() > 0 {
            self.queue.for_each(&mut note);
        }
        self.starved.for_each(&mut note);
    }

    /// # Safety
    /// `task` is alive, has started here and is suspended, on the stack in `slot`.
    unsafe fn note(&self, part: &mut Part, task: NonNull<Header>, slot: &Slot) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        let run = match header.run.get() {
            Run::Parked => RunState::Waits,
            Run::Queued => RunState::Ready,
            Run::Running | Run::Done => RunState::Running,
        };
        let mut record = DumpedTask::new(header.id, header.spawned_at, run);
        constant(&mut record, header);
        record.reason = Reason::from_number(header.reason.get());
        record.shielded = header.masked.get() > 0;
        record.unwinding = header.unwinding.get();
        if run == RunState::Running {
            part.tasks.push(record);
            return;
        }
        // SAFETY: by this function's contract.
        unsafe { self.question(task, slot) };
        let now = self.now();
        let left = |at: u64| (at != u64::MAX).then(|| Duration::from_nanos(at.saturating_sub(now)));
        let mut answer = self.answer.borrow_mut();
        record.timeout = left(answer.timeout);
        if run == RunState::Waits {
            record.since = Some(ago(header.since.get(), now));
            record.left = left(answer.deadline);
            record.details = core::mem::take(&mut answer.details);
        }
        record.stack = answer.lowest.map(|lowest| (slot.base - lowest, slot.size));
        record.stack_number = part.backtrace(&answer.addresses);
        part.tasks.push(record);
    }

    /// D2 and D3: lets the task say what it waits for, in `answer`.
    ///
    /// # Safety
    /// As for [`note`](Worker::note).
    #[inline(never)]
    unsafe fn question(&self, task: NonNull<Header>, slot: &Slot) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        let ceiling = ptr::from_ref(&header).addr();
        self.answer.borrow_mut().begin(slot, ceiling);
        let (run, accepts, parked) = (header.run.get(), header.accepts.get(), self.unwinding.parked.get());
        header.signals.set(header.signals.get() | Signals::DUMP);
        header.state.set_asked(true);
        header.run.set(Run::Running);
        debug_assert!(self.pulse.task().is_null(), "the scheduler asks");
        // It counts as a switch: what the watchdog has seen of the task before is over.
        self.pulse.begin(task);
        // SAFETY: the worker's to touch while the task is suspended, as in `resume`.
        let carrier = unsafe { &mut *header.carrier.get() };
        if let Some(carrier) = carrier {
            // SAFETY: this thread made the carrier, and it has this task.
            let _ = unsafe { carrier.resume(task) };
        }
        self.pulse.end();
        header.run.set(run);
        header.accepts.set(accepts);
        self.unwinding.parked.set(parked);
        header.state.set_asked(false);
        header.signals.set(header.signals.get() & !Signals::DUMP);
    }

    /// It is `now`, by the worker's clock.
    #[inline]
    pub(super) fn note_time(&self, now: u64) {
        self.unwinding.clock.set(steps(now));
    }
}
