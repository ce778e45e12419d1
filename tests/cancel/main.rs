//! Tests of cancellation, deadlines and structured concurrency.

#[path = "../common/mod.rs"]
mod common;

mod basic;
mod gather;
mod gather_cancel;
mod race;
mod scope;
mod timeout;
mod timeout_sync;
mod timeout_waits;
mod try_scope;
mod unwind;
mod unwind_mates;
