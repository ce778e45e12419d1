//! The stacks of a thread's generators.
//!
//! Each thread that has generators has a pool of its own, whether it is a worker or not: a generator never leaves its
//! thread, but may outlive the runtime in which it was made. Stacks that were used stay as they are,
//! hot, up to [`KEEP`] of them; further ones give their memory back to the system and wait in the pool.
//!
//! A thread that ends unmaps what is home. A generator that is dropped after that (it was in a thread-local that is dropped
//! later than this one) leaves its slab mapped; one that is made after that gets a pool for itself, which stays.

use std::cell::RefCell;
use std::io;

use crate::fiber::overflow::{self, Watched};
use crate::sched::Config;
use crate::stack::{Guard, Pool, Stack};
use crate::sys::signal_stack::SignalStack;

/// So many idle stacks of the default size stay hot.
const KEEP: usize = 32;

/// One thread's.
struct Stacks {
    pool: Pool,
    /// Idle, with the pages that they have touched; the last one is the hottest.
    hot: Vec<Stack>,
    /// What is asked of the pool for a stack of which nothing else was said, and what that comes to.
    default_size: usize,
    hot_size: usize,
    /// Overflows are reported as those of tasks are.
    _watched: Watched<'static>,
    _signal_stack: SignalStack,
}

thread_local! {
    static STACKS: RefCell<Option<Stacks>> = const { RefCell::new(None) };
}

/// A stack of `size` usable bytes, or of the default size.
///
/// # Errors
/// As [`Pool::take`]. What the environment says of stacks is wrong. There is no signal stack for the overflow report.
#[inline]
pub(super) fn take(size: Option<usize>) -> io::Result<Stack> {
    let hot = |stacks: &RefCell<Option<Stacks>>| stacks.borrow_mut().as_mut()?.hot.pop();
    match size {
        None => match STACKS.try_with(hot) {
            Ok(Some(stack)) => Ok(stack),
            _ => take_cold(size),
        },
        Some(_) => take_cold(size),
    }
}

#[cold]
#[inline(never)]
fn take_cold(size: Option<usize>) -> io::Result<Stack> {
    let cold = |stacks: &RefCell<Option<Stacks>>| {
        let mut stacks = stacks.borrow_mut();
        let stacks = match &mut *stacks {
            Some(stacks) => stacks,
            none => none.insert(Stacks::new()?),
        };
        let stack = stacks.pool.take(size.unwrap_or(stacks.default_size))?;
        if size.is_none() {
            stacks.hot_size = stack.size();
        }
        Ok(stack)
    };
    match STACKS.try_with(cold) {
        Ok(stack) => stack,
        // The thread ends. Of the pool, the slab stays, since this stack is out.
        Err(_) => Pool::new(Guard::detect()).take(size.unwrap_or(crate::stack::DEFAULT_SIZE)),
    }
}

/// Takes back a stack on which nothing is left.
pub(super) fn give(stack: Stack) {
    let mut stack = Some(stack);
    let _ = STACKS.try_with(|stacks| {
        if let Some(stacks) = &mut *stacks.borrow_mut()
            && let Some(stack) = stack.take()
        {
            stacks.give(stack);
        }
    });
    // Otherwise the thread ends, and the slot stays as it is.
}

impl Stacks {
    fn new() -> io::Result<Stacks> {
        let config = Config::from_env()?;
        let signal_stack = overflow::prepare()?;
        let pool = Pool::new(config.guard);
        let watched = Watched::new(pool.slabs(), None);
        Ok(Stacks {
            pool,
            hot: Vec::new(),
            default_size: config.stack_size,
            hot_size: 0,
            _watched: watched,
            _signal_stack: signal_stack,
        })
    }

    fn give(&mut self, stack: Stack) {
        if self.hot.len() < KEEP && stack.size() == self.hot_size {
            self.hot.push(stack);
        } else {
            self.pool.give(stack);
        }
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        // Home, so that their slabs are unmapped.
        for stack in self.hot.drain(..) {
            self.pool.give(stack);
        }
    }
}
