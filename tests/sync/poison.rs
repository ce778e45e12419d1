//! Poison: by the panic of a guard's own task, by no cancellation, whatever else unwinds on the worker.

use crate::common::{OnDrop, Process, alone, is_child, on, quiet_panics, watchdog, workers, yield_until};
use layby::sync::{Arc, Mutex, Once, OnceLock, PoisonError, RwLock, TryLockError};
use layby::{JoinHandle, go, task};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_panic_poisons_and_the_value_can_be_had() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let locks = Arc::new((Mutex::new(1), RwLock::new(1)));
            let other = locks.clone();
            let task = go!(move || {
                let _guards = (other.0.lock(), other.1.write());
                panic!("expected");
            });
            assert!(task.join().map(|_: ()| ()).unwrap_err().is_panic());
            assert!(locks.0.is_poisoned() && locks.1.is_poisoned());
            assert_eq!(*locks.0.lock().unwrap_err().into_inner(), 1);
            assert!(matches!(locks.0.try_lock(), Err(TryLockError::Poisoned(_))));
            assert!(matches!(locks.0.try_lock_for(Duration::ZERO), Err(TryLockError::Poisoned(_))));
            assert!(matches!(locks.1.try_read(), Err(TryLockError::Poisoned(_))));
            assert!(matches!(locks.1.try_write(), Err(TryLockError::Poisoned(_))));
            assert!(locks.1.read().is_err() && locks.1.write().is_err());
            locks.0.clear_poison();
            locks.1.clear_poison();
            assert!(locks.0.lock().is_ok() && locks.1.read().is_ok());
        });
    }
}

#[test]
fn get_mut_and_into_inner_tell_of_the_poison() {
    quiet_panics();
    let mut mutex = Mutex::new(1);
    let mut lock = RwLock::new(1);
    let panics = || {
        let _guards = (mutex.lock(), lock.write());
        panic!("expected");
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).map(|_: ()| ()).is_err());
    assert_eq!(*mutex.get_mut().unwrap_err().into_inner(), 1);
    assert_eq!(*lock.get_mut().unwrap_err().into_inner(), 1);
    assert_eq!(mutex.into_inner().map_err(PoisonError::into_inner), Err(1));
    assert_eq!(lock.into_inner().map_err(PoisonError::into_inner), Err(1));
}

#[test]
fn a_reader_that_panics_poisons_nothing() {
    quiet_panics();
    let lock = RwLock::new(1);
    let panics = || {
        let _guard = lock.read();
        panic!("expected");
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).map(|_: ()| ()).is_err());
    assert!(!lock.is_poisoned());
}

#[test]
fn a_cancellation_poisons_nothing() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let locks = Arc::new((Mutex::new(0), RwLock::new(0), Once::new(), OnceLock::new()));
            let other = locks.clone();
            let inside = Arc::new(AtomicBool::new(false));
            let begun = inside.clone();
            let task = go!(move || {
                let _guards = (other.0.lock().unwrap(), other.1.write().unwrap());
                other.2.call_once(|| {
                    other.3.get_or_init(|| {
                        begun.store(true, SeqCst);
                        layby::sleep(Duration::MAX);
                        1
                    });
                });
            });
            yield_until(|| inside.load(SeqCst));
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert!(locks.0.try_lock().is_ok() && locks.1.try_write().is_ok());
            assert!(!locks.2.is_completed() && locks.3.get().is_none());
            locks.2.call_once(|| ()); // not poisoned
            assert_eq!(*locks.3.get_or_init(|| 2), 2);
        });
    }
}

/// As std: a guard that was made while its task unwinds already does not poison.
#[test]
fn a_lock_in_a_destructor_of_a_panic_is_not_poisoned() {
    let _watchdog = watchdog(20);
    quiet_panics();
    on(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let other = mutex.clone();
        let task = go!(move || {
            let _count = OnDrop(|| {
                let mut value = other.lock().unwrap();
                task::yield_now();
                *value += 1;
            });
            panic!("expected");
        });
        assert!(task.join().map(|_: ()| ()).unwrap_err().is_panic());
        assert_eq!(*mutex.lock().unwrap(), 1);
    });
}

/// Task A, parked in a destructor mid-unwind, until it is released. By a panic, or by a cancellation.
fn parked_mid_unwind(by_panic: bool) -> (JoinHandle<()>, Arc<AtomicBool>) {
    let [started, parked, release] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
    let (begun, here, wait) = (started.clone(), parked.clone(), release.clone());
    let task = go!(move || {
        begun.store(true, SeqCst);
        let _wait = OnDrop(|| {
            here.store(true, SeqCst);
            yield_until(|| wait.load(SeqCst));
        });
        if by_panic {
            panic!("expected: A");
        }
        layby::sleep(Duration::MAX);
    });
    yield_until(|| started.load(SeqCst));
    task.cancel();
    yield_until(|| parked.load(SeqCst));
    (task, release)
}

/// On one worker: what B does to a mutex while A unwinds. (In a process of its own: `quiet_panics` takes layby's hook away
/// where a runtime has been before.)
#[test]
fn a_mate_that_is_parked_mid_unwind_poisons_nothing_and_hides_nothing() {
    let _watchdog = watchdog(20);
    if !is_child() {
        let child = Process::run(alone("a_mate_that_is_parked_mid_unwind_poisons_nothing_and_hides_nothing"));
        assert!(child.status.success(), "{}", child.stderr);
        return;
    }
    quiet_panics();
    for by_panic in [false, true] {
        on(1, || {
            let (mate, release) = parked_mid_unwind(by_panic);
            let _release = OnDrop(|| release.store(true, SeqCst));
            let mutex = Arc::new(Mutex::new(0));
            // Locks and unlocks one.
            let other = mutex.clone();
            go!(move || *other.lock().unwrap() += 1).join().unwrap();
            assert!(!mutex.is_poisoned());
            // Is cancelled with one.
            let other = mutex.clone();
            let holder = go!(move || {
                let _guard = other.lock().unwrap();
                layby::sleep(Duration::MAX);
            });
            yield_until(|| mutex.try_lock().is_err());
            holder.cancel();
            assert!(holder.join().unwrap_err().is_cancelled());
            assert!(!mutex.is_poisoned());
            // Panics under one.
            let other = mutex.clone();
            let panics = go!(move || {
                let _guard = other.lock().unwrap();
                panic!("expected: B");
            });
            assert!(panics.join().map(|_: ()| ()).unwrap_err().is_panic());
            assert!(mutex.is_poisoned(), "B's panic was taken for A's");
            release.store(true, SeqCst);
            assert_eq!(mate.join().unwrap_err().is_panic(), by_panic);
        });
    }
}

#[test]
fn a_once_is_poisoned_as_stds() {
    quiet_panics();
    let once = Once::new();
    assert!(catch_unwind(|| once.call_once(|| panic!("expected"))).is_err());
    crate::common::quiet_panics_that_say("Once instance has previously been poisoned");
    assert!(catch_unwind(|| once.call_once(|| ())).is_err());
    assert!(catch_unwind(|| once.wait()).is_err());
    once.call_once_force(|state| {
        assert!(state.is_poisoned());
        assert_eq!(format!("{state:?}"), "OnceState { poisoned: true }");
    });
    once.call_once(|| unreachable!());
    // A cell is not.
    let cell = OnceLock::new();
    assert!(catch_unwind(|| cell.get_or_init(|| panic!("expected"))).is_err());
    assert_eq!(*cell.get_or_init(|| 5), 5);
}
