//! The end of `run` and of a `Runtime`: what is alive is cancelled and driven to its end; nothing leaks, nothing stalls.

use crate::common::{
    Drops, OnDrop, Process, alone, is_child, message, on, quiet_panics, watchdog, workers, yield_until,
};
use layby::{Builder, JoinHandle, Runtime, task};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

#[test]
fn a_panic_of_the_root_comes_out_when_all_have_ended() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        let drops = Drops::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            on(n, || {
                for _ in 0..10 {
                    let token = drops.token();
                    drop(layby::spawn(move || {
                        let _token = token;
                        layby::sleep(Duration::MAX);
                    }));
                }
                layby::yield_now();
                panic!("expected: root");
            })
        }));
        assert_eq!(message(caught.map(|_: ()| ()).unwrap_err()), "expected: root");
        assert_eq!(drops.count(), 10);
        assert_eq!(on(n, || 1), 1);
    }
}

#[test]
fn tasks_alive_at_the_end_are_cancelled_and_driven_to_their_end() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for _ in 0..20 {
            let (ended, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            on(n, || {
                for kind in 0..8 {
                    let (end, begin) = (ended.clone(), begun.clone());
                    drop(layby::spawn(move || {
                        begin.fetch_add(1, SeqCst);
                        let _guard = OnDrop(|| {
                            match kind {
                                0 => layby::sleep(Duration::from_millis(2)),
                                1 => (0..5).for_each(|_| layby::yield_now()),
                                2 => {
                                    // Spawned in CANCELLING: starts cancelled, but ends, and can be joined.
                                    let inner = layby::spawn(|| layby::sleep(Duration::MAX));
                                    assert!(inner.join().unwrap_err().is_cancelled());
                                }
                                3 => assert_eq!(layby::unblock(|| 3), 3),
                                4 => {
                                    let end = end.clone();
                                    drop(layby::spawn(move || drop(end)));
                                }
                                5 => task::park_timeout(Duration::from_millis(1)),
                                _ => {}
                            }
                            end.fetch_add(1, SeqCst);
                        });
                        match kind % 3 {
                            0 => layby::sleep(Duration::MAX),
                            1 => loop {
                                task::park()
                            },
                            _ => loop {
                                layby::yield_now()
                            },
                        }
                    }));
                }
                yield_until(|| begun.load(SeqCst) == 8);
            });
            assert_eq!(ended.load(SeqCst), 8);
            assert_eq!(Arc::strong_count(&ended), 1);
        }
    }
}

#[test]
fn closures_that_have_not_started_at_the_end_are_dropped() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let drops = Drops::new();
        on(n, || {
            for _ in 0..1000 {
                let token = drops.token();
                drop(layby::spawn(move || drop(token)));
            }
        });
        assert_eq!(drops.count(), 1000);
    }
}

/// Guards the exact look at `std::thread::panicking`: the whole run is inside of an unwinding.
#[test]
fn run_in_a_destructor_while_the_thread_unwinds() {
    let _watchdog = watchdog(10);
    quiet_panics();
    for n in workers() {
        let ran = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _guard = OnDrop(|| {
                on(n, || {
                    drop(layby::spawn(|| layby::sleep(Duration::MAX)));
                    let local = layby::spawn_local(|| layby::sleep(Duration::MAX));
                    layby::yield_now();
                    local.cancel();
                    assert!(local.join().unwrap_err().is_cancelled());
                    // Met again, each time, when nobody else is there any more.
                    drop(layby::spawn_local(|| {
                        for _ in 0..3 {
                            assert!(catch_unwind(|| layby::sleep(Duration::MAX)).is_err());
                        }
                    }));
                    layby::yield_now();
                });
                ran.fetch_add(1, SeqCst);
            });
            panic!("expected: outside");
        }));
        assert!(caught.is_err());
        assert_eq!(ran.load(SeqCst), 1);
    }
}

#[test]
fn dropping_a_runtime_ends_its_tasks() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let drops = Drops::new();
        let runtime = runtime(n);
        let tasks: Vec<JoinHandle<()>> = (0..100)
            .map(|i| {
                let token = drops.token();
                runtime.spawn(move || {
                    let _token = token;
                    if i % 2 == 0 {
                        layby::sleep(Duration::MAX)
                    } else {
                        loop {
                            layby::yield_now()
                        }
                    }
                })
            })
            .collect();
        drop(runtime);
        assert_eq!(drops.count(), 100);
        for task in tasks {
            assert!(task.join().unwrap_err().is_cancelled());
        }
    }
}

#[test]
fn dropping_a_runtime_from_its_own_task_and_from_anothers() {
    let _watchdog = watchdog(20);
    for n in workers() {
        // Its own: it only signals, and the task is cancelled at its next suspension point.
        let own = runtime(n);
        let (sender, receiver) = mpsc::channel::<Runtime>();
        let drops = Drops::new();
        let (token, other) = (drops.token(), drops.token());
        let task = own.spawn(move || {
            let _token = token;
            let runtime = layby::unblock(move || receiver.recv().unwrap());
            drop(runtime);
            layby::sleep(Duration::MAX);
        });
        let sleeper = own.spawn(move || {
            let _token = other;
            layby::sleep(Duration::MAX);
        });
        sender.send(own).unwrap();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(sleeper.join().unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 2);
        // Another's: that worker goes on meanwhile.
        on(1, || {
            let runtime = runtime(n);
            let release = Arc::new(AtomicBool::new(false));
            let (wait, started) = (release.clone(), Arc::new(AtomicBool::new(false)));
            let start = started.clone();
            drop(runtime.spawn(move || {
                let _guard = OnDrop(|| yield_until(|| wait.load(SeqCst)));
                start.store(true, SeqCst);
                layby::sleep(Duration::MAX);
            }));
            yield_until(|| started.load(SeqCst));
            let dropper = layby::spawn(move || drop(runtime));
            (0..20).for_each(|_| layby::yield_now());
            assert!(!dropper.is_finished());
            release.store(true, SeqCst);
            dropper.join().unwrap();
        });
    }
}

/// A stall of five seconds counts as a lost wake-up, too: nothing here takes a tenth of that.
#[test]
fn spawns_from_threads_while_a_runtime_is_shutting_down() {
    let _watchdog = watchdog(60);
    let mut slowest = Duration::ZERO;
    for n in [1, 2, 4] {
        for round in 0..60 {
            let runtime = runtime(n);
            let drops = Drops::new();
            let spawned = AtomicUsize::new(0);
            let shared = Arc::new(Mutex::new(Some(Arc::new(runtime))));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let Some(runtime) = shared.lock().unwrap().clone() else { return };
                        for _ in 0..50 + round {
                            let token = drops.token();
                            spawned.fetch_add(1, SeqCst);
                            let task = runtime.spawn(move || drop(token));
                            if round % 2 == 0 {
                                let _ = task.join();
                            }
                        }
                    });
                }
                let start = Instant::now();
                drop(shared.lock().unwrap().take()); // whoever is last ends it
                slowest = slowest.max(start.elapsed());
            });
            assert_eq!(drops.count(), spawned.load(SeqCst));
        }
    }
    assert!(slowest < Duration::from_secs(4), "a runtime took {slowest:?} to end");
}

/// The last handle may go on one of the runtime's own tasks, which then only signals the end.
#[test]
fn threads_spawn_until_the_last_handle_goes() {
    let _watchdog = watchdog(60);
    for n in [1, 2] {
        for round in 0..100 {
            let runtime = Arc::new(runtime(n));
            let drops = Drops::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (runtime, drops) = (runtime.clone(), drops.clone());
                    std::thread::spawn(move || {
                        for i in 0..100 {
                            let token = drops.token();
                            let task = runtime.spawn(move || drop(token));
                            if i % 2 == 0 {
                                task.join().unwrap();
                            }
                        }
                    })
                })
                .collect();
            let (last, token) = (runtime.clone(), drops.token());
            let task = runtime.spawn(move || {
                let _token = token;
                (0..round).for_each(|_| layby::yield_now());
                drop(last);
                layby::yield_now();
            });
            drop(runtime);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            let ended = task.join();
            assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
            let start = Instant::now();
            while drops.count() < 201 {
                assert!(start.elapsed() < Duration::from_secs(4), "a stall, or a closure was lost");
                std::thread::yield_now();
            }
        }
    }
}

/// More stacks than there is address space for, on the guards where nobody looks beforehand: the tasks wait for each other's, and for the end, too.
#[test]
fn tasks_that_find_no_stack_wait_for_one() {
    let _watchdog = watchdog(60);
    const ME: &str = "tasks_that_find_no_stack_wait_for_one";
    if !is_child() {
        let mut child = alone(ME);
        // With markers, `spawn` would fail.
        child.env("LAYBY_STACK_GUARD", "mprotect");
        let output = Process::run(child);
        assert!(output.status.success(), "{}", output.stderr);
        return;
    }
    let limit = 6u64 << 30;
    rlimit::setrlimit(rlimit::Resource::AS, limit, limit).unwrap();
    for n in [1, 2] {
        let ended = Arc::new(AtomicUsize::new(0));
        on(n, || {
            let big = || task::Builder::new().stack_size(128 << 20);
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let count = ended.clone();
                    let work = move || {
                        layby::sleep(Duration::from_millis(2));
                        count.fetch_add(1, SeqCst);
                    };
                    big().spawn(work).unwrap()
                })
                .collect();
            for task in tasks {
                task.join().unwrap();
            }
            assert_eq!(ended.load(SeqCst), 100);
            // Those that have no stack yet when the runtime ends: dropped, as any closure.
            for _ in 0..100 {
                let count = ended.clone();
                drop(big().spawn(move || {
                    let _count = OnDrop(|| {
                        count.fetch_add(1, SeqCst);
                    });
                    layby::sleep(Duration::MAX);
                }));
            }
            layby::sleep(Duration::from_millis(5));
        });
        assert_eq!(Arc::strong_count(&ended), 1);
    }
}

#[test]
fn starting_and_stopping_leaks_nothing() {
    let _watchdog = watchdog(60);
    const ME: &str = "starting_and_stopping_leaks_nothing";
    if !is_child() {
        let output = Process::run(alone(ME));
        assert!(output.status.success(), "{}", output.stderr);
        return;
    }
    let count = |path| std::fs::read_dir(path).unwrap().count();
    let state = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        (count("/proc/self/task"), count("/proc/self/fd"), maps)
    };
    let cycle = |i: usize| {
        if i.is_multiple_of(2) {
            on(1 + i % 4, || {
                layby::gather((0..20).map(|_| || layby::sleep(Duration::from_micros(50))));
                drop(layby::spawn(|| layby::sleep(Duration::MAX)));
            });
        } else {
            let runtime = runtime(1 + i % 4);
            drop(runtime.spawn(|| {
                loop {
                    layby::yield_now()
                }
            }));
            assert_eq!(task::Builder::new().stack_size(100_000).spawn(|| 1).unwrap().join().unwrap(), 1);
            runtime.run(layby::yield_now);
        }
    };
    (0..40).for_each(cycle);
    let before = state();
    (0..200).for_each(cycle);
    let mut after = state();
    // A thread that was joined may still be listed for a moment.
    while after.0 > before.0 {
        std::thread::yield_now();
        after = state();
    }
    // (The count before may hold such a one, too, so there may be fewer threads now.)
    assert_eq!(before.1, after.1, "descriptors");
    assert!(after.2 <= before.2 + 8, "mappings: {before:?}, then {after:?}");
}
