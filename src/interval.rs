//! Ticking at a fixed period.

#![forbid(unsafe_code)]

use core::time::Duration;

use crate::instant::Instant;
use crate::sleep::sleep_until;

/// What an [`Interval`] does when a tick was not waited for in time.
///
/// With ticks due at 0, 10, 20, 30, … and a first and second tick taken at 0 and 10, after which the task is busy until
/// 34:
///
/// | | ticks return at |
/// |---|---|
/// | `Burst` | 34, 34, 40, 50: all that were missed come at once |
/// | `Delay` | 34, 44, 54: a period is kept from the late one on |
/// | `Skip` | 34, 40, 50: what was missed is left out |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// Tick as fast as possible until it has caught up.
    #[default]
    Burst,
    /// Tick at multiples of the period from the late tick on.
    Delay,
    /// Leave out what was missed, and go on with the next multiple of the period from the start.
    Skip,
}

/// Ticks at a fixed period. Made by [`interval`] and [`interval_at`].
///
/// As an iterator it ticks for ever.
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTickBehavior,
}

/// Ticks now, and then once in each `period`.
///
/// # Panics
/// If `period` is zero.
///
/// # Examples
/// ```
/// use layby::{testing, time};
/// use std::time::Duration;
///
/// testing::run(1, || { // in virtual time
///     let start = time::Instant::now();
///     let mut ticks = time::interval(Duration::from_secs(60));
///     for minute in 0..3 {
///         let due = ticks.tick();
///         assert_eq!((due - start).as_secs(), minute * 60);
///         layby::sleep(Duration::from_secs(20)); // the work; a tick is not late by it
///     }
/// });
/// ```
#[track_caller]
#[must_use]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `start`, and then once in each `period`.
///
/// # Panics
/// If `period` is zero.
///
/// # Examples
/// ```
/// use layby::{testing, time::{self, Instant}};
/// use std::time::Duration;
///
/// testing::run(1, || {
///     let hour = Duration::from_secs(3600);
///     let start = Instant::now();
///     time::interval_at(start + hour, hour).tick();
///     assert!(start.elapsed() >= hour);
/// });
/// ```
#[track_caller]
#[must_use]
pub fn interval_at(start: impl Into<Instant>, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must not be zero");
    Interval { next: start.into(), period, missed: MissedTickBehavior::default() }
}

impl Interval {
    /// Waits for the next tick, and tells when it was due.
    ///
    /// Blocks until then. One that is overdue comes at once.
    ///
    /// # Cancellation
    /// A suspension point. A tick that was not returned is still to come.
    ///
    /// # Examples
    /// See [`interval`].
    pub fn tick(&mut self) -> Instant {
        sleep_until(self.next);
        let (due, now) = (self.next, Instant::now());
        self.next = self.after(due, now);
        due
    }

    /// When the tick comes after the one that was due at `due` and is taken `now`. What the clock cannot count is
    /// its end, which never comes.
    fn after(&self, due: Instant, now: Instant) -> Instant {
        let next = due.checked_add(self.period).unwrap_or(due);
        // A timer is late by some microseconds; that is no tick missed.
        if now <= next {
            return next;
        }
        match self.missed {
            MissedTickBehavior::Burst => next,
            MissedTickBehavior::Delay => now.checked_add(self.period).unwrap_or(next),
            MissedTickBehavior::Skip => {
                let into = (now - due).as_nanos() % self.period.as_nanos();
                // Less than a period.
                let into = Duration::from_nanos_u128(into);
                now.checked_add(self.period - into).unwrap_or(next)
            }
        }
    }

    /// The next tick comes one period from now.
    ///
    /// # Examples
    /// ```
    /// use layby::{testing, time};
    /// use std::time::Duration;
    ///
    /// testing::run(1, || {
    ///     let mut ticks = time::interval(Duration::from_secs(10));
    ///     ticks.tick();
    ///     layby::sleep(Duration::from_secs(7));
    ///     let reset = time::Instant::now();
    ///     ticks.reset();
    ///     assert_eq!(ticks.tick() - reset, ticks.period());
    /// });
    /// ```
    pub fn reset(&mut self) {
        let now = Instant::now();
        self.next = now.checked_add(self.period).unwrap_or(now);
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What it does about missed ticks.
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed
    }

    /// Sets what it does about missed ticks; [`Burst`](MissedTickBehavior::Burst) otherwise.
    ///
    /// # Examples
    /// ```
    /// use layby::{testing, time::{self, MissedTickBehavior}};
    /// use std::time::Duration;
    ///
    /// testing::run(1, || {
    ///     let start = time::Instant::now();
    ///     let mut ticks = time::interval(Duration::from_secs(10));
    ///     ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ///     ticks.tick();
    ///     layby::sleep(Duration::from_secs(34));
    ///     ticks.tick(); // late
    ///     assert_eq!((ticks.tick() - start).as_secs(), 40);
    /// });
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed = behavior;
    }
}

/// Its `next` is [`tick`](Interval::tick).
impl Iterator for Interval {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        Some(self.tick())
    }
}
