//! `Instant`: std's, but virtual where time is.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};
use core::time::Duration;
use std::time;

use crate::sched;

/// A point in time.
///
/// Like [`std::time::Instant`], except: in a task of a seeded run ([`testing::run`](crate::testing::run)), `now` is
/// the virtual time. It converts from and into std's.
///
/// # Examples
/// ```
/// use layby::time::Instant;
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let start = Instant::now();
///     layby::sleep(Duration::from_secs(3600)); // takes no time at all
///     assert!(start.elapsed() >= Duration::from_secs(3600));
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(time::Instant);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        Instant(sched::sim().map_or_else(time::Instant::now, sched::Sim::instant))
    }

    /// The time from `earlier` until this; zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.0.duration_since(earlier.0)
    }

    /// The time from `earlier` until this; `None` if that is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// As [`duration_since`](Instant::duration_since).
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from this until now.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// This and `duration` later; `None` if the clock cannot count that far.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }

    /// This and `duration` earlier; `None` if the clock cannot count that far.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_sub(duration).map(Instant)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<time::Instant> for Instant {
    fn from(instant: time::Instant) -> Instant {
        Instant(instant)
    }
}

impl From<Instant> for time::Instant {
    fn from(instant: Instant) -> time::Instant {
        instant.0
    }
}

/// # Panics
/// As std's: if the clock cannot count that far.
impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

/// # Panics
/// As std's: if the clock cannot count that far.
impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.0 - earlier.0
    }
}

/// Std's, which a channel of [`channel::after`](crate::channel::after) delivers, may meet layby's in one expression.
mod mixed {
    use super::{Duration, Instant, Sub, time};
    use core::cmp::Ordering;

    impl PartialEq<time::Instant> for Instant {
        fn eq(&self, other: &time::Instant) -> bool {
            self.0 == *other
        }
    }

    impl PartialEq<Instant> for time::Instant {
        fn eq(&self, other: &Instant) -> bool {
            *self == other.0
        }
    }

    impl PartialOrd<time::Instant> for Instant {
        fn partial_cmp(&self, other: &time::Instant) -> Option<Ordering> {
            self.0.partial_cmp(other)
        }
    }

    impl PartialOrd<Instant> for time::Instant {
        fn partial_cmp(&self, other: &Instant) -> Option<Ordering> {
            self.partial_cmp(&other.0)
        }
    }

    impl Sub<time::Instant> for Instant {
        type Output = Duration;
        fn sub(self, earlier: time::Instant) -> Duration {
            self.0 - earlier
        }
    }

    impl Sub<Instant> for time::Instant {
        type Output = Duration;
        fn sub(self, earlier: Instant) -> Duration {
            self - earlier.0
        }
    }
}
