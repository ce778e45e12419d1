//! What others may touch of a worker: its inbox, its sleep state, its queue of fresh closures.
//!
//! # Sleep and wake
//! ```text
//!   the worker                                who pushes
//!   S1  sleep = SLEEPING                      W1  push (inbox; `fresh` under its lock; `asked`)
//!   S2  fence(SeqCst)                         W2  fence(SeqCst)
//!   S3  inbox, fresh, asked empty? else S5    W3  sleep == SLEEPING? else done
//!   S4  epoll_wait                            W4  CAS to NOTIFIED; the winner writes the eventfd
//!   S5  sleep = AWAKE
//! ```
//! Of S1 and W1, both before a SeqCst fence, at least one is seen by the other side after its fence: either
//! the worker sees the push in S3 and does not sleep, or the pusher sees SLEEPING in W3. A write to the
//! eventfd that comes before S4 makes S4 return at once. One syscall at most for any number of pushes
//! while the worker sleeps, none while it is awake.
//!
//! # Pooled, never freed
//! The pusher's last touch of a task is the push; but then it still looks at the sleep state (W2 to W4), and
//! by then the task may have run, ended, and its worker with it. So remotes are leaked and used again by
//! later workers, and a late W4 wakes a stranger for nothing. A late `NOTIFY` or `CANCEL` may even push its
//! (ended) task into a stranger's inbox: it carries a reference, and is dropped there.

use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic as plain;
use std::sync::{Arc, Mutex, PoisonError};

use super::counters::Published;
use super::deadlock::Request;
use super::debug::Unjoined;
use super::dump::Call;
use super::fresh::Fresh;
use super::onlook::View;
use super::pulse::Showing;
use super::roll_call::RollCall;
use crate::fiber::Header;
use crate::reactor::Waker;
use crate::stack::Room;
use crate::sys::clock;
use crate::util::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use crate::util::lock::Lock;

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// What ends a worker's sleep in the kernel: the eventfd in its epoll.
pub(super) trait Wake: Send {
    /// Ends the present sleep, or the next.
    fn wake(&self);
}

impl Wake for Waker {
    fn wake(&self) {
        Waker::wake(self).expect("an eventfd that is open takes a wake-up");
    }
}

/// The shared part of one worker.
#[repr(align(128))]
pub(crate) struct Remote {
    /// A stack of headers, linked by `inbox_link`; drained whole and turned round.
    inbox: AtomicPtr<Header>,
    sleep: AtomicU8,
    /// Replaced when another worker takes this remote over.
    waker: Lock<Option<Box<dyn Wake>>>,
    pub(super) fresh: Fresh,
    /// What processor time the worker's thread uses is read from this clock.
    clock: plain::AtomicI32,
    /// Room for stacks, from threads that have spawned tasks here; and for how many in all, written under the lock.
    donations: Mutex<Vec<Room>>,
    donated: AtomicUsize,
    pub(super) counts: Counts,
    /// What else the worker counts, as it was at its last look around.
    pub(super) published: Published,
    /// Where its pulse can be found while it works.
    pub(super) showing: Showing,
    /// Panics of its tasks that nobody has joined.
    pub(super) unjoined: Unjoined,
    /// How often the worker has come to a rest, and has left one (see `deadlock`).
    rests: plain::AtomicU64,
    /// What it is asked for: a [`Request`].
    asked: plain::AtomicU8,
    /// Who wants to know its tasks, and whether there is anybody; written under the lock.
    roll_calls: Mutex<Vec<Arc<RollCall>>>,
    roll_called: plain::AtomicBool,
    /// Dumps that it has not answered, each with the worker's index, and whether there is one; written under the lock.
    dump_calls: Mutex<Vec<(Arc<Call>, usize)>>,
    dump_called: plain::AtomicBool,
    /// For those who look at its tasks from outside.
    pub(super) view: View,
}

/// Counters with one writer, the worker: plain adds, published for others to read.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Counts {
    /// Tasks submitted by this worker's tasks.
    pub(super) submitted: AtomicU64,
    /// Tasks that ended on this worker.
    pub(super) finished: AtomicU64,
    /// Tasks that live on this worker: started, not ended.
    pub(super) started: AtomicUsize,
    /// Stacks that the worker can have for the asking, in use or not; but for donations. See `room`.
    pub(super) slots: AtomicUsize,
    /// How often the worker has looked at the clock between two turns.
    pub(super) ticks: plain::AtomicU64,
    /// Turns until it does so next. With `ticks`, this tells one turn from another.
    pub(super) until_tick: plain::AtomicU32,
    /// When the worker last looked at what delays a shutdown.
    pub(super) complained: AtomicU64,
}

/// Adds to a counter of which the caller is the only writer.
#[inline]
pub(super) fn bump(counter: &AtomicU64) {
    // Relaxed load: own value. Release: who sees the count sees what was done before it was counted;
    // pairs with the Acquire in `Shared::is_quiescent`.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("fresh", &self.fresh).finish_non_exhaustive()
    }
}

static POOL: Mutex<Vec<&'static Remote>> = Mutex::new(Vec::new());

impl Remote {
    /// One from the pool, or a new one.
    pub(super) fn lease() -> &'static Remote {
        let pooled = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        pooled.unwrap_or_else(|| Box::leak(Box::new(Remote::new())))
    }

    fn new() -> Remote {
        Remote {
            inbox: AtomicPtr::new(ptr::null_mut()),
            sleep: AtomicU8::new(AWAKE),
            waker: Lock::new(None),
            fresh: Fresh::default(),
            clock: plain::AtomicI32::new(-1),
            donations: Mutex::new(Vec::new()),
            donated: AtomicUsize::new(0),
            counts: Counts::default(),
            published: Published::default(),
            showing: Showing::default(),
            unjoined: Unjoined::default(),
            rests: plain::AtomicU64::new(0),
            asked: plain::AtomicU8::new(Request::Nothing as u8),
            roll_calls: Mutex::new(Vec::new()),
            roll_called: plain::AtomicBool::new(false),
            dump_calls: Mutex::new(Vec::new()),
            dump_called: plain::AtomicBool::new(false),
            view: View::default(),
        }
    }

    /// Back to the pool, when no live task has this for its home.
    pub(super) fn give_back(&'static self) {
        *self.waker.lock() = None;
        while let Some(room) = self.take_donation() {
            drop(room);
        }
        self.counts.slots.store(0, Ordering::Relaxed);
        // Relaxed: the pool's lock publishes it to the next worker.
        self.counts.submitted.store(0, Ordering::Relaxed);
        self.counts.finished.store(0, Ordering::Relaxed);
        self.counts.started.store(0, Ordering::Relaxed);
        self.counts.ticks.store(0, Ordering::Relaxed);
        self.counts.complained.store(0, Ordering::Relaxed);
        self.asked.store(Request::Nothing as u8, Ordering::Relaxed);
        self.published.reset();
        self.unjoined.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(self.take_roll_calls());
        // Those that came too late: nobody waits for them any more.
        self.keep_dump_calls(|_| false);
        // What loom has made lives no longer than one run of a model.
        if !cfg!(loom) {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
    }

    pub(super) fn set_waker(&self, waker: Box<dyn Wake>) {
        *self.waker.lock() = Some(waker);
    }

    /// Leaves room for stacks, for the worker to take.
    pub(super) fn donate(&self, room: Room) {
        let slots = room.slots();
        let mut donations = self.donations.lock().unwrap_or_else(PoisonError::into_inner);
        donations.push(room);
        // Relaxed: a hint; exact under the lock.
        self.donated.store(self.donated.load(Ordering::Relaxed) + slots, Ordering::Relaxed);
    }

    pub(super) fn take_donation(&self) -> Option<Room> {
        // Relaxed: a hint; who misses one comes again.
        if self.donated.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut donations = self.donations.lock().unwrap_or_else(PoisonError::into_inner);
        let room = donations.pop()?;
        // Relaxed: as above.
        self.donated.store(self.donated.load(Ordering::Relaxed) - room.slots(), Ordering::Relaxed);
        Some(room)
    }

    /// How many tasks it has stacks for, those that live there and those that wait to start. A hint.
    pub(super) fn room(&self) -> usize {
        // Relaxed, both: hints.
        self.counts.slots.load(Ordering::Relaxed) + self.donated.load(Ordering::Relaxed)
    }

    /// Whether it has a stack for one more task, and so many more. A hint.
    pub(super) fn has_room(&self, more: usize) -> bool {
        // Relaxed: a hint.
        self.counts.started.load(Ordering::Relaxed) + self.fresh.len_hint() + more < self.room()
    }

    /// From the worker's thread, before it works.
    pub(super) fn set_clock(&self) {
        // Relaxed: a hint. One of another thread is a hint that is wrong.
        self.clock.store(clock::of_this_thread(), Ordering::Relaxed);
    }

    /// How much processor time the worker's thread has used. A system call.
    pub(super) fn processor_ns(&self) -> Option<u64> {
        // Relaxed: as above.
        clock::processor_ns(self.clock.load(Ordering::Relaxed))
    }

    /// W1 for the inbox.
    ///
    /// # Safety
    /// The caller has turned the first pending bit of `task` on, so the link is its own until the drain;
    /// `task` stays alive until then (by the bit's reference, or because it is claimed).
    pub(crate) unsafe fn push(&self, task: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        let link = unsafe { &task.as_ref().inbox_link };
        // Relaxed: the exchange below publishes.
        let mut head = self.inbox.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            // Release publishes the link, to the Acquire in `drain`. Relaxed on failure: tried again.
            match self.inbox.compare_exchange_weak(head, task.as_ptr(), Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.notify();
    }

    /// Takes everything out of the inbox, and calls `f` with each in the order of the pushes.
    ///
    /// # Safety
    /// Only the worker calls this.
    #[inline(always)]
    pub(super) unsafe fn drain(&self, f: impl FnMut(NonNull<Header>)) {
        // Relaxed: a hint; a push that this misses is seen in the next round, or in S3.
        if !self.inbox.load(Ordering::Relaxed).is_null() {
            // SAFETY: by this function's contract.
            unsafe { self.drain_some(f) };
        }
    }

    #[inline(never)]
    unsafe fn drain_some(&self, mut f: impl FnMut(NonNull<Header>)) {
        // Acquire pairs with the Release in `push`.
        let mut stack = self.inbox.swap(ptr::null_mut(), Ordering::Acquire);
        let mut queue: *mut Header = ptr::null_mut();
        while let Some(task) = NonNull::new(stack) {
            // SAFETY: in the inbox, so alive, by the contract of `push`.
            let link = unsafe { &task.as_ref().inbox_link };
            // Relaxed: published by the head.
            stack = link.load(Ordering::Relaxed);
            link.store(queue, Ordering::Relaxed);
            queue = task.as_ptr();
        }
        while let Some(task) = NonNull::new(queue) {
            // SAFETY: as above. The link is read before `f` drains the state word: from then on another
            // pusher may write it.
            queue = unsafe { &task.as_ref().inbox_link }.load(Ordering::Relaxed);
            f(task);
        }
    }

    /// W2 to W4: after a push.
    #[inline]
    pub(super) fn notify(&self) {
        fence(Ordering::SeqCst);
        self.try_notify();
    }

    /// W3 and W4. True: it slept, and this call has woken it.
    pub(super) fn try_notify(&self) -> bool {
        // Relaxed: the fence of W2 orders it.
        if self.sleep.load(Ordering::Relaxed) != SLEEPING {
            return false;
        }
        // AcqRel on success: Release so that the woken worker, which swaps with Acquire, sees what came
        // before the notification.
        let won =
            self.sleep.compare_exchange(SLEEPING, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if won && let Some(waker) = &*self.waker.lock() {
            waker.wake();
        }
        won
    }

    /// A hint, but for who has fenced.
    pub(super) fn is_sleeping(&self) -> bool {
        // Relaxed: ordered by the caller's fence, if it needs to be.
        self.sleep.load(Ordering::Relaxed) == SLEEPING
    }

    /// S1 to S3. False: there is something to do; call `end_sleep` and do it.
    pub(super) fn begin_sleep(&self) -> bool {
        // Relaxed: ordered by the fence.
        self.sleep.store(SLEEPING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.has_nothing()
    }

    /// No push that came before the caller's fence, and no request.
    fn has_nothing(&self) -> bool {
        // Relaxed, all: ordered by the fence.
        self.inbox.load(Ordering::Relaxed).is_null()
            && self.asked.load(Ordering::Relaxed) == Request::Nothing as u8
            && !self.has_roll_calls()
            && !self.has_dump_calls()
            && self.fresh.is_empty()
    }

    /// S5.
    pub(super) fn end_sleep(&self) {
        // Acquire pairs with the CAS in `try_notify`.
        self.sleep.swap(AWAKE, Ordering::Acquire);
    }

    /// R2 of `deadlock`.
    pub(super) fn begin_rest(&self) {
        // Release pairs with the Acquire in `rest`: who sees the rest sees what the worker did before.
        self.rests.fetch_add(1, Ordering::Release);
    }

    /// R4 of `deadlock`.
    pub(super) fn end_rest(&self) {
        // Relaxed: ordered by the fence, which pairs with the one in `deadlock::Registry::collect`.
        self.rests.fetch_add(1, Ordering::Relaxed);
        plain::fence(Ordering::SeqCst);
    }

    /// The number of the rest that the worker is in, if it is in one.
    pub(super) fn rest(&self) -> Option<u64> {
        // Acquire pairs with the Release in `begin_rest`.
        Some(self.rests.load(Ordering::Acquire)).filter(|rests| rests % 2 == 1)
    }

    /// It sleeps, was not notified, and nothing was pushed.
    pub(super) fn is_asleep_with_nothing(&self) -> bool {
        // `deadlock` says who has pushed before, and how that is seen here.
        self.is_sleeping() && self.has_nothing()
    }

    /// Asks the worker for something, and wakes it.
    pub(super) fn ask(&self, request: Request) {
        // Relaxed: W1, as a push; the worker sees it in S3, or this sees it sleep.
        self.asked.store(request as u8, Ordering::Relaxed);
        self.notify();
    }

    /// Asks the worker for its tasks, and wakes it.
    pub(super) fn leave_roll_call(&self, call: Arc<RollCall>) {
        let mut calls = self.roll_calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        // Relaxed: W1, as in `ask`.
        self.roll_called.store(true, Ordering::Relaxed);
        drop(calls);
        self.notify();
    }

    #[inline]
    pub(super) fn has_roll_calls(&self) -> bool {
        // Relaxed: as in `leave_roll_call`.
        self.roll_called.load(Ordering::Relaxed)
    }

    pub(super) fn take_roll_calls(&self) -> Vec<Arc<RollCall>> {
        let mut calls = self.roll_calls.lock().unwrap_or_else(PoisonError::into_inner);
        // Relaxed: under the lock.
        self.roll_called.store(false, Ordering::Relaxed);
        core::mem::take(&mut *calls)
    }

    /// Asks the worker, its runtime's number `index`, for a dump of its tasks, and wakes it.
    pub(super) fn leave_dump_call(&self, call: Arc<Call>, index: usize) {
        let mut calls = self.dump_calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push((call, index));
        // Relaxed: W1, as in `ask`.
        self.dump_called.store(true, Ordering::Relaxed);
        drop(calls);
        self.notify();
    }

    #[inline]
    pub(super) fn has_dump_calls(&self) -> bool {
        // Relaxed: as in `leave_dump_call`.
        self.dump_called.load(Ordering::Relaxed)
    }

    /// The oldest.
    pub(super) fn dump_call(&self) -> Option<(Arc<Call>, usize)> {
        self.dump_calls.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    /// It is answered.
    pub(super) fn end_dump_call(&self, call: &Arc<Call>) {
        self.keep_dump_calls(|other| !Arc::ptr_eq(other, call));
    }

    fn keep_dump_calls(&self, keep: impl Fn(&Arc<Call>) -> bool) {
        let mut calls = self.dump_calls.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = calls.extract_if(.., |(call, _)| !keep(call)).collect();
        // Relaxed: under the lock.
        self.dump_called.store(!calls.is_empty(), Ordering::Relaxed);
        drop(calls);
        // The last reference to a runtime may go with them, and that comes here again.
        drop(ended);
    }

    /// How many tasks live there. A hint.
    pub(super) fn started(&self) -> usize {
        // Relaxed: a hint.
        self.counts.started.load(Ordering::Relaxed)
    }

    /// What the worker is asked for; it is not asked again.
    pub(super) fn asked(&self) -> Request {
        // Relaxed: as in `ask`.
        const LIST: u8 = Request::List as u8;
        const CANCEL: u8 = Request::Cancel as u8;
        if self.asked.load(Ordering::Relaxed) == Request::Nothing as u8 {
            return Request::Nothing;
        }
        match self.asked.swap(Request::Nothing as u8, Ordering::Relaxed) {
            LIST => Request::List,
            CANCEL => Request::Cancel,
            _ => Request::Nothing,
        }
    }
}
