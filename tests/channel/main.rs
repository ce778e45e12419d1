//! Tests of `layby::channel`.

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod go;
mod history;
mod queues;
mod race;
mod select;
mod select_macro;
mod send_recv;
