//! Cancelling through a `JoinHandle`: when, and where it is delivered. (The unwinding: `cancel_unwind.rs`.)

use crate::common::{Drops, on, waiting_in, watchdog, workers, yield_until};
use layby::JoinHandle;
use layby::net::{TcpListener, TcpStream};
use layby::task;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

#[test]
fn before_the_start_the_closure_never_runs_and_is_dropped_once() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let drops = Drops::new();
        let ran = Arc::new(AtomicUsize::new(0));
        on(n, || {
            let mut cancelled = 0;
            for _ in 0..200 {
                let (token, count) = (drops.token(), ran.clone());
                let task = layby::spawn(move || {
                    count.fetch_add(1, SeqCst);
                    drop(token);
                });
                task.cancel();
                task.cancel();
                match task.join() {
                    Ok(()) => {} // another worker was faster
                    Err(error) => {
                        assert!(error.is_cancelled());
                        cancelled += 1;
                    }
                }
            }
            assert_eq!(cancelled + ran.load(SeqCst), 200);
            if n == 1 {
                assert_eq!(cancelled, 200);
            }
        });
        assert_eq!(drops.count(), 200);
    }
}

#[test]
fn a_parked_task_unwinds_from_whatever_it_waits_in() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let _silent = TcpStream::connect(address).unwrap();
            let (mut silent, _) = listener.accept().unwrap();
            let mut full = TcpStream::connect(address).unwrap();
            let (_never_read, _) = listener.accept().unwrap();
            let drops = Drops::new();
            let forever = layby::spawn(|| layby::sleep(Duration::MAX));
            let (first, second) = (drops.token(), drops.token());
            let tasks: Vec<(&str, JoinHandle<()>)> = vec![
                ("sleep", waiting_in(|| layby::sleep(Duration::from_secs(3600)))),
                ("sleep MAX", waiting_in(|| layby::sleep(Duration::MAX))),
                (
                    "sleep_until",
                    waiting_in(|| layby::sleep_until(Instant::now() + Duration::from_secs(3600))),
                ),
                (
                    "park",
                    waiting_in(|| {
                        loop {
                            task::park()
                        }
                    }),
                ),
                (
                    "park_timeout",
                    waiting_in(|| {
                        loop {
                            task::park_timeout(Duration::from_secs(3600))
                        }
                    }),
                ),
                ("join", waiting_in(move || forever.join().unwrap())),
                (
                    "yield",
                    waiting_in(|| {
                        loop {
                            layby::yield_now()
                        }
                    }),
                ),
                ("accept", waiting_in(move || drop(listener.accept()))),
                ("read", waiting_in(move || drop(silent.read(&mut [0; 10])))),
                ("write", waiting_in(move || while full.write_all(&[0; 65536]).is_ok() {})),
                (
                    "gather!",
                    waiting_in(move || {
                        let ((), ()) = layby::gather!(
                            {
                                let _token = first;
                                layby::sleep(Duration::MAX)
                            },
                            {
                                let _token = second;
                                task::park_timeout(Duration::MAX)
                            },
                        );
                    }),
                ),
                (
                    "gather_limit",
                    waiting_in(|| {
                        layby::gather_limit(2, (0..5).map(|_| || layby::sleep(Duration::MAX)));
                    }),
                ),
                (
                    "check_cancelled",
                    waiting_in(|| {
                        loop {
                            task::park_timeout(Duration::from_micros(10));
                            task::check_cancelled();
                        }
                    }),
                ),
            ];
            for (name, task) in &tasks {
                assert!(!task.is_finished(), "{name} has not waited");
                task.cancel();
            }
            for (name, task) in tasks {
                let result = task.join();
                assert!(result.as_ref().is_err_and(|error| error.is_cancelled()), "{name}: {result:?}");
            }
            assert_eq!(drops.count(), 2);
        });
    }
}

#[test]
fn the_joined_task_of_a_cancelled_joiner_runs_on() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (go, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (wait, set) = (go.clone(), done.clone());
            let inner = layby::spawn(move || {
                yield_until(|| wait.load(SeqCst));
                set.store(true, SeqCst);
            });
            let joiner = waiting_in(move || inner.join().unwrap());
            joiner.cancel();
            assert!(joiner.join().unwrap_err().is_cancelled());
            assert!(!done.load(SeqCst));
            go.store(true, SeqCst);
            yield_until(|| done.load(SeqCst));
        });
    }
}

#[test]
fn a_running_task_sees_it_at_the_next_suspension_point() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (at, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let (flag, count) = (at.clone(), steps.clone());
            let (sender, receiver) = mpsc::channel::<()>();
            let task = layby::spawn(move || {
                flag.store(true, SeqCst);
                while !task::is_cancelled() {
                    task::park_timeout(Duration::ZERO);
                    let _ = receiver.try_recv();
                }
                count.fetch_add(1, SeqCst);
                task::check_cancelled();
                count.fetch_add(1, SeqCst);
            });
            yield_until(|| at.load(SeqCst));
            task.cancel();
            drop(sender);
            assert!(task.join().unwrap_err().is_cancelled());
            assert!(steps.load(SeqCst) <= 1);
        });
    }
}

#[test]
fn every_call_that_could_wait_throws_once_cancelled() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let calls: Vec<(&str, fn())> = vec![
                ("check_cancelled", task::check_cancelled),
                ("yield_now", layby::yield_now),
                ("sleep(0)", || layby::sleep(Duration::ZERO)),
                ("sleep", || layby::sleep(Duration::from_secs(3600))),
                ("park", task::park),
                ("park_timeout", || task::park_timeout(Duration::ZERO)),
                ("park with a token", || {
                    task::current().unpark();
                    task::park();
                }),
                ("join", || layby::spawn(|| layby::sleep(Duration::MAX)).join().unwrap()),
                ("gather!", || ((), ()) = layby::gather!((), ())),
                ("gather", || drop(layby::gather([|| (), || ()]))),
                ("gather_limit", || drop(layby::gather_limit(1, [|| (), || ()]))),
            ];
            for (name, call) in calls {
                let (sender, receiver) = mpsc::channel::<Arc<JoinHandle<()>>>();
                let returned = Arc::new(AtomicBool::new(false));
                let set = returned.clone();
                let task = Arc::new(layby::spawn(move || {
                    let mut me = None;
                    yield_until(|| {
                        me = receiver.try_recv().ok();
                        me.is_some()
                    });
                    me.take().unwrap().cancel();
                    call();
                    set.store(true, SeqCst);
                }));
                sender.send(task.clone()).unwrap();
                yield_until(|| task.is_finished());
                let ended = Arc::into_inner(task).unwrap().join();
                assert!(ended.is_err_and(|error| error.is_cancelled()), "{name}");
                assert!(!returned.load(SeqCst), "{name} did not throw");
            }
        });
    }
}

#[test]
fn oneself() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (sender, receiver) = mpsc::channel::<Arc<JoinHandle<()>>>();
            let steps = Arc::new(AtomicUsize::new(0));
            let count = steps.clone();
            let task = Arc::new(layby::spawn(move || {
                let me = loop {
                    match receiver.try_recv() {
                        Ok(me) => break me,
                        Err(_) => layby::yield_now(),
                    }
                };
                assert!(!task::is_cancelled());
                me.cancel();
                drop(me);
                assert!(task::is_cancelled());
                count.fetch_add(1, SeqCst); // not at once
                layby::yield_now();
                count.fetch_add(1, SeqCst);
            }));
            sender.send(task.clone()).unwrap();
            yield_until(|| task.is_finished());
            let task = Arc::into_inner(task).unwrap();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(steps.load(SeqCst), 1);
        });
    }
}

#[test]
fn after_the_end_the_result_stays() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            for _ in 0..100 {
                let task = layby::spawn(|| 7);
                yield_until(|| task.is_finished());
                task.cancel();
                task.cancel();
                assert_eq!(task.join().unwrap(), 7);
            }
        });
    }
}

#[test]
fn what_waits_in_unblock_gets_its_value_first() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (sender, receiver) = mpsc::channel();
            let got = Arc::new(AtomicUsize::new(0));
            let value = got.clone();
            let task = waiting_in(move || {
                value.store(layby::unblock(move || receiver.recv().unwrap()), SeqCst);
                layby::sleep(Duration::MAX);
            });
            task.cancel();
            for _ in 0..20 {
                layby::yield_now();
                assert!(!task.is_finished());
            }
            sender.send(5).unwrap();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(got.load(SeqCst), 5);
        });
    }
}

#[test]
fn from_threads_and_other_runtimes() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let runtime = layby::Builder::new().workers(n).build().unwrap();
        let tasks: Vec<_> = (0..100).map(|_| runtime.spawn(|| layby::sleep(Duration::MAX))).collect();
        let tasks = std::thread::spawn(move || {
            tasks.iter().for_each(JoinHandle::cancel);
            tasks
        });
        let tasks = tasks.join().unwrap();
        for task in tasks {
            assert!(task.join().unwrap_err().is_cancelled());
        }
        let task = runtime.spawn(|| task::park_timeout(Duration::MAX));
        on(1, || {
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn cancels_race_with_ends_and_wakes() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            for round in 0..300 {
                let token = drops.token();
                let task = layby::spawn(move || {
                    let _token = token;
                    for _ in 0..round % 4 {
                        task::park();
                    }
                    round
                });
                let parked = task.task();
                let unparker = std::thread::spawn(move || (0..4).for_each(|_| parked.unpark()));
                task.cancel();
                match task.join() {
                    Ok(value) => assert_eq!(value, round),
                    Err(error) => assert!(error.is_cancelled()),
                }
                layby::unblock(|| unparker.join().unwrap());
            }
            assert_eq!(drops.count(), 300);
        });
    }
}

/// tokio, task_abort.rs: `remote_abort_local_set_3929`: cancelled from another thread, what is not `Send` is dropped on its own.
#[test]
fn what_is_not_send_is_dropped_at_home() {
    struct AtHome(std::rc::Rc<std::thread::ThreadId>);
    impl Drop for AtHome {
        fn drop(&mut self) {
            assert_eq!(*self.0, std::thread::current().id());
        }
    }
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            for started in [false, true] {
                let local = AtHome(std::rc::Rc::new(std::thread::current().id()));
                let task = task::spawn_local(move || {
                    let _local = local;
                    layby::sleep(Duration::MAX);
                });
                if started {
                    layby::yield_now();
                }
                std::thread::scope(|scope| scope.spawn(|| task.cancel()).join().unwrap());
                assert!(task.join().unwrap_err().is_cancelled());
            }
        });
    }
}
