//! Tests of `layby::net`.

#[path = "../common/mod.rs"]
mod common;

mod names;
mod tcp;
mod tcp_process;
mod tcp_shared;
mod tcp_std;
mod udp;
mod unix;
