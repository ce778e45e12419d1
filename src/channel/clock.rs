//! Channels whose messages the clock makes: `after`, `at`, `tick`. Who receives sleeps until the next message is due, and
//! then tries to be the one who takes it. Nobody wakes it earlier but a select that gives a message back: for that alone the
//! waiters are in a queue, and all of them then look again.

use core::ptr;
use core::time::Duration;
use std::time;

use super::node::{Given, Node, Waiters, Wakes};
use super::{RecvTimeoutError, TryRecvError};
use crate::instant::Instant;
use crate::park::{self, Deadline, Details, Outcome, Reason, Wait, Waiter, park, throw_cancelled};
use crate::util::spin::SpinLock;

/// One such channel.
#[derive(Debug)]
pub(super) struct Clock {
    state: SpinLock<State>,
    /// From one message to the next. `None`: there is but one.
    period: Option<Duration>,
}

#[derive(Debug)]
struct State {
    /// When the next message is due. `None`: there will be no more, unless one is given back.
    due: Option<time::Instant>,
    waiters: Waiters,
}

// SAFETY: nodes are touched by rules 2 to 4 of `park`, which hold between threads; the rest is `Send`.
unsafe impl Send for State {}

/// A receiver's node in the queue.
struct Waiting<'a>(&'a Clock, &'a Node);

impl Wait for Waiting<'_> {
    fn withdraw(&self) -> bool {
        self.0.unlink(self.1, false)
    }

    fn describe(&self, details: &mut Details) {
        details.text.push_str(self.0.name());
    }
}

/// `instant` for `park`. Never early: the clock is read after `now` was.
pub(super) fn deadline(instant: Instant) -> Deadline {
    Deadline::after(instant.saturating_duration_since(Instant::now()))
}

impl Clock {
    pub(super) fn new(first: Instant, period: Option<Duration>) -> Clock {
        Clock { state: SpinLock::new(State { due: Some(first.into()), waiters: Waiters::EMPTY }), period }
    }

    /// For a dump.
    pub(super) fn name(&self) -> &'static str {
        if self.period.is_some() { "recv on tick channel" } else { "recv on after channel" }
    }

    /// When the next message is due.
    pub(super) fn next(&self) -> Option<time::Instant> {
        self.state.lock().due
    }

    pub(super) fn has_message(&self) -> bool {
        let now = Instant::now();
        self.next().is_some_and(|next| next <= time::Instant::from(now))
    }

    /// The message, if it is due.
    pub(super) fn try_take(&self) -> Option<time::Instant> {
        let now = time::Instant::from(Instant::now());
        // What no clock can count is as good as never.
        let following = self.period.and_then(|period| now.checked_add(period));
        let mut state = self.state.lock();
        let message = state.due.filter(|next| *next <= now)?;
        state.due = following;
        Some(message)
    }

    /// `message`, which was taken, is due again. (What follows it is not: its time runs from when this is taken.)
    pub(super) fn give_back(&self, message: time::Instant) {
        let mut wakes = Wakes::new();
        let mut state = self.state.lock();
        state.due = Some(message);
        while let Some(node) = state.waiters.claim() {
            wakes.push(node, Given::Again);
        }
        state.waiters.tell(&mut wakes);
        drop(state);
        wakes.fire();
    }

    /// Links a node, for what is given back. (What becomes due meanwhile is found by a look at [`next`](Clock::next) after this.)
    ///
    /// # Safety
    /// As for [`Waiters::link`].
    pub(super) unsafe fn link(&self, node: &Node, watch: bool) {
        // SAFETY: says the caller.
        unsafe { self.state.lock().waiters.link(node, watch) };
    }

    /// False: it was not linked any more.
    pub(super) fn unlink(&self, node: &Node, watch: bool) -> bool {
        // SAFETY: if it is linked, then here.
        unsafe { self.state.lock().waiters.unlink(node, watch) }
    }

    pub(super) fn try_recv(&self) -> Result<time::Instant, TryRecvError> {
        park::spend_budget(1);
        self.try_take().ok_or(TryRecvError::Empty)
    }

    pub(super) fn recv(&self, until: impl FnOnce() -> Deadline) -> Result<time::Instant, RecvTimeoutError> {
        park::spend_budget(1);
        let until = until();
        loop {
            if let Some(message) = self.try_take() {
                return Ok(message);
            }
            let waiter = Waiter::current();
            let node = Node::plain(&waiter, ptr::null_mut());
            // SAFETY: the node is new, and its frame ends the wait before it goes.
            unsafe { self.link(&node, false) };
            let next = self.next().map_or(Deadline::NEVER, |next| deadline(next.into()));
            match park(Reason::Receive, next.min(until), &waiter, &Waiting(self, &node)) {
                Outcome::Cancelled => throw_cancelled(),
                Outcome::TimedOut if until < next => {
                    return self.try_take().ok_or(RecvTimeoutError::Timeout);
                }
                Outcome::TimedOut | Outcome::Woken => {}
            }
        }
    }
}

/// Waits for `deadline`. A suspension point.
#[inline]
pub(super) fn wait(reason: Reason, deadline: Deadline) {
    match park(reason, deadline, &Waiter::current(), &park::Never) {
        Outcome::Cancelled => throw_cancelled(),
        Outcome::TimedOut | Outcome::Woken => {}
    }
}
