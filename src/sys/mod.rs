//! The operating system, as the rest of the crate sees it. The only place that names `libc`.

pub(crate) mod barrier;
pub(crate) mod clock;
pub(crate) mod describe;
pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod mem;
pub(crate) mod pidfd;
pub(crate) mod poll;
pub(crate) mod signal;
pub(crate) mod signal_stack;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod thread;
pub(crate) mod timerfd;

/// Whether `errno` says that the process, or the system, has no descriptor left.
pub(crate) fn is_descriptor_limit(errno: i32) -> bool {
    errno == libc::EMFILE || errno == libc::ENFILE
}
