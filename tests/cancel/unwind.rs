//! The unwinding of a cancelled task: who catches it, destructors that wait, panics meanwhile, and the worker's other tasks.

use crate::common::{
    Drops, OnDrop, Process, alone, is_child, on, quiet_panics, quiet_panics_that_say, waiting_in, watchdog,
    workers, yield_until,
};
use layby::JoinHandle;
use layby::task;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn who_catches_it_meets_it_again() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let task = waiting_in(|| {
                for _ in 0..10 {
                    let payload = catch_unwind(|| layby::sleep(Duration::MAX)).unwrap_err();
                    assert!(task::is_cancellation(&*payload));
                    assert!(task::is_cancelled());
                }
                let payload = catch_unwind(layby::yield_now).unwrap_err();
                assert!(task::is_cancellation(&*payload));
                17 // and may return all the same
            });
            task.cancel();
            assert_eq!(task.join().unwrap(), 17);
            assert!(!task::is_cancellation(&*(Box::new("another") as Box<dyn std::any::Any + Send>)));
        });
    }
}

/// Guards the task's own mark of unwinding, which decides while a worker mate is parked mid-unwind.
#[test]
fn who_catches_it_meets_it_again_while_a_mate_unwinds() {
    let _watchdog = watchdog(10);
    on(1, || {
        let release = Arc::new(AtomicBool::new(false));
        let wait = release.clone();
        let mate = waiting_in(move || {
            let _guard = OnDrop(move || yield_until(|| wait.load(SeqCst)));
            layby::sleep(Duration::MAX);
        });
        let caught = Arc::new(AtomicUsize::new(0));
        let count = caught.clone();
        let task = waiting_in(move || {
            for _ in 0..3 {
                assert!(catch_unwind(|| layby::sleep(Duration::MAX)).is_err());
                count.fetch_add(1, SeqCst);
            }
        });
        mate.cancel();
        (0..5).for_each(|_| layby::yield_now()); // it waits in its destructor
        task.cancel();
        (0..20).for_each(|_| layby::yield_now());
        release.store(true, SeqCst);
        assert!(mate.join().unwrap_err().is_cancelled());
        task.join().unwrap();
        assert_eq!(caught.load(SeqCst), 3);
    });
}

/// Guards the end of a runtime whose last running task is the mate: nobody is resumed after it who would notice that no
/// panic is under way any more, and the cancellation held back is delivered all the same.
#[test]
fn what_a_mate_has_held_back_is_delivered_when_nothing_else_runs() {
    let _watchdog = watchdog(10);
    let ended = Arc::new(AtomicBool::new(false));
    on(1, || {
        let _mate = waiting_in(|| {
            let _guard = OnDrop(|| layby::sleep(Duration::from_millis(20)));
            layby::sleep(Duration::MAX);
        });
        let end = OnDrop({
            let ended = ended.clone();
            move || ended.store(true, SeqCst)
        });
        let _task = waiting_in(move || {
            let _end = end;
            let _kept = catch_unwind(|| layby::sleep(Duration::MAX));
            layby::sleep(Duration::MAX);
        });
        // Both are cancelled by the end of the root: the mate waits in its destructor when the task catches.
    });
    assert!(ended.load(SeqCst));
}

#[test]
fn destructors_may_wait_while_the_task_unwinds() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            for _ in 0..20 {
                let steps = Arc::new(AtomicUsize::new(0));
                let count = steps.clone();
                let task = waiting_in(move || {
                    let _guard = OnDrop(|| {
                        assert!(task::panicking());
                        layby::sleep(Duration::from_millis(1));
                        layby::yield_now();
                        assert_eq!(layby::spawn(|| 4).join().unwrap(), 4);
                        assert_eq!(layby::unblock(|| 5), 5);
                        assert_eq!(layby::gather!(1, 2), (1, 2));
                        assert_eq!(layby::gather_limit(1, [|| 1, || 2]), [1, 2]);
                        task::park_timeout(Duration::from_micros(100));
                        task::check_cancelled();
                        assert!(task::is_cancelled());
                        count.fetch_add(1, SeqCst);
                    });
                    layby::sleep(Duration::MAX);
                });
                // Worker mates are not taken for unwinding.
                let mate = layby::spawn(|| {
                    for _ in 0..20 {
                        layby::yield_now();
                        assert!(!task::panicking());
                    }
                });
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
                assert_eq!(steps.load(SeqCst), 1);
                mate.join().unwrap();
            }
        });
    }
}

#[test]
fn mates_are_cancelled_while_another_waits_mid_unwind() {
    let _watchdog = watchdog(20);
    on(1, || {
        let release = Arc::new(AtomicBool::new(false));
        let wait = release.clone();
        let slow = waiting_in(move || {
            let _guard = OnDrop(move || yield_until(|| wait.load(SeqCst)));
            layby::sleep(Duration::MAX);
        });
        slow.cancel();
        (0..5).for_each(|_| layby::yield_now());
        assert!(!slow.is_finished());
        let others: Vec<_> = (0..10).map(|_| waiting_in(|| layby::sleep(Duration::MAX))).collect();
        others.iter().for_each(JoinHandle::cancel);
        for other in others {
            assert!(other.join().unwrap_err().is_cancelled());
        }
        release.store(true, SeqCst);
        assert!(slow.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_panic_while_it_unwinds_is_caught_by_its_destructor_or_is_the_result() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        on(n, || {
            // The unwinding is caught and replaced by a panic.
            let task = waiting_in(|| {
                let payload = catch_unwind(|| layby::sleep(Duration::MAX)).unwrap_err();
                assert!(task::is_cancellation(&*payload));
                panic!("expected: instead");
            });
            task.cancel();
            let error = task.join().map(|_: ()| ()).unwrap_err();
            assert!(error.is_panic() && error.to_string().contains("instead"));
            // A panic inside a destructor, caught there.
            let task = waiting_in(|| {
                let _guard = OnDrop(|| {
                    let caught = catch_unwind(|| panic!("expected: inside"));
                    assert!(caught.is_err());
                    layby::yield_now();
                });
                layby::sleep(Duration::MAX);
            });
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn a_cancel_during_a_panics_unwinding_changes_nothing() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let release = Arc::new(AtomicBool::new(false));
            let wait = release.clone();
            let task = waiting_in(move || {
                let _guard = OnDrop(move || yield_until(|| wait.load(SeqCst)));
                panic!("expected: the result");
            });
            task.cancel();
            (0..5).for_each(|_| layby::yield_now());
            release.store(true, SeqCst);
            let error = task.join().map(|_: ()| ()).unwrap_err();
            assert!(error.is_panic(), "{error}");
        });
    }
}

#[test]
fn destructors_of_captures_that_never_ran_may_wait() {
    let _watchdog = watchdog(20);
    on(1, || {
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let count = done.clone();
            let captured = OnDrop(move || {
                layby::sleep(Duration::from_micros(200));
                layby::spawn(|| ()).join().unwrap();
                count.fetch_add(1, SeqCst);
            });
            let task = layby::spawn(move || {
                let _captured = captured;
                unreachable!("it never runs");
            });
            task.cancel();
            assert!(task.join().map(|_: ()| ()).unwrap_err().is_cancelled());
        }
        assert_eq!(done.load(SeqCst), 20);
    });
}

#[test]
fn a_caught_payload_may_be_thrown_on_elsewhere() {
    let _watchdog = watchdog(20);
    on(1, || {
        let task = waiting_in(|| catch_unwind(|| layby::sleep(Duration::MAX)).unwrap_err());
        task.cancel();
        let payload = task.join().unwrap();
        let other = layby::spawn(move || panic::resume_unwind(payload));
        assert!(other.join().map(|_: ()| ()).is_err());
    });
    // As the root, too: an unwind of some kind, after all tasks have ended.
    quiet_panics_that_say("the root task has thrown on a cancellation");
    let drops = Drops::new();
    let token = drops.token();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        on(1, || {
            drop(layby::spawn(move || {
                let _token = token;
                layby::sleep(Duration::MAX);
            }));
            let task = waiting_in(|| catch_unwind(|| layby::sleep(Duration::MAX)).unwrap_err());
            task.cancel();
            let payload = task.join().unwrap();
            panic::resume_unwind(payload)
        })
    }));
    assert!(caught.map(|_: ()| ()).is_err());
    assert_eq!(drops.count(), 1);
}

/// A worker mate's panic must not be mistaken, so that a cancellation is thrown into its destructors.
#[test]
fn a_cancelled_panicking_task_whose_mate_waits_mid_unwind() {
    let _watchdog = watchdog(20);
    if !is_child() {
        let child = Process::run(alone("a_cancelled_panicking_task_whose_mate_waits_mid_unwind"));
        assert!(child.status.success(), "{}", child.stderr);
        return;
    }
    on(1, || {
        let release = Arc::new(AtomicBool::new(false));
        let wait = release.clone();
        let mate = waiting_in(move || {
            let _guard = OnDrop(move || yield_until(|| wait.load(SeqCst)));
            layby::sleep(Duration::MAX);
        });
        mate.cancel();
        (0..5).for_each(|_| layby::yield_now());
        let task = waiting_in(move || {
            let _guard = OnDrop(|| layby::sleep(Duration::from_millis(1)));
            panic!("expected");
        });
        task.cancel();
        assert!(task.join().map(|_: ()| ()).unwrap_err().is_panic());
        release.store(true, SeqCst);
        assert!(mate.join().unwrap_err().is_cancelled());
    });
}
