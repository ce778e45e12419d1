//! Tests of `layby::sync`.

#[path = "../common/mod.rs"]
mod common;

mod condvar;
mod more;
mod mpsc;
mod mutex;
mod once;
mod poison;
mod rwlock;
