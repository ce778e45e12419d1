//! Tests of `layby::task`.

#[path = "../common/mod.rs"]
mod common;

mod join;
mod local;
mod park;
mod spawn;
mod yields;
