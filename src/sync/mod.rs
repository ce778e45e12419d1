//! Synchronisation for tasks and threads, built on `park` alone.

mod doorbell;

pub(crate) use self::doorbell::{Button, Doorbell};
