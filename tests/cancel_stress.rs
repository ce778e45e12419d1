//! Trees of tasks that scope, gather, race, time out, shield, panic and are cancelled at random, by a seed.
//!
//! What must hold, whatever happens: every task of a structure has ended when the structure is left; every value is dropped exactly
//! once; a timeout is not early; nobody hangs (the watchdog, and the seeded run itself). `LAYBY_SEED` repeats a run; `STRESS_SEEDS` sets
//! how many there are, `STRESS_FROM` the first.

#![allow(clippy::unit_arg, reason = "`Ok(sleep(…))` says what is meant")]

mod common;

use common::{Drops, OnDrop, Rng, on, quiet_panics, watchdog};
use layby::time::Instant;
use layby::{gather, race, scope, shield, sleep, task, testing, timeout, try_gather, try_scope};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// What a run counts.
#[derive(Default)]
struct World {
    made: AtomicUsize,
    drops: Drops,
    /// Tasks of structures that have begun, and not ended.
    alive: AtomicUsize,
}

impl World {
    fn token(&self) -> common::Token {
        self.made.fetch_add(1, SeqCst);
        self.drops.token()
    }
}

/// Lives as long as its task's closure runs.
struct Alive<'a>(&'a AtomicUsize);

impl<'a> Alive<'a> {
    fn new(counts: [&'a AtomicUsize; 2]) -> [Alive<'a>; 2] {
        counts.map(|count| {
            count.fetch_add(1, SeqCst);
            Alive(count)
        })
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn nap(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(300) as u64)
}

/// Waits for a while, in one way or another.
fn wait(rng: &mut Rng) {
    match rng.below(6) {
        0 => layby::yield_now(),
        1 => task::park_timeout(nap(rng)),
        2 => task::check_cancelled(),
        3 => drop(layby::spawn(layby::yield_now).join()),
        _ => sleep(nap(rng)),
    }
}

/// One task's life: some steps, each of which may be a structure with children of their own.
fn live(world: &World, seed: u64, depth: u32) -> Result<u64, u64> {
    let mut rng = Rng::new(seed);
    let _value = world.token();
    let _cleanup = (rng.below(3) == 0).then(|| {
        let seed = rng.next();
        OnDrop(move || {
            let mut rng = Rng::new(seed);
            if task::panicking() && rng.below(2) == 0 {
                // Cleanup with a limit of its own.
                let limit = nap(&mut rng);
                let start = Instant::now();
                if timeout(limit, || sleep(nap(&mut rng))).is_err() {
                    assert!(start.elapsed() >= limit);
                }
            } else {
                wait(&mut rng);
            }
        })
    });
    for _ in 0..1 + rng.below(3) {
        wait(&mut rng);
        if depth > 0 {
            structure(world, &mut rng, depth - 1)?;
        }
    }
    match rng.below(20) {
        0 => panic!("expected: at random"),
        1 => Err(seed),
        _ => Ok(seed),
    }
}

fn structure(world: &World, rng: &mut Rng, depth: u32) -> Result<(), u64> {
    let inside = AtomicUsize::new(0);
    let children = 1 + rng.below(3);
    let seeds: Vec<u64> = (0..children).map(|_| rng.next()).collect();
    let limit = nap(rng) * 4;
    let kind = rng.below(8);
    let child = |seed: u64| {
        let (world, inside) = (&world, &inside);
        move || {
            let _alive = Alive::new([inside, &world.alive]);
            live(world, seed, depth)
        }
    };
    let body_seed = rng.next();
    let run = || -> Result<(), u64> {
        let rng = &mut Rng::new(body_seed);
        match kind {
            0 => scope(|s| {
                let tasks: Vec<_> = seeds.iter().map(|seed| s.spawn(child(*seed))).collect();
                wait(rng);
                for task in tasks {
                    match rng.below(4) {
                        0 => task.cancel(),
                        1 => drop(task.join()),
                        2 => std::mem::forget(task),
                        _ => {}
                    }
                }
                if rng.below(4) == 0 {
                    s.cancel();
                }
                Ok(())
            }),
            1 => try_scope(|s| {
                for seed in &seeds {
                    s.spawn(child(*seed));
                }
                wait(rng);
                Ok(())
            })
            .map_err(|error| error.iter().count() as u64),
            2 => race(seeds.iter().map(|seed| child(*seed))).map(drop),
            3 => try_gather(seeds.iter().map(|seed| child(*seed))).map(drop),
            4 => gather(seeds.iter().map(|seed| child(*seed)))
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map(drop),
            5 => {
                let start = Instant::now();
                let result = timeout(limit, || scope(|s| drop(s.spawn(child(seeds[0])).join())));
                if result.is_err() {
                    assert!(start.elapsed() >= limit, "a timeout came early");
                }
                Ok(())
            }
            6 => {
                let _ = shield(|| layby::gather!(child(seeds[0])(), sleep(nap(rng))));
                Ok(())
            }
            _ => timeout(limit, || child(seeds[0])().map(drop)).unwrap_or(Ok(())),
        }
    };
    let result = catch_unwind(AssertUnwindSafe(run));
    assert_eq!(inside.load(SeqCst), 0, "a structure of kind {kind} was left before its tasks had ended");
    match result {
        Ok(result) => result.or_else(|error| if error % 3 == 0 { Err(error) } else { Ok(()) }),
        // A panic is sometimes handled; a cancellation goes on.
        Err(payload) if !task::is_cancellation(&*payload) && body_seed & 1 == 0 => Ok(()),
        Err(payload) => resume_unwind(payload),
    }
}

/// Some trees at once, each cancelled at some time, or not.
fn trees(seed: u64) {
    let mut rng = Rng::new(seed);
    let world = Arc::new(World::default());
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (world, seed) = (world.clone(), rng.next());
        tasks.push(layby::spawn(move || live(&world, seed, 3)));
    }
    for task in tasks {
        sleep(nap(&mut rng));
        if rng.below(2) == 0 {
            task.cancel();
        }
        let _ = task.join();
    }
    assert_eq!(world.alive.load(SeqCst), 0);
    assert_eq!(world.made.load(SeqCst), world.drops.count(), "values were lost, or dropped twice");
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    if let Some(seed) = std::env::var("LAYBY_SEED").ok().and_then(|text| text.parse().ok()) {
        return seed..seed + 1;
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = number("STRESS_FROM").unwrap_or(0);
    from..from + number("STRESS_SEEDS").unwrap_or(default)
}

#[test]
fn stress_trees_in_virtual_time() {
    let _watchdog = watchdog(600);
    quiet_panics();
    for seed in seeds(150) {
        testing::run(seed, || trees(seed));
    }
}

#[test]
fn stress_trees_on_workers() {
    let _watchdog = watchdog(600);
    quiet_panics();
    for seed in seeds(40) {
        // Captured by the harness, and shown if it fails.
        println!("seed {seed}");
        on(1 + seed as usize % 4, || trees(seed));
    }
}

#[test]
fn stress_trees_from_a_thread() {
    let _watchdog = watchdog(600);
    quiet_panics();
    for seed in seeds(40) {
        println!("seed {seed}");
        let world = World::default();
        let caught = catch_unwind(AssertUnwindSafe(|| live(&world, seed, 3).is_ok()));
        assert!(caught.is_ok() || !task::is_cancellation(&*caught.unwrap_err()));
        assert_eq!(world.alive.load(SeqCst), 0);
        assert_eq!(world.made.load(SeqCst), world.drops.count());
    }
}
