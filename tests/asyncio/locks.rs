//! Python's `test_asyncio/test_locks.py`, where it applies. The names are its tests'.
//!
//! Not here: constructors, `repr` and loops; and what the types rule out: releasing a lock that one has not (`test_release_not_acquired`),
//! waiting on a condition without its lock (`test_wait_unacquired`, `test_notify_unacquired`), a value below zero
//! (`test_semaphore_value`), a guard used twice. `BoundedSemaphore` has no counterpart: a `Permit` gives back what it took.
//! Of a broken `Barrier` (`abort`, `reset`) there is nothing: a wait that is cancelled takes its place back.

use crate::common::watchdog;
use layby::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use layby::{JoinHandle, go, sleep, testing, timeout};
use std::sync::Arc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Runs `f` with each of some seeds; asyncio's `run_briefly` is `briefly`: all others come to their next wait.
fn seeds(f: impl Fn() + Copy) {
    let _watchdog = watchdog(60);
    for seed in 0..30 {
        testing::run(seed, f);
    }
}

fn briefly() {
    sleep(MS);
}

/// What the tasks of a test have done, in order.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u32>>>);

impl Log {
    fn push(&self, n: u32) {
        self.0.lock().unwrap().push(n);
    }

    fn now(&self) -> Vec<u32> {
        briefly();
        self.0.lock().unwrap().clone()
    }

    /// Of those that are ready at the same time the seed chooses.
    fn in_any_order(&self) -> Vec<u32> {
        let mut log = self.now();
        log.sort_unstable();
        log
    }
}

/// Tasks 1, 2, … in that order at the thing they wait for.
fn in_turn<T: Send + 'static>(
    numbers: impl IntoIterator<Item = u32>,
    mut task: impl FnMut(u32) -> JoinHandle<T>,
) -> Vec<JoinHandle<T>> {
    let begin = |n| {
        let task = task(n);
        briefly();
        task
    };
    numbers.into_iter().map(begin).collect()
}

#[test]
fn lock_acquire() {
    seeds(|| {
        let (lock, log) = (Arc::new(Mutex::new(())), Log::default());
        let guard = lock.lock().unwrap();
        let gates: Vec<_> = (0..3).map(|_| Arc::new(Event::new())).collect();
        let tasks = in_turn(1..=3, |n| {
            let (lock, log, gate) = (lock.clone(), log.clone(), gates[n as usize - 1].clone());
            go!(move || {
                let _guard = lock.lock().unwrap();
                log.push(n);
                gate.wait();
            })
        });
        assert_eq!(log.now(), []);
        drop(guard);
        for n in 1..=3 {
            assert_eq!(log.now(), Vec::from_iter(1..=n), "released, it goes to the next in line, and to one");
            assert!(lock.try_lock().is_err());
            gates[n as usize - 1].set();
        }
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert!(lock.try_lock().is_ok(), "test_release_no_waiters");
    });
}

/// And `test_acquire_cancel`; `test_cancel_release_race` and `test_finished_waiter_cancelled` of later versions.
#[test]
fn lock_cancel_race() {
    seeds(|| {
        let lock = Arc::new(Mutex::new(()));
        let guard = lock.lock().unwrap();
        let tasks = in_turn(1..=2, |_| {
            let lock = lock.clone();
            go!(move || drop(lock.lock().unwrap()))
        });
        // In either order, at once:
        let [b, c] = <[_; 2]>::try_from(tasks).unwrap();
        if testing::random().is_multiple_of(2) {
            drop(guard);
            b.cancel();
        } else {
            b.cancel();
            drop(guard);
        }
        c.join().unwrap();
        let _ = b.join(); // it may have had the lock already, and ended
        assert!(lock.try_lock().is_ok());
    });
}

#[test]
fn event_wait() {
    seeds(|| {
        let (event, log) = (Arc::new(Event::new()), Log::default());
        let wait = |n| {
            let (event, log) = (event.clone(), log.clone());
            go!(move || {
                event.wait();
                log.push(n);
            })
        };
        let mut tasks = in_turn(1..=2, wait);
        assert_eq!(log.now(), []);
        tasks.push(wait(3));
        event.set();
        assert_eq!(log.in_any_order(), [1, 2, 3]);
        event.wait(); // test_wait_on_set
        tasks.into_iter().for_each(|task| task.join().unwrap());
        event.clear();
        assert!(!event.is_set());
    });
}

#[test]
fn event_clear_with_waiters() {
    seeds(|| {
        let (event, log) = (Arc::new(Event::new()), Log::default());
        let (waited, done) = (event.clone(), log.clone());
        let task = go!(move || {
            waited.wait();
            done.push(1);
        });
        briefly();
        event.set();
        event.clear();
        assert!(!event.is_set());
        event.set();
        event.set();
        assert_eq!(log.now(), [1]);
        task.join().unwrap();
        event.clear();
        // test_wait_cancel
        let waiting = go!(move || event.wait());
        briefly();
        waiting.cancel();
        assert!(waiting.join().unwrap_err().is_cancelled());
    });
}

type Condition = Arc<(Mutex<u32>, Condvar)>;

fn waiter(condition: &Condition, log: &Log, n: u32) -> JoinHandle<()> {
    let (condition, log) = (condition.clone(), log.clone());
    go!(move || {
        let guard = condition.0.lock().unwrap();
        let _guard = condition.1.wait(guard).unwrap();
        log.push(n);
    })
}

/// `test_wait`, `test_notify`, `test_notify_all`: who is notified goes on when the lock is free, in order.
#[test]
fn condition_notify() {
    seeds(|| {
        let (condition, log) = (Condition::default(), Log::default());
        let tasks = in_turn(1..=5, |n| waiter(&condition, &log, n));
        assert!(condition.0.try_lock().is_ok(), "waiting gives the lock up");
        let guard = condition.0.lock().unwrap();
        condition.1.notify_one();
        assert_eq!(log.now(), []);
        drop(guard);
        assert_eq!(log.now(), [1]);
        condition.1.notify_one();
        condition.1.notify_one();
        assert_eq!(log.in_any_order(), [1, 2, 3]);
        condition.1.notify_all();
        condition.1.notify_all(); // nobody, as notify(2048) is no harm
        assert_eq!(log.in_any_order(), [1, 2, 3, 4, 5]);
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn condition_wait_for() {
    seeds(|| {
        let (condition, log) = (Condition::default(), Log::default());
        let (waited, done) = (condition.clone(), log.clone());
        let task = go!(move || {
            let guard = waited.0.lock().unwrap();
            done.push(*waited.1.wait_while(guard, |n| *n < 2).unwrap());
        });
        briefly();
        for n in 1..=2 {
            assert_eq!(log.now(), []);
            *condition.0.lock().unwrap() = n;
            condition.1.notify_one();
        }
        assert_eq!(log.now(), [2]);
        task.join().unwrap();
    });
}

/// `test_wait_cancel`, `test_wait_cancel_contested`, `test_wait_cancel_after_notify`: the lock is had again when the wait is left, by whatever way;
/// and a notification that the cancelled one has got is not lost.
#[test]
fn condition_wait_cancel() {
    seeds(|| {
        let (condition, log) = (Condition::default(), Log::default());
        let tasks = in_turn(1..=2, |n| waiter(&condition, &log, n));
        let guard = condition.0.lock().unwrap();
        tasks[0].cancel();
        condition.1.notify_one();
        briefly();
        assert!(!tasks[0].is_finished() || log.now().is_empty(), "it has to get the lock first");
        drop(guard);
        let done = log.now();
        assert!(done == [1] || done == [2], "one of them has got it: {done:?}");
        tasks[1].cancel();
        let ended: Vec<_> = tasks.into_iter().map(JoinHandle::join).collect();
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1);
        assert!(condition.0.try_lock().is_ok());
    });
}

#[test]
fn semaphore_acquire() {
    seeds(|| {
        let (semaphore, log) = (Arc::new(Semaphore::new(3)), Log::default());
        semaphore.try_acquire(2).unwrap().forget();
        let tasks = in_turn(1..=4, |n| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            go!(move || {
                semaphore.acquire(1).unwrap().forget();
                log.push(n);
            })
        });
        assert_eq!(log.now(), [1]);
        assert!(semaphore.try_acquire(1).is_err());
        semaphore.add(2);
        assert!(semaphore.try_acquire(1).is_err(), "test_acquire_fifo_order: no barging");
        assert_eq!(log.in_any_order(), [1, 2, 3]);
        assert!(!tasks[3].is_finished());
        semaphore.add(1);
        assert_eq!(log.in_any_order(), [1, 2, 3, 4]);
        assert!(Semaphore::new(0).try_acquire(1).is_err(), "test_initial_value_zero");
    });
}

/// `test_acquire_cancel`, `test_acquire_cancel_before_awoken`, `test_acquire_hang`, `test_acquire_no_hang`.
#[test]
fn semaphore_acquire_cancel() {
    seeds(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let tasks = in_turn(1..=4, |_| {
            let semaphore = semaphore.clone();
            go!(move || semaphore.acquire(1).unwrap().forget())
        });
        tasks[0].cancel();
        tasks[1].cancel();
        briefly(); // until they are told, they are in line
        semaphore.add(2);
        let ended: Vec<_> = tasks.into_iter().map(|task| task.join().is_ok()).collect();
        assert_eq!(ended, [false, false, true, true]);
        assert_eq!(semaphore.available(), 0);
        // The one at the front is woken and cancelled at once: what it got goes on, or comes back.
        let tasks = in_turn(1..=2, |_| {
            let semaphore = semaphore.clone();
            go!(move || drop(semaphore.acquire(1).unwrap()))
        });
        semaphore.add(1);
        tasks[0].cancel();
        tasks.into_iter().for_each(|task| drop(task.join()));
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn semaphore_context_manager() {
    seeds(|| {
        let semaphore = Semaphore::new(2);
        let one = semaphore.acquire(1).unwrap();
        let two = semaphore.acquire(1).unwrap();
        assert!(semaphore.try_acquire(1).is_err());
        drop((one, two));
        assert_eq!(semaphore.available(), 2);
    });
}

/// `test_barrier`, `test_filling_one_task_by_one`, `test_wait_task_multiple_times`.
#[test]
fn barrier() {
    seeds(|| {
        let (barrier, log) = (Arc::new(Barrier::new(3)), Log::default());
        let tasks = in_turn(1..=3, |n| {
            let (barrier, log) = (barrier.clone(), log.clone());
            go!(move || {
                (0..4)
                    .filter(|round| {
                        log.push(*round);
                        sleep(n * MS);
                        barrier.wait().is_leader()
                    })
                    .count()
            })
        });
        let leaders: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(leaders, 4, "one of each round");
        assert_eq!(log.now(), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert!(Barrier::new(1).wait().is_leader(), "test_wait_one_task");
    });
}

/// asyncio's barrier breaks when a wait is cancelled; this one is as it was before.
#[test]
fn barrier_cancel() {
    seeds(|| {
        let barrier = Arc::new(Barrier::new(2));
        assert!(timeout(MS, || barrier.wait()).is_err());
        let other = barrier.clone();
        let task = go!(move || _ = other.wait());
        briefly();
        assert!(!task.is_finished(), "the first one's place was given back");
        barrier.wait();
        task.join().unwrap();
    });
}
