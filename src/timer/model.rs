//! The wheel against a sorted map, over many seeds: the same operations, the same owners in the same
//! order, and the promises about time checked on their own.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::ptr::NonNull;

use super::wheel::{LAST_TICK, TICK_NS};
use super::{Entry, Wheel};

/// Xorshift64*.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Every order of magnitude below 2^`bits` is as likely as every other.
    fn magnitude(&mut self, bits: usize) -> u64 {
        let bits = self.below(bits);
        self.next() >> (63 - bits)
    }
}

/// Where the model has an entry. Keys sort as the wheel must hand out.
#[derive(Clone, Copy)]
enum Place {
    Out,
    /// The tick it expires at, and a number that counts insertions.
    Waiting((u64, u64)),
    Expired,
}

/// The wheel and what it should be, driven side by side.
struct Pair {
    wheel: Wheel,
    entries: Vec<Pin<Box<Entry>>>,
    places: Vec<Place>,
    waiting: BTreeMap<(u64, u64), usize>,
    expired: VecDeque<usize>,
    now: u64,
    inserted: u64,
    /// No removal since the wheel was last empty, so `next_deadline` has to be exact.
    exact: bool,
}

impl Pair {
    fn new(now: u64, count: usize) -> Pair {
        let owner = |id| NonNull::without_provenance(NonZeroUsize::new(id + 1).unwrap());
        Pair {
            wheel: Wheel::new(now),
            entries: (0..count).map(|id| Box::pin(Entry::new(owner(id)))).collect(),
            places: vec![Place::Out; count],
            waiting: BTreeMap::new(),
            expired: VecDeque::new(),
            now,
            inserted: 0,
            exact: true,
        }
    }

    fn insert(&mut self, id: usize, deadline: u64) {
        // SAFETY: pinned, out of the wheel (asked by the caller), and removed before it dies.
        unsafe { self.wheel.insert(NonNull::from(&*self.entries[id]), deadline) };
        let tick = deadline.div_ceil(TICK_NS);
        // What is overdue comes before everything else, in order of insertion.
        let tick = if tick <= self.now / TICK_NS { 0 } else { tick };
        self.inserted += 1;
        let key = (tick, self.inserted);
        self.waiting.insert(key, id);
        self.places[id] = Place::Waiting(key);
    }

    fn remove(&mut self, id: usize) {
        // SAFETY: alive, and never in another wheel.
        unsafe { self.wheel.remove(NonNull::from(&*self.entries[id])) };
        match self.places[id] {
            Place::Out => return,
            Place::Waiting(key) => assert_eq!(self.waiting.remove(&key), Some(id)),
            Place::Expired => self.expired.retain(|&other| other != id),
        }
        self.places[id] = Place::Out;
        self.exact = false;
    }

    fn advance(&mut self, now: u64) {
        self.wheel.advance(now);
        self.now = self.now.max(now);
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > self.now / TICK_NS {
                break;
            }
            let id = first.remove();
            self.places[id] = Place::Expired;
            self.expired.push_back(id);
        }
        for &id in &self.expired {
            assert!(self.entries[id].deadline() <= self.now, "early");
        }
        for (&(tick, _), &id) in &self.waiting {
            let late_at = self.entries[id].deadline().checked_add(TICK_NS);
            let in_time = late_at.is_none_or(|late_at| self.now < late_at);
            assert!(in_time || tick > LAST_TICK, "late");
        }
    }

    fn pop(&mut self) {
        let id = self.wheel.pop_expired().map(|owner| owner.addr().get() - 1);
        assert_eq!(id, self.expired.pop_front());
        if let Some(id) = id {
            self.places[id] = Place::Out;
        }
    }

    fn check(&mut self) {
        let len = self.waiting.len() + self.expired.len();
        assert_eq!(self.wheel.len(), len);
        assert_eq!(self.wheel.is_empty(), len == 0);
        self.exact |= len == 0;
        for (entry, place) in self.entries.iter().zip(&self.places) {
            assert_eq!(entry.is_linked(), !matches!(place, Place::Out));
        }
        let next = self.wheel.next_deadline();
        let first = self.waiting.keys().map(|key| key.0).next();
        if !self.expired.is_empty() || first == Some(0) {
            assert!(next.unwrap() <= self.now, "something is due now");
        } else if let Some(first) = first.filter(|&tick| tick <= LAST_TICK) {
            let next = next.expect("something will be due");
            assert!(next > self.now, "would spin");
            assert!(next <= first * TICK_NS, "would oversleep");
            assert!(!self.exact || next == first * TICK_NS, "would wake early");
        } else {
            assert_eq!(next, None, "nothing will ever be due");
        }
    }
}

/// Deadlines near and far, past, and beside the boundaries of slots.
fn deadline(rng: &mut Rng, now: u64) -> u64 {
    match rng.below(16) {
        0 => u64::MAX - rng.magnitude(14),
        1 => now.saturating_sub(rng.magnitude(40)),
        2 => now,
        3..6 => {
            let shift = 12 + 6 * rng.below(9);
            let boundary = (now >> shift).saturating_add(1 + rng.magnitude(3)) as u128;
            let boundary = u64::try_from(boundary << shift).unwrap_or(u64::MAX);
            let beside = rng.magnitude(14);
            if rng.below(2) == 0 { boundary.saturating_sub(beside) } else { boundary.saturating_add(beside) }
        }
        6..10 => now.saturating_add(rng.magnitude(24)),
        _ => now.saturating_add(rng.magnitude(64)),
    }
}

fn step(rng: &mut Rng, pair: &mut Pair, removals: bool) {
    let id = rng.below(pair.entries.len());
    match rng.below(16) {
        0..7 => {
            if let Place::Out = pair.places[id] {
                let deadline = deadline(rng, pair.now);
                pair.insert(id, deadline);
            }
        }
        7..10 if removals => pair.remove(id),
        7..12 => {
            let now = match (rng.below(8), pair.wheel.next_deadline()) {
                (0, _) => pair.now.saturating_sub(rng.magnitude(40)),
                (1, _) => pair.now.saturating_add(rng.magnitude(58)),
                (2..4, Some(next)) => next,
                (4..6, Some(next)) => next.saturating_sub(1),
                _ => pair.now.saturating_add(rng.magnitude(30)),
            };
            pair.advance(now);
        }
        12 => {
            while !pair.expired.is_empty() {
                pair.pop();
            }
        }
        _ => pair.pop(),
    }
}

fn run(seed: u64, steps: usize, entries: usize, removals: bool) {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let start = match rng.below(4) {
        0 => 0,
        1 => u64::MAX - rng.magnitude(50),
        _ => rng.magnitude(64),
    };
    let mut pair = Pair::new(start, entries);
    for _ in 0..steps {
        step(&mut rng, &mut pair, removals);
        pair.check();
    }
    // To the end of time, in the order of the map; the rest never fires.
    pair.advance(u64::MAX);
    while !pair.expired.is_empty() {
        pair.pop();
    }
    pair.check();
    assert_eq!(pair.wheel.pop_expired(), None);
    for id in 0..entries {
        pair.remove(id);
    }
    pair.check();
    assert!(pair.wheel.is_empty());
}

#[test]
fn agrees_with_a_sorted_map() {
    for seed in 0..400 {
        run(seed, 1000, 1 + seed as usize % 40, true);
    }
}

#[test]
fn agrees_with_a_sorted_map_when_crowded() {
    for seed in 0..10 {
        run(seed, 4000, 500, true);
    }
}

#[test]
fn next_deadline_is_exact_without_removals() {
    for seed in 0..200 {
        run(seed, 1000, 1 + seed as usize % 40, false);
    }
}
