//! Deadlines: a point of the monotonic clock, or never.

use core::time::Duration;

use crate::sched;

/// When a wait is to be given up. Nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// No deadline.
    pub(crate) const NEVER: Deadline = Deadline(u64::MAX);

    /// `duration` from now. What the clock cannot count (584 years) is never.
    pub(crate) fn after(duration: Duration) -> Deadline {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Deadline(sched::now().saturating_add(nanos))
    }

    /// That time of the clock, in nanoseconds.
    pub(crate) fn at(nanos: u64) -> Deadline {
        Deadline(nanos)
    }

    #[inline]
    pub(crate) fn is_never(self) -> bool {
        self == Deadline::NEVER
    }

    /// Whether it is not in the future.
    pub(crate) fn is_past(self) -> bool {
        self.0 <= sched::now()
    }

    #[inline]
    pub(crate) fn nanos(self) -> u64 {
        self.0
    }

    /// How long until then; zero if it is past. Of no use for `NEVER`.
    pub(crate) fn remaining(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(sched::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_never() {
        assert!(Deadline::after(Duration::MAX).is_never());
        assert!(Deadline::after(Duration::from_nanos(u64::MAX)).is_never());
        assert!(!Deadline::after(Duration::from_secs(3600)).is_never());
    }
}
