//! Attempts to break soundness with safe code.

#[path = "../common/mod.rs"]
mod common;

mod drops;
mod lending;
mod threads;
mod types;
