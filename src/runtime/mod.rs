//! Runtimes: `run`, the builder, and runtimes with worker threads of their own.
//!
//! Most programs need none of this: [`run`] around `main`'s body, or just [`go!`](crate::go), which
//! starts a process-wide runtime on first use.

#![forbid(unsafe_code)]

mod builder;
mod own;
mod unfinished;

pub use self::builder::{Builder, run};
pub use self::own::Runtime;
pub use self::unfinished::Unfinished;
