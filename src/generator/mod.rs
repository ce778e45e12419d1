//! Generators: functions that hand out values one by one, and may be sent one for each.
//!
//! A [`Generator`] is a closure on a stack of its own, after [`core::ops::Coroutine`](https://doc.rust-lang.org/core/ops/trait.Coroutine.html)
//! and Python's generators. It runs when it is resumed, on the thread that resumes it, until it *suspends* itself
//! with a value; nothing runs at the same time. It needs no runtime.
//!
//! ```
//! use layby::generator::gen_iter;
//!
//! let mut fibonacci = gen_iter(|y| {
//!     let (mut a, mut b) = (0, 1);
//!     loop {
//!         y.suspend(a);
//!         (a, b) = (b, a + b);
//!     }
//! });
//! assert_eq!(fibonacci.by_ref().take(8).collect::<Vec<_>>(), [0, 1, 1, 2, 3, 5, 8, 13]);
//! ```
//!
//! | Python | here |
//! |---|---|
//! | `def f(): … yield v` | [`gen_iter(\|y\| { … y.suspend(v) })`](gen_iter) |
//! | `x = yield v` | `let x = y.suspend(v)` |
//! | `next(g)`, `for v in g` | `g.next()`, `for v in g` |
//! | `g.send(x)` | [`g.resume(x)`](Generator::resume); the first one goes to the closure's second argument |
//! | `return r`, `StopIteration.value` | the closure's result, [`GeneratorState::Complete`] |
//! | `yield from h` | [`y.delegate(h, x)`](Yielder::delegate) |
//! | `g.close()`, `GeneratorExit` | [`g.close()`](Generator::close), or its drop; [`is_close`] |
//! | `g.throw(e)` | none: send a `Result`, and use `?` on what `suspend` returns |
//!
//! # In a task
//! A generator's body may sleep, read, receive: then the *task* that has resumed it parks, with its own stack and the
//! generator's. If the task is cancelled meanwhile, the unwinding goes through the generator's frames, which finishes the
//! generator, and on in the task. Between two resumes a generator belongs to no task: an `Rc` may take it to
//! another one of the same worker. So it cannot be suspended out of what belongs to a task ([`Yielder::suspend`]).
//!
//! # The stack
//! It has the size of a task's, 256 KiB or what `LAYBY_STACK_SIZE` says, unless [`Generator::with_stack_size`] says otherwise,
//! and is guarded and reused like those. Running over its end ends the process, with a message. It is taken when the generator is made, and given
//! back when it has finished. A generator that is forgotten leaks its stack, as it is.
//!
//! # Thread-locals
//! What holds for tasks holds here: a std thread-local is shared with whoever resumes the generator, and one that is borrowed, or
//! entered in LIFO order, while the generator is suspended is so for all. One thing more must not be done, and nothing
//! can check it: to keep a generator, *in a thread-local*, suspended inside the `with` of another std thread-local
//! that has a destructor. At the thread's end the other one may be dropped first.
//!
//! # How it works
//! ```text
//!   resumer's stack            generator's stack                   of one that it delegates to
//!   ┌──────────────────┐       ┌────────────────────────────┐      ┌────────────────────────────┐
//!   │ …                │       │ Switch: where to return to │◀┐    │ Switch                     │
//!   │ resume(x) ───────│──────▶│ Yielder (top: itself)      │ └────│ Yielder (top)              │
//!   │           ◀──┐   │       │ the closure                │      │ the closure                │
//!   └──────────────│───┘       │   delegate ────────────────│─────▶│   suspend(v)               │
//!                  │           └────────────────────────────┘      └──│─────────────────────────┘
//!                  └── Yielded(v) ────────────────────────────────────┘
//! ```
//!
//! * *Suspending* leaves by the switch of the `top` generator, from whichever stack of the nest is the last. The next resume of
//!   that one comes back to the same place. So a task parks from inside a generator: by its own switch, to
//!   the scheduler (`park`). Depth costs nothing in either.
//! * *Closing* resumes the generator with the order to end: `suspend` throws a private payload, which the lowest frame of
//!   the stack catches. corosensei's own unwinding is not used: it throws from whatever switch, so from a
//!   park of the task as well, and into destructors. A nest is closed from the innermost.
//! * *A panic* is caught at the same place, is the coroutine's result, and goes on in the resumer. The mark that the
//!   task unwinds (`park::cancel`) stays on meanwhile, so a cancellation goes the same way.
//! * *Suspending while unwinding* is refused. It would leave std's count of panics, which is the thread's, raised behind the resumer's back. (It is told
//!   by that count. Where the task has waited during the unwinding, or a mate unwinds and waits, the count does not tell, and the
//!   suspension goes through: nothing worse than what it would leave.) A generator may be resumed in a destructor, though, by who unwinds himself.
//!
//! Rejected: *values in a shared cell*, in place of corosensei's register or pointer: no faster, and more unsafe. *A stack at the first
//! resume only*: the closure would need an allocation until then.

mod stacks;
mod yielder;

use core::fmt;
use core::iter::FusedIterator;
use core::mem::ManuallyDrop;
use std::panic::resume_unwind;
use std::thread;

pub use self::yielder::{Yielder, is_close};

use self::yielder::{Command, Special};
use crate::coroutine::{Coroutine, Step};
use crate::park;

/// What a generator did when it was resumed. Like `core::ops::CoroutineState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GeneratorState<Y, T> {
    /// It has suspended itself with this value.
    Yielded(Y),
    /// It has finished, with this result.
    Complete(T),
}

/// A closure with a stack of its own, which hands out values of type `Y` and is sent values of type `R`.
///
/// See the [module](self). It begins at the first resume. Dropped while it is suspended, it is [closed](Generator::close);
/// a panic from that goes on where it is dropped, unless that unwinds already.
///
/// Where nothing is sent (`R = ()`) it is an iterator.
///
/// # Examples
/// A running average:
/// ```
/// use layby::generator::{Generator, GeneratorState};
///
/// let mut average = Generator::new(|y, first: f64| -> f64 {
///     let (mut sum, mut count) = (first, 1.0);
///     loop {
///         sum += y.suspend(sum / count);
///         count += 1.0;
///     }
/// });
/// assert_eq!(average.resume(10.0), GeneratorState::Yielded(10.0));
/// assert_eq!(average.resume(20.0), GeneratorState::Yielded(15.0));
/// assert_eq!(average.resume(60.0), GeneratorState::Yielded(30.0));
/// ```
///
/// It stays on its thread:
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<layby::generator::Generator<(), u32, ()>>();
/// ```
/// ```compile_fail
/// fn sync<T: Sync>() {}
/// sync::<layby::generator::Generator<(), u32, ()>>();
/// ```
/// It borrows nothing, since it may be forgotten while something of it still runs:
/// ```compile_fail
/// let mut words = vec!["lay", "by"];
/// let mut generator = layby::generator::gen_iter(|y| y.suspend(words.pop()));
/// generator.next();
/// ```
/// ```compile_fail
/// use layby::generator::Generator;
/// let word = String::from("layby");
/// let mut generator = Generator::new(|y, word: &str| y.suspend(word.len()));
/// generator.resume(word.as_str());
/// ```
pub struct Generator<R: 'static, Y: 'static, T: 'static> {
    /// `None`: it has finished, and its stack was given back.
    ///
    /// Never dropped as it is: a coroutine that is suspended has frames on its stack.
    coroutine: Option<ManuallyDrop<Running<R, Y, T>>>,
}

/// No panic leaves it: that is its end, too.
type Running<R, Y, T> = Coroutine<Command<R, Y>, Y, thread::Result<T>>;

/// A generator that is sent nothing, and has no result: an iterator, written as a function.
///
/// # Panics
/// As [`Generator::new`].
///
/// # Examples
/// ```
/// use layby::generator::gen_iter;
///
/// let squares = gen_iter(|y| (1..=4).for_each(|n| y.suspend(n * n)));
/// assert_eq!(squares.sum::<u32>(), 30);
/// ```
#[inline]
#[track_caller]
pub fn gen_iter<Y, F>(f: F) -> Generator<(), Y, ()>
where
    F: FnOnce(&Yielder<(), Y>) + 'static,
{
    Generator::new(|y, ()| f(y))
}

impl<R, Y, T> Generator<R, Y, T> {
    /// A generator, not begun. `f` gets what it suspends itself by, and what the first resume sends.
    ///
    /// # Panics
    /// If there is no stack to be had; the message says what to raise.
    #[inline]
    #[track_caller]
    pub fn new<F>(f: F) -> Generator<R, Y, T>
    where
        F: FnOnce(&Yielder<R, Y>, R) -> T + 'static,
    {
        Generator::on_stack(None, f)
    }

    /// As [`new`](Generator::new), with at least so many usable bytes of stack (32 KiB are the least).
    ///
    /// # Panics
    /// As [`new`](Generator::new).
    #[track_caller]
    pub fn with_stack_size<F>(bytes: usize, f: F) -> Generator<R, Y, T>
    where
        F: FnOnce(&Yielder<R, Y>, R) -> T + 'static,
    {
        Generator::on_stack(Some(bytes), f)
    }

    #[inline]
    #[track_caller]
    fn on_stack<F>(size: Option<usize>, f: F) -> Generator<R, Y, T>
    where
        F: FnOnce(&Yielder<R, Y>, R) -> T + 'static,
    {
        let stack = match stacks::take(size) {
            Ok(stack) => stack,
            Err(error) => panic!("there is no stack for a generator: {error}"),
        };
        // What is captured goes on the stack, if it is small.
        let coroutine = if const { size_of::<F>() <= 512 && align_of::<F>() <= 16 } {
            Coroutine::with_body(stack, yielder::body(f))
        } else {
            Coroutine::with_body(stack, yielder::body(Box::new(f)))
        };
        Generator { coroutine: Some(ManuallyDrop::new(coroutine)) }
    }

    /// Runs the generator to its next [`suspend`](Yielder::suspend), or its end. `value` is what `suspend` returns in it,
    /// or, the first time, what its closure begins with.
    ///
    /// Blocks no longer than the generator's body does.
    ///
    /// # Cancellation
    /// A suspension point where the body meets one. If the task is cancelled there, the generator has finished.
    ///
    /// # Panics
    /// With the panic of the body, and the generator has finished then. If it has finished before.
    ///
    /// # Examples
    /// See [`Generator`].
    #[inline(always)]
    #[track_caller]
    pub fn resume(&mut self, value: R) -> GeneratorState<Y, T> {
        self.step(Command::Resume(value))
    }

    #[inline(always)]
    #[track_caller]
    fn step(&mut self, command: Command<R, Y>) -> GeneratorState<Y, T> {
        let Some(coroutine) = &mut self.coroutine else { finished() };
        match coroutine.step(command) {
            Step::Suspended(value) => GeneratorState::Yielded(value),
            Step::Ended(result) => GeneratorState::Complete(self.finish(result)),
        }
    }

    /// Whether it has finished: by its end, a panic, or a [`close`](Generator::close).
    pub fn is_finished(&self) -> bool {
        self.coroutine.is_none()
    }

    /// Ends the generator: at the `suspend` where it stands, it unwinds, and its destructors run. They may block. One that
    /// has not begun never does, and what its closure has captured is dropped.
    ///
    /// Python's `close`. Returns the result of a body that has caught the unwinding and come to its end; usually, and if it has
    /// finished before, `None`.
    ///
    /// In a program that was built with `panic = "abort"` nothing can unwind: what is on the stack is leaked with it.
    ///
    /// # Panics
    /// With a panic of the body, on its way out.
    ///
    /// # Examples
    /// ```
    /// use layby::generator::gen_iter;
    ///
    /// struct Light;
    ///
    /// impl Drop for Light {
    ///     fn drop(&mut self) {
    ///         println!("the light is off");
    ///     }
    /// }
    ///
    /// let mut room = gen_iter(|y| {
    ///     let _light = Light;
    ///     y.suspend("the light is on");
    ///     unreachable!("it is closed before");
    /// });
    /// assert_eq!(room.next(), Some("the light is on"));
    /// room.close();
    /// assert_eq!(room.next(), None);
    /// ```
    pub fn close(&mut self) -> Option<T> {
        let coroutine = self.coroutine.as_mut()?;
        if !coroutine.is_started() {
            let mut coroutine = self.coroutine.take()?;
            coroutine.discard();
            give_back(Some(coroutine));
            return None;
        }
        if !cfg!(panic = "unwind") {
            self.coroutine = None;
            return None;
        }
        let before = park::unwinding();
        let special = Special::Close;
        let Step::Ended(result) = coroutine.step(Command::Special((&special).into())) else {
            unreachable!("`suspend` throws in a generator that is closed")
        };
        if let Err(payload) = &result
            && is_close(&**payload)
        {
            park::set_unwinding(before);
            give_back(self.coroutine.take());
            return None;
        }
        let value = self.finish(result);
        park::set_unwinding(before);
        Some(value)
    }

    /// The body has ended.
    #[cold]
    #[inline(never)]
    fn finish(&mut self, result: thread::Result<T>) -> T {
        give_back(self.coroutine.take());
        // No hook, and no other code until the resumer's frames: it is the same panic.
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// Gives back the stack of a coroutine that has ended.
fn give_back<R, Y, T>(coroutine: Option<ManuallyDrop<Running<R, Y, T>>>) {
    if let Some(coroutine) = coroutine {
        stacks::give(ManuallyDrop::into_inner(coroutine).into_stack());
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn finished() -> ! {
    panic!("a generator that has finished cannot be resumed");
}

/// A generator that still stands somewhere is closed.
impl<R, Y, T> Drop for Generator<R, Y, T> {
    #[inline]
    fn drop(&mut self) {
        if self.coroutine.is_some() {
            end(self);
        }
    }
}

#[cold]
#[inline(never)]
fn end<R, Y, T>(generator: &mut Generator<R, Y, T>) {
    if !park::panicking() {
        generator.close();
        return;
    }
    let before = park::unwinding();
    let close = std::panic::AssertUnwindSafe(|| drop(generator.close()));
    if let Err(payload) = std::panic::catch_unwind(close) {
        // The hook has said it. To throw it here would end the process; its destructor might do so.
        core::mem::forget(payload);
        park::set_unwinding(before);
    }
}

impl<R, Y, T> fmt::Debug for Generator<R, Y, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// The values, without the result. After the end, or a panic, `None`.
impl<Y, T> Iterator for Generator<(), Y, T> {
    type Item = Y;

    #[inline(always)]
    fn next(&mut self) -> Option<Y> {
        if self.is_finished() {
            return None;
        }
        match self.resume(()) {
            GeneratorState::Yielded(value) => Some(value),
            GeneratorState::Complete(_) => None,
        }
    }
}

impl<Y, T> FusedIterator for Generator<(), Y, T> {}
