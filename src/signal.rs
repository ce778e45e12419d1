//! Waiting for signals.
//!
//! ```no_run
//! use layby::signal::{SIGHUP, SIGTERM, Signals};
//!
//! layby::run(|| {
//!     layby::go!(|| loop { /* serve */ layby::yield_now() });
//!     for signal in Signals::new([SIGTERM, SIGHUP])? {
//!         match signal {
//!             SIGHUP => println!("reading the settings again"),
//!             _ => break, // the end of `run` cancels the server
//!         }
//!     }
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The handlers are [signal-hook](https://docs.rs/signal-hook)'s, which shares each signal among all in the process
//! who ask for it. A handler stays when the last of those has gone: the signal is then ignored, and has not its default effect
//! again.

#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use signal_hook::SigId;
pub use signal_hook::consts::signal::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};

use crate::io::Fd;

/// Waits until the user presses Ctrl-C (`SIGINT`).
///
/// Blocks until then: the task parks, and a plain OS thread waits in the kernel. From the first call on, `SIGINT` does not end
/// the process any more. One that comes while nobody waits is ignored: in a loop, use [`Signals`].
///
/// # Cancellation
/// A suspension point.
///
/// # Errors
/// Those of [`Signals::new`].
///
/// # Examples
/// ```no_run
/// layby::run(|| {
///     layby::go!(|| loop { /* serve */ layby::yield_now() });
///     layby::signal::ctrl_c()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([SIGINT])?.wait().map(drop)
}

/// Some signals to wait for. As an iterator it gives them as they come, without end.
///
/// They are collected from [`new`](Signals::new) on. As with the kernel's own, one that comes again before it was
/// taken counts once.
///
/// # Cancellation
/// A task that is cancelled while it waits takes none.
///
/// # Examples
/// See [`new`](Signals::new).
#[derive(Debug)]
pub struct Signals {
    /// A byte comes with each signal.
    bell: Fd<UnixStream>,
    caught: Vec<Caught>,
}

#[derive(Debug)]
struct Caught {
    signal: i32,
    /// Set by the handler, before it rings.
    pending: Arc<AtomicBool>,
    handlers: Vec<SigId>,
}

impl Signals {
    /// Catches these signals from here on; they do not have their default effect any more.
    ///
    /// # Errors
    /// `InvalidInput` for what is no signal; those of `socketpair(2)`: no more descriptors.
    ///
    /// # Panics
    /// For `SIGKILL`, `SIGSTOP`, `SIGILL`, `SIGFPE` and `SIGSEGV`, which cannot be caught, or not in this way.
    ///
    /// # Examples
    /// ```
    /// use layby::signal::{SIGUSR1, Signals};
    ///
    /// layby::run(|| {
    ///     let mut signals = Signals::new([SIGUSR1])?;
    ///     let me = std::process::id().to_string();
    ///     layby::process::Command::new("kill").args(["-USR1", &me]).status()?;
    ///     assert_eq!(signals.wait()?, SIGUSR1);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new<I>(signals: I) -> io::Result<Signals>
    where
        I: IntoIterator,
        I::Item: Borrow<i32>,
    {
        let (bell, button) = UnixStream::pair()?;
        // Dropped on an error, it takes its handlers along.
        let mut this = Signals { bell: Fd::new(bell)?, caught: Vec::new() };
        for signal in signals {
            this.catch(*signal.borrow(), &button)?;
        }
        Ok(this)
    }

    fn catch(&mut self, signal: i32, button: &UnixStream) -> io::Result<()> {
        let pending = Arc::new(AtomicBool::new(false));
        self.caught.push(Caught { signal, pending: Arc::clone(&pending), handlers: Vec::new() });
        let caught = self.caught.last_mut().expect("just pushed");
        // They run in this order.
        caught.handlers.push(signal_hook::flag::register(signal, pending)?);
        let button = OwnedFd::from(button.try_clone()?);
        caught.handlers.push(signal_hook::low_level::pipe::register(signal, button)?);
        Ok(())
    }

    /// Waits for the next of the signals.
    ///
    /// Blocks until one comes: the task parks, and a plain OS thread waits in the kernel.
    ///
    /// # Errors
    /// Those of `recv(2)`, which do not happen.
    ///
    /// # Examples
    /// See [`new`](Signals::new).
    pub fn wait(&mut self) -> io::Result<i32> {
        crate::park::checkpoint();
        crate::park::refuse_if_due()?;
        loop {
            // AcqRel: with the handler's store; what came before the signal is seen.
            if let Some(caught) = self.caught.iter().find(|caught| caught.pending.swap(false, AcqRel)) {
                return Ok(caught.signal);
            }
            // A byte that came for a flag which is taken already costs one more round.
            let _rings = self.bell.read(&mut [0; 64])?;
        }
    }
}

/// Its `next` is [`wait`](Signals::wait); it ends only if that fails.
impl Iterator for Signals {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        self.wait().ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for handler in self.caught.iter().flat_map(|caught| &caught.handlers) {
            signal_hook::low_level::unregister(*handler);
        }
    }
}
