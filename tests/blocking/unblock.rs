//! `unblock`: closures that block, on threads of their own, while the task waits.

use crate::common::{Drops, OnDrop, in_own_process, on, quiet_panics, watchdog, workers};
use layby::{task, unblock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::time::Duration;

#[test]
fn it_borrows_and_returns() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let text = String::from("borrowed");
            let mut list = vec![1, 2];
            let part = unblock(|| {
                list.push(3);
                &text[..6]
            });
            assert_eq!((part, list), ("borrow", vec![1, 2, 3]));
            let moved = Drops::new();
            let token = moved.token();
            let token = unblock(move || token);
            assert_eq!(moved.count(), 0);
            drop(token);
            assert_eq!(moved.count(), 1);
            assert_eq!(unblock(|| [9u8; 100_000].len()), 100_000);
        });
    }
}

#[test]
fn on_a_task_it_is_another_thread_on_a_thread_it_is_that_one() {
    let _watchdog = watchdog(20);
    let id = || std::thread::current().id();
    assert_eq!(unblock(id), id());
    on(1, || {
        assert_ne!(unblock(id), id());
        // Inside of one it is a thread already.
        let (outer, inner) = unblock(|| (id(), unblock(id)));
        assert_eq!(outer, inner);
    });
}

#[test]
fn other_tasks_of_the_worker_run_meanwhile() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (sender, receiver) = mpsc::channel();
        let sending = layby::spawn(move || {
            for i in 0..10 {
                layby::yield_now();
                sender.send(i).unwrap();
            }
        });
        // Blocks the pool's thread until the other task has run.
        let got: Vec<i32> = unblock(move || receiver.into_iter().collect());
        assert_eq!(got, (0..10).collect::<Vec<_>>());
        sending.join().unwrap();
    });
}

#[test]
fn panics_come_out() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        on(n, || {
            for i in 0..20 {
                let drops = Drops::new();
                let token = drops.token();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    unblock(move || {
                        let _token = token;
                        assert!(i < 0, "expected: {i}");
                    })
                }));
                assert_eq!(*caught.unwrap_err().downcast::<String>().unwrap(), format!("expected: {i}"));
                assert_eq!(drops.count(), 1);
                let error =
                    layby::spawn(|| unblock(|| panic!("expected"))).join().map(|_: ()| ()).unwrap_err();
                assert!(error.is_panic());
            }
            assert_eq!(unblock(|| 1), 1);
        });
    }
}

/// More than the pool has threads: the rest wait their turn, and none is forgotten.
#[test]
fn six_hundred_at_once() {
    let _watchdog = watchdog(60);
    on(2, || {
        let (open, gate) = (Arc::new((Mutex::new(false), Condvar::new())), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..600usize)
            .map(|i| {
                let (open, inside) = (open.clone(), gate.clone());
                layby::spawn(move || {
                    unblock(|| {
                        inside.fetch_add(1, SeqCst);
                        let (lock, changed) = &*open;
                        drop(changed.wait_while(lock.lock().unwrap(), |open| !*open).unwrap());
                        i
                    })
                })
            })
            .collect();
        // Many are inside together, since none leaves yet. (How many threads the machine allows is not ours.)
        while gate.load(SeqCst) < 300 {
            layby::sleep(Duration::from_millis(1));
        }
        assert!(tasks.iter().all(|task| !task.is_finished()));
        *open.0.lock().unwrap() = true;
        open.1.notify_all();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), i);
        }
    });
}

/// The limit is reached and never passed: neither by threads nor by closures that are inside. (In a process of its own,
/// since the pool is the process's.)
#[test]
fn never_more_than_512_threads() {
    const LIMIT: usize = 512;
    let _watchdog = watchdog(60);
    let threads = || {
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(entry.unwrap().path().join("comm")).unwrap_or_default()
        };
        let all = std::fs::read_dir("/proc/self/task").unwrap();
        all.map(name).filter(|name| name.trim() == "layby-unblock").count()
    };
    let ended = in_own_process("never_more_than_512_threads", || {
        let _watchdog = watchdog(50); // shows what layby has said, if the machine has no room for them
        on(2, || {
            let (open, inside, most) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
            let (gate, opened) = (Mutex::new(()), Condvar::new());
            let closure = || {
                most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                let closed = gate.lock().unwrap();
                drop(opened.wait_while(closed, |()| !open.load(SeqCst)).unwrap());
                inside.fetch_sub(1, SeqCst);
                1
            };
            let all = || layby::gather((0..700).map(|_| || layby::unblock(closure))).into_iter().sum::<i32>();
            let watch = || {
                // Also where an assertion fails.
                let _open = OnDrop(|| {
                    let _closed = gate.lock().unwrap();
                    open.store(true, SeqCst);
                    opened.notify_all();
                });
                while inside.load(SeqCst) < LIMIT {
                    layby::sleep(Duration::from_millis(1));
                }
                // The rest have been queued by now, or come soon; no thread starts for them.
                for _ in 0..20 {
                    layby::sleep(Duration::from_millis(1));
                    assert_eq!((threads(), inside.load(SeqCst)), (LIMIT, LIMIT));
                }
            };
            assert_eq!(layby::gather!(all(), watch()).0, 700);
            assert_eq!((inside.load(SeqCst), most.load(SeqCst)), (0, LIMIT));
            // They are kept for the next ones.
            assert_eq!(all(), 700);
            assert_eq!(threads(), LIMIT);
        });
    });
    ended.expect_success();
}

#[test]
fn they_meet() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            for count in [2, 7, 30] {
                let barrier = Barrier::new(count);
                let leaders = layby::gather((0..count).map(|_| || unblock(|| barrier.wait().is_leader())));
                assert_eq!(leaders.into_iter().filter(|leader| *leader).count(), 1);
            }
        });
    }
}

#[test]
fn tasks_and_threads_and_runtimes_in_each_other() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            // A task waits for a thread that waits for a task that waits for a thread.
            let value =
                unblock(|| layby::spawn(|| unblock(|| layby::spawn(|| 6).join().unwrap())).join().unwrap());
            assert_eq!(value, 6);
            let value = unblock(|| on(1, || unblock(|| on(1, || unblock(|| 7)))));
            assert_eq!(value, 7);
            // The pool's thread may sleep, park and gather as any thread.
            unblock(|| {
                layby::sleep(Duration::from_micros(50));
                task::park_timeout(Duration::from_micros(50));
                assert_eq!(layby::gather!(1, 2), (1, 2));
            });
        });
    }
}

#[test]
fn a_cancel_waits_for_the_closure_and_what_it_borrows() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            for _ in 0..50 {
                let (sender, receiver) = mpsc::channel();
                let inside = Arc::new(AtomicBool::new(false));
                let (flag, finished) = (inside.clone(), Arc::new(AtomicUsize::new(0)));
                let count = finished.clone();
                let task = layby::spawn(move || {
                    let mut frame = [0u64; 64];
                    let _after = OnDrop(|| {
                        count.fetch_add(10, SeqCst);
                    });
                    let (lent, flag) = (&mut frame, &flag);
                    let sum = unblock(move || {
                        flag.store(true, SeqCst);
                        receiver.recv().unwrap();
                        lent.fill(3);
                        lent.iter().sum::<u64>()
                    });
                    assert_eq!(sum, 192);
                    count.fetch_add(1, SeqCst);
                    layby::yield_now();
                    count.fetch_add(100, SeqCst);
                });
                while !inside.load(SeqCst) {
                    layby::yield_now();
                }
                task.cancel();
                (0..3).for_each(|_| layby::yield_now());
                assert!(!task.is_finished());
                sender.send(()).unwrap();
                assert!(task.join().unwrap_err().is_cancelled());
                assert_eq!(finished.load(SeqCst), 11);
            }
        });
    }
}

#[test]
fn a_storm_from_many_tasks() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let count = AtomicUsize::new(0);
            layby::gather((0..50).map(|i| {
                let count = &count;
                move || {
                    for j in 0..40 {
                        assert_eq!(unblock(|| i * j), i * j);
                        count.fetch_add(1, SeqCst);
                    }
                }
            }));
            assert_eq!(count.load(SeqCst), 2000);
        });
    }
}

#[test]
fn at_the_end_of_a_runtime_it_is_waited_for() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let ended = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        on(n, || {
            let (set, inside) = (ended.clone(), Arc::new(AtomicBool::new(false)));
            let flag = inside.clone();
            drop(layby::spawn(move || {
                unblock(move || {
                    flag.store(true, SeqCst);
                    receiver.recv().unwrap();
                    set.store(true, SeqCst);
                });
            }));
            while !inside.load(SeqCst) {
                layby::yield_now();
            }
            std::thread::spawn(move || sender.send(()).unwrap());
        });
        assert!(ended.load(SeqCst));
    }
}
