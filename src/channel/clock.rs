//! Channels whose messages the clock makes: `after`, `at`, `tick`. They have no queue, and no waiters: who receives
//! sleeps until the next message is due, and then tries to be the one who takes it.

#![forbid(unsafe_code)]

use core::time::Duration;
use std::time;

use super::{RecvTimeoutError, TryRecvError};
use crate::instant::Instant;
use crate::park::{self, Deadline, Outcome, Reason, Waiter, park, throw_cancelled};
use crate::util::spin::SpinLock;

/// One such channel.
#[derive(Debug)]
pub(super) struct Clock {
    /// When the next message is due. `None`: there will be no more.
    due: SpinLock<Option<time::Instant>>,
    /// From one message to the next. `None`: there is but one.
    period: Option<Duration>,
}

/// `instant` for `park`. Never early: the clock is read after `now` was.
pub(super) fn deadline(instant: Instant) -> Deadline {
    Deadline::after(instant.saturating_duration_since(Instant::now()))
}

impl Clock {
    pub(super) fn new(first: Instant, period: Option<Duration>) -> Clock {
        Clock { due: SpinLock::new(Some(first.into())), period }
    }

    /// When the next message is due.
    pub(super) fn next(&self) -> Option<time::Instant> {
        *self.due.lock()
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
        let mut due = self.due.lock();
        let message = due.filter(|next| *next <= now)?;
        *due = following;
        Some(message)
    }

    /// `message`, which was taken, is due again. (What follows it is not: its time runs from when this is taken.)
    pub(super) fn give_back(&self, message: time::Instant) {
        *self.due.lock() = Some(message);
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
            let next = self.next().map_or(Deadline::NEVER, |next| deadline(next.into()));
            wait(Reason::Receive, next.min(until));
            if until < next {
                return self.try_take().ok_or(RecvTimeoutError::Timeout);
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
