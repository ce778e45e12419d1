//! Runtimes: `run`, the builder, and runtimes with worker threads of their own.
//!
//! Most programs need none of this: [`run`] around `main`'s body, or just [`go!`](crate::go), which
//! starts a process-wide runtime on first use.
//!
//! [`metrics()`] are a runtime's numbers; [`stack_usage()`] is what debug mode has found of stacks.

#![forbid(unsafe_code)]

mod builder;
mod dump;
mod metrics;
mod own;
mod sigquit;
mod stack_usage;
mod unfinished;

pub use self::builder::{Builder, run};
pub use self::dump::dump;
pub use self::metrics::{Metrics, metrics};
pub use self::own::Runtime;
pub use self::sigquit::dump_on_sigquit;
pub use self::stack_usage::{StackUsage, stack_usage};
pub use self::unfinished::Unfinished;
pub use crate::dump::{DumpedTask, TaskDump, TaskState};
