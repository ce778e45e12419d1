//! The generator's side: the handle by which a body suspends itself, and what comes to it at a resume.

use core::any::Any;
use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use super::{Generator, GeneratorState};
use crate::coroutine;
use crate::park::{self, Close, Here};

/// How a generator leaves its stack.
pub(super) type Switch<R, Y> = coroutine::Yielder<Command<R, Y>, Y>;

/// What a generator is resumed with.
pub(super) enum Command<R: 'static, Y: 'static> {
    /// The value that its `suspend` returns, or its body begins with.
    Resume(R),
    /// What is rarer. It is on the resumer's frame, and taken before anything else happens.
    Special(NonNull<Special<R, Y>>),
}

/// See [`Command::Special`].
pub(super) enum Special<R: 'static, Y: 'static> {
    /// As `Resume`, by a generator that delegates: suspensions go where those of `top` go.
    Delegate { first: Cell<Option<R>>, top: *const Yielder<R, Y> },
    /// It is to end.
    Close,
}

/// Whether a caught payload is that of a [`Generator::close`], for code that catches unwinds inside of a generator.
///
/// Such code should pass it on, by [`std::panic::resume_unwind`]; otherwise the generator meets it again when it suspends itself.
///
/// # Examples
/// ```
/// use layby::generator::{gen_iter, is_close};
/// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
///
/// let mut numbers = gen_iter(|y| {
///     for n in 0.. {
///         if let Err(payload) = catch_unwind(AssertUnwindSafe(|| y.suspend(n))) {
///             assert!(is_close(&*payload));
///             resume_unwind(payload);
///         }
///     }
/// });
/// assert_eq!(numbers.next(), Some(0));
/// drop(numbers);
/// ```
pub fn is_close(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Close>()
}

/// A generator's own handle: what its body suspends itself by. It stays in the body.
///
/// # Examples
/// Neither `Send` nor `Sync`:
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<&layby::generator::Yielder<(), u32>>();
/// ```
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<layby::generator::Yielder<(), u32>>();
/// ```
/// It does not leave the body:
/// ```compile_fail
/// use layby::generator::{Generator, Yielder};
/// let mut kept: Option<&'static Yielder<(), u32>> = None;
/// Generator::new(move |y, ()| kept = Some(y)).resume(());
/// ```
pub struct Yielder<R: 'static, Y: 'static> {
    /// Lies at the bottom of this very stack.
    switch: NonNull<Switch<R, Y>>,
    /// The one whose resumer gets what this generator suspends itself with: its own, or while another generator
    /// delegates to it, that one's.
    top: Cell<*const Yielder<R, Y>>,
    /// Where it was resumed; nowhere while it is suspended, or being closed.
    here: Cell<Here>,
    /// No panic was under way on the thread when it was resumed: one that is began in it.
    calm: Cell<bool>,
    /// It is being closed.
    closing: Cell<bool>,
}

impl<R, Y> fmt::Debug for Yielder<R, Y> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}

/// The body of a coroutine that is a generator. No panic leaves it: it is the result.
pub(super) fn body<R, Y, T, F>(f: F) -> impl FnOnce(&Switch<R, Y>, Command<R, Y>) -> thread::Result<T>
where
    F: FnOnce(&Yielder<R, Y>, R) -> T + 'static,
{
    move |switch, command| {
        let yielder = Yielder {
            switch: NonNull::from(switch),
            top: Cell::new(ptr::null()),
            here: Cell::new(Here::NOWHERE),
            calm: Cell::new(true),
            closing: Cell::new(false),
        };
        yielder.top.set(&yielder);
        catch_unwind(AssertUnwindSafe(|| {
            let first = yielder.land(command);
            f(&yielder, first)
        }))
    }
}

impl<R, Y> Yielder<R, Y> {
    /// Hands `value` to whoever has resumed the generator, and stops here until it is resumed. Returns what it is
    /// resumed with.
    ///
    /// # Panics
    /// * With a private payload, by which the generator unwinds, if it is closed or dropped instead. If that is caught,
    ///   it comes again at the next `suspend`.
    /// * If a [`timeout`](crate::timeout()), [`scope`](crate::scope()), [`gather`](crate::gather()), [`race`](crate::race()),
    ///   [`shield`](crate::shield) or [`LocalKey::with`](crate::task::LocalKey::with) that was opened in the generator is still
    ///   open: the generator may be resumed by another task.
    /// * On another stack than the generator's: in a task of a `gather_local!`, in the root task of a [`run`](crate::run).
    /// * In a destructor that runs because the generator unwinds. There Rust makes a panic an abort.
    ///
    /// # Examples
    /// ```
    /// use layby::generator::{Generator, GeneratorState};
    ///
    /// let mut echo = Generator::new(|y, first: u32| {
    ///     let second = y.suspend(first);
    ///     y.suspend(second)
    /// });
    /// assert_eq!(echo.resume(1), GeneratorState::Yielded(1));
    /// assert_eq!(echo.resume(2), GeneratorState::Yielded(2));
    /// assert_eq!(echo.resume(3), GeneratorState::Complete(3));
    /// ```
    #[inline(always)]
    #[track_caller]
    pub fn suspend(&self, value: Y) -> R {
        let top = self.top();
        if top.here.get() != Here::now() || thread::panicking() {
            top.check();
        }
        top.here.set(Here::NOWHERE);
        // SAFETY: the bottom of `top`'s stack, which is there as long as `top`.
        let switch = unsafe { top.switch.as_ref() };
        let command = switch.suspend(value);
        top.land(command)
    }

    /// Runs `inner` in this generator's place: what it suspends itself with goes to this generator's resumer, and what
    /// that sends goes to it. Returns its result. Python's `yield from`.
    ///
    /// If it has not begun, it begins with `first`, otherwise its `suspend` returns that. A panic of it goes on
    /// here. If this generator is closed, `inner` is closed before. To any depth: what the innermost suspends
    /// itself with goes straight to the outermost's resumer, in one switch.
    ///
    /// # Panics
    /// If `inner` has finished. With its panic. As [`suspend`](Yielder::suspend).
    ///
    /// # Examples
    /// ```
    /// use layby::generator::{Generator, Yielder, gen_iter};
    ///
    /// let mut countdown = gen_iter(|y| {
    ///     for from in [2, 3] {
    ///         let length = y.delegate(
    ///             Generator::new(move |y: &Yielder<(), u32>, ()| {
    ///                 (1..=from).rev().for_each(|n| y.suspend(n));
    ///                 from
    ///             }),
    ///             (),
    ///         );
    ///         assert_eq!(length, from);
    ///     }
    /// });
    /// assert_eq!(countdown.by_ref().collect::<Vec<_>>(), [2, 1, 3, 2, 1]);
    /// ```
    #[track_caller]
    pub fn delegate<T: 'static>(&self, mut inner: Generator<R, Y, T>, first: R) -> T {
        let special = Special::Delegate { first: Cell::new(Some(first)), top: self.top.get() };
        let mut state = inner.step(Command::Special(NonNull::from(&special)));
        loop {
            match state {
                GeneratorState::Complete(result) => {
                    if self.top().closing.get() {
                        // It has kept the close to itself. This one was closed, too.
                        throw_close();
                    }
                    return result;
                }
                // It was delegating itself when it came here, and what it delegates to knows of no other way than through
                // it.
                GeneratorState::Yielded(value) => state = inner.resume(self.suspend(value)),
            }
        }
    }

    #[inline(always)]
    fn top(&self) -> &Yielder<R, Y> {
        // SAFETY: `self`, or the yielder of a generator that is delegating to this one, perhaps through others:
        // each of those owns the next one in a frame of its `delegate`, so its own lives longer.
        unsafe { &*self.top.get() }
    }

    /// The generator runs again. What it was resumed with.
    #[inline(always)]
    fn land(&self, command: Command<R, Y>) -> R {
        self.calm.set(!thread::panicking());
        match command {
            Command::Resume(value) => {
                self.here.set(Here::now());
                value
            }
            Command::Special(special) => {
                // SAFETY: on the frame of the resumer, which waits.
                self.land_specially(unsafe { special.as_ref() })
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn land_specially(&self, special: &Special<R, Y>) -> R {
        match special {
            Special::Delegate { first, top } => {
                self.top.set(*top);
                self.here.set(Here::now());
                first.take().expect("taken once")
            }
            Special::Close => {
                // Whoever has delegated to it may have gone already.
                self.top.set(self);
                self.closing.set(true);
                throw_close();
            }
        }
    }

    /// It is not where it was resumed, or somebody unwinds: panics, or throws the close again. Returns if there is no harm.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn check(&self) {
        assert!(
            !self.calm.get() || !park::panics_for_sure(),
            "a generator cannot be suspended while it unwinds: a destructor has to do without"
        );
        if self.closing.get() {
            throw_close();
        }
        let (then, now) = (self.here.get(), Here::now());
        assert!(
            now.is_same_task(then),
            "a generator was suspended on another stack than its own: in a task inside of it, or from outside"
        );
        assert!(
            now == then,
            "a generator cannot be suspended out of a timeout, scope, gather, shield or `with` of a task-local that was \
             opened in it: another task may resume it"
        );
    }
}

/// Unwinds the generator. No panic hook runs.
#[cold]
#[inline(never)]
fn throw_close() -> ! {
    park::begin_throw();
    resume_unwind(Box::new(Close))
}
