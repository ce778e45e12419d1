//! Tests of `run` and `Runtime`: start, use, end.

#[path = "../common/mod.rs"]
mod common;

mod end;
mod run;
mod shutdown;
