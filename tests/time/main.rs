//! Tests of `layby::time`.

#[path = "../common/mod.rs"]
mod common;

mod interval;
mod sleep;
