//! Room for stacks: what a spawn makes sure of, and what becomes of a closure that finds no stack after all.
//!
//! # The rule
//! Where guards are markers, a stack is a matter of addresses alone, so a spawn can know that its closure will get one:
//!
//! > A worker has addresses for as many stacks as tasks live on it, or wait there to start.
//!
//! The spawn that would break the rule maps addresses first ([`Worker::make_room`]), many stacks' at a time, and if none
//! are to be had it fails, with the closure dropped. All other spawns compare three numbers that the worker
//! has at hand anyway. Starting a task takes one from those that wait and adds one to those that live, ending it takes it away: the rule
//! holds on, and nothing is to be counted for it.
//!
//! A spawn from another thread cannot reach the worker's pool: it maps the addresses and leaves them at the [`Remote`], from
//! where the worker takes them when it needs them. So does a worker that hands a closure over, if it can get no addresses for it it keeps it;
//! and a thief takes no more than it has addresses for. `counts.slots` tells everybody how far the worker's own reach.
//!
//! # What is not promised
//! * *Stacks of another size* than the runtime's: the number of those that wait is an estimate (see
//!   [`Pool::promise`](crate::stack::Pool::promise)), from a thread that is no worker there is only a look whether one could be mapped,
//!   and a closure that changes the worker leaves its addresses behind.
//! * *Threads that spawn on one worker at the same time* (or hand over to it) may each count on the same last stack.
//! * *Memory*. The kernel finds it when a stack is touched, or kills the process.
//! * *Guards by protection* take mappings of the kernel when a task starts, whose number nobody can reserve. There
//!   spawns look at nothing.
//!
//! # Starved closures
//! In each of these cases a closure that was accepted finds no stack. It is never lost: it waits in its worker's `starved`
//! queue, of which one is tried again when a task ends here, when a starved one has got its stack, and every [`STARVED_NS`] as long
//! as there are any. One, not all: a try costs some system calls, and of 70,000 that wait for a stack only one gets it. As long as
//! some wait, new ones (of the runtime's size) wait behind them.
//! But all those that may change the worker go where there is room ([`Remote::has_room`]), so the last
//! stack is found wherever it lies. If there is none anywhere, the try is here: other parts of the program may have
//! released what was missing. A warning says once what to raise.
//!
//! Rejected: *a shared count of free stacks* (each spawn and each end on every core would write it); *a stack at the
//! spawn* (an unstarted task would cost a stack, and could not be stolen); *no check, and only the waiting* (a program that
//! waits for a closure that waits for a stack would stand still, where an error was due).

use core::ptr::NonNull;
use std::io;
use std::sync::Once;

use super::remote::Remote;
use super::shared::Shared;
use super::worker::Worker;
use crate::fiber::{Carrier, Header};
use crate::stack::{Guard, Room, Stack};
use crate::util::atomic::Ordering;
use crate::util::report;

/// How long closures that found no stack wait before the next try, if no task ends before.
pub(super) const STARVED_NS: u64 = 10_000_000;
/// For how many stacks a spawn from outside makes room, at least.
const DONATION: usize = 64;
/// A closure that its worker has taken and not yet started, which others see neither here nor there.
const IN_TRANSIT: usize = 1;

impl Worker {
    /// Makes sure that there are addresses for the stack of one more task that waits to start here.
    ///
    /// # Errors
    /// `OutOfMemory`, which names the limit, and what to raise.
    #[inline]
    pub(crate) fn make_room(&self, size: usize) -> io::Result<()> {
        if self.waiting_and_alive() < self.reserved.get() && size == self.shared.stack_size() {
            return Ok(());
        }
        self.make_room_now(size)
    }

    /// How many tasks live here, and how many wait here to start. But for starved ones.
    #[inline]
    fn waiting_and_alive(&self) -> usize {
        // Relaxed: own value; the queue's length is a hint that only thieves, and spawns from outside, make wrong.
        let alive = self.remote.counts.started.load(Ordering::Relaxed);
        alive + self.remote.fresh.len_hint() + self.local_unstarted.get()
    }

    #[cold]
    #[inline(never)]
    fn make_room_now(&self, size: usize) -> io::Result<()> {
        if self.shared.config.guard != Guard::Marker {
            return Ok(());
        }
        self.adopt_donations();
        let tasks = self.waiting_and_alive() + self.starved.len();
        let made = if size == self.shared.stack_size() {
            self.stacks.borrow_mut().reserve(size, tasks + 1 - self.unusual.get().min(tasks))
        } else {
            // Relaxed: own value.
            let alive = self.remote.counts.started.load(Ordering::Relaxed);
            self.stacks.borrow_mut().promise(size, tasks - alive)
        };
        self.note_slots();
        made
    }

    /// Of how many of so many closures this worker has stacks for, so that it may steal them.
    #[cold]
    pub(super) fn room_for(&self, wanted: usize) -> usize {
        if self.shared.config.guard != Guard::Marker {
            return wanted;
        }
        self.adopt_donations();
        let tasks = self.waiting_and_alive() + self.starved.len();
        let usual = tasks + wanted - self.unusual.get().min(tasks);
        // If there is not enough, there may be some.
        let _ = self.stacks.borrow_mut().reserve(self.shared.stack_size(), usual);
        self.note_slots();
        self.reserved.get().saturating_sub(tasks).min(wanted)
    }

    /// Whether `task`, which this worker has taken out of its queue, may be handed over: there is a stack for it.
    #[cold]
    pub(super) fn has_room_at(&self, other: &Remote, task: NonNull<Header>) -> bool {
        // SAFETY: the caller's, so alive.
        let size = unsafe { task.as_ref() }.stack_size;
        let counted = self.shared.config.guard == Guard::Marker && size == self.shared.stack_size();
        !counted
            || other.has_room(IN_TRANSIT)
            || Room::new(size, DONATION).map(|room| other.donate(room)).is_ok()
    }

    /// Rooms that other threads have found for tasks of this worker.
    fn adopt_donations(&self) {
        while let Some(room) = self.remote.take_donation() {
            // Without memory for the tables there is no use for it.
            let _ = self.stacks.borrow_mut().adopt(room);
        }
    }

    /// After the pool may have grown.
    fn note_slots(&self) {
        let (mapped, guarded) = self.stacks.borrow().slots(self.shared.stack_size());
        let markers = self.shared.config.guard == Guard::Marker;
        let slots = if markers { mapped } else { guarded } + self.unusual.get();
        self.reserved.set(if markers { slots } else { usize::MAX });
        // Relaxed: a hint.
        self.remote.counts.slots.store(slots, Ordering::Relaxed);
    }

    /// A task whose stack is not of the runtime's size has got it (1), or has ended (-1).
    #[cold]
    pub(super) fn count_unusual(&self, change: isize) {
        self.unusual.set(self.unusual.get().wrapping_add_signed(change));
        self.note_slots();
    }

    /// An idle carrier for that task, or a new one.
    pub(super) fn carrier_for(&self, task: &Header) -> Option<Carrier> {
        let size = task.stack_size;
        if size == self.shared.stack_size() {
            if self.starved_usual.get() > 0 && !task.starved.get() {
                // Its turn is after theirs.
                return None;
            }
            if let Some(carrier) = self.take_carrier() {
                return Some(carrier);
            }
        }
        match self.new_carrier(size) {
            Ok(carrier) => Some(carrier),
            Err(error) => {
                static WARNED: Once = Once::new();
                WARNED.call_once(|| {
                    report!("no stack for a task, which waits until another one ends: {error}");
                });
                None
            }
        }
    }

    #[cold]
    fn new_carrier(&self, size: usize) -> io::Result<Carrier> {
        self.adopt_donations();
        // So that the end of a task allocates nothing.
        let more = self.carrier_count.get() + 1 - self.carriers.borrow().len();
        self.carriers.borrow_mut().try_reserve(more)?;
        let stack = self.stacks.borrow_mut().take(size)?;
        self.carrier_count.set(self.carrier_count.get() + 1);
        self.note_slots();
        Ok(Carrier::new(stack))
    }

    /// Makes the root's stack, before anything runs that could not be undone.
    ///
    /// # Errors
    /// No stack of that size can be had.
    pub(super) fn reserve_root(&self, size: usize) -> io::Result<()> {
        *self.root_carrier.borrow_mut() = Some(self.new_carrier(size)?);
        Ok(())
    }

    /// Ends an idle carrier.
    pub(super) fn retire_carrier(&self, carrier: Carrier) {
        self.retire_after(carrier, |_| ());
    }

    /// Ends an idle carrier, and calls `look` with its stack as it was left.
    pub(super) fn retire_after<T>(&self, carrier: Carrier, look: impl FnOnce(&Stack) -> T) -> T {
        self.carrier_count.set(self.carrier_count.get() - 1);
        let stack = carrier.retire();
        let seen = look(&stack);
        self.stacks.borrow_mut().give(stack);
        seen
    }

    /// Puts a task aside that found no stack.
    ///
    /// # Safety
    /// `task` is alive, unstarted and in no queue; its reference moves along.
    #[cold]
    pub(super) unsafe fn starve(&self, task: NonNull<Header>) {
        // SAFETY: alive, by this function's contract.
        let header = unsafe { task.as_ref() };
        header.starved.set(true);
        if header.stack_size == self.shared.stack_size() {
            self.starved_usual.set(self.starved_usual.get() + 1);
        }
        if self.starved.is_empty() {
            self.retry_at.set(self.now() + STARVED_NS);
        }
        // SAFETY: by this function's contract; the reference keeps it alive.
        unsafe { self.starved.push(task) };
    }

    /// The starved go where there is room; if there is none anywhere, the oldest tries again here.
    #[inline]
    pub(super) fn retry_starved(&self) {
        if !self.starved.is_empty() {
            self.retry_one();
        }
    }

    /// As [`retry_starved`](Worker::retry_starved), if enough time has gone by since the last time. Returns when to look
    /// again; `u64::MAX`: there is nothing to look for.
    pub(super) fn retry_starved_at(&self, now: u64) -> u64 {
        if self.starved.is_empty() {
            return u64::MAX;
        }
        if now >= self.retry_at.get() {
            self.retry_at.set(now + STARVED_NS);
            self.retry_one();
        }
        self.retry_at.get()
    }

    #[cold]
    fn retry_one(&self) {
        while let Some(task) = self.starved.pop() {
            // SAFETY: in the queue, so alive; unstarted, so this worker's alone.
            let header = unsafe { task.as_ref() };
            let usual = header.stack_size == self.shared.stack_size();
            if usual {
                self.starved_usual.set(self.starved_usual.get() - 1);
            }
            let other = if header.local.get() {
                None
            } else if usual {
                self.shared.remote_with_room(self.index)
            } else {
                // Nobody knows who has a stack of that size, so all are asked in turn.
                (self.shared.workers() > 1).then(|| self.shared.remote_after(self.index))
            };
            let Some(other) = other else {
                // SAFETY: just popped, so in no queue; its reference moves along.
                return unsafe { self.queue.push(task) };
            };
            header.placed.set(true);
            // SAFETY: just popped, so unstarted and in no queue; its reference moves along.
            unsafe { other.fresh.push(task) };
            other.notify();
            if !usual {
                return;
            }
        }
    }
}

impl Shared {
    /// From a thread that is none of its workers: as [`Worker::make_room`], on the worker that would get the task now.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn make_room(&self, size: usize) -> io::Result<()> {
        if self.config.guard != Guard::Marker {
            return Ok(());
        }
        if size != self.stack_size() {
            return Room::new(size, 1).map(drop);
        }
        let (load, remote) = self.least_loaded(usize::MAX);
        if load + IN_TRANSIT < remote.room() {
            return Ok(());
        }
        match Room::new(size, load.max(DONATION)) {
            Ok(room) => {
                remote.donate(room);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A worker that has a stack to spare, of the runtime's size; None if that is worker `index`, or none.
    fn remote_with_room(&self, index: usize) -> Option<&'static Remote> {
        if self.remotes[index].has_room(0) {
            return None;
        }
        self.remotes.iter().copied().find(|remote| remote.has_room(0))
    }

    /// The worker after `index`.
    fn remote_after(&self, index: usize) -> &'static Remote {
        self.remotes[(index + 1) % self.remotes.len()]
    }
}
