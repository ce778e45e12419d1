//! `park` and `unpark`: the token.

use crate::common::{on, watchdog, workers};
use layby::task::{self, Task};
use layby::testing;
use layby::time::Instant;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn park_until(condition: impl Fn() -> bool) {
    while !condition() {
        task::park();
    }
}

#[test]
fn an_unpark_before_the_park_is_kept_and_two_are_one() {
    let _watchdog = watchdog(20);
    for seed in 0..20 {
        testing::run(seed, || {
            let me = task::current();
            me.unpark();
            me.unpark();
            me.unpark();
            let start = Instant::now();
            task::park(); // does not wait
            assert_eq!(start.elapsed().as_millis(), 0);
            // The second token never was: only the timeout ends this.
            task::park_timeout(Duration::from_millis(5));
            assert_eq!(start.elapsed().as_millis(), 5);
            // A token over a yield, a sleep and a join is still there.
            me.unpark();
            layby::yield_now();
            layby::sleep(Duration::from_millis(1));
            layby::spawn(|| ()).join().unwrap();
            task::park();
        });
    }
}

#[test]
fn a_token_ends_no_other_wait() {
    let _watchdog = watchdog(20);
    for seed in 0..10 {
        testing::run(seed, || {
            let stop = Arc::new(AtomicBool::new(false));
            let me = task::current();
            let flag = stop.clone();
            let unparker = layby::spawn(move || {
                while !flag.load(SeqCst) {
                    me.unpark();
                    layby::yield_now();
                }
            });
            let start = Instant::now();
            layby::sleep(Duration::from_micros(100));
            assert_eq!(start.elapsed().as_micros() / 100, 1);
            assert_eq!(layby::unblock(|| 3), 3);
            assert_eq!(layby::spawn(|| layby::sleep(Duration::from_micros(50))).join().ok(), Some(()));
            stop.store(true, SeqCst);
            unparker.join().unwrap();
            task::park();
        });
    }
}

#[test]
fn unpark_wakes_from_the_same_worker_another_one_and_a_thread() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let ready = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let ready = ready.clone();
                    layby::spawn(move || {
                        ready.fetch_add(1, SeqCst);
                        task::park();
                    })
                })
                .collect();
            while ready.load(SeqCst) < 100 {
                layby::yield_now();
            }
            let (here, there) = tasks.split_at(50);
            here.iter().for_each(|task| task.task().unpark());
            let there: Vec<Task> = there.iter().map(|task| task.task()).collect();
            std::thread::spawn(move || there.iter().for_each(Task::unpark)).join().unwrap();
            for task in tasks {
                task.join().unwrap();
            }
        });
    }
}

#[test]
fn unpark_before_the_start_and_after_the_end() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let ended = on(n, || {
            let tasks: Vec<_> = (0..100).map(|_| layby::spawn(task::park)).collect();
            tasks.iter().for_each(|task| task.task().unpark());
            let mut ended = Vec::new();
            for task in tasks {
                ended.push(task.task());
                task.join().unwrap();
            }
            ended.iter().for_each(Task::unpark);
            ended
        });
        // After the end of the runtime, and while another one may use its parts.
        ended.iter().for_each(Task::unpark);
        on(n, || {
            ended.iter().for_each(Task::unpark);
            layby::yield_now();
        });
        std::thread::spawn(move || ended.iter().for_each(Task::unpark)).join().unwrap();
    }
}

#[test]
fn park_timeout_ends_but_not_early_without_a_reason() {
    let _watchdog = watchdog(20);
    let check = || {
        task::park_timeout(Duration::ZERO);
        let start = Instant::now();
        let mut rounds = 0;
        while start.elapsed() < Duration::from_millis(20) {
            task::park_timeout(Duration::from_millis(20));
            rounds += 1;
        }
        assert!(rounds < 100, "{rounds} returns in 20 ms, for no reason");
        // With a token, at once, however long it may last.
        task::current().unpark();
        task::park_timeout(Duration::MAX);
        let me = task::current();
        let helper = layby::spawn(move || {
            layby::sleep(Duration::from_millis(2));
            me.unpark();
        });
        task::park_timeout(Duration::from_secs(3600));
        helper.join().unwrap();
    };
    for n in workers() {
        on(n, check);
    }
    std::thread::spawn(check).join().unwrap();
}

#[test]
fn park_timeout_zero_lets_others_run() {
    let _watchdog = watchdog(20);
    on(1, || {
        let flag = Arc::new(AtomicBool::new(false));
        let setter = flag.clone();
        layby::spawn(move || setter.store(true, SeqCst));
        while !flag.load(SeqCst) {
            task::park_timeout(Duration::ZERO);
        }
    });
}

#[test]
fn plain_threads_park_and_unpark_too() {
    let _watchdog = watchdog(20);
    let (sender, receiver) = mpsc::channel();
    let released = Arc::new(AtomicBool::new(false));
    let flag = released.clone();
    let thread = std::thread::spawn(move || {
        sender.send(task::current()).unwrap();
        park_until(|| flag.load(SeqCst));
        // std's own token is another one.
        std::thread::current().unpark();
        std::thread::park();
    });
    let parked = receiver.recv().unwrap();
    released.store(true, SeqCst);
    on(1, || parked.unpark());
    thread.join().unwrap();
    parked.unpark(); // it has ended
}

#[test]
fn current_is_the_task_or_the_thread() {
    let _watchdog = watchdog(20);
    let outside = task::current().id();
    on(1, || {
        let root = task::current();
        assert_ne!(root.id(), outside);
        let ids: Vec<_> = (0..3).map(|_| layby::spawn(|| task::current().id()).join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id != root.id()));
        // On the pool the caller is that thread, and no task.
        assert_ne!(layby::unblock(|| task::current().id()), root.id());
        assert_eq!(task::current().id(), root.id());
    });
    assert_eq!(task::current().id(), outside);
}

/// `count` handovers between two that unpark each other, each in its turn only.
fn ping_pong(count: usize, spawn: impl Fn(Box<dyn FnOnce() + Send>) -> Box<dyn FnOnce()>) {
    let turn = Arc::new(AtomicUsize::new(0));
    let (to_me, from_other) = mpsc::channel::<Task>();
    let me = task::current();
    let theirs = turn.clone();
    let wait = spawn(Box::new(move || {
        to_me.send(task::current()).unwrap();
        for i in 0..count {
            park_until(|| theirs.load(SeqCst) == 2 * i + 1);
            theirs.store(2 * i + 2, SeqCst);
            me.unpark();
        }
    }));
    let other = loop {
        match from_other.try_recv() {
            Ok(other) => break other,
            Err(_) => layby::yield_now(),
        }
    };
    for i in 0..count {
        turn.store(2 * i + 1, SeqCst);
        other.unpark();
        park_until(|| turn.load(SeqCst) == 2 * i + 2);
    }
    wait();
}

#[test]
fn ping_pong_on_one_worker_and_across() {
    let _watchdog = watchdog(60);
    for n in [1, 2, 4] {
        on(n, || {
            ping_pong(20_000, |f| {
                let task = layby::spawn(f);
                Box::new(move || task.join().unwrap())
            });
        });
    }
}

#[test]
fn ping_pong_between_two_runtimes() {
    let _watchdog = watchdog(60);
    let runtime = layby::Builder::new().workers(1).build().unwrap();
    on(1, || {
        ping_pong(10_000, |f| {
            let task = runtime.spawn(f);
            Box::new(move || task.join().unwrap())
        });
    });
}

#[test]
fn ping_pong_with_a_thread() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            ping_pong(10_000, |f| {
                let thread = std::thread::spawn(f);
                Box::new(move || thread.join().unwrap())
            });
        });
    }
}

#[test]
fn a_storm_of_unparks_loses_none() {
    let _watchdog = watchdog(60);
    const THREADS: usize = 4;
    const EACH: usize = 5_000;
    for n in workers() {
        on(n, || {
            // Each thread counts one up and unparks; the task must see the last of all, or it sleeps for ever.
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let count = Arc::new(AtomicUsize::new(0));
                    let seen = count.clone();
                    let task = layby::spawn(move || park_until(|| seen.load(SeqCst) == THREADS * EACH));
                    (task, count)
                })
                .collect();
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let all: Vec<_> =
                        tasks.iter().map(|(task, count)| (task.task(), count.clone())).collect();
                    std::thread::spawn(move || {
                        for _ in 0..EACH {
                            for (task, count) in &all {
                                count.fetch_add(1, SeqCst);
                                task.unpark();
                            }
                        }
                    })
                })
                .collect();
            for (task, _) in tasks {
                task.join().unwrap();
            }
            layby::unblock(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
        });
    }
}
