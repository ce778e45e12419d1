//! A descriptor that tasks can wait for, and the one skeleton that every operation on one follows.
//!
//! ```text
//!   perform ─┬─ spend_budget           may yield; a cancelled task unwinds here, with nothing done yet
//!            │                         (`refuse_if_due`: or fails here, and after a wait, where nothing can unwind)
//!            └─ loop ─┬─ attempt       out of line, has returned before anything suspends:
//!                     │                known not ready -> Wait
//!                     │                the system call  -> Done, or EAGAIN: mark_drained -> Wait
//!                     └─ wait          a task parks in `park::fd_wait`; a thread blocks in `ppoll`
//! ```
//!
//! `perform` and `wait` are inlined into the operation, so that no out-of-line frame is alive across
//! the switch. Once a call has succeeded there is no suspension point before its result is returned:
//! bytes that were read and connections that were accepted cannot be lost to a cancellation.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use crate::blocking::unblock;
use crate::park::{self, Deadline};
use crate::reactor::{Direction, Reactor, Source};
use crate::sys::poll;

/// An open descriptor together with its registrations.
///
/// The calls made on it must not block, be it by `O_NONBLOCK` or by a flag of the call.
#[derive(Debug)]
pub(crate) struct Descriptor<T> {
    /// Dropped first, so that the descriptor is deregistered before `inner` closes it.
    registrations: Registrations,
    inner: T,
}

#[derive(Debug)]
struct Registrations {
    source: Source,
    fd: RawFd,
}

impl Drop for Registrations {
    fn drop(&mut self) {
        self.source.deregister(self.fd);
    }
}

/// How long an operation waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// It returns `WouldBlock` instead.
    None,
    /// As long as it takes.
    Endless,
    /// For at most this long in all; then it returns the error that the function makes.
    Within(Duration, fn() -> io::Error),
}

impl Patience {
    fn at_an_end(self) -> io::Error {
        match self {
            Patience::Within(_, error) => error(),
            Patience::None | Patience::Endless => poll::would_block(),
        }
    }
}

/// Whether a successful transfer of a stream tells that the next one would block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// It might succeed.
    Full,
    /// Less than asked for, more than nothing: the queue was empty, or full. To be said of stream
    /// sockets and pipes alone; see the reactor's documentation.
    Short,
}

impl Transfer {
    /// Of `done` bytes where `asked` could have been. (Zero is the end, which is no shortage.)
    #[inline]
    pub(crate) fn of(done: usize, asked: usize) -> Transfer {
        if 0 < done && done < asked { Transfer::Short } else { Transfer::Full }
    }
}

/// When an operation's time is over, on the clock of those who wait: tasks or threads.
#[derive(Clone, Copy, Debug)]
enum End {
    OfTask(Deadline),
    OfThread(Instant),
}

enum Attempt<R> {
    Done(io::Result<R>),
    Wait,
}

/// The error for what epoll refuses (`EPERM`): a regular file, or a device that is always ready.
#[cold]
pub(crate) fn not_pollable() -> io::Error {
    let text = "the system cannot wait for this kind of descriptor, such as a regular file: use layby::fs, or layby::unblock \
                around its blocking calls";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

impl<T: AsFd> Descriptor<T> {
    pub(crate) fn new(inner: T) -> Descriptor<T> {
        let fd = inner.as_fd().as_raw_fd();
        Descriptor { registrations: Registrations { source: Source::new(), fd }, inner }
    }

    /// What it was made from. No reactor knows it any more.
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }

    #[inline]
    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    /// Must go on being the same open descriptor.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Calls `operation`, which must not block, until it says something else than `WouldBlock` (or
    /// `Interrupted`), and waits in between. `transfer` judges a success.
    #[inline(always)]
    pub(crate) fn perform<R>(
        &self,
        direction: Direction,
        patience: Patience,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
        transfer: impl Fn(&R) -> Transfer,
    ) -> io::Result<R> {
        let fd = self.inner.as_fd();
        self.registrations.perform(direction, patience, || operation(fd), transfer)
    }

    /// As [`perform`](Descriptor::perform), for an operation that wants the owner of the descriptor for itself.
    #[inline(always)]
    pub(crate) fn perform_mut<R>(
        &mut self,
        direction: Direction,
        patience: Patience,
        mut operation: impl FnMut(&mut T) -> io::Result<R>,
        transfer: impl Fn(&R) -> Transfer,
    ) -> io::Result<R> {
        let Descriptor { registrations, inner } = self;
        registrations.perform(direction, patience, || operation(inner), transfer)
    }
}

/// `fd` is open: its owner lies beside, and calls these through a reference to both.
impl Registrations {
    /// See [`Descriptor::perform`].
    #[inline(always)]
    fn perform<R>(
        &self,
        direction: Direction,
        patience: Patience,
        mut operation: impl FnMut() -> io::Result<R>,
        transfer: impl Fn(&R) -> Transfer,
    ) -> io::Result<R> {
        park::spend_budget(1);
        park::refuse_if_due()?;
        let mut deadline = None;
        // The last attempt is always a real one: what the reactor knows may be old by then.
        let mut last = matches!(patience, Patience::None);
        loop {
            match self.attempt(direction, last, &mut operation, &transfer) {
                Attempt::Done(result) => return result,
                Attempt::Wait if last => return Err(patience.at_an_end()),
                Attempt::Wait => last = !self.wait(direction, patience, &mut deadline)?,
            }
            park::refuse_if_due()?;
        }
    }

    /// Waits for readiness; `false` when the time is over, which runs from the operation's first wait.
    #[inline(always)]
    fn wait(&self, direction: Direction, patience: Patience, deadline: &mut Option<End>) -> io::Result<bool> {
        let limit = match patience {
            Patience::Within(limit, _) => Some(limit),
            Patience::None | Patience::Endless => None,
        };
        if !park::on_task() {
            return self.wait_on_thread(direction, limit, deadline);
        }
        let deadline = match (limit, *deadline) {
            (None, _) => Deadline::NEVER,
            (Some(_), Some(End::OfTask(end))) => end,
            (Some(limit), _) => {
                let end = Deadline::after(limit);
                *deadline = Some(End::OfTask(end));
                end
            }
        };
        match park::fd_wait(&self.source, self.fd, direction, deadline) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.wait_on_pool(direction, deadline)
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(not_pollable()),
            Err(error) => Err(error),
        }
    }

    /// Where another owner has registered this very descriptor: one made by `from_raw_fd` from a number
    /// that goes on being used elsewhere, which is fine with std as long as only one of the two closes it.
    /// An epoll knows each descriptor once, so a pool thread waits.
    #[cold]
    fn wait_on_pool(&self, direction: Direction, deadline: Deadline) -> io::Result<bool> {
        // A wait on the pool cannot be cancelled, so it is cut into slices.
        const SLICE: Duration = Duration::from_millis(50);
        park::checkpoint();
        let fd = self.fd;
        let left = if deadline.is_never() { SLICE } else { deadline.remaining().min(SLICE) };
        let ready = unblock(|| poll::wait_fd(fd, direction, Some(left)))?;
        Ok(ready || deadline.is_never() || !deadline.remaining().is_zero())
    }

    #[cold]
    fn wait_on_thread(
        &self,
        direction: Direction,
        limit: Option<Duration>,
        deadline: &mut Option<End>,
    ) -> io::Result<bool> {
        let left = limit.map(|limit| {
            let now = Instant::now();
            if deadline.is_none() {
                *deadline = now.checked_add(limit).map(End::OfThread);
            }
            match *deadline {
                Some(End::OfThread(end)) => end.saturating_duration_since(now),
                _ => limit,
            }
        });
        // The thread's timeouts, too.
        let allowed = park::time_left();
        let cut_short = allowed.is_some_and(|allowed| left.is_none_or(|left| allowed < left));
        let ready = poll::wait_fd(self.fd, direction, if cut_short { allowed } else { left })?;
        if !ready {
            park::checkpoint();
        }
        Ok(ready || cut_short)
    }

    /// Never inlined: it has returned when the task suspends.
    #[inline(never)]
    fn attempt<R>(
        &self,
        direction: Direction,
        certainly: bool,
        operation: &mut impl FnMut() -> io::Result<R>,
        transfer: &impl Fn(&R) -> Transfer,
    ) -> Attempt<R> {
        let mut attempt =
            |reactor: Option<&Reactor>| self.attempt_with(reactor, direction, certainly, operation, transfer);
        park::with_reactor(|reactor| attempt(Some(reactor))).unwrap_or_else(|| attempt(None))
    }

    #[inline]
    fn attempt_with<R>(
        &self,
        reactor: Option<&Reactor>,
        direction: Direction,
        certainly: bool,
        operation: &mut impl FnMut() -> io::Result<R>,
        transfer: &impl Fn(&R) -> Transfer,
    ) -> Attempt<R> {
        let registered =
            reactor.and_then(|reactor| self.source.registered(reactor).map(|key| (reactor, key)));
        if let Some((reactor, key)) = registered
            && !certainly
            && !reactor.may_be_ready(key, direction)
        {
            return Attempt::Wait;
        }
        loop {
            let result = operation();
            match &result {
                Ok(value) => {
                    if let Some((reactor, key)) = registered
                        && transfer(value) == Transfer::Short
                    {
                        reactor.mark_short(key, direction);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some((reactor, key)) = registered {
                        reactor.mark_drained(key, direction);
                    }
                    return Attempt::Wait;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {}
            }
            return Attempt::Done(result);
        }
    }
}
