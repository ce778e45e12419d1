//! A task that waits in a destructor, mid-unwind, and its mates on the same worker; and what a panic hook may do.

use crate::common::{OnDrop, Process, alone, is_child, on, quiet_panics, watchdog, yield_until};
use layby::channel::{Sender, TrySendError, bounded};
use layby::sync::{Arc, Mutex};
use layby::{JoinHandle, go, sleep, task, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// The test, in a process of its own: what it finds is this program's panic hook. True in the parent, when the child has ended well.
#[track_caller]
fn elsewhere(test: &str) -> bool {
    if is_child() {
        return false;
    }
    let child = Process::run(alone(test));
    assert!(child.status.success(), "{}{}", child.stdout, child.stderr);
    true
}

/// A task that unwinds, by a panic or by its cancellation, and runs `f` in a destructor meanwhile.
fn unwinding(by_panic: bool, f: impl FnMut() + Send + 'static) -> JoinHandle<()> {
    let begun = Arc::new(AtomicBool::new(false));
    let here = begun.clone();
    let task = go!(move || {
        let _destructor = OnDrop(f);
        here.store(true, SeqCst);
        if by_panic {
            panic!("expected: A");
        }
        sleep(Duration::MAX);
    });
    yield_until(|| begun.load(SeqCst));
    task.cancel();
    task
}

/// Whether a mutex is poisoned by what `f` does with its guard.
fn poisoned(f: impl FnOnce() + Send + 'static) -> bool {
    let mutex = Arc::new(Mutex::new(()));
    let other = mutex.clone();
    let _ = go!(move || {
        let _guard = other.lock().unwrap();
        f();
    })
    .join();
    mutex.is_poisoned()
}

/// B is joined from A's destructor, having ended in each way; and is cancelled from there.
#[test]
fn joined_from_a_destructor() {
    let _watchdog = watchdog(20);
    if elsewhere("joined_from_a_destructor") {
        return;
    }
    quiet_panics();
    for by_panic in [false, true] {
        on(1, || {
            let checks = Arc::new(AtomicUsize::new(0));
            let counted = checks.clone();
            let a = unwinding(by_panic, move || {
                assert!(task::panicking());
                // It returns a value, and does not look as if it unwound.
                assert!(!go!(|| (task::yield_now(), task::panicking()).1).join().unwrap());
                // It panics, and its own mates see nothing of it.
                let failed = go!(|| {
                    let _wait = OnDrop(|| {
                        assert!(!go!(task::panicking).join().unwrap());
                        task::yield_now();
                    });
                    panic!("expected: B");
                });
                assert!(failed.join().map(|_: ()| ()).unwrap_err().is_panic());
                // It is cancelled, and is unwound at once, although A is not.
                let waits = go!(|| sleep(Duration::MAX));
                task::yield_now();
                waits.cancel();
                assert!(waits.join().unwrap_err().is_cancelled());
                // Its timeout works.
                let late = go!(|| timeout(Duration::from_millis(1), || sleep(Duration::MAX)).is_err());
                assert!(late.join().unwrap());
                // Locks: a panic poisons, a cancellation and a timeout do not.
                assert!(poisoned(|| panic!("expected: B under a lock")));
                assert!(!poisoned(task::yield_now));
                assert!(!poisoned(|| {
                    task::yield_now();
                    let _ = timeout(Duration::from_millis(1), || sleep(Duration::MAX));
                }));
                assert!(task::panicking());
                counted.fetch_add(1, SeqCst);
            });
            assert_eq!(a.join().unwrap_err().is_panic(), by_panic);
            assert_eq!(checks.load(SeqCst), 1, "the destructor has failed");
        });
    }
}

/// Two that wait mid-unwind, in each other's destructors, and a third that catches its own panics meanwhile.
#[test]
fn several_at_once() {
    let _watchdog = watchdog(20);
    if elsewhere("several_at_once") {
        return;
    }
    quiet_panics();
    on(1, || {
        let release = Arc::new(AtomicBool::new(false));
        let tasks = [false, true, false, true].map(|by_panic| {
            let release = release.clone();
            unwinding(by_panic, move || yield_until(|| release.load(SeqCst)))
        });
        let third = go!(|| {
            for _ in 0..5 {
                let panics = || {
                    let _wait = OnDrop(task::yield_now);
                    panic!("expected: C");
                };
                assert!(catch_unwind(panics).map(|_: ()| ()).is_err());
                task::yield_now();
                assert!(poisoned(|| panic!("expected: D")));
                assert!(!poisoned(task::yield_now));
            }
        });
        third.join().unwrap();
        release.store(true, SeqCst);
        let ends = tasks.map(|task| task.join().unwrap_err().is_panic());
        assert_eq!(ends, [false, true, false, true]);
    });
}

static LOG: OnceLock<Sender<String>> = OnceLock::new();
static FULL: AtomicUsize = AtomicUsize::new(0);

/// A hook may log through a channel as long as it need not wait: `try_send`. What has no room is for the hook to decide.
#[test]
fn a_hook_that_logs_through_a_channel() {
    let _watchdog = watchdog(20);
    if elsewhere("a_hook_that_logs_through_a_channel") {
        return;
    }
    let (sender, receiver) = bounded(4);
    LOG.set(sender).unwrap();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if !text.starts_with("expected") {
            return before(info);
        }
        if let Err(TrySendError::Full(_)) = LOG.get().unwrap().try_send(text.to_owned()) {
            FULL.fetch_add(1, SeqCst);
        }
    }));
    for workers in crate::common::workers() {
        on(workers, || {
            let tasks: Vec<_> = (0..10)
                .map(|n| {
                    go!(move || {
                        task::yield_now();
                        panic!("expected: {n}");
                    })
                })
                .collect();
            for task in tasks {
                assert!(task.join().map(|_: ()| ()).unwrap_err().is_panic());
            }
            assert_eq!((receiver.try_iter().count(), FULL.swap(0, SeqCst)), (4, 6));
            // With somebody who reads, also while a task is mid-unwind.
            let reader = receiver.clone();
            let log = go!(move || reader.iter().take(3).collect::<Vec<_>>());
            task::yield_now();
            let release = Arc::new(AtomicBool::new(false));
            let wait = release.clone();
            let a = unwinding(true, move || yield_until(|| wait.load(SeqCst)));
            for _ in 0..2 {
                let panics = AssertUnwindSafe(|| panic!("expected: caught"));
                assert!(catch_unwind(panics).map(|_: ()| ()).is_err());
            }
            let mut lines = log.join().unwrap();
            lines.sort(); // A may run on another worker
            assert_eq!(lines, ["expected: A", "expected: caught", "expected: caught"]);
            release.store(true, SeqCst);
            assert!(a.join().unwrap_err().is_panic());
        });
    }
}

/// One that would wait is refused, with a message that says what to do instead: std would abort at the next panic, and say less.
#[test]
fn a_hook_that_would_wait_is_refused() {
    let _watchdog = watchdog(20);
    if !is_child() {
        let child = Process::run(alone("a_hook_that_would_wait_is_refused"));
        assert!(!child.status.success());
        let expected = "would have to wait inside a panic hook, where no task can";
        assert!(child.stderr.contains(expected), "{}", child.stderr);
        return;
    }
    let (sender, _receiver) = bounded(1);
    std::panic::set_hook(Box::new(move |_| {
        sender.send(1).unwrap();
        sender.send(2).unwrap();
    }));
    let _ = on(1, || go!(|| panic!("expected")).join().map(|_: ()| ()));
    // Not reached.
    std::process::exit(0);
}
