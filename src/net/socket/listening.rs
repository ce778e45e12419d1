//! Accepting, for listeners of all kinds.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockAddr;

use super::{Options, StdListener};
use crate::io::descriptor::{Descriptor, Transfer};
use crate::park;
use crate::reactor::Direction;
use crate::sleep::sleep;
use crate::sys::poll::{is_ready, would_block};
use crate::sys::socket;

/// What accepting takes of a task's budget, beside the one for any I/O: so that no more than 16 connections are accepted in
/// one turn. Most begin a task each. A crowd of those that have not started would be taken for the work of a worker that does not
/// get to it, and moved to an idle one, where they stay: of 1,000 connections one of two workers had 600 at times.
const COST: u32 = 7;
/// How long an `accept` that found no descriptor or no memory waits before it says so.
const PAUSE: Duration = Duration::from_millis(10);

/// A listener of std's that tasks can wait for.
#[derive(Debug)]
pub(in crate::net) struct Listening<L: StdListener> {
    descriptor: Descriptor<L>,
    options: Arc<ListenerOptions>,
}

/// Shared by the clones of a listener.
#[derive(Debug)]
struct ListenerOptions {
    of_socket: Options,
    /// The open file may be in blocking mode, where `accept` is safe only if somebody waits there:
    /// standard input (as inetd passes it), whose mode other processes share, or one of which std has a
    /// clone. Relaxed: it orders nothing.
    may_block: AtomicBool,
}

impl<L: StdListener> Listening<L> {
    /// One that is non-blocking.
    pub(in crate::net) fn new(listener: L) -> Listening<L> {
        Listening::with(listener, false)
    }

    fn with(listener: L, may_block: bool) -> Listening<L> {
        let may_block = AtomicBool::new(may_block);
        let options = ListenerOptions { of_socket: Options::new(), may_block };
        Listening { descriptor: Descriptor::new(listener), options: Arc::new(options) }
    }

    pub(in crate::net) fn from_std(listener: L) -> Listening<L> {
        let shared_with_others = listener.as_raw_fd() <= 2;
        let may_block = shared_with_others || listener.set_nonblocking(true).is_err();
        Listening::with(listener, may_block)
    }

    pub(in crate::net) fn into_std(self) -> L {
        let listener = self.descriptor.into_inner();
        let nonblocking = self.options.of_socket.nonblocking();
        if !nonblocking {
            // For the clones.
            self.options.may_block.store(true, Relaxed);
        }
        if listener.as_raw_fd() > 2 {
            // Cannot fail on an open descriptor.
            let _ = listener.set_nonblocking(nonblocking);
        }
        listener
    }

    pub(in crate::net) fn as_std(&self) -> &L {
        self.descriptor.get()
    }

    pub(in crate::net) fn try_clone(&self) -> io::Result<Listening<L>> {
        let descriptor = Descriptor::new(self.as_std().try_clone()?);
        Ok(Listening { descriptor, options: Arc::clone(&self.options) })
    }

    pub(in crate::net) fn set_nonblocking(&self, nonblocking: bool) {
        self.options.of_socket.set_nonblocking(nonblocking);
    }

    /// The next connection, and whose it is.
    #[inline(always)]
    pub(in crate::net) fn accept(&self) -> io::Result<(OwnedFd, SockAddr)> {
        park::spend_budget(COST);
        let accepted = self.descriptor.perform(
            Direction::Read,
            self.options.of_socket.patience(),
            |fd| self.accept_now(fd),
            |_| Transfer::Full,
        );
        match accepted {
            Ok(accepted) => Ok(accepted),
            Err(error) => Err(self.after_a_pause(error)),
        }
    }

    /// No connection was taken off the queue, so whoever tries again meets the same error at once: unless it waits.
    #[cold]
    fn after_a_pause(&self, error: io::Error) -> io::Error {
        if socket::is_exhausted(&error) && !self.options.of_socket.nonblocking() {
            sleep(PAUSE);
        }
        error
    }

    fn accept_now(&self, fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
        loop {
            if self.options.may_block.load(Relaxed) && !is_ready(fd, Direction::Read)? {
                return Err(would_block());
            }
            match socket::accept(fd) {
                Err(error) if socket::is_aborted(&error) => {}
                result => return result,
            }
        }
    }
}
