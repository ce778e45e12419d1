//! Tests of `layby::io` and `layby::fs`.

#[path = "../common/mod.rs"]
mod common;

mod fd;
mod fs;
mod pipe;
mod stdin;
