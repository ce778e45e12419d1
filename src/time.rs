//! Time: sleeping.

pub use crate::sleep::{sleep, sleep_until};
