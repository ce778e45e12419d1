//! Synchronisation for tasks and threads, built on `park` alone.

mod doorbell;

pub(crate) use doorbell::{Button, Doorbell};
