//! Waiting for a descriptor, on the reactor of the worker that the task lives on.

use core::ptr::NonNull;
use std::io;
use std::os::fd::RawFd;

use super::refusal::fallibly;
use super::{Deadline, Details, Outcome, Reason, Wait, Waiter, park, throw_cancelled};
use crate::reactor::{Direction, FdWait, Reactor, Source};
use crate::sched;
use crate::sys::describe::describe_fd;

/// Whether the caller is a task.
#[inline]
pub(crate) fn on_task() -> bool {
    sched::current().is_some()
}

/// The reactor of the caller's worker; None on a thread that is no task.
#[inline]
pub(crate) fn with_reactor<R>(f: impl FnOnce(&Reactor) -> R) -> Option<R> {
    sched::current().map(|(worker, _)| f(&worker.reactor))
}

/// A node in a reactor's list of waiters.
struct FdNode<'a> {
    reactor: &'a Reactor,
    node: FdWait,
    fd: RawFd,
    direction: Direction,
}

impl Wait for FdNode<'_> {
    fn withdraw(&self) -> bool {
        // SAFETY: the node was made for this reactor's thread, which is this one.
        unsafe { self.reactor.remove(NonNull::from(&self.node)) }
    }

    fn describe(&self, details: &mut Details) {
        details.text = describe_fd(self.fd, matches!(self.direction, Direction::Read));
    }
}

/// Waits until `fd` may be ready. `Ok` means: try again.
///
/// A suspension point: unwinds if the task is cancelled. (Where nothing can unwind it returns `Ok`; see `refusal`.) Must be called on a task.
///
/// # Errors
/// `TimedOut` at the deadline; what `epoll_ctl` says of a descriptor that cannot be waited for.
#[inline(always)]
pub(crate) fn fd_wait(
    source: &Source,
    fd: RawFd,
    direction: Direction,
    deadline: Deadline,
) -> io::Result<()> {
    let (worker, _) = sched::current().expect("fd_wait is for tasks");
    let node = FdWait::new(worker.running().cast());
    let wait = FdNode { reactor: &worker.reactor, node, fd, direction };
    if !enqueue(&wait, source, fd, direction)? {
        return Ok(());
    }
    let reason = match direction {
        Direction::Read => Reason::Read,
        Direction::Write => Reason::Write,
    };
    let waiter = Waiter::Task(worker.running());
    match fallibly(|| park(reason, deadline, &waiter, &wait)) {
        Outcome::Woken => Ok(()),
        Outcome::TimedOut => Err(io::ErrorKind::TimedOut.into()),
        // The caller looks why, and fails.
        Outcome::Cancelled if cfg!(not(panic = "unwind")) => Ok(()),
        Outcome::Cancelled => throw_cancelled(),
    }
}

/// False: it may be ready already, as a look at its flags says.
#[inline(never)]
fn enqueue(wait: &FdNode<'_>, source: &Source, fd: RawFd, direction: Direction) -> io::Result<bool> {
    let key = source.key(wait.reactor, fd)?;
    if wait.reactor.may_be_ready(key, direction) {
        return Ok(false);
    }
    // SAFETY: the node is on the caller's frame, on this worker, and is unlinked before the frame ends:
    // `park` returns only when it is.
    unsafe { wait.reactor.enqueue(key, direction, NonNull::from(&wait.node)) };
    Ok(true)
}
