//! The switch: the one file that names corosensei, so that another switch could take its place.
//!
//! A [`Coroutine`] is a stack with a suspended computation on it. It is *never dropped while
//! suspended* with frames of others on its stack: corosensei would throw through them, again at each
//! later suspend, and a destructor that blocks would abort the process. What may be left suspended is
//! only a body that waits at its own top frame, which ends when it is resumed with the order to.
//!
//! No panic may leave a body (it would abort: there is no frame below to catch it).

use core::num::NonZeroUsize;

use crate::stack::Stack;

/// corosensei's view of one of our stacks.
struct CoStack(Stack);

// SAFETY: a `Stack` is at least `stack::MIN_SIZE` bytes of mapped memory above a guard that faults,
// its base and limit are 16-aligned, and it is owned: nothing else uses the range.
unsafe impl corosensei::stack::Stack for CoStack {
    #[inline(always)]
    fn base(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.base()).expect("a stack does not end at address 0")
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.0.limit()).expect("a stack does not begin at address 0")
    }
}

/// What the body of a coroutine suspends itself with.
pub(crate) type Yielder<In, Out> = corosensei::Yielder<In, Out>;

/// What a coroutine did when it was resumed.
pub(crate) enum Step<Out, End> {
    /// It has suspended itself.
    Suspended(Out),
    /// Its body has ended.
    Ended(End),
}

/// A stack and what runs on it. `In` goes in at each resume, `Out` comes out at each suspend, `End` at the end.
pub(crate) struct Coroutine<In: 'static, Out: 'static, End: 'static = ()>(
    corosensei::Coroutine<In, Out, End, CoStack>,
);

impl<In: 'static, Out: 'static, End: 'static> core::fmt::Debug for Coroutine<In, Out, End> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Coroutine").field("done", &self.0.done()).finish_non_exhaustive()
    }
}

impl<In: 'static, Out: 'static> Coroutine<In, Out> {
    /// Puts `body` on the stack. It begins at the first resume.
    pub(crate) fn new(stack: Stack, body: fn(&Yielder<In, Out>, In)) -> Coroutine<In, Out> {
        Coroutine(corosensei::Coroutine::with_stack(CoStack(stack), body))
    }

    /// Runs the body to its next suspend (`Some`) or its end (`None`).
    #[inline(always)]
    pub(crate) fn resume(&mut self, input: In) -> Option<Out> {
        match self.step(input) {
            Step::Suspended(out) => Some(out),
            Step::Ended(()) => None,
        }
    }
}

impl<In: 'static, Out: 'static, End: 'static> Coroutine<In, Out, End> {
    /// Puts `body`, with what it has captured, on the stack. It begins at the first resume.
    ///
    /// # Panics
    /// If it has captured more than 1 KiB.
    #[inline]
    pub(crate) fn with_body<F>(stack: Stack, body: F) -> Coroutine<In, Out, End>
    where
        F: FnOnce(&Yielder<In, Out>, In) -> End + 'static,
    {
        Coroutine(corosensei::Coroutine::with_stack(CoStack(stack), body))
    }

    /// Runs the body to its next suspend or its end.
    #[inline(always)]
    pub(crate) fn step(&mut self, input: In) -> Step<Out, End> {
        match self.0.resume(input) {
            corosensei::CoroutineResult::Yield(out) => Step::Suspended(out),
            corosensei::CoroutineResult::Return(end) => Step::Ended(end),
        }
    }

    /// Whether the body has begun.
    pub(crate) fn is_started(&self) -> bool {
        self.0.started()
    }

    /// Drops a body that has not begun, here and now.
    ///
    /// # Panics
    /// With the panic of a destructor. If it has begun.
    pub(crate) fn discard(&mut self) {
        assert!(!self.0.started(), "the body has begun");
        // Of one that was never resumed, this drops what was put on the stack, and nothing else.
        self.0.force_unwind();
    }

    /// The stack of a coroutine whose body has ended.
    pub(crate) fn into_stack(self) -> Stack {
        self.0.into_stack().0
    }
}
