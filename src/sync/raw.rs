//! The lock behind `Mutex` and `RwLock`: one word of state, and a queue.
//!
//! ```text
//!   bit      meaning                                          changed by
//!   WRITER   held by one that excludes all others              whoever takes, whoever releases
//!   QUEUED   there are nodes in the queue                      under the queue's lock
//!   WOKEN    a writer was taken out of the queue and woken,    set under the queue's lock; cleared by that writer
//!            to try again; it has not done so yet
//!   HANDOFF  the head has been woken in vain too often:        under the queue's lock
//!            the next release gives it the lock
//!   readers  the number of those that share it (`READER`s)     whoever takes, whoever releases
//! ```
//!
//! # Steps
//! * **Take**: one exchange, if the lock is free for that. A writer takes a free lock whoever is queued (it *barges*): it runs
//!   already, the one in the queue would have to be switched to first. A reader does not pass a queued writer.
//! * **Wait**: if it is not free, and spinning for a moment has not helped: under the queue's lock look again, set `QUEUED`, link
//!   the node; then park.
//! * **Release**: one subtraction, unless it leaves the lock free, somebody is queued and no `WOKEN` is on its way. Then,
//!   under the queue's lock, if that is so still: the head is a reader: it is given the lock, and with it all readers up to the first
//!   writer. A writer: it is taken out and woken to try again, and `WOKEN` says so. So however many release the lock until that
//!   writer runs, one wake is under way. Or it is a writer and `HANDOFF` is on: it gets the lock (which nobody else could take meanwhile).
//! * **Try again**, by the woken writer: takes the lock and clears `WOKEN`; or, if it has been passed, clears `WOKEN` and links its node
//!   *in front*. The [`PASSES`]th time it sets `HANDOFF`, too.
//! * **Withdraw**, by a cancellation or a deadline: unlinks under the queue's lock, clears `QUEUED` if that was the last node
//!   and `HANDOFF` if it was its own; and if readers are next, which it kept out, and readers hold the lock, gives it to them.
//!
//! # Why nobody is forgotten
//! Invariant: if the lock is free and somebody is queued, `WOKEN` is on, or somebody who has released it is on his way to
//! the queue's lock. Who links a node sets `QUEUED` by an exchange that finds the lock held, so its release finds `QUEUED`; or it finds it free
//! for those who do not queue, and so the one that is on his way. Whoever clears `WOKEN` takes the lock by the same exchange, or finds it held.
//! And `WOKEN`'s owner is not in the queue: nothing cancels it before it has tried again (a claimed wait is returned to, rule 6 of `park`).
//!
//! # The bound
//! Among themselves, waiters are served in order of arrival. Somebody who comes and runs can pass them, at two moments only:
//!
//! 1. From a release to when its thread has the queue's lock: some instructions. Who takes the lock then will release it, and
//!    see to the queue, in his turn.
//! 2. From the wake of a writer, the head, until it tries again. It lives through at most [`PASSES`] of these; from then on nobody
//!    takes the lock before it, and whoever holds it hands it over. A reader is given the lock, not woken to try: for it there is no such moment.
//!
//! So what is bounded is the number of wakes in vain, and with it that of the moments 2; how many pass in one moment depends on how long it
//! lasts. Of moments 1 there may in theory be any number, each a race that the passer wins against a thread on its way, or preempted there. Among the
//! tasks of one worker there are none, and a moment 2 lasts one round of that worker: there a reader is not passed, and a writer in at
//! most `PASSES` turns of each of the others.
//!
//! # Rejected
//! * *Hand over at each release*: the lock then waits, held, for the new holder to be switched to, and every other taker with it;
//!   two workers that take turns so run at the speed of wakes across cores (13 to 30 µs here), instead of nanoseconds.
//! * *Wake at each release, as std's*: a system call for each, while the last woken has not even run.
//! * *A clock for the bound*: it is read on each wait, and the number of passes bounds it as well.
//! * *Spinning with one worker*: the holder, if it is a task, cannot run meanwhile.

use core::sync::atomic::{AtomicU8, AtomicU16};

#[cfg(all(test, loom))]
use crate::park::Waiter;
use crate::park::{self, Deadline, Details, Holder, LockAt, Mask, Outcome, Reason, Wait};
use crate::sched;
use crate::util::atomic::{AtomicU32, Ordering, const_fn};

use super::poison::Flag;
use super::queue::{Node, Queue};

const WRITER: u32 = 1;
const QUEUED: u32 = 1 << 1;
const WOKEN: u32 = 1 << 2;
const HANDOFF: u32 = 1 << 3;
const READER: u32 = 1 << 4;
/// The most readers, 268 million, short of an overflow by more than there can be threads between test and exchange.
const MOST_READERS: u32 = u32::MAX - (READER << 16);

/// How often a waiter is woken in vain, at most.
pub(super) const PASSES: u8 = 3;

/// How often a taker looks at a lock that is held by someone who runs, as far as it can know.
const SPINS: u32 = 100;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    Write,
    /// As `Write`, by a Mutex: for dumps.
    Lock,
}

/// A node's note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// Waits to read.
    Read,
    /// Waits to write; if `next`, the lock is to be handed to it.
    Write { next: bool },
    /// Was given the lock.
    Granted,
    /// May try to take it again.
    Retry,
}

/// The lock, around nothing.
#[derive(Debug)]
pub(super) struct RawLock {
    queue: Queue<Note>,
    state: AtomicU32,
    /// Here, since here is room.
    pub(super) poison: Flag,
    /// And here, in the three bytes that are left: who holds the lock alone, as [`Holder`] says; 0: not known. The high bits first.
    ///
    /// Written by each holder, for dumps, and never cleared: of use only while `WRITER` is on. (So a dump may name the last holder of a
    /// lock that somebody has just taken, and is about to say so.)
    holder_high: AtomicU8,
    holder_low: AtomicU16,
}

/// A waiter's way out of the queue.
struct Waiting<'a> {
    lock: &'a RawLock,
    node: &'a Node<Note>,
    mode: Mode,
}

impl Mode {
    /// What the state counts for one holder.
    fn unit(self) -> u32 {
        match self {
            Mode::Read => READER,
            Mode::Write | Mode::Lock => WRITER,
        }
    }

    /// Whether the lock can be taken so, in that state.
    fn fits(self, state: u32) -> bool {
        match self {
            Mode::Write | Mode::Lock => state & (WRITER | HANDOFF) == 0 && state < READER,
            // Past the queue only while its head is on its way, which finds the lock taken then.
            Mode::Read => state & (WRITER | HANDOFF) == 0 && (state & QUEUED == 0 || state & WOKEN != 0),
        }
    }
}

impl RawLock {
    const_fn! {
        pub(super) const fn new() -> RawLock {
            RawLock {
                queue: Queue::new(),
                state: AtomicU32::new(0),
                poison: Flag::new(),
                holder_high: AtomicU8::new(0),
                holder_low: AtomicU16::new(0),
            }
        }
    }

    /// Takes the lock if that needs no waiting.
    #[inline]
    pub(super) fn try_lock(&self, mode: Mode) -> bool {
        // Relaxed: the exchange looks again.
        let mut state = self.state.load(Ordering::Relaxed);
        while mode.fits(state) {
            assert!(state < MOST_READERS, "too many readers of one RwLock");
            match self.take(state, state + mode.unit()) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// The exchange that takes the lock.
    #[inline]
    fn take(&self, from: u32, to: u32) -> Result<(), u32> {
        // Acquire pairs with the Release of all who released it (exchanges in between go on with their sequence).
        self.state.compare_exchange_weak(from, to, Ordering::Acquire, Ordering::Relaxed).map(drop)
    }

    /// For dumps: the caller holds it, alone.
    #[inline(always)]
    pub(super) fn note_holder(&self) {
        self.set_holder(sched::current().map_or(Holder::THREAD, |(_, task)| Holder::bits(task.id)));
    }

    /// As [`note_holder`](RawLock::note_holder), where the caller knows by `park::checkpoint_of_holder` who it is.
    #[inline(always)]
    pub(super) fn set_holder(&self, bits: u32) {
        // Relaxed, all: for people. The low bits are meant.
        self.holder_low.store(bits as u16, Ordering::Relaxed);
        self.holder_high.store((bits >> 16) as u8, Ordering::Relaxed);
    }

    fn holder(&self) -> u32 {
        let high = u32::from(self.holder_high.load(Ordering::Relaxed));
        u32::from(self.holder_low.load(Ordering::Relaxed)) | high << 16
    }

    /// Takes the lock. (The `checkpoint` is the caller's. It costs nothing that could be measured: the exchange hides it.)
    #[inline]
    pub(super) fn lock(&self, mode: Mode) {
        // Acquire as in `take`.
        let free =
            || self.state.compare_exchange(0, mode.unit(), Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !free() {
            self.lock_contended(mode, Deadline::NEVER);
        }
    }

    /// Takes the lock, whatever comes: neither a cancellation nor a deadline of the task's ends the wait.
    pub(super) fn lock_regardless(&self, mode: Mode) {
        let mask = Mask::new();
        self.lock(mode);
        drop(mask);
    }

    /// Takes the lock, or gives up at `deadline`: false.
    ///
    /// Out of line as a whole, with a frame across the switch: the path is inlined wherever a lock is taken, and most locks are free.
    #[cold]
    #[inline(never)]
    pub(super) fn lock_contended(&self, mode: Mode, deadline: Deadline) -> bool {
        self.spin(mode, QUEUED);
        if self.try_lock(mode) {
            return true;
        }
        let node = Node::new(Note::Retry);
        let mut passes = None;
        while self.enlist(&node, mode, passes) {
            match park::park(Reason::Lock, deadline, &node.waiter, &Waiting { lock: self, node: &node, mode })
            {
                Outcome::TimedOut => return false,
                Outcome::Cancelled => park::throw_cancelled(),
                Outcome::Woken if node.note() == Note::Granted => return true,
                Outcome::Woken => {
                    passes = Some(passes.map_or(0, |passes| passes + 1));
                    self.spin(mode, 0);
                }
            }
        }
        true
    }

    /// Waits a moment for the lock, where the holder may be running: on several workers, or from an OS thread. Not if a bit of
    /// `hopeless` is on: where somebody is queued already, he has waited so in vain. (If the holder is parked this is lost, a few
    /// microseconds, once: whoever comes next finds `QUEUED`.)
    fn spin(&self, mode: Mode, hopeless: u32) {
        let alone = sched::current_worker().is_some_and(|worker| worker.shared.workers() == 1);
        if cfg!(loom) || alone {
            return;
        }
        for _ in 0..SPINS {
            // Relaxed: a look.
            let state = self.state.load(Ordering::Relaxed);
            if mode.fits(state) || state & hopeless != 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }

    /// Links `node`. False: the lock could be taken after all. `passes`: the caller is the writer that was woken, and how
    /// often it has been so in vain before.
    fn enlist(&self, node: &Node<Note>, mode: Mode, passes: Option<u8>) -> bool {
        let mut queue = self.queue.lock();
        let next = passes.is_some_and(|passes| passes + 1 >= PASSES);
        let cleared = if passes.is_some() { WOKEN } else { 0 };
        let set = if next { QUEUED | HANDOFF } else { QUEUED };
        // Relaxed: the exchanges look again.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let exchanged = if mode.fits(state) {
                match self.take(state, (state + mode.unit()) & !cleared) {
                    Ok(()) => return false,
                    Err(now) => Err(now),
                }
            } else {
                let waiting = state & !cleared | set;
                // Relaxed: it takes nothing; the node is published by the queue's lock.
                self.state.compare_exchange_weak(state, waiting, Ordering::Relaxed, Ordering::Relaxed)
            };
            match exchanged {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        node.set_note(match mode {
            Mode::Read => Note::Read,
            Mode::Write | Mode::Lock => Note::Write { next },
        });
        if passes.is_some() {
            // SAFETY: it is in no queue; the caller's frame is there until it is unlinked.
            unsafe { queue.push_front(node) };
        } else {
            // SAFETY: as above.
            unsafe { queue.push_back(node) };
        }
        true
    }

    /// Releases the lock.
    ///
    /// # Safety
    /// The caller holds it so.
    #[inline]
    pub(super) unsafe fn unlock(&self, mode: Mode) {
        // Release pairs with the Acquire in `take`.
        let before = self.state.fetch_sub(mode.unit(), Ordering::Release);
        if before != mode.unit() && owes_a_wake(before - mode.unit()) {
            self.pass_on();
        }
    }

    /// Sees to whoever is next, if it still has to be: somebody may have taken the lock by now, or be on its way.
    #[cold]
    #[inline(never)]
    fn pass_on(&self) {
        let mut queue = self.queue.lock();
        // Relaxed: the exchange looks again.
        let mut state = self.state.load(Ordering::Relaxed);
        while owes_a_wake(state)
            && let Some(head) = queue.front().map(Node::note)
        {
            let (after, given) = match head {
                Note::Read => (state + READER, Note::Granted),
                Note::Write { next: true } => ((state | WRITER) & !HANDOFF, Note::Granted),
                _ => (state | WOKEN, Note::Retry),
            };
            // AcqRel: Acquire, since what those before have done is passed on by the wake.
            match self.state.compare_exchange_weak(state, after, Ordering::AcqRel, Ordering::Relaxed) {
                Err(now) => state = now,
                Ok(_) => {
                    // Until it runs, and says so itself.
                    self.set_holder(0);
                    let claimed = queue.pop(given);
                    self.note_if_empty(queue.is_empty());
                    drop(queue);
                    if let Some(claimed) = claimed {
                        claimed.wake();
                    }
                    if head == Note::Read {
                        self.admit();
                    }
                    return;
                }
            }
        }
    }

    /// Under the queue's lock, after an unlinking.
    fn note_if_empty(&self, empty: bool) {
        if empty {
            // Relaxed: the bit says what the queue's lock orders.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Gives the lock to the readers that are next in the queue, if a writer does not hold it. One at a time under the
    /// queue's lock: there may be many.
    fn admit(&self) {
        loop {
            let mut queue = self.queue.lock();
            if queue.front().map(Node::note) != Some(Note::Read) {
                return;
            }
            // Relaxed: the exchange looks again.
            let mut state = self.state.load(Ordering::Relaxed);
            loop {
                if state & WRITER != 0 || state >= MOST_READERS {
                    return;
                }
                // AcqRel: what the last writer did is passed on by the wake.
                let given = Ordering::AcqRel;
                match self.state.compare_exchange_weak(state, state + READER, given, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => state = now,
                }
            }
            let claimed = queue.pop(Note::Granted);
            self.note_if_empty(queue.is_empty());
            drop(queue);
            if let Some(claimed) = claimed {
                claimed.wake();
            }
        }
    }

    /// From writing to reading, without a moment between.
    ///
    /// # Safety
    /// The caller holds it for writing.
    pub(super) unsafe fn downgrade(&self) {
        // Release pairs with the Acquire of the readers that come in now.
        let before = self.state.fetch_add(READER - WRITER, Ordering::Release);
        if before & QUEUED != 0 {
            self.admit();
        }
    }
}

/// Whether who has left this state must see to the queue.
#[inline]
fn owes_a_wake(state: u32) -> bool {
    state < READER && state & (WRITER | QUEUED | WOKEN) == QUEUED
}

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        let RawLock { state, queue, .. } = self.lock;
        let mut queue = queue.lock();
        // SAFETY: it is in this queue, or in none.
        if !unsafe { queue.unlink(self.node) } {
            return false;
        }
        if self.node.note() == (Note::Write { next: true }) {
            // Relaxed: the bit says what the queue's lock orders.
            state.fetch_and(!HANDOFF, Ordering::Relaxed);
        }
        self.lock.note_if_empty(queue.is_empty());
        let readers_are_next = queue.front().map(Node::note) == Some(Note::Read);
        drop(queue);
        if readers_are_next {
            self.lock.admit();
        }
        true
    }

    fn describe(&self, details: &mut Details) {
        details.text.push_str(match self.mode {
            Mode::Lock => "lock of a Mutex",
            Mode::Write => "write of an RwLock",
            Mode::Read => "read of an RwLock",
        });
        // Relaxed: a look.
        let state = self.lock.state.load(Ordering::Relaxed);
        let holder = match state / READER {
            _ if state & WRITER != 0 => Holder::of_bits(self.lock.holder()),
            0 => Holder::Nobody,
            readers => Holder::Readers(readers),
        };
        details.lock = Some(LockAt { address: core::ptr::from_ref(self.lock).addr(), holder });
    }
}

#[cfg(all(test, loom))]
impl RawLock {
    /// As `lock_contended`, of a task on the caller's stack, whose wait is `park`. Whether it was taken.
    pub(super) fn lock_as(&self, waiter: Waiter, mode: Mode, park: impl Fn(&dyn Wait) -> Outcome) -> bool {
        let node = Node::of(waiter, Note::Retry);
        let mut passes = None;
        while self.enlist(&node, mode, passes) {
            match park(&Waiting { lock: self, node: &node, mode }) {
                Outcome::TimedOut | Outcome::Cancelled => return false,
                Outcome::Woken if node.note() == Note::Granted => return true,
                Outcome::Woken => passes = Some(passes.map_or(0, |passes| passes + 1)),
            }
        }
        true
    }

    /// Free, and nothing left over.
    pub(super) fn is_pristine(&self) -> bool {
        self.state.load(Ordering::Relaxed) == 0 && self.queue.seems_empty()
    }
}
