//! The wheel case by case: boundaries, removal in every state, order, idle gaps.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::wheel::{LAST_TICK, TICK_NS};
use super::{Entry, Wheel};

const HOUR: u64 = 3_600_000_000_000;

/// A pinned entry whose owner is a number.
fn entry(id: usize) -> Pin<Box<Entry>> {
    let address = NonZeroUsize::new(id + 1).unwrap();
    Box::pin(Entry::new(NonNull::without_provenance(address)))
}

fn insert(wheel: &mut Wheel, entry: &Pin<Box<Entry>>, deadline: u64) {
    // SAFETY: boxed and pinned; each test removes, pops or outlives the wheel's use of it.
    unsafe { wheel.insert(NonNull::from(&**entry), deadline) };
}

fn remove(wheel: &mut Wheel, entry: &Pin<Box<Entry>>) {
    // SAFETY: alive, and each test has one wheel.
    unsafe { wheel.remove(NonNull::from(&**entry)) };
}

fn pop(wheel: &mut Wheel) -> Option<usize> {
    Some(wheel.pop_expired()?.addr().get() - 1)
}

/// Advances, and pops everything.
fn expire(wheel: &mut Wheel, now: u64) -> Vec<usize> {
    wheel.advance(now);
    std::iter::from_fn(|| pop(wheel)).collect()
}

#[test]
fn empty() {
    let mut wheel = Wheel::new(12345);
    assert!(wheel.is_empty());
    assert_eq!(wheel.len(), 0);
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(expire(&mut wheel, u64::MAX), []);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn an_entry_tells_its_state() {
    let e = entry(41);
    assert!(!e.is_linked());
    assert_eq!(e.owner().addr().get(), 42);
    assert_eq!(e.deadline(), 0);
    let mut wheel = Wheel::new(0);
    insert(&mut wheel, &e, 77);
    assert!(e.is_linked());
    assert_eq!(e.deadline(), 77);
    assert_eq!(wheel.len(), 1);
    wheel.advance(TICK_NS);
    assert!(e.is_linked(), "expired, not popped");
    assert_eq!(wheel.len(), 1);
    assert_eq!(pop(&mut wheel), Some(41));
    assert!(!e.is_linked());
    assert!(wheel.is_empty());
}

/// Rounded up to the tick: due exactly at it, never before.
#[test]
fn fires_at_the_end_of_its_tick() {
    for base in [0, 1, 63, 64, 4095, 4096, 1 << 30] {
        let base = base * TICK_NS;
        for offset in [1, 2, TICK_NS / 2, TICK_NS - 1, TICK_NS] {
            let e = entry(0);
            let mut wheel = Wheel::new(base);
            insert(&mut wheel, &e, base + offset);
            assert_eq!(wheel.next_deadline(), Some(base + TICK_NS));
            assert_eq!(expire(&mut wheel, base + TICK_NS - 1), []);
            assert_eq!(expire(&mut wheel, base + TICK_NS), [0]);
        }
    }
}

#[test]
fn overdue_fires_at_the_next_advance_even_if_time_stands_still() {
    let now = 1000 * TICK_NS + 5;
    for deadline in [0, 1, now - TICK_NS, now - 5] {
        let e = entry(3);
        let mut wheel = Wheel::new(now);
        insert(&mut wheel, &e, deadline);
        assert_eq!(pop(&mut wheel), None, "not before the next advance");
        assert!(wheel.next_deadline().unwrap() <= now);
        // Time that goes backwards is no time at all.
        assert_eq!(expire(&mut wheel, 0), [3]);
        assert_eq!(wheel.next_deadline(), None);
    }
}

/// A ready task that sleeps for nothing, over and over, must not hold the worker in its pop loop.
#[test]
fn inserting_overdue_between_pops_waits_for_the_next_advance() {
    let e = entry(0);
    let mut wheel = Wheel::new(HOUR);
    insert(&mut wheel, &e, 0);
    for _ in 0..3 {
        wheel.advance(HOUR);
        assert_eq!(pop(&mut wheel), Some(0));
        insert(&mut wheel, &e, 0);
        assert_eq!(pop(&mut wheel), None);
    }
    remove(&mut wheel, &e);
}

#[test]
fn never_means_never() {
    let last = LAST_TICK * TICK_NS;
    for deadline in [u64::MAX, u64::MAX - 1, last + 1] {
        let e = entry(0);
        let mut wheel = Wheel::new(0);
        insert(&mut wheel, &e, deadline);
        assert_eq!(wheel.len(), 1);
        assert_eq!(wheel.next_deadline(), None);
        assert_eq!(expire(&mut wheel, u64::MAX), []);
        assert!(e.is_linked());
        remove(&mut wheel, &e);
        assert!(wheel.is_empty());
        insert(&mut wheel, &e, u64::MAX);
        remove(&mut wheel, &e);
    }
    let e = entry(0);
    let mut wheel = Wheel::new(0);
    insert(&mut wheel, &e, last);
    assert_eq!(wheel.next_deadline(), Some(last));
    assert_eq!(expire(&mut wheel, last - 1), []);
    assert_eq!(expire(&mut wheel, last), [0]);
}

/// Around each power of 64 ticks a digit runs over into the next, and slot indices begin anew.
#[test]
fn boundaries_of_levels() {
    for level in 0..9 {
        for turns in [1, 2, if level < 8 { 63 } else { 15 }] {
            let boundary = turns << (6 * level);
            for before in [1, 2, 3, 64] {
                let start = u64::saturating_sub(boundary, before);
                let ticks = start..boundary + 66;
                let entries: Vec<_> = ticks.clone().map(|t| entry(t as usize)).collect();
                let insert_all = |wheel: &mut Wheel| {
                    for (i, e) in entries.iter().enumerate().rev() {
                        insert(wheel, e, (start + i as u64) * TICK_NS);
                    }
                };
                // Once tick by tick, once in a leap.
                let mut wheel = Wheel::new(start * TICK_NS);
                insert_all(&mut wheel);
                for tick in ticks.clone() {
                    assert_eq!(expire(&mut wheel, tick * TICK_NS), [tick as usize]);
                    let next = (tick + 1) * TICK_NS;
                    let expected = ticks.contains(&(tick + 1)).then_some(next);
                    assert_eq!(wheel.next_deadline(), expected);
                }
                let mut wheel = Wheel::new(start * TICK_NS);
                insert_all(&mut wheel);
                let all: Vec<_> = ticks.clone().map(|t| t as usize).collect();
                assert_eq!(expire(&mut wheel, ticks.end * TICK_NS), all);
            }
        }
    }
}

#[test]
fn remove_in_every_state() {
    let now = 5000 * TICK_NS;
    // Overdue, each level, never.
    let mut deadlines = vec![0, u64::MAX];
    deadlines.extend((0..9).map(|level| now + (TICK_NS << (6 * level))));
    for &deadline in &deadlines {
        // Each subset of three in one list, removed in each order: head, middle, tail, alone.
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for count in 0..=3 {
                let entries = [entry(0), entry(1), entry(2)];
                let mut wheel = Wheel::new(now);
                for e in &entries {
                    insert(&mut wheel, e, deadline);
                }
                for &i in &order[..count] {
                    remove(&mut wheel, &entries[i]);
                    assert!(!entries[i].is_linked());
                    remove(&mut wheel, &entries[i]); // not linked: nothing
                }
                assert_eq!(wheel.len(), 3 - count);
                let mut left = order[count..].to_vec();
                left.sort_unstable();
                if deadline == u64::MAX {
                    left.clear();
                    entries.iter().for_each(|e| remove(&mut wheel, e));
                }
                assert_eq!(wheel.next_deadline().is_some(), !left.is_empty());
                assert_eq!(expire(&mut wheel, u64::MAX), left);
                assert!(wheel.is_empty());
            }
        }
    }
}

#[test]
fn remove_among_the_expired() {
    let entries: Vec<_> = (0..5).map(entry).collect();
    let mut wheel = Wheel::new(0);
    for (i, e) in entries.iter().enumerate() {
        insert(&mut wheel, e, (i as u64 + 1) * TICK_NS);
    }
    wheel.advance(HOUR);
    remove(&mut wheel, &entries[0]);
    remove(&mut wheel, &entries[4]);
    assert_eq!(pop(&mut wheel), Some(1));
    assert!(wheel.next_deadline().unwrap() <= HOUR, "more to pop");
    remove(&mut wheel, &entries[2]);
    // Popped or removed, it may go in again.
    insert(&mut wheel, &entries[1], HOUR + TICK_NS);
    assert_eq!(pop(&mut wheel), Some(3));
    assert_eq!(pop(&mut wheel), None);
    assert_eq!(expire(&mut wheel, HOUR + 2 * TICK_NS), [1]);
    assert!(wheel.is_empty());
}

#[test]
fn order_is_by_tick_then_by_insertion() {
    let entries: Vec<_> = (0..400).map(entry).collect();
    let mut wheel = Wheel::new(0);
    // 7919 is prime to 100: four entries on each of a hundred ticks, across three levels.
    let tick = |i: usize| (i as u64 * 7919 % 100) * 97 + 1;
    for (i, e) in entries[..200].iter().enumerate() {
        insert(&mut wheel, e, tick(i) * TICK_NS);
    }
    // The second half meets the first half on levels that have cascaded in between.
    let mut fired = expire(&mut wheel, 40 * TICK_NS);
    for (i, e) in entries.iter().enumerate().skip(200) {
        insert(&mut wheel, e, tick(i).max(41) * TICK_NS);
    }
    fired.extend(expire(&mut wheel, HOUR));
    let mut expected: Vec<_> = (0..400).collect();
    expected.sort_by_key(|&i| if i < 200 { tick(i) } else { tick(i).max(41) });
    assert_eq!(fired, expected);
}

/// Follows `next_deadline` until everything has fired; returns how often it woke.
fn wakes(wheel: &mut Wheel) -> u32 {
    let mut wakes = 0;
    let mut now = 0;
    while let Some(next) = wheel.next_deadline() {
        assert!(next > now, "would spin");
        now = next;
        expire(wheel, now);
        wakes += 1;
    }
    wakes
}

#[test]
fn an_idle_sleeper_costs_one_wake_up_and_a_stale_one_one_more() {
    for level in 0..9 {
        let long = 3 * (TICK_NS << (6 * level));
        let (short, sleeper) = (entry(0), entry(1));
        let mut wheel = Wheel::new(TICK_NS / 3);
        insert(&mut wheel, &sleeper, long);
        assert_eq!(wakes(&mut wheel), 1);
        let mut wheel = Wheel::new(TICK_NS / 3);
        insert(&mut wheel, &sleeper, long + long / 10);
        insert(&mut wheel, &short, long);
        remove(&mut wheel, &short);
        assert!(wakes(&mut wheel) <= 2);
    }
}

#[test]
fn long_gaps_are_leapt_over() {
    let began = Instant::now();
    let e = entry(0);
    let mut wheel = Wheel::new(0);
    let mut now = 0;
    for hours in 0..50_000_u64 {
        let deadline = now + hours % 30 * HOUR + 1;
        insert(&mut wheel, &e, deadline);
        assert_eq!(expire(&mut wheel, deadline - 1), []);
        assert_eq!(expire(&mut wheel, deadline + TICK_NS), [0]);
        now = deadline + TICK_NS;
    }
    // Tick by tick these would be 10^14 steps.
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_dropped_wheel_lets_its_entries_go() {
    let entries: Vec<_> = (0..4).map(entry).collect();
    let mut wheel = Wheel::new(HOUR);
    for (e, deadline) in entries.iter().zip([0, HOUR + 1, 2 * HOUR, u64::MAX]) {
        insert(&mut wheel, e, deadline);
    }
    drop(wheel);
    assert!(entries.iter().all(|e| !e.is_linked()));
}

#[test]
fn debug_tells_what_is_in_it() {
    let e = entry(0);
    let mut wheel = Wheel::new(0);
    insert(&mut wheel, &e, TICK_NS);
    let text = format!("{wheel:?}");
    assert!(text.contains("next_deadline: Some(4096)"), "{text}");
    assert!(text.contains("len: 1"), "{text}");
    remove(&mut wheel, &e);
}
