//! Task-locals that children inherit.

use crate::common::{Drops, Token, on, quiet_panics, watchdog, workers};
use layby::task::{self, Group, spawn_after, spawn_eager};
use layby::{gather, go, scope, spawn_local, task_local, testing, unblock};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

task_local! {
    /// Documentation before it, and an attribute after it.
    #[inherit]
    #[allow(dead_code)]
    pub(crate) static DEPTH: Cell<u32> = const { Cell::new(0) };
    #[inherit]
    static TRAIL: RefCell<Vec<u32>> = RefCell::new(vec![1]);
    static OWN: Cell<u32> = const { Cell::new(0) };
}

#[test]
fn every_way_to_spawn_bequeaths() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            OWN.set(5);
            assert_eq!(go!(|| (DEPTH.get(), OWN.get())).join().unwrap(), (0, 0));
            DEPTH.set(7);
            let seen = || (DEPTH.get(), OWN.get());
            let mut group = Group::new();
            group.spawn(seen);
            let (a, b) = gather!(seen(), seen());
            let all = [
                go!(seen).join().unwrap(),
                spawn_local(seen).join().unwrap(),
                spawn_eager(seen).join().unwrap(),
                task::Builder::new().stack_size(1 << 20).spawn(seen).unwrap().join().unwrap(),
                scope(|s| s.spawn(seen).join().unwrap()),
                group.next().unwrap().unwrap(),
                spawn_after(Duration::from_millis(1), seen).join().unwrap(),
                go!(move || go!(seen).join().unwrap()).join().unwrap(),
                a,
                b,
            ];
            assert!(all.iter().all(|seen| *seen == (7, 0)), "{all:?}");
            // Not those of the blocking pool, and not from a thread.
            assert_eq!(unblock(seen), (0, 0));
            let outside = unblock(move || {
                DEPTH.set(9);
                let seen = go!(seen).join().unwrap();
                DEPTH.set(0);
                seen
            });
            assert_eq!(outside, (0, 0));
        });
    }
}

/// A task that begins later has what its spawner had when it spawned it, as Python's `call_later`.
#[test]
fn values_are_those_of_the_spawn() {
    let _watchdog = watchdog(60);
    for seed in 0..20 {
        testing::run(seed, || {
            let trail = || TRAIL.with_borrow(Clone::clone);
            TRAIL.with_borrow_mut(|trail| trail.push(2));
            let later = spawn_after(Duration::from_secs(1), move || {
                TRAIL.with_borrow_mut(|trail| trail.push(4));
                (trail(), go!(trail).join().unwrap())
            });
            let now = go!(trail);
            TRAIL.set(vec![3]);
            assert_eq!(now.join().unwrap(), [1, 2]);
            assert_eq!(later.join().unwrap(), (vec![1, 2, 4], vec![1, 2, 4]));
            assert_eq!(trail(), [3]);
        });
    }
}

/// A value that is counted, and may refuse to be cloned.
struct Counted(Drops, #[allow(dead_code)] Token, Cell<bool>);

impl Clone for Counted {
    fn clone(&self) -> Counted {
        assert!(!self.2.get(), "expected: not this time");
        Counted(self.0.clone(), self.0.token(), Cell::new(false))
    }
}

impl Counted {
    fn new(drops: &Drops) -> Option<Counted> {
        Some(Counted(drops.clone(), drops.token(), Cell::new(false)))
    }
}

task_local! {
    #[inherit]
    static FIRST: RefCell<Option<Counted>> = const { RefCell::new(None) };
    #[inherit]
    static SECOND: RefCell<Option<Counted>> = const { RefCell::new(None) };
}

#[test]
fn copies_are_dropped_once_whatever_becomes_of_the_task() {
    let _watchdog = watchdog(60);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            FIRST.set(Counted::new(&drops));
            SECOND.set(Counted::new(&drops));
            go!(|| ()).join().unwrap();
            assert_eq!(drops.count(), 2, "two copies");
            let cancelled = go!(|| ());
            cancelled.cancel();
            let _ = cancelled.join();
            assert_eq!(drops.count(), 4);
            let delayed = spawn_after(Duration::from_secs(3600), || ());
            delayed.cancel();
            assert_eq!(drops.count(), 6);
            assert!(go!(|| panic!("expected")).join().is_err());
            assert_eq!(drops.count(), 8);
            // The clone of the second one panics: the spawn does, the copy of the first goes, and so does the closure.
            SECOND.with_borrow(|value| value.as_ref().unwrap().2.set(true));
            let token = drops.token();
            let spawned = catch_unwind(AssertUnwindSafe(|| go!(move || drop(token))));
            assert!(spawned.is_err());
            assert_eq!(drops.count(), 10);
            SECOND.set(None);
            let scoped = || scope(|s| s.spawn(|| FIRST.with_borrow(Option::is_some)).join().unwrap());
            assert!(scoped());
            // Mutably borrowed it cannot be cloned.
            let borrowed = || FIRST.with_borrow_mut(|_| go!(|| ()));
            testing_quiet();
            assert!(catch_unwind(AssertUnwindSafe(borrowed)).is_err());
        });
    }
}

fn testing_quiet() {
    crate::common::quiet_panics_that_say("already mutably borrowed");
}
