//! Random programs and storms. The seed is printed when one fails; `LAYBY_SEED=… cargo test --test stress` repeats it.

mod common;

use common::{Drops, OnDrop, Rng, on, quiet_panics, watchdog};
use layby::JoinHandle;
use layby::task::{self, Task};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("LAYBY_SEED") {
        Ok(seed) => vec![seed.parse().expect("LAYBY_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// Calls `f` with each seed on one, two and four workers, and names the seed of a failure.
fn with_seeds(count: u64, f: impl Fn(u64, usize)) {
    for seed in seeds(count) {
        for workers in [1, 2, 4] {
            let _name = OnDrop(|| {
                if std::thread::panicking() {
                    eprintln!("failed with LAYBY_SEED={seed} on {workers} workers");
                }
            });
            f(seed, workers);
        }
    }
}

/// What the tasks of one random program share.
struct Program {
    /// Nodes that have begun and ended.
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Tokens that were handed out, and how many of them were dropped.
    made: AtomicUsize,
    drops: Drops,
    /// Somebody to unpark.
    tasks: Mutex<Vec<Task>>,
}

/// One task: a few random steps; what it returns is the number of nodes from it downwards, as far as they were joined.
fn node(program: &Arc<Program>, seed: u64, depth: usize) -> usize {
    let mut rng = Rng::new(seed);
    program.begun.fetch_add(1, SeqCst);
    let _end = OnDrop(|| {
        program.ended.fetch_add(1, SeqCst);
    });
    // A destructor may wait, whether the task unwinds or not. (If not, it may be cancelled there.)
    let _late = OnDrop(|| {
        if seed.is_multiple_of(5) {
            layby::sleep(Duration::from_micros(seed % 200));
        }
    });
    program.tasks.lock().unwrap().push(task::current());
    let mut children: Vec<JoinHandle<(usize, common::Token)>> = Vec::new();
    let mut count = 1;
    for _ in 0..rng.below(8) + 2 {
        match rng.below(14) {
            0..=3 if depth > 0 => {
                program.made.fetch_add(1, SeqCst);
                let (seed, token, shared) = (rng.next(), program.drops.token(), program.clone());
                children.push(layby::spawn(move || (node(&shared, seed, depth - 1), token)));
            }
            4 if depth > 0 => {
                program.made.fetch_add(1, SeqCst);
                let (seed, token, shared) = (rng.next(), program.drops.token(), program.clone());
                children.push(layby::spawn_local(move || (node(&shared, seed, depth - 1), token)));
            }
            5 => layby::yield_now(),
            6 => layby::sleep(Duration::from_micros(rng.below(300) as u64)),
            7 => task::park_timeout(Duration::from_micros(rng.below(300) as u64)),
            8 => {
                let tasks = program.tasks.lock().unwrap();
                let chosen = tasks[rng.below(tasks.len())].clone();
                drop(tasks);
                chosen.unpark();
            }
            9 => {
                if let Some(child) = children.get(rng.below(children.len().max(1))) {
                    child.cancel();
                }
            }
            10 => assert_eq!(layby::unblock(|| depth + 1), depth + 1),
            11 if !children.is_empty() => {
                let child = children.swap_remove(rng.below(children.len()));
                if let Ok((below, _token)) = child.join() {
                    count += below;
                }
            }
            12 if !children.is_empty() => drop(children.swap_remove(rng.below(children.len()))),
            13 if depth > 0 => {
                let (a, b) = (rng.next(), rng.next());
                let (a, b) = layby::gather!(node(program, a, depth - 1), node(program, b, depth - 1));
                count += a + b;
            }
            _ => {
                // A cancellation that is caught, and goes on.
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    layby::yield_now();
                    assert!(seed % 7 != 3, "expected: at random");
                }));
                if caught.is_err_and(|payload| task::is_cancellation(&*payload)) {
                    assert!(task::is_cancelled());
                }
            }
        }
    }
    for child in children {
        if rng.below(4) != 0
            && let Ok((below, _token)) = child.join()
        {
            count += below;
        }
    }
    count
}

#[test]
fn random_trees() {
    let _watchdog = watchdog(100);
    quiet_panics();
    with_seeds(25, |seed, workers| {
        let program = Arc::new(Program {
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            drops: Drops::new(),
            tasks: Mutex::default(),
        });
        on(workers, || {
            let mut rng = Rng::new(seed);
            let trees: Vec<_> = (0..6)
                .map(|_| {
                    let (program, seed) = (program.clone(), rng.next());
                    layby::spawn(move || node(&program, seed, 4))
                })
                .collect();
            // Some are cancelled, some joined, the others meet the end of the runtime.
            for (i, tree) in trees.into_iter().enumerate() {
                match i % 3 {
                    0 => assert!(tree.join().unwrap() >= 1),
                    1 => {
                        layby::sleep(Duration::from_micros(rng.below(2000) as u64));
                        tree.cancel();
                        match tree.join() {
                            Ok(count) => assert!(count >= 1),
                            Err(error) => assert!(error.is_cancelled(), "{error}"),
                        }
                    }
                    _ => {}
                }
            }
        });
        assert_eq!(program.begun.load(SeqCst), program.ended.load(SeqCst), "all that began have ended");
        let program = Arc::into_inner(program).expect("all closures are gone");
        assert_eq!(
            program.drops.count(),
            program.made.load(SeqCst),
            "each closure's or result's token was dropped once"
        );
        program.tasks.lock().unwrap().iter().for_each(Task::unpark);
    });
}

/// Starts one side, on a task or a thread; what it returns waits for its end.
type Start<'a> = &'a dyn Fn(Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce()>;

/// Each of `pairs` hands a counter to and fro by `unpark`; a lost wake-up hangs it.
fn ping_pongs(pairs: usize, count: usize, start: Start<'_>) {
    let mut waits = Vec::new();
    for _ in 0..pairs {
        let turn = Arc::new(AtomicUsize::new(0));
        let sides: Arc<[std::sync::OnceLock<Task>; 2]> = Arc::default();
        for side in 0..2 {
            let (turn, sides) = (turn.clone(), sides.clone());
            waits.push(start(Box::new(move || {
                sides[side].set(task::current()).unwrap();
                let other = loop {
                    match sides[1 - side].get() {
                        Some(other) => break other.clone(),
                        None => layby::yield_now(),
                    }
                };
                for i in 0..count {
                    while turn.load(SeqCst) != 2 * i + side {
                        task::park();
                    }
                    turn.store(2 * i + side + 1, SeqCst);
                    other.unpark();
                }
            })));
        }
    }
    waits.into_iter().for_each(|wait| wait());
}

#[test]
fn a_hundred_thousand_handovers_on_each_number_of_workers() {
    let _watchdog = watchdog(100);
    for workers in [1, 2, 4] {
        on(workers, || {
            ping_pongs(10, 5_000, &|f| {
                let task = layby::spawn(f);
                Box::new(move || task.join().unwrap())
            });
        });
    }
}

#[test]
fn handovers_between_tasks_of_two_runtimes_and_threads() {
    let _watchdog = watchdog(100);
    let runtimes: Vec<_> = (0..2).map(|_| layby::Builder::new().workers(1).build().unwrap()).collect();
    let next = AtomicUsize::new(0);
    ping_pongs(4, 4_000, &|f| match next.fetch_add(1, SeqCst) % 3 {
        2 => {
            let thread = std::thread::spawn(f);
            Box::new(move || thread.join().unwrap())
        }
        i => {
            let task = runtimes[i].spawn(f);
            Box::new(move || task.join().unwrap())
        }
    });
}

#[test]
fn a_spawn_storm_from_eight_threads() {
    let _watchdog = watchdog(60);
    for workers in [1, 2, 4] {
        let runtime = layby::Builder::new().workers(workers).build().unwrap();
        let drops = Drops::new();
        std::thread::scope(|scope| {
            for t in 0..8u64 {
                let (runtime, drops) = (&runtime, &drops);
                scope.spawn(move || {
                    let mut rng = Rng::new(t);
                    let mut kept = Vec::new();
                    for i in 0..1500u64 {
                        let token = drops.token();
                        let task = runtime.spawn(move || {
                            let _token = token;
                            if i % 5 == 0 {
                                layby::yield_now();
                            }
                            i
                        });
                        match rng.below(4) {
                            0 => assert_eq!(task.join().unwrap(), i),
                            1 => drop(task),
                            2 => {
                                task.cancel();
                                kept.push((i, task, true));
                            }
                            _ => kept.push((i, task, false)),
                        }
                    }
                    for (i, task, cancelled) in kept {
                        match task.join() {
                            Ok(value) => assert_eq!(value, i),
                            Err(error) => assert!(cancelled && error.is_cancelled()),
                        }
                    }
                });
            }
        });
        drop(runtime);
        assert_eq!(drops.count(), 8 * 1500);
    }
}

#[test]
fn many_threads_join_and_many_tasks_join_threads() {
    let _watchdog = watchdog(60);
    for workers in [1, 2] {
        let runtime = layby::Builder::new().workers(workers).build().unwrap();
        for round in 0..20 {
            let tasks: Vec<_> = (0..8)
                .map(|i| {
                    runtime.spawn(move || {
                        for _ in 0..(round + i) % 5 {
                            layby::yield_now();
                        }
                        i
                    })
                })
                .collect();
            let threads: Vec<_> =
                tasks.into_iter().map(|task| std::thread::spawn(move || task.join().unwrap())).collect();
            let sum = runtime.run(move || {
                layby::unblock(move || {
                    threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
                })
            });
            assert_eq!(sum, 28);
        }
    }
}

#[test]
fn shutdown_storms() {
    let _watchdog = watchdog(100);
    quiet_panics();
    with_seeds(40, |seed, workers| {
        let mut rng = Rng::new(seed);
        let drops = Drops::new();
        let mut made = 0;
        let kept = on(workers, || {
            let mut kept = Vec::new();
            for _ in 0..60 {
                let (token, kind) = (drops.token(), rng.below(9));
                made += 1;
                let task = layby::spawn(move || {
                    let _late = OnDrop(|| match kind {
                        0 => layby::sleep(Duration::from_micros(300)),
                        1 => drop(layby::spawn(|| layby::sleep(Duration::MAX)).join()),
                        2 => assert_eq!(
                            layby::gather!(1, {
                                layby::yield_now();
                                2
                            }),
                            (1, 2)
                        ),
                        3 => layby::unblock(|| ()),
                        _ => {}
                    });
                    let _token = token;
                    match kind % 6 {
                        0 => layby::sleep(Duration::MAX),
                        1 => loop {
                            layby::yield_now()
                        },
                        2 => loop {
                            task::park()
                        },
                        3 => drop(layby::gather((0..3).map(|_| || layby::sleep(Duration::MAX)))),
                        4 => drop(catch_unwind(|| panic!("expected: in a storm"))),
                        _ => {}
                    }
                });
                match rng.below(3) {
                    0 => drop(task),
                    1 => task.cancel(),
                    _ => kept.push(task),
                }
                if rng.below(10) == 0 {
                    layby::yield_now();
                }
            }
            kept
        });
        assert_eq!(drops.count(), made);
        for task in kept {
            assert!(task.is_finished());
            let _ = task.join();
        }
    });
}

/// Cancel, unpark, join and drop of the same tasks, from threads, all at once.
#[test]
fn everything_at_the_same_tasks_at_once() {
    let _watchdog = watchdog(100);
    for workers in [1, 2] {
        let runtime = layby::Builder::new().workers(workers).build().unwrap();
        for round in 0..60u64 {
            let drops = Drops::new();
            let tasks: Vec<_> = (0..20u64)
                .map(|i| {
                    let token = drops.token();
                    Arc::new(runtime.spawn(move || {
                        let _token = token;
                        match (i + round) % 4 {
                            0 => task::park(),
                            1 => layby::sleep(Duration::from_micros(i * 10)),
                            2 => task::park_timeout(Duration::from_micros(50)),
                            _ => layby::yield_now(),
                        }
                    }))
                })
                .collect();
            std::thread::scope(|scope| {
                for t in 0..4usize {
                    let tasks = tasks.clone();
                    scope.spawn(move || {
                        let mut rng = Rng::new(round * 4 + t as u64);
                        for task in tasks {
                            match rng.below(3) {
                                0 => task.cancel(),
                                1 => task.task().unpark(),
                                _ => drop(task.is_finished()),
                            }
                            if t == 0 {
                                task.cancel(); // so that all end
                            }
                            if let Some(task) = Arc::into_inner(task) {
                                let _ = task.join();
                            }
                        }
                    });
                }
            });
            for task in tasks {
                if let Some(task) = Arc::into_inner(task) {
                    let _ = task.join();
                }
            }
            assert_eq!(drops.count(), 20);
        }
    }
}
