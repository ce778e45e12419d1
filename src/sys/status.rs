//! What the kernel says of the process as a whole: `/proc/self/status`.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Signals whose handler is the runtime's own: bits as in [`Status`].
static HARMLESS: AtomicU64 = AtomicU64::new(0);

/// The handler for that signal is the runtime's own, and wakes no task.
pub(crate) fn wakes_nobody(signal: i32) {
    // Relaxed: who looks before this sees a handler, as ever.
    HARMLESS.fetch_or(1 << (signal - 1), Ordering::Relaxed);
}

/// Two lines of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// How many threads the process has. Exact at one moment of the call: the kernel counts under a lock.
    pub(crate) threads: usize,
    /// The signals for which there is a handler: bit `n - 1` for signal `n`.
    caught: u64,
}

impl Status {
    /// # Errors
    /// No `/proc`, no descriptor left, or a kernel that words it in another way.
    pub(crate) fn read() -> io::Result<Status> {
        let text = fs::read_to_string("/proc/self/status")?;
        Status::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &str) -> Option<Status> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Status {
            threads: field("Threads:")?.parse().ok()?,
            caught: u64::from_str_radix(field("SigCgt:")?, 16).ok()?,
        })
    }

    /// Whether a signal that comes from outside could run code of the program's. Not counted are those that the
    /// processor raises at a fault (std's handlers, ours and the sanitizers'), and the C library's own (32 to 34).
    pub(crate) fn has_signal_handlers(&self) -> bool {
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
        let known = faults.into_iter().chain(32..=34);
        // Relaxed: as in `wakes_nobody`.
        let harmless = HARMLESS.load(Ordering::Relaxed);
        self.caught & !known.fold(harmless, |set, signal| set | 1 << (signal - 1)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "Name:\tcat\nThreads:\t12\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000440\n";
        assert_eq!(Status::parse(text), Some(Status { threads: 12, caught: 0x440 }));
        assert_eq!(Status::parse("Threads:\tmany\nSigCgt:\t0\n"), None);
        assert_eq!(Status::parse("Threads:\t1\n"), None);
        assert!(Status::read().unwrap().threads >= 1);
    }

    #[test]
    fn handlers_for_faults_do_not_count() {
        let caught = |caught| Status { threads: 1, caught }.has_signal_handlers();
        // Segmentation fault, bus error, and the two of the C library.
        assert!(!caught(1 << 10 | 1 << 6 | 1 << 31 | 1 << 32));
        assert!(caught(1 << (libc::SIGALRM - 1)));
        assert!(caught(1 << 63)); // the last real-time signal
    }
}
