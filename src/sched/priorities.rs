//! The order of [`Strategy::Pct`](super::seed::Strategy::Pct): the highest priority runs.

#![forbid(unsafe_code)]

use core::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::seed::USUAL_STEPS;
use crate::util::rng::Rng;

/// So often in a row one task is chosen before others, until it goes below them: it may be asking for something that they are to do.
const PATIENCE: u32 = 10_000;

/// Every task's priority, and when they change.
///
/// Those of tasks that are new are above `depth`, those that fall at a change point from `depth - 1` down to 1, and those of tasks
/// that have yielded below 0, the last one lowest.
#[derive(Debug)]
pub(super) struct Priorities {
    /// By the task's id. Never iterated over, so its order does not matter.
    of: RefCell<HashMap<u64, i64>>,
    /// At which steps one falls, and how far.
    changes: Vec<(u64, i64)>,
    steps: Cell<u64>,
    lowest: Cell<i64>,
    /// The last one chosen, and how often in a row.
    streak: Cell<(u64, u32)>,
}

impl Priorities {
    pub(super) fn new(depth: u32, steps: u32, rng: &Rng) -> Priorities {
        let steps = if steps == 0 { USUAL_STEPS } else { steps };
        let changes = (1..i64::from(depth)).map(|to| (1 + rng.below(u64::from(steps)), to)).collect();
        Priorities {
            of: RefCell::default(),
            changes,
            steps: Cell::new(0),
            lowest: Cell::new(0),
            streak: Cell::new((0, 0)),
        }
    }

    /// The task goes below all others.
    pub(super) fn sink(&self, task: u64) {
        self.lowest.set(self.lowest.get() - 1);
        self.of.borrow_mut().insert(task, self.lowest.get());
    }

    /// Which of `ready` is next. There is one.
    pub(super) fn choose(&self, ready: &[u64], rng: &Rng) -> usize {
        let step = self.steps.get() + 1;
        self.steps.set(step);
        let mut highest = self.highest(ready, rng);
        for &(at, to) in &self.changes {
            if at == step {
                self.of.borrow_mut().insert(ready[highest], to);
                highest = self.highest(ready, rng);
            }
        }
        let (last, times) = self.streak.get();
        let times = if last == ready[highest] { times + 1 } else { 1 };
        self.streak.set((ready[highest], times));
        if times < PATIENCE || ready.len() == 1 {
            return highest;
        }
        self.sink(ready[highest]);
        self.streak.set((0, 0));
        self.highest(ready, rng)
    }

    fn highest(&self, ready: &[u64], rng: &Rng) -> usize {
        let mut of = self.of.borrow_mut();
        // As good as never the same twice; if so, the first one runs.
        let new = || (rng.next() >> 2) as i64 + (1 << 32);
        let mut highest = (0, i64::MIN);
        for (place, task) in ready.iter().enumerate() {
            let priority = *of.entry(*task).or_insert_with(new);
            if priority > highest.1 {
                highest = (place, priority);
            }
        }
        highest.0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_highest_goes_on_until_it_falls() {
        for seed in 0..50 {
            let rng = Rng::new(seed);
            let priorities = Priorities::new(2, 10, &rng);
            let chosen: Vec<_> = (0..20).map(|_| priorities.choose(&[7, 8, 9], &rng)).collect();
            let falls = priorities.changes[0].0 as usize - 1;
            assert!(falls < 10);
            assert!(chosen[..falls].iter().all(|one| *one == chosen[0]), "{chosen:?}");
            assert!(chosen[falls..].iter().all(|one| *one == chosen[19]), "{chosen:?}");
            assert!(falls == 0 || chosen[0] != chosen[19], "{chosen:?} falls at {falls}");
        }
    }

    #[test]
    fn nobody_keeps_the_others_for_ever() {
        let rng = Rng::new(5);
        let priorities = Priorities::new(1, 10, &rng);
        let chosen: Vec<_> = (0..PATIENCE as usize + 5).map(|_| priorities.choose(&[7, 8], &rng)).collect();
        let turn = PATIENCE as usize - 1;
        assert!(chosen[..turn].iter().all(|one| *one == chosen[0]));
        assert!(chosen[turn..].iter().all(|one| *one == 1 - chosen[0]));
    }

    #[test]
    fn who_yields_goes_last() {
        let rng = Rng::new(3);
        let priorities = Priorities::new(1, 10, &rng);
        let ready = [7, 8, 9];
        let mut order = Vec::new();
        for _ in 0..6 {
            let chosen = ready[priorities.choose(&ready, &rng)];
            priorities.sink(chosen);
            order.push(chosen);
        }
        assert_eq!(order[..3], order[3..]);
        assert!(ready.iter().all(|task| order[..3].contains(task)));
    }
}
