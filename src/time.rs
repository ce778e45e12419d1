//! Time: sleeping, and a clock that obeys the virtual time of [`testing`](crate::testing).

pub use crate::instant::Instant;
pub use crate::sleep::{sleep, sleep_until};
pub use crate::timeout::{Deadline, Elapsed, timeout, timeout_at, timeout_with};
