//! `spawn_after`, `spawn_at` and `spawn_eager`.

use crate::common::{Drops, OnDrop, alone, is_child, on, quiet_panics, watchdog, workers, yield_until};
use layby::task::{self, spawn_after, spawn_at, spawn_eager};
use layby::time::Instant;
use layby::{go, sleep, spawn_local, testing, yield_now};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

#[test]
fn they_begin_in_the_order_of_their_times() {
    let _watchdog = watchdog(60);
    for seed in 0..50 {
        testing::run(seed, || {
            let (start, log) = (Instant::now(), Arc::new(Mutex::new(vec![])));
            drop(spawn_after(Duration::MAX, || unreachable!("never")));
            let spawn = |seconds: u32| {
                let log = log.clone();
                spawn_after(seconds * S, move || {
                    let late = start.elapsed() - seconds * S;
                    assert!(late < Duration::from_millis(1), "{late:?}");
                    log.lock().unwrap().push(seconds);
                })
            };
            let mut tasks: Vec<_> = [5, 1, 3, 0].into_iter().map(spawn).collect();
            sleep(2 * S);
            tasks.extend([1, 2].map(|later| {
                let log = log.clone();
                // Earlier than what is there, and later.
                spawn_at(start + (2 + later) * S + S / 2, move || log.lock().unwrap().push(100 + later))
            }));
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(*log.lock().unwrap(), [0, 1, 3, 101, 102, 5], "seed {seed}");
        });
    }
}

#[test]
fn cancelled_before_its_time_the_closure_is_dropped_at_once() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let later = |dur| {
                let token = drops.token();
                spawn_after(dur, move || drop(token))
            };
            let (hour, never, detached) = (later(3600 * S), later(Duration::MAX), later(3600 * S));
            drop(detached); // begins at its time, or goes with the runtime
            assert!(!hour.is_finished());
            hour.cancel();
            assert_eq!(drops.count(), 1);
            assert!(hour.is_finished());
            hour.cancel();
            assert!(hour.join().unwrap_err().is_cancelled());
            // By a task, which may be on another worker.
            go!(move || never.cancel()).join().unwrap();
            assert_eq!(drops.count(), 2);
            // After its begin it is a task like any other.
            let sleeping = spawn_after(Duration::ZERO, || sleep(Duration::MAX));
            sleep(Duration::from_millis(1));
            sleeping.cancel();
            assert!(sleeping.join().unwrap_err().is_cancelled());
            // After its end, too.
            let done = spawn_after(Duration::from_millis(1), || 7);
            while !done.is_finished() {
                yield_now();
            }
            done.cancel();
            assert_eq!(done.join().unwrap(), 7);
        });
    }
}

#[test]
fn the_end_of_a_runtime_drops_those_that_have_not_begun() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let drops = Drops::new();
        let kept = on(n, || {
            let token = drops.token();
            let again = move || {
                let token = token;
                // Its destructor makes another one, when the runtime is about to end.
                let _again = OnDrop(move || drop(spawn_after(S, || ())));
                drop(token);
            };
            drop(spawn_after(3600 * S, again));
            let tokens: Vec<_> = (0..100).map(|_| drops.token()).collect();
            tokens.into_iter().map(|token| spawn_after(3600 * S, move || drop(token))).collect::<Vec<_>>()
        });
        assert_eq!(drops.count(), 101);
        kept.into_iter().for_each(|task| assert!(task.join().unwrap_err().is_cancelled()));
        // The thread was a worker, and may be one again: of a runtime whose clock is elsewhere.
        testing::run(1, || {
            let start = Instant::now();
            spawn_after(1000 * S, || ()).join().unwrap();
            assert!(start.elapsed() >= 1000 * S);
        });
        let start = std::time::Instant::now();
        on(n, || spawn_after(Duration::from_millis(5), || ()).join().unwrap());
        assert!(start.elapsed() >= Duration::from_millis(5));
    }
}

#[test]
fn threads_outside_have_them_too() {
    let _watchdog = watchdog(60);
    let (sender, receiver) = mpsc::channel();
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let sender = sender.clone();
            let spawn = move || spawn_after(Duration::from_millis(3 * i), move || sender.send(i).unwrap());
            std::thread::spawn(spawn).join().unwrap()
        })
        .collect();
    let cancelled = spawn_after(3600 * S, || unreachable!());
    cancelled.cancel();
    assert!(cancelled.join().unwrap_err().is_cancelled());
    tasks.into_iter().for_each(|task| task.join().unwrap());
    let mut all: Vec<_> = receiver.try_iter().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

/// The canceller meets the timekeeper, in any order: the closure runs or is dropped, once.
#[test]
fn cancelled_as_it_begins() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let (drops, ran) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
            let (token, count) = (drops.token(), ran.clone());
            let task = spawn_after(S, move || {
                count.fetch_add(1, SeqCst);
                drop(token);
            });
            sleep(S);
            for _ in 0..seed % 4 {
                yield_now();
            }
            task.cancel();
            match task.join() {
                Ok(()) => assert_eq!(ran.load(SeqCst), 1),
                Err(error) => assert!(error.is_cancelled() && ran.load(SeqCst) == 0),
            }
            assert_eq!(drops.count(), 1, "seed {seed}");
        });
    }
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let tasks: Vec<_> = (0..500)
                .map(|i| {
                    let token = drops.token();
                    (i, spawn_after(Duration::from_micros(i), move || drop(token)))
                })
                .collect();
            let cancelling = |(i, task): (u64, task::Delayed<()>)| {
                go!(move || {
                    sleep(Duration::from_micros(i));
                    task.cancel();
                    task.join().map_err(|error| assert!(error.is_cancelled())).ok();
                })
            };
            let cancelling: Vec<_> = tasks.into_iter().map(cancelling).collect();
            cancelling.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(drops.count(), 500);
        });
    }
}

/// A token for a task that never began came with a reference, which nobody took.
#[test]
fn cancelled_with_a_token_it_is_freed() {
    let _watchdog = watchdog(60);
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    // Too large for a cell, too small for a mapping of its own.
    const SIZE: usize = 32 << 10;
    let before = resident();
    for _ in 0..2000 {
        let bulk = [1u8; SIZE];
        let later = spawn_after(3600 * S, move || assert_eq!(bulk.len(), SIZE));
        later.task().unpark();
        later.cancel();
        assert!(later.join().unwrap_err().is_cancelled());
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 2000 * SIZE / 2, "{grown} bytes more");
}

#[test]
fn a_destructor_that_panics_on_cancel_is_reported() {
    let _watchdog = watchdog(60);
    if is_child() {
        quiet_panics();
        let token = OnDrop(|| panic!("expected in a destructor"));
        let task = spawn_after(3600 * S, move || drop(token));
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        return;
    }
    let test = "a_destructor_that_panics_on_cancel_is_reported";
    let output = alone(test).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}");
    assert!(stderr.contains("dropping the closure of task"), "{stderr}");
}

#[test]
fn an_eager_task_runs_to_its_first_wait() {
    let _watchdog = watchdog(60);
    let story = || {
        let log = Rc::new(RefCell::new(vec![]));
        let say = |text| log.borrow_mut().push(text);
        let others: Vec<_> = (0..3)
            .map(|_| {
                let log = log.clone();
                spawn_local(move || log.borrow_mut().push("other"))
            })
            .collect();
        let of_task = log.clone();
        let task = spawn_eager(move || {
            let say = |text| of_task.borrow_mut().push(text);
            say("begins");
            let of_child = of_task.clone();
            let child = spawn_eager(move || {
                of_child.borrow_mut().push("child");
                yield_now();
                of_child.borrow_mut().push("child again");
            });
            say("parks");
            child.join().unwrap();
            say("ends");
            7
        });
        say("spawned");
        assert!(!task.is_finished());
        assert!(spawn_eager(|| ()).is_finished());
        assert_eq!(task.join().unwrap(), 7);
        others.into_iter().for_each(|task| task.join().unwrap());
        // In a seeded run others may have gone first.
        let log = log.borrow();
        let begin = log.iter().position(|&line| line == "begins").unwrap();
        assert_eq!(log[begin..begin + 4], ["begins", "child", "parks", "spawned"]);
    };
    for seed in 0..50 {
        testing::run(seed, story);
    }
    for n in workers() {
        on(n, story);
    }
}

#[test]
fn eager_tasks_end_in_every_way() {
    let _watchdog = watchdog(60);
    quiet_panics();
    on(1, || {
        let panicked = spawn_eager(|| panic!("expected"));
        assert!(panicked.is_finished() && panicked.join().unwrap_err().is_panic());
        let parked = spawn_eager(|| sleep(Duration::MAX));
        parked.cancel();
        assert!(parked.join().unwrap_err().is_cancelled());
        drop(spawn_eager(yield_now)); // detached
        // A caller that is cancelled meanwhile has its handle, and is told at its next wait.
        let (drops, told) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
        let (token, told_caller) = (drops.token(), told.clone());
        let (sender, receiver) = layby::channel::bounded::<layby::JoinHandle<()>>(1);
        let caller = spawn_local(move || {
            let _token = token;
            let me = receiver.recv().unwrap();
            let task = spawn_eager(move || me.cancel());
            assert!(task.is_finished() && task::is_cancelled());
            told_caller.store(1, SeqCst);
            sleep(Duration::MAX);
        });
        sender.send(caller).unwrap();
        yield_until(|| drops.count() == 1);
        assert_eq!(told.load(SeqCst), 1);
        // In a destructor that unwinds.
        let error = go!(|| {
            let _guard = OnDrop(|| {
                assert!(task::panicking() && spawn_eager(task::panicking).join().is_ok_and(|p| !p))
            });
            panic!("expected");
        });
        assert!(error.join().unwrap_err().is_panic());
    });
    assert!(task::Builder::new().spawn_eager(|| ()).is_err(), "no worker's thread");
}

#[test]
fn a_caller_of_eager_tasks_gives_way() {
    let _watchdog = watchdog(60);
    on(1, || {
        let done = Arc::new(AtomicUsize::new(0));
        let other = done.clone();
        go!(move || other.store(1, SeqCst));
        let mut spawned = 0;
        while done.load(SeqCst) == 0 {
            assert!(spawn_eager(|| ()).is_finished());
            spawned += 1;
        }
        assert!(spawned < 1000, "{spawned}");
        // A cancelled caller spawns nothing.
        let drops = Drops::new();
        let token = drops.token();
        let caller = go!(move || {
            // Swallowed.
            assert!(std::panic::catch_unwind(|| sleep(Duration::MAX)).is_err());
            spawn_eager(move || std::mem::forget(token));
        });
        yield_now();
        caller.cancel();
        assert!(caller.join().unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_chain_of_eager_tasks_gives_way() {
    let _watchdog = watchdog(60);
    fn link(over: &Rc<RefCell<(bool, u32)>>) {
        over.borrow_mut().1 += 1;
        let (is_over, length) = *over.borrow();
        if !is_over {
            assert!(length < 1000, "nobody else has had a turn");
            let over = over.clone();
            spawn_eager(move || link(&over)).join().unwrap();
        }
    }
    for n in workers() {
        on(n, || {
            let over = Rc::new(RefCell::new((false, 0)));
            let ends = over.clone();
            let other = spawn_local(move || ends.borrow_mut().0 = true);
            link(&over);
            other.join().unwrap();
        });
    }
}
