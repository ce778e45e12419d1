//! Tests of `layby::testing`.

#[path = "../common/mod.rs"]
mod common;

#[path = "../../examples/support/bugs.rs"]
mod bugs;
mod explore;
mod seeds;
mod streams;
