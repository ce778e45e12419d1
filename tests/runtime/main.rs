//! Tests of `run` and `Runtime`: start, use, end; dumps, watchdog and debug mode.

#[path = "../common/mod.rs"]
mod common;

mod dump;
mod end;
mod run;
mod shutdown;
mod watchdog;
