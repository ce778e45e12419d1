//! Who waits for news of a connection in memory.

use core::time::Duration;

use crate::fiber::Reason;
use crate::park::Deadline;
use crate::sched;
use crate::sync::{Button, Doorbell};

/// So many are looked through, whether somebody still listens.
const MANY: usize = 16;

/// The waiters of one end. Under the lock of the connection.
#[derive(Debug, Default)]
pub(super) struct Bells(Vec<Button>);

/// A wait that has begun: the next news end it.
#[derive(Debug)]
#[must_use]
pub(super) struct Bell(Doorbell);

impl Bells {
    /// Before the lock is released, so that no news are missed.
    pub(super) fn add(&mut self) -> Bell {
        // Of who has only looked until some time nobody else gets rid.
        if self.0.len() >= MANY {
            self.0.retain(Button::has_listener);
        }
        let bell = Doorbell::new();
        self.0.push(bell.button());
        Bell(bell)
    }

    /// Takes all who wait, to be told when the lock is released. Those who have given up meanwhile hear nothing.
    pub(super) fn take(&mut self) -> News {
        News(core::mem::take(&mut self.0))
    }
}

/// What is to be told, when the lock is released.
#[derive(Debug)]
#[must_use]
pub(super) struct News(Vec<Button>);

impl News {
    pub(super) fn tell(self) {
        self.0.iter().for_each(Button::ring);
    }
}

impl Bell {
    /// Waits for news, but not beyond `until`, in nanoseconds; `u64::MAX`: without limit. A suspension point.
    pub(super) fn wait(mut self, reason: Reason, until: u64) {
        let deadline = match until {
            u64::MAX => Deadline::NEVER,
            _ => Deadline::after(Duration::from_nanos(until.saturating_sub(sched::now()))),
        };
        self.0.wait_until(reason, deadline);
    }
}

/// The end of a timeout that begins now; `u64::MAX`: there is none.
pub(super) fn end_of(timeout: Option<Duration>) -> u64 {
    let nanos = timeout.map_or(u64::MAX, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    sched::now().saturating_add(nanos)
}
