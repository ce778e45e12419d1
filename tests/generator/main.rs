//! Tests of `layby::generator`.

#[path = "../common/mod.rs"]
mod common;

mod basic;
mod close;
mod delegate;
mod frames;
mod task;
