//! Time: sleeping, ticking, and a clock that obeys the virtual time of [`testing`](crate::testing).

pub use crate::instant::Instant;
pub use crate::interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use crate::sleep::{sleep, sleep_until};
pub use crate::timeout::{Deadline, Elapsed, timeout, timeout_at, timeout_with};
