//! How much stack the tasks of each place have used.

use core::fmt;
use core::panic::Location;

use crate::sched;

/// How much of their stacks the tasks have used that were spawned at one place, with stacks of one size.
///
/// Its `Display` says all of that in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StackUsage {
    spawned_at: &'static Location<'static>,
    size: usize,
    used: sched::StackUse,
}

impl StackUsage {
    /// Where they were spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// How many have ended.
    pub fn tasks(&self) -> u64 {
        self.used.tasks
    }

    /// The most bytes that one of them has used, in whole pages: up to a page more than the truth.
    pub fn deepest(&self) -> usize {
        self.used.deepest
    }

    /// The size of their stacks in bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl fmt::Display for StackUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, size) = (self.deepest().div_ceil(1024), self.size / 1024);
        let tasks = self.tasks();
        let s = if tasks == 1 { "" } else { "s" };
        write!(f, "used {used} of {size} KiB: {tasks} task{s} spawned at {}", self.spawned_at)
    }
}

impl fmt::Debug for StackUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackUsage")
            .field("spawned_at", &format_args!("{}", self.spawned_at))
            .field("tasks", &self.tasks())
            .field("deepest", &self.deepest())
            .field("size", &self.size)
            .finish()
    }
}

/// How much stack the tasks have used that have ended so far, by the place where they were spawned; those that have used
/// the greatest part of theirs come first. Of the whole process, but only of runtimes in [debug mode](super::Builder::debug_mode).
///
/// What is counted are pages that were touched: what a task has called, its frames' unused parts too, and, where a page was
/// swapped out meanwhile, less. Stacks of generators are not looked at. Unoptimised code takes several times as much as
/// a release build.
///
/// # Examples
/// ```
/// layby::Builder::new().debug_mode(true).run(|| {
///     layby::spawn(|| std::hint::black_box([1_u8; 50_000])[7]).join().unwrap();
/// });
/// let usage = layby::runtime::stack_usage();
/// usage.iter().for_each(|place| println!("{place}")); // used 56 of 256 KiB: 1 task spawned at …
/// assert!(usage.iter().any(|place| place.deepest() > 50_000));
/// ```
pub fn stack_usage() -> Vec<StackUsage> {
    let places = sched::stacks();
    let mut usage: Vec<_> =
        places.into_iter().map(|(spawned_at, size, used)| StackUsage { spawned_at, size, used }).collect();
    // By the free part, in a thousandth: the order of places among equals is kept.
    usage.sort_by_key(|place| 1000 - place.deepest() * 1000 / place.size.max(1));
    usage
}
