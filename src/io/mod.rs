//! Any descriptor, pipes, standard input, and copying: what parks the task where `std::io` blocks the thread.
//!
//! [`Fd`] makes tasks wait for whatever `epoll` can tell about: pipes, terminals, eventfds, timerfds, inotify, the
//! sockets of other crates. [`pipe()`] and [`copy()`] are like std's. [`stdin()`] never changes the mode of descriptor 0,
//! which other processes share.
//!
//! Regular files are not among these: the kernel takes them for ready at all times, and lets the caller wait for the
//! disk. They are for [`fs`](crate::fs), or for [`unblock`](crate::unblock).

mod copy;
pub(crate) mod descriptor;
mod fd;
mod pipe;
mod stdin;

pub use self::copy::copy;
pub use self::fd::Fd;
pub use self::pipe::{PipeReader, PipeWriter, pipe};
pub use self::stdin::{Lines, Stdin, stdin};
