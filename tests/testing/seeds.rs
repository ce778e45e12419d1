//! Seeded runs: the same seed gives the same order, time is virtual, and what can never go on fails.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{OnDrop, quiet_panics, watchdog};
use layby::net::{TcpListener, TcpStream};
use layby::time::Instant;
use layby::{go, spawn_local, testing};

/// The order in which 8 tasks of 3 slices each get their turns.
fn order(seed: u64) -> Vec<usize> {
    testing::run(seed, || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let order = order.clone();
                spawn_local(move || {
                    for _ in 0..3 {
                        order.borrow_mut().push(i);
                        layby::yield_now();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        order.take()
    })
}

#[test]
fn a_seed_is_an_order() {
    let _watchdog = watchdog(30);
    let orders: HashSet<Vec<usize>> = (0..50)
        .map(|seed| {
            let first = order(seed);
            assert_eq!(first, order(seed), "seed {seed}");
            first
        })
        .collect();
    assert!(orders.len() > 45, "50 seeds gave only {} orders", orders.len());
}

#[test]
fn closures_that_have_not_started_are_chosen_too() {
    let _watchdog = watchdog(30);
    let first: HashSet<usize> = (0..50)
        .map(|seed| {
            testing::run(seed, || {
                let first = Arc::new(AtomicUsize::new(usize::MAX));
                let tasks: Vec<_> = (0..4)
                    .map(|i| {
                        let first = first.clone();
                        go!(move || {
                            let _ = first.compare_exchange(usize::MAX, i, Ordering::SeqCst, Ordering::SeqCst);
                        })
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
                first.load(Ordering::SeqCst)
            })
        })
        .collect();
    assert_eq!(first, HashSet::from([0, 1, 2, 3]));
}

#[test]
fn time_jumps_to_the_next_timer() {
    let _watchdog = watchdog(30);
    let real = std::time::Instant::now();
    testing::run(3, || {
        let start = Instant::now();
        let naps: Vec<_> = [3_600, 60, 86_400]
            .map(|secs| {
                go!(move || {
                    layby::sleep(Duration::from_secs(secs));
                    start.elapsed()
                })
            })
            .into_iter()
            .map(|nap| nap.join().unwrap())
            .collect();
        for (nap, secs) in naps.iter().zip([3_600, 60, 86_400]) {
            assert!(*nap >= Duration::from_secs(secs));
            assert!(*nap < Duration::from_secs(secs) + Duration::from_millis(1), "{nap:?}");
        }
        layby::sleep_until(start + Duration::from_secs(100_000));
        layby::task::park_timeout(Duration::from_secs(5));
        assert_eq!(start.elapsed().as_secs(), 100_005);
    });
    assert!(real.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_loop_of_yields_does_not_stop_the_clock() {
    let _watchdog = watchdog(30);
    testing::run(3, || {
        let done = Arc::new(AtomicBool::new(false));
        let setter = done.clone();
        let nap = go!(move || {
            layby::sleep(Duration::from_millis(10));
            setter.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            layby::yield_now();
        }
        nap.join().unwrap();
    });
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn what_can_never_go_on_fails_and_every_destructor_runs() {
    let _watchdog = watchdog(30);
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            layby::sleep(Duration::from_secs(1));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let failed = catch_unwind(AssertUnwindSafe(|| {
        testing::run(42, || {
            let _mine = Count(dropped.clone());
            let theirs = Count(dropped.clone());
            let other = go!(move || {
                let _theirs = theirs;
                layby::task::park();
            });
            let _ = other.join();
        });
    }));
    let message = message(failed.unwrap_err());
    assert!(message.contains("seed 42") && message.contains("every task waits"), "{message}");
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[test]
fn a_panic_of_the_body_comes_out() {
    let _watchdog = watchdog(30);
    let failed = catch_unwind(|| testing::run(1, || panic!("expected")));
    assert_eq!(message(failed.unwrap_err()), "expected");
}

#[test]
fn sockets_and_the_blocking_pool_are_waited_for_really() {
    let _watchdog = watchdog(30);
    testing::run(5, || {
        assert_eq!(layby::unblock(|| 7), 7);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = go!(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte[0]
        });
        TcpStream::connect(addr).unwrap().write_all(&[9]).unwrap();
        assert_eq!(server.join().unwrap(), 9);
        // A thread that is no task answers after a while of real time.
        let thread = std::thread::spawn({
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let stream = TcpStream::connect(addr).unwrap();
            move || (listener.accept().unwrap().0.write_all(&[1]).unwrap(), stream).1
        });
        let mut byte = [0];
        let stream = layby::unblock(|| thread.join().unwrap());
        (&stream).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [1]);
    });
}

#[test]
fn the_programs_own_choices_are_by_the_seed() {
    let _watchdog = watchdog(30);
    let draw = |seed| testing::run(seed, || (0..10).map(|_| testing::random()).collect::<Vec<_>>());
    assert_eq!(draw(8), draw(8));
    assert_ne!(draw(8), draw(9));
    assert!(catch_unwind(testing::random).is_err());
}

/// A destructor that takes a free lock during a panic is not held up: its mates would seem to panic.
#[test]
fn nobody_gives_way_during_a_panic() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for seed in 0..50 {
        testing::run(seed, || {
            let mate = go!(|| {
                for _ in 0..50 {
                    assert!(!std::thread::panicking(), "a mate's panic is seen here");
                    layby::yield_now();
                }
            });
            let panics = go!(|| {
                let lock = layby::sync::Mutex::new(());
                let _guard = OnDrop(|| (0..50).for_each(|_| drop(lock.lock().unwrap())));
                panic!("expected");
            });
            assert!(panics.join().map(|_: ()| ()).unwrap_err().is_panic());
            mate.join().unwrap();
        });
    }
}

/// Where others go first, they may cancel; the task then takes nothing.
#[test]
fn a_task_that_gives_way_may_be_cancelled_there() {
    let _watchdog = watchdog(30);
    let mut ends = HashSet::new();
    for seed in 0..100 {
        testing::run(seed, || {
            let count = Arc::new(layby::sync::Mutex::new(0));
            let counted = count.clone();
            let task = go!(move || (0..5).for_each(|_| *counted.lock().unwrap() += 1));
            layby::yield_now();
            task.cancel();
            let result = task.join();
            let count = *count.try_lock().unwrap();
            assert_eq!(result.is_ok(), count == 5);
            ends.insert(count);
        });
    }
    assert_eq!(ends.len(), 6, "{ends:?}");
}
