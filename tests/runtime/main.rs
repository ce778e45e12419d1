//! Tests of `run` and `Runtime`: start, use, end; watchdog and debug mode.

#[path = "../common/mod.rs"]
mod common;

mod end;
mod run;
mod shutdown;
mod watchdog;
