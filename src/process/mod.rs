//! Other processes, like `std::process`: starting them, talking to them through pipes, and waiting for their end, which
//! park the task instead of the thread.
//!
//! ```
//! use layby::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! layby::run(|| {
//!     let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//!     child.stdin.take().unwrap().write_all(b"hello")?; // and closed
//!     let mut text = String::new();
//!     child.stdout.take().unwrap().read_to_string(&mut text)?;
//!     assert_eq!(text, "HELLO");
//!     assert!(child.wait()?.success());
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What does not wait *is* std's: [`Stdio`], [`ExitStatus`], [`Output`], [`exit`], …

#![forbid(unsafe_code)]

mod child;
mod command;
mod output;

pub use std::process::{ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id};

pub use self::child::Child;
pub use self::command::Command;
/// What a child reads as its standard input.
pub use crate::io::PipeWriter as ChildStdin;
/// What a child writes to its standard output, and to its standard error.
pub use crate::io::{PipeReader as ChildStdout, PipeReader as ChildStderr};
