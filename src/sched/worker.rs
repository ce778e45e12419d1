//! The part of a worker that only its own thread touches.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::ptr::{self, NonNull};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::deadlock::Membership;
use super::dump::{Answer, Walk, steps};
use super::placement::Watch;
use super::pulse::{Pulse, Shown};
use super::remote::{Remote, bump};
use super::shared::Shared;
use super::sim::Sim;
use super::trim::Trim;
use crate::fiber::overflow::{self, Watched};
use crate::fiber::{Carrier, Header, Run, Signals};
use crate::reactor::Reactor;
use crate::stack::{Guard, Pool};
use crate::sys::clock;
use crate::sys::signal_stack::SignalStack;
use crate::sys::timerfd::TimerFd;
use crate::timer::Wheel;
use crate::util::atomic::Ordering;
use crate::util::fifo::Fifo;

/// One worker. Lives on its thread's stack while the thread works; every field is that thread's own.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(super) index: usize,
    pub(crate) remote: &'static Remote,
    /// Which task runs, and how many did before.
    pub(super) pulse: Pulse,
    /// Started tasks that are ready, and those that may start here only.
    pub(super) queue: Fifo<Header>,
    /// How many of `queue`, and then of `fresh`, belong to this round.
    pub(super) round: Cell<(usize, usize)>,
    /// How many switches there are from one look at the clock to the next (see `Counts::until_tick`).
    pub(super) tick_length: Cell<u32>,
    pub(super) last_tick: Cell<u64>,
    pub(super) watch: Watch,
    /// Idle stacks, each with its looping coroutine; the last one is the hottest.
    pub(super) carriers: RefCell<VecDeque<Carrier>>,
    /// How many carriers there are, idle ones and others.
    pub(super) carrier_count: Cell<usize>,
    pub(super) trim: Trim,
    pub(super) stacks: RefCell<Pool>,
    /// For how many tasks there are addresses; `usize::MAX` where nobody counts. This and what follows: see `room`.
    pub(super) reserved: Cell<usize>,
    /// How many tasks live here whose stacks are not of the runtime's size.
    pub(super) unusual: Cell<usize>,
    /// How many tasks that may start here only have not.
    pub(super) local_unstarted: Cell<usize>,
    /// Closures that could not get a stack.
    pub(super) starved: Fifo<Header>,
    /// How many of them want a stack of the runtime's size.
    pub(super) starved_usual: Cell<usize>,
    /// When to try next to get one for them.
    pub(super) retry_at: Cell<u64>,
    pub(crate) reactor: Reactor,
    pub(crate) timers: RefCell<Wheel>,
    /// When the timers were last looked at.
    pub(super) last_fired: Cell<u64>,
    pub(super) timerfd: TimerFd,
    /// What the timerfd is set to; `u64::MAX`: nothing.
    pub(super) armed: Cell<u64>,
    pub(crate) unwinding: Unwinding,
    /// Operations that need not wait, and that the running task may still do before it yields.
    pub(crate) budget: Cell<u32>,
    /// The virtual clock and the choices of a seeded run.
    pub(crate) sim: Option<Sim>,
    /// How many tasks of this worker wait for a closure on the blocking pool.
    pub(crate) unblocking: Cell<usize>,
    /// How many of its tasks sleep until the end of time.
    pub(crate) endless: Cell<usize>,
    /// It has been at rest, and has found nothing to do since (see `deadlock`).
    pub(super) rested: Cell<bool>,
    /// When to look for a deadlock; `u64::MAX`: not at all.
    pub(super) look_at: Cell<u64>,
    /// Of tasks each of which began the next one at once, in its own first slice: the number of the last one's slice, and how many.
    chain: Cell<(u64, u32)>,
    /// The task whose end ends the runtime; null for none.
    pub(super) root: Cell<*const Header>,
    /// Carriers of this size run task after task. Zero, which no task asks for, if each is looked at between two (see `debug`).
    pub(super) reused_size: usize,
    /// The stack that was made for the root before anything ran.
    pub(super) root_carrier: RefCell<Option<Carrier>>,
    /// When the tasks that live here have been told of the shutdown; `u64::MAX`: they were not.
    pub(super) cancelled_at: Cell<u64>,
    /// When to say next what delays the shutdown.
    pub(super) complain_at: Cell<u64>,
    /// How far the dump has come that the worker is at, and what the task that it asks has said.
    pub(super) walk: RefCell<Option<Walk>>,
    pub(crate) answer: RefCell<Answer>,
    /// Where the overflow report runs.
    _signal_stack: SignalStack,
}

/// What a task that suspends has to see to: which of a worker's tasks unwind, as far as the worker knows (see `park::cancel`), and when it
/// is.
#[derive(Debug, Default)]
pub(crate) struct Unwinding {
    /// A panic was under way on the thread when the running task was resumed.
    pub(crate) others_panic: Cell<bool>,
    /// How many tasks of this worker are suspended with the mark that they unwind.
    pub(crate) parked: Cell<usize>,
    /// The time of the worker's last look at the clock, as `sched::dump` counts it.
    pub(crate) clock: Cell<u32>,
}

/// Whose a timer entry is: that of a task's wait, which then is over, or that of a frame of a task.
#[derive(Debug)]
pub(crate) enum TimerOwner {
    Wait(NonNull<Header>),
    Frame(NonNull<Header>),
}

impl TimerOwner {
    /// In a bit that no header's address has on, so that an entry needs no room for it.
    const FRAME: usize = 1;

    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<()> {
        match self {
            TimerOwner::Wait(task) => task.cast(),
            TimerOwner::Frame(task) => task.cast().map_addr(|addr| addr | TimerOwner::FRAME),
        }
    }

    #[inline(always)]
    pub(super) fn from_raw(owner: NonNull<()>) -> TimerOwner {
        if owner.addr().get() & TimerOwner::FRAME == 0 {
            return TimerOwner::Wait(owner.cast());
        }
        // A header's address with the bit off is not null.
        let task = owner.as_ptr().map_addr(|addr| addr & !TimerOwner::FRAME);
        TimerOwner::Frame(NonNull::new(task).expect("a header is at some address").cast())
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// The worker whose thread this is.
///
/// The reference is good as long as the caller's frame: only the scheduler's own frame, below every task
/// and every destructor that it runs, takes a worker down.
#[inline(always)]
pub(crate) fn current_worker<'a>() -> Option<&'a Worker> {
    // SAFETY: `Entered` keeps the pointer valid for as long as it is set, on this thread alone.
    unsafe { CURRENT.get().as_ref() }
}

/// The worker and the task that the caller runs on. None on a thread that is no worker.
///
/// Both references are good as long as the caller's frame: it is on the task's stack, and a task never
/// changes thread.
#[inline(always)]
pub(crate) fn current<'a>() -> Option<(&'a Worker, &'a Header)> {
    let worker = current_worker()?;
    // SAFETY: the scheduler holds a reference to the task while it runs.
    unsafe { worker.pulse.task().as_ref() }.map(|task| (worker, task))
}

/// While it lives, the thread is `worker`'s, and overflows of its tasks' stacks are reported.
pub(super) struct Entered<'a> {
    worker: &'a Worker,
    _watched: Watched<'a>,
    _membership: Membership,
    _shown: Shown,
}

impl<'a> Entered<'a> {
    pub(super) fn new(worker: &'a Worker) -> Entered<'a> {
        assert!(current_worker().is_none(), "the thread is a worker already");
        CURRENT.set(worker);
        let slabs = worker.stacks.borrow().slabs();
        worker.remote.view.open(&slabs);
        let rooted = !worker.root.get().is_null() && worker.sim.is_none();
        Entered {
            worker,
            _watched: Watched::new(slabs, Some(worker.pulse.running())),
            _membership: Membership::new(worker.remote, &worker.shared, rooted),
            // SAFETY: `worker` outlives what is made here, and with that the showing.
            _shown: unsafe { Shown::new(worker.remote, &worker.pulse) },
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        debug_assert!(ptr::eq(CURRENT.get(), self.worker));
        self.worker.remote.view.close();
        CURRENT.set(ptr::null());
    }
}

impl Worker {
    /// Worker `index` of `shared`, on the calling thread.
    ///
    /// # Errors
    /// epoll, eventfd, timerfd or a signal stack could not be had.
    pub(super) fn new(shared: Arc<Shared>, index: usize) -> io::Result<Worker> {
        let reactor = Reactor::new().map_err(|e| explain(e, "epoll"))?;
        let waker = reactor.waker().map_err(|e| explain(e, "an eventfd"))?;
        let timerfd = TimerFd::new().map_err(|e| explain(e, "a timerfd"))?;
        reactor.watch_timer(timerfd.as_raw_fd()).map_err(|e| explain(e, "epoll"))?;
        let signal_stack = overflow::prepare().map_err(|e| explain(e, "a signal stack"))?;
        let remote = shared.remotes[index];
        remote.set_waker(Box::new(waker));
        remote.set_clock();
        // Relaxed: own value.
        remote.counts.until_tick.store(1, Ordering::Relaxed);
        let sim = shared.config.seed.map(Sim::new);
        let now = sim.as_ref().map_or_else(clock::now_ns, Sim::now);
        Ok(Worker {
            index,
            remote,
            pulse: Pulse::new(),
            queue: Fifo::default(),
            round: Cell::new((0, 0)),
            tick_length: Cell::new(1),
            last_tick: Cell::new(now),
            watch: Watch::new(shared.workers()),
            carriers: RefCell::default(),
            carrier_count: Cell::new(0),
            trim: Trim::new(),
            stacks: RefCell::new(Pool::new(shared.config.guard)),
            reserved: Cell::new(if shared.config.guard == Guard::Marker { 0 } else { usize::MAX }),
            unusual: Cell::new(0),
            local_unstarted: Cell::new(0),
            starved: Fifo::default(),
            starved_usual: Cell::new(0),
            retry_at: Cell::new(0),
            reactor,
            timers: RefCell::new(Wheel::new(now)),
            last_fired: Cell::new(now),
            timerfd,
            armed: Cell::new(u64::MAX),
            unwinding: Unwinding { clock: Cell::new(steps(now)), ..Unwinding::default() },
            reused_size: if shared.is_observed() { 0 } else { shared.stack_size() },
            root_carrier: RefCell::default(),
            budget: Cell::new(0),
            sim,
            unblocking: Cell::new(0),
            endless: Cell::new(0),
            rested: Cell::new(false),
            look_at: Cell::new(u64::MAX),
            chain: Cell::new((0, 0)),
            root: Cell::new(ptr::null()),
            cancelled_at: Cell::new(u64::MAX),
            complain_at: Cell::new(u64::MAX),
            walk: RefCell::default(),
            answer: RefCell::default(),
            _signal_stack: signal_stack,
            shared,
        })
    }

    /// From a task of this worker: queues a task that may start on any worker.
    ///
    /// # Safety
    /// The scheduler takes over one reference to `task`, which was never submitted before and may start on another
    /// thread.
    #[inline]
    pub(crate) unsafe fn submit(&self, task: NonNull<Header>) {
        bump(&self.remote.counts.submitted);
        // SAFETY: by this function's contract.
        unsafe { self.remote.fresh.push(task) };
        self.shared.mind_fresh();
    }

    /// From this worker's thread: queues a task that must start here.
    ///
    /// # Safety
    /// The scheduler takes over one reference to `task`, which was never submitted before.
    #[inline]
    pub(crate) unsafe fn submit_local(&self, task: NonNull<Header>) {
        bump(&self.remote.counts.submitted);
        // SAFETY: alive, by this function's contract.
        unsafe { task.as_ref() }.local.set(true);
        self.local_unstarted.set(self.local_unstarted.get() + 1);
        // SAFETY: by this function's contract; the reference keeps it alive.
        unsafe { self.queue.push(task) };
    }

    /// The running task lets a new one start here, before all that are ready, and goes on after it; or, if not `both`, last. It must
    /// suspend next.
    ///
    /// The two are added to the round, whatever that is: the loop takes them next, and a seeded run does not choose.
    ///
    /// # Safety
    /// `running` runs on this worker, now. The scheduler takes over one reference to `task`, which was never submitted before.
    pub(crate) unsafe fn submit_first(&self, running: &Header, task: NonNull<Header>, both: bool) {
        bump(&self.remote.counts.submitted);
        // SAFETY: alive, by this function's contract.
        unsafe { task.as_ref() }.local.set(true);
        self.local_unstarted.set(self.local_unstarted.get() + 1);
        self.chain.set((self.pulse.switches() + 1, self.chain() + 1));
        running.run.set(Run::Queued);
        let (ready, fresh) = self.round.get();
        if both {
            // SAFETY: a running task is in no queue, and a started one lives until it has ended.
            unsafe { self.queue.push_first(self.running()) };
        } else {
            // SAFETY: as above.
            unsafe { self.queue.push(self.running()) };
        }
        // SAFETY: by this function's contract; the reference keeps it alive.
        unsafe { self.queue.push_first(task) };
        self.round.set((ready + 1 + usize::from(both), fresh));
    }

    /// How many tasks began each other at once, down to the one that runs, without any other task's turn.
    pub(crate) fn chain(&self) -> u32 {
        let (slice, length) = self.chain.get();
        if slice == self.pulse.switches() { length } else { 0 }
    }

    /// From this worker's thread: something has come for a task that lives here. Ready, if it parks for
    /// that; otherwise the signal waits in the header.
    ///
    /// # Safety
    /// `task` is alive and this worker is its home.
    #[inline]
    pub(crate) unsafe fn signal(&self, task: NonNull<Header>, signals: u8) {
        // SAFETY: alive, by this function's contract.
        if unsafe { task.as_ref() }.signal(signals) {
            // SAFETY: it was parked, so in no queue, and a started one lives until it has ended.
            unsafe { self.queue.push(task) };
        }
    }

    /// From this worker's thread: a frame of a task that lives here has expired.
    ///
    /// # Safety
    /// `task` is alive and this worker is its home.
    pub(crate) unsafe fn expire(&self, task: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        unsafe { task.as_ref() }.state.set_expired();
        // SAFETY: by this function's contract.
        unsafe { self.signal(task, Signals::CANCEL) };
    }

    /// The running task, by the pointer that the scheduler has: it reaches the whole allocation, which one made from a
    /// `&Header` would not.
    #[inline(always)]
    pub(crate) fn running(&self) -> NonNull<Header> {
        NonNull::new(self.pulse.task().cast_mut()).expect("a task runs")
    }

    /// The running task goes to the end of the run queue. It must suspend next.
    ///
    /// # Safety
    /// `task` runs on this worker, now.
    #[inline(always)]
    pub(crate) unsafe fn requeue(&self, task: &Header) {
        task.run.set(Run::Queued);
        // SAFETY: a running task is in no queue, and a started one lives until it has ended.
        unsafe { self.queue.push(self.running()) };
    }

    pub(super) fn count_started(&self, change: isize) {
        let started = &self.remote.counts.started;
        // Relaxed: own value, and a hint for others.
        started.store(started.load(Ordering::Relaxed).wrapping_add_signed(change), Ordering::Relaxed);
    }
}

/// Says what could not be had, and what to raise.
fn explain(error: io::Error, what: &str) -> io::Error {
    let remedy = match error.raw_os_error() {
        Some(errno) if crate::sys::is_descriptor_limit(errno) => {
            " (each worker needs four descriptors; raise `ulimit -n`, or start fewer workers)"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("layby: a worker cannot get {what}: {error}{remedy}"))
}
