//! Tests of `layby::time` and of virtual time.

#[path = "../common/mod.rs"]
mod common;

mod interval;
mod sleep;
mod testing_seeds;
