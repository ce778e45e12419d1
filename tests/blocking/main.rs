//! Tests of `unblock` and its pool.

#[path = "../common/mod.rs"]
mod common;

mod detached;
mod unblock;
