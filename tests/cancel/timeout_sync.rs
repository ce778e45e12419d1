//! A timeout, and a cancellation, around each wait of `sync` and `channel`: it is cut short, and nothing is lost or poisoned by it.

use crate::common::{OnDrop, Process, Rng, alone, is_child, on, quiet_panics, watchdog, workers};
use layby::channel::{bounded, unbounded};
use layby::sync::{Barrier, Condvar, Event, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use layby::{select, shield, sleep, task, testing, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(2);

/// On a task of 1 and of several workers, and on a thread that is no task.
fn everywhere(f: impl Fn() + Sync) {
    for n in workers() {
        on(n, &f);
    }
    std::thread::scope(|scope| scope.spawn(&f).join().expect("the same on a thread"));
}

/// That `f` is cut short, and not before the time.
#[track_caller]
fn cut<T>(what: &str, f: impl FnOnce() -> T) {
    let start = Instant::now();
    assert!(timeout(SHORT, f).is_err(), "{what} was not cut short");
    assert!(start.elapsed() >= SHORT, "{what} was cut short too early");
}

#[test]
fn locks() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().unwrap();
        cut("lock", || drop(mutex.lock()));
        drop(guard);
        assert_eq!(*mutex.lock().unwrap(), 0);

        let lock = RwLock::new(0);
        let guard = lock.write().unwrap();
        cut("read", || drop(lock.read()));
        cut("write", || drop(lock.write()));
        drop(guard);
        let guard = lock.read().unwrap();
        cut("write behind a reader", || drop(lock.write()));
        // A writer that has gone keeps no readers out.
        assert!(lock.try_read().is_ok());
        drop(guard);
        assert!(lock.try_write().is_ok());
    });
}

#[test]
fn a_condvar_has_its_mutex_again() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let (mutex, changed) = (Mutex::new(0), Condvar::new());
        cut("Condvar::wait", || {
            let mut guard = mutex.lock().unwrap();
            loop {
                guard = changed.wait(guard).unwrap();
            }
        });
        assert!(!mutex.is_poisoned());
        *mutex.try_lock().expect("the guard went with the closure") += 1;
        // The waiter has left the queue: this wakes nobody, and harms nothing.
        changed.notify_one();
        cut("Condvar::wait_while", || drop(changed.wait_while(mutex.lock().unwrap(), |_| true)));
        assert!(!mutex.is_poisoned() && mutex.try_lock().is_ok());
    });
}

#[test]
fn semaphores_events_barriers_groups() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let semaphore = Semaphore::new(1);
        cut("acquire", || drop(semaphore.acquire(2)));
        let permit = semaphore.acquire(1).unwrap();
        cut("acquire of one", || drop(semaphore.acquire(1)));
        drop(permit);
        assert_eq!(semaphore.available(), 1);

        let event = Event::new();
        cut("Event::wait", || event.wait());
        event.set();
        assert_eq!(timeout(SHORT * 1000, || event.wait()), Ok(()));

        // One who has given up is not counted.
        let barrier = Barrier::new(2);
        cut("Barrier::wait", || barrier.wait());
        cut("Barrier::wait again", || barrier.wait());
        let leaders = layby::scope(|s| {
            let other = s.spawn(|| barrier.wait().is_leader());
            usize::from(barrier.wait().is_leader()) + usize::from(other.join().unwrap())
        });
        assert_eq!(leaders, 1);

        let group = WaitGroup::new();
        let member = group.clone();
        cut("WaitGroup::wait", || group.wait());
        drop(member);
    });
}

/// Who initialises is stopped: the cell is empty, not poisoned. Who waits for it is stopped: the other goes on.
#[test]
fn initialisation() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        let (once, cell) = (Once::new(), OnceLock::new());
        cut("call_once", || once.call_once(|| sleep(Duration::MAX)));
        cut("get_or_init", || {
            cell.get_or_init(|| -> u32 {
                sleep(Duration::MAX);
                unreachable!()
            });
        });
        assert!(!once.is_completed() && cell.get().is_none());
        let (begun, go_on) = (Event::new(), Event::new());
        layby::scope(|s| {
            let first = s.spawn(|| {
                once.call_once(|| {
                    shield(|| {
                        begun.set();
                        go_on.wait();
                    });
                });
            });
            begun.wait();
            cut("call_once of another", || once.call_once(|| unreachable!()));
            cut("Once::wait", || once.wait());
            go_on.set();
            first.join().unwrap();
        });
        assert!(once.is_completed());
        assert_eq!(*cell.get_or_init(|| 7), 7);
    });
}

#[test]
fn channels() {
    let _watchdog = watchdog(20);
    everywhere(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            cut("recv", || receiver.recv().is_ok());
            for n in 0..capacity {
                sender.send(n).unwrap();
            }
            cut("send", || sender.send(99).is_ok());
            let never = layby::channel::never::<usize>();
            cut("select!", || {
                select! {
                    send(sender, 98) -> _ => unreachable!(),
                    recv(never) -> _ => unreachable!(),
                }
            });
            // What was not sent is not there.
            assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..capacity).collect::<Vec<_>>());
            cut("iter", || receiver.iter().count());
        }
    });
}

/// A throw is no panic: on tasks and on threads, also where layby's payload is still there, or a generator was closed. (In a process of
/// its own: `quiet_panics` takes layby's hook away where a runtime has been before.)
///
/// Guards against a thread that took a panic for a throw which was over: its payload was kept, or it had closed a generator.
#[test]
fn a_throw_poisons_nothing_and_a_panic_does() {
    let _watchdog = watchdog(20);
    if !is_child() {
        let child = Process::run(alone("a_throw_poisons_nothing_and_a_panic_does"));
        assert!(child.status.success(), "{}", child.stderr);
        return;
    }
    quiet_panics();
    everywhere(|| {
        let poisons = |what: &str| {
            let (mutex, lock) = (Mutex::new(0), RwLock::new(0));
            let panics = AssertUnwindSafe(|| {
                let _guards = (mutex.lock().unwrap(), lock.write().unwrap());
                panic!("expected");
            });
            assert!(catch_unwind(panics).map(|_: ()| ()).is_err());
            assert!(mutex.is_poisoned() && lock.is_poisoned(), "a panic {what} did not poison");
        };
        poisons("alone");
        let (mutex, lock) = (Mutex::new(0), RwLock::new(0));
        cut("sleep with guards", || {
            let _guards = (mutex.lock().unwrap(), lock.write().unwrap());
            sleep(Duration::MAX);
        });
        assert!(!mutex.is_poisoned() && !lock.is_poisoned());
        poisons("after a timeout");

        // Caught by somebody else on its way, and kept.
        let mut kept = None;
        cut("twice", || {
            let waits = AssertUnwindSafe(|| {
                let _guards = (mutex.lock().unwrap(), lock.write().unwrap());
                sleep(Duration::MAX);
            });
            kept = catch_unwind(waits).err();
            assert!(task::is_cancellation(&**kept.as_ref().unwrap()));
            shield(|| poisons("with a payload that is kept"));
            task::check_cancelled();
        });
        assert!(!mutex.is_poisoned() && !lock.is_poisoned());
        poisons("after a payload that is kept");
        drop(kept);

        // Closing a generator is a throw, too.
        let mutex = Arc::new(mutex);
        let other = mutex.clone();
        let mut generator = layby::generator::gen_iter(move |y| {
            let _guard = other.lock().unwrap();
            y.suspend(1);
        });
        assert_eq!(generator.next(), Some(1));
        drop(generator);
        assert!(!mutex.is_poisoned(), "a generator that was closed poisoned");
        poisons("after a generator was closed");

        // In a destructor that a panic runs: the panic is it still, for the guards that go later.
        let destructors: [fn(); 2] = [
            || assert!(timeout(SHORT, || sleep(Duration::MAX)).is_err()),
            || {
                let mut generator = layby::generator::gen_iter(|y| y.suspend(1));
                assert_eq!(generator.next(), Some(1));
            },
        ];
        for destructor in destructors {
            let mutex = Mutex::new(0);
            let panics = AssertUnwindSafe(|| {
                let _guard = mutex.lock().unwrap();
                let _on_drop = OnDrop(destructor);
                panic!("expected");
            });
            assert!(catch_unwind(panics).map(|_: ()| ()).is_err());
            assert!(mutex.is_poisoned(), "a throw in a destructor hid the panic");
        }

        // A panic inside of a timeout, one that goes through it, and one in a destructor of what is thrown.
        assert_eq!(timeout(SHORT * 1000, || poisons("in a timeout")), Ok(()));
        let through = AssertUnwindSafe(|| {
            timeout(SHORT * 1000, || {
                let _guard = mutex.lock().unwrap();
                panic!("expected");
            })
        });
        assert!(catch_unwind(through).map(|_: Result<(), _>| ()).is_err());
        assert!(mutex.is_poisoned());
    });
}

/// As `everywhere`, but each body in `count` tasks, or threads, at once.
fn crowd(threads: bool, count: u64, f: impl Fn(u64) + Sync) {
    if threads {
        std::thread::scope(|s| {
            (0..count).for_each(|n| {
                drop(s.spawn({
                    let f = &f;
                    move || f(n)
                }))
            })
        });
    } else {
        layby::scope(|s| {
            (0..count).for_each(|n| {
                drop(s.spawn({
                    let f = &f;
                    move || f(n)
                }))
            })
        });
    }
}

/// Some of everything under random timeouts; then all permits are there, the locks are free and whole, and each message was
/// received once.
fn storm(seed: u64, threads: bool) {
    let semaphore = Semaphore::new(3);
    let mutex = Mutex::new(0_usize);
    let lock = RwLock::new([0_usize; 2]);
    let added = [const { AtomicUsize::new(0) }; 2];
    let (sender, receiver) = bounded(2);
    let (sent, got) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(threads, 6, |n| {
        let rng = &mut Rng::new(seed * 8 + n);
        for _ in 0..12 {
            let limit = Duration::from_micros(rng.below(120) as u64);
            let nap = Duration::from_micros(rng.below(60) as u64);
            let what = rng.below(6);
            let result = timeout(limit, || match what {
                0 => {
                    let permits = semaphore.acquire(1 + n as usize % 3).unwrap();
                    sleep(nap);
                    drop(permits);
                }
                1 => {
                    let mut value = mutex.lock().unwrap();
                    sleep(nap);
                    *value += 1;
                    added[0].fetch_add(1, SeqCst);
                }
                2 => {
                    let mut value = lock.write().unwrap();
                    shield(|| {
                        value[0] += 1;
                        sleep(nap);
                        value[1] += 1;
                        added[1].fetch_add(1, SeqCst);
                    });
                }
                3 => {
                    let value = lock.read().unwrap();
                    sleep(nap);
                    assert_eq!(value[0], value[1]);
                }
                4 => {
                    // Counted right after, with no suspension point between: returned means sent.
                    sender.send(()).unwrap();
                    sent.fetch_add(1, SeqCst);
                }
                _ => {
                    receiver.recv().unwrap();
                    got.fetch_add(1, SeqCst);
                }
            });
            let _ = result;
        }
    });
    assert_eq!(semaphore.available(), 3, "permits were lost");
    assert_eq!(*mutex.try_lock().expect("free, and not poisoned"), added[0].load(SeqCst));
    assert_eq!(*lock.try_write().expect("free, and not poisoned"), [added[1].load(SeqCst); 2]);
    assert_eq!(got.load(SeqCst) + receiver.try_iter().count(), sent.load(SeqCst), "messages were lost");
}

#[test]
fn nothing_is_lost_by_timeouts() {
    let _watchdog = watchdog(120);
    for seed in 0..150 {
        println!("seed {seed}");
        testing::run(seed, || storm(seed, false));
    }
    for seed in 0..20 {
        println!("seed {seed}");
        on(1 + seed as usize % 4, || storm(seed, false));
        storm(seed, true);
    }
}

/// A notify, a set and a permit go to one who takes it, whoever else is cancelled at the same time.
#[test]
fn nothing_is_lost_by_cancels() {
    let _watchdog = watchdog(120);
    for seed in 0..200 {
        println!("seed {seed}");
        let body = move || {
            let mut rng = Rng::new(seed);
            let shared = Arc::new((Mutex::new(0_usize), Condvar::new(), AtomicUsize::new(0)));
            let semaphore = Arc::new(Semaphore::new(0));
            let (sender, receiver) = unbounded::<usize>();
            let taken = Arc::new(AtomicUsize::new(0));
            let mut tasks = Vec::new();
            for _ in 0..9 {
                let (shared, semaphore, receiver) = (shared.clone(), semaphore.clone(), receiver.clone());
                let (taken, what) = (taken.clone(), tasks.len() % 3);
                tasks.push(layby::spawn(move || match what {
                    0 => {
                        let (mutex, changed, woken) = &*shared;
                        let mut tokens = changed.wait_while(mutex.lock().unwrap(), |n| *n == 0).unwrap();
                        *tokens -= 1;
                        woken.fetch_add(1, SeqCst);
                    }
                    1 => {
                        semaphore.acquire(1).unwrap().forget();
                        taken.fetch_add(1, SeqCst);
                    }
                    _ => {
                        receiver.recv().unwrap();
                        taken.fetch_add(1, SeqCst);
                    }
                }));
            }
            let mut steps: Vec<usize> = (0..12).collect();
            (1..12).for_each(|n| steps.swap(n, rng.below(n + 1)));
            for step in steps {
                match step {
                    // One of each kind is cancelled; for each other there is something.
                    0..3 => tasks[step].cancel(),
                    3 | 4 => {
                        *shared.0.lock().unwrap() += 1;
                        shared.1.notify_one();
                    }
                    5 | 6 => semaphore.add(1),
                    7 | 8 => sender.send(step).unwrap(),
                    _ => layby::yield_now(),
                }
                if rng.below(2) == 0 {
                    layby::yield_now();
                }
            }
            // One who was cancelled after it was served has taken what another waits for: that one gets it back.
            let ends = |task: &layby::JoinHandle<()>| task.is_finished();
            for _ in 0..50 {
                layby::yield_now();
            }
            let (mutex, _, woken) = &*shared;
            assert_eq!(*mutex.lock().unwrap() + woken.load(SeqCst), 2, "a token was lost");
            let left = semaphore.available() + receiver.try_iter().count();
            assert_eq!(left + taken.load(SeqCst), 4, "a permit or a message was lost");
            // Nobody sleeps beside what it waits for.
            let asleep = |kind: usize| tasks.iter().skip(kind).step_by(3).filter(|task| !ends(task)).count();
            assert!(*mutex.lock().unwrap() == 0 || asleep(0) == 0, "a notify was lost");
            assert!(left == 0 || asleep(1) + asleep(2) == 0, "a wake was lost");
            for task in tasks {
                task.cancel();
                let _ = task.join();
            }
            assert!(!mutex.is_poisoned());
        };
        testing::run(seed, body);
    }
}
