//! `timeout` and `shield`: how long a piece of code may take, and which one must not be cut short.
//!
//! Both are thin: what decides, and where, is in `park::frames`.

#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use std::error::Error;
use std::io;

use crate::instant::Instant;
use crate::park::{self, Caught, Frame, Mask};

/// Runs `f` on the current task, for `dur` at most: past that, its next suspension point unwinds to here.
///
/// Whatever waits inside obeys it (a `read`, a `join`, a lock, a `sleep`), and so do the calls of other crates that wait in layby
/// underneath. Nothing is spawned and nothing is allocated, unless the time runs out. It works on a thread that is no task, too.
///
/// * The body's value, or its panic, wins over the timeout: one that meets no suspension point past the deadline returns its value.
///   A zero `dur` lets it run to its first.
/// * Of nested timeouts that are both over, the outer one reports.
/// * Afterwards the task is as before: it is not cancelled.
/// * Like a cancellation, the unwinding runs destructors, in which suspension points do not throw (but for a `timeout` in
///   there), and comes again at the next suspension point if the body catches it ([`is_cancellation`](crate::task::is_cancellation)
///   tells it from a panic).
/// * What must not be cut short goes on: [`shield`], [`unblock`](crate::unblock), a destructor.
/// * [`Duration::MAX`] is no limit.
///
/// It comes some tens of microseconds late, as [`sleep`](crate::sleep()) does; in code whose operations never have to wait up to
/// some milliseconds. [`check_cancelled`](crate::task::check_cancelled) is a suspension point for computations.
///
/// # Cancellation
/// Not a suspension point itself. A cancellation of the task comes from further out than all timeouts.
///
/// # Errors
/// [`Elapsed`], which turns into an [`io::Error`] of kind `TimedOut`, if the time ran out and that has ended `f`.
///
/// # Panics
/// With the panic of `f`.
///
/// # Examples
/// ```
/// use layby::{sleep, timeout};
/// use std::time::Duration;
///
/// let quick = timeout(Duration::from_secs(5), || 1 + 1);
/// assert_eq!(quick, Ok(2));
///
/// let slow = timeout(Duration::from_millis(5), || sleep(Duration::from_secs(3600)));
/// assert!(slow.is_err());
/// ```
/// With `?`, in code that returns [`io::Result`]:
/// ```
/// use layby::net::TcpStream;
/// use std::io::{self, Read};
/// use std::time::Duration;
///
/// fn greeting(mut stream: &TcpStream) -> io::Result<[u8; 5]> {
///     let mut bytes = [0; 5];
///     layby::timeout(Duration::from_millis(10), || stream.read_exact(&mut bytes))??;
///     Ok(bytes)
/// }
///
/// layby::run(|| {
///     let listener = layby::net::TcpListener::bind("127.0.0.1:0")?;
///     let silent = TcpStream::connect(listener.local_addr()?)?;
///     assert_eq!(greeting(&silent).unwrap_err().kind(), io::ErrorKind::TimedOut);
///     Ok::<(), io::Error>(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
#[inline(always)]
pub fn timeout<F, T>(dur: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    outcome(park::enclose(dur, None, |_| f()))
}

/// As [`timeout()`], until `deadline`. One that is past lets `f` run to its first suspension point. Takes std's
/// [`Instant`](std::time::Instant), or [layby's](crate::time::Instant).
///
/// # Errors
/// As [`timeout()`].
///
/// # Panics
/// As [`timeout()`].
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// let deadline = Instant::now() + Duration::from_millis(5);
/// let (first, second) = layby::run(|| {
///     let nap = || layby::sleep(Duration::from_millis(3));
///     (layby::timeout_at(deadline, nap), layby::timeout_at(deadline, || layby::sleep(Duration::MAX)))
/// });
/// assert!(second.is_err());
/// # let _ = first;
/// ```
#[inline(always)]
pub fn timeout_at<F, T>(deadline: impl Into<Instant>, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T,
{
    outcome(park::enclose(until(deadline.into()), None, |_| f()))
}

/// As [`timeout()`], with the deadline in the hands of `f`, which can move it.
///
/// # Errors
/// As [`timeout()`].
///
/// # Panics
/// As [`timeout()`].
///
/// # Examples
/// Each message buys another while:
/// ```
/// use layby::{sleep, timeout_with};
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let mut messages = 0;
///     let result = timeout_with(Duration::from_secs(1), |deadline| {
///         for pause in [500, 800, 900, 2000, 100] {
///             sleep(Duration::from_millis(pause));
///             messages += 1;
///             deadline.extend(Duration::from_secs(1))?;
///         }
///         Ok(())
///     });
///     assert!(result.is_err());
///     assert_eq!(messages, 3);
///     # result.and_then(|inner: Result<(), layby::Elapsed>| inner).unwrap_err();
/// });
/// ```
pub fn timeout_with<F, T>(dur: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce(&Deadline<'_>) -> T,
{
    let when = Instant::now().checked_add(dur);
    outcome(park::enclose(dur, None, |frame| f(&Deadline { frame, when: Cell::new(when) })))
}

#[inline]
fn outcome<T>(result: Result<T, Caught>) -> Result<T, Elapsed> {
    match result {
        Ok(value) => Ok(value),
        Err(Caught::Expiry) => Err(Elapsed(())),
        Err(Caught::Other(payload)) => park::rethrow(payload),
    }
}

fn until(instant: Instant) -> Duration {
    instant.saturating_duration_since(Instant::now())
}

/// The deadline of a [`timeout_with`], to look at and to move.
///
/// It belongs to the task (or thread) that the timeout is on:
/// ```compile_fail
/// layby::timeout_with(std::time::Duration::ZERO, |deadline| {
///     std::thread::scope(|scope| {
///         scope.spawn(|| deadline.when());
///     });
/// });
/// ```
pub struct Deadline<'a> {
    frame: &'a Frame,
    when: Cell<Option<Instant>>,
}

impl fmt::Debug for Deadline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expired = self.has_passed();
        f.debug_struct("Deadline").field("when", &self.when()).field("has_passed", &expired).finish()
    }
}

impl Deadline<'_> {
    /// When the time will be over; `None`: never.
    pub fn when(&self) -> Option<Instant> {
        self.when.get()
    }

    /// Whether the time is over, as far as has been noticed: the next suspension point that is not shielded unwinds.
    pub fn has_passed(&self) -> bool {
        self.frame.is_expired()
    }

    /// Moves it, nearer or further; `None`: never. One that is past unwinds at the next suspension point.
    ///
    /// # Errors
    /// It [has passed](Deadline::has_passed): that stays so.
    pub fn reschedule(&self, when: Option<Instant>) -> Result<(), Elapsed> {
        self.set(when.map_or(Duration::MAX, until), when)
    }

    /// Moves it to `dur` from now.
    ///
    /// # Errors
    /// As [`reschedule`](Deadline::reschedule).
    pub fn extend(&self, dur: Duration) -> Result<(), Elapsed> {
        self.set(dur, Instant::now().checked_add(dur))
    }

    fn set(&self, limit: Duration, when: Option<Instant>) -> Result<(), Elapsed> {
        if !self.frame.reschedule(limit) {
            return Err(Elapsed(()));
        }
        self.when.set(when);
        Ok(())
    }
}

/// The error of a [`timeout()`]: the time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, whole: cancellation of the task, and timeouts around the shield, wait until it has returned.
///
/// Timeouts inside of `f` work. Its value is returned; what was held back comes at the next suspension point. For updates that
/// must not stop half-way, and around callbacks from C, through whose frames nothing may unwind.
///
/// Structures inside of `f` (a [`scope`](crate::scope()), a `gather!`) are protected with it. The children of a scope around it are not:
/// they are cancelled at once.
///
/// # Panics
/// With the panic of `f`.
///
/// # Examples
/// ```
/// use layby::{shield, sleep, timeout};
/// use std::time::Duration;
///
/// layby::run(|| {
///     let mut steps = 0;
///     let result = timeout(Duration::from_millis(5), || {
///         shield(|| {
///             steps += 1;
///             sleep(Duration::from_millis(20)); // longer than the timeout allows
///             steps += 1;
///         });
///         sleep(Duration::from_millis(1)); // it comes here
///         steps += 1;
///     });
///     assert!(result.is_err());
///     assert_eq!(steps, 2);
/// });
/// ```
#[inline]
pub fn shield<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    let _mask = Mask::new();
    f()
}
