//! Beginnings and ends: of runtimes, one after the other and side by side, of threads and processes that use them,
//! and what becomes of a panic that nobody is there to get.

mod common;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::in_own_process;
use layby::{Builder, JoinHandle, Runtime, go, sleep, task, yield_now};

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

/// Runs its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the bomb went off");
    }
}

// ---- What is left of a runtime that has ended

/// What a process has, from /proc/self.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    threads: usize,
    descriptors: usize,
    mappings: usize,
}

impl Holdings {
    fn now() -> Holdings {
        let entries = |dir| std::fs::read_dir(dir).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        // The pool of `unblock` is the process's: there may be one or two more for ten seconds.
        let pool = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "layby-unblock")
        };
        Holdings {
            threads: threads.filter(|task| !pool(task)).count(),
            descriptors: entries("/proc/self/fd"),
            mappings: maps.lines().count(),
        }
    }

    /// As `now`, once there are no more than `threads`: one that was joined is still listed for a moment.
    fn settled(threads: usize) -> Holdings {
        loop {
            let now = Holdings::now();
            if now.threads <= threads {
                return now;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A bit of everything: tasks that end, wait, are left alone, are cancelled; sockets, timers, locals, panics.
fn use_the_runtime() {
    layby::task_local!(static LOCAL: RefCell<Vec<u8>> = RefCell::new(vec![1; 100]));
    let (sum, ()) = layby::gather!(
        layby::gather((0..20).map(|n| move || n)).iter().sum::<i32>(),
        sleep(Duration::from_micros(50)),
    );
    assert_eq!(sum, 190);
    let tasks: Vec<_> = (0..20).map(|n| go!(move || LOCAL.with_borrow(|local| local[0] + n))).collect();
    for (task, n) in tasks.into_iter().zip(0..) {
        assert_eq!(task.join().unwrap(), n + 1);
    }
    assert!(go!(|| resume_unwind(Box::new("no hook"))).join().unwrap_err().is_panic());
    let listener = layby::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = go!(move || {
        let mut stream = layby::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read(&mut [0; 8]).unwrap()
    });
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
    drop(stream);
    assert_eq!(client.join().unwrap(), 0);
    layby::unblock(|| ());
    // Left alive, with a local, in a timer's wheel, at a socket, and not even started.
    (0..5).for_each(|_| drop(go!(|| LOCAL.with_borrow(|_| sleep(Duration::MAX)))));
    drop(go!(move || listener.accept().map(drop)));
    yield_now();
    drop(go!(|| ()));
}

/// 1,000 times `cycle`; then there is no more than after the first 100.
fn leaks_nothing(cycle: impl Fn()) {
    for _ in 0..100 {
        cycle();
    }
    let before = Holdings::now();
    let resident = resident_kib();
    for _ in 0..1000 {
        cycle();
    }
    let after = Holdings::settled(before.threads);
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    // malloc maps an arena or two more when threads happen to meet.
    assert!(after.mappings <= before.mappings + 16, "{before:?}, after 1,000 cycles {after:?}");
    let grown = resident_kib().saturating_sub(resident);
    assert!(grown <= 2048, "1,000 cycles took {grown} KiB; {resident} KiB before");
}

#[test]
fn a_thousand_runs_leak_nothing() {
    let _guard = common::watchdog(150);
    in_own_process("a_thousand_runs_leak_nothing", || {
        let _guard = common::watchdog(120);
        leaks_nothing(|| Builder::new().workers(2).run(use_the_runtime));
    })
    .expect_success();
}

#[test]
fn a_thousand_runtimes_leak_nothing() {
    let _guard = common::watchdog(150);
    in_own_process("a_thousand_runtimes_leak_nothing", || {
        let _guard = common::watchdog(120);
        leaks_nothing(|| {
            let runtime = runtime(2);
            let spawned = runtime.spawn(|| 1);
            runtime.run(use_the_runtime);
            drop(runtime.spawn(|| sleep(Duration::MAX)));
            let left = runtime.spawn(|| sleep(Duration::MAX));
            drop(runtime);
            // It may still have waited for a worker when the end came.
            assert!(spawned.join().map_or_else(|error| error.is_cancelled(), |n| n == 1));
            assert!(left.join().unwrap_err().is_cancelled());
        });
    })
    .expect_success();
}

/// A root that panics, and one that cannot start, leave nothing either.
#[test]
fn a_thousand_failed_runs_leak_nothing() {
    let _guard = common::watchdog(150);
    in_own_process("a_thousand_failed_runs_leak_nothing", || {
        let _guard = common::watchdog(120);
        leaks_nothing(|| {
            let builder = Builder::new().workers(2);
            let run = || {
                builder.run(|| {
                    (0..5).for_each(|_| drop(go!(|| sleep(Duration::MAX))));
                    yield_now();
                    resume_unwind(Box::new("no hook"))
                })
            };
            catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            Builder::new().workers(0).build().unwrap_err();
        });
    })
    .expect_success();
}

// ---- The end of the process

/// The default runtime does not keep the process alive: whatever its tasks do.
#[test]
fn a_process_exits_with_live_tasks() {
    let _guard = common::watchdog(60);
    let from = Instant::now();
    let ended = in_own_process("a_process_exits_with_live_tasks", || {
        let begun = Arc::new(AtomicUsize::new(0));
        for n in 0..100 {
            let begun = begun.clone();
            drop(go!(move || {
                let _never = OnDrop(|| eprintln!("a destructor ran"));
                begun.fetch_add(1, SeqCst);
                match n % 4 {
                    0 => sleep(Duration::MAX),
                    1 => task::park(),
                    2 => layby::unblock(|| thread::sleep(Duration::from_secs(1000))),
                    _ => loop {
                        yield_now();
                    },
                }
            }));
        }
        while begun.load(SeqCst) < 100 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(go!(|| loop {
            std::hint::spin_loop();
        }));
        std::process::exit(7);
    });
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert!(!ended.stderr.contains("destructor") && ended.reports().is_empty(), "{ended:?}");
    assert!(from.elapsed() < Duration::from_secs(20), "{:?}", from.elapsed());
}

/// Also from inside of a task, of a `run`.
#[test]
fn a_task_exits_the_process() {
    let _guard = common::watchdog(60);
    let ended = in_own_process("a_task_exits_the_process", || {
        let other = runtime(2);
        drop(other.spawn(|| sleep(Duration::MAX)));
        Builder::new().workers(2).run(|| {
            drop(go!(|| sleep(Duration::MAX)));
            let exit = || -> () {
                yield_now();
                std::process::exit(8)
            };
            let _ = go!(exit).join();
        });
    });
    assert_eq!(ended.status.code(), Some(8), "{ended:?}");
}

// ---- Runtimes in and beside each other

#[test]
fn run_in_run_panics_and_says_why() {
    let _guard = common::watchdog(60);
    let inner = || layby::run(|| ());
    Builder::new().workers(2).run(|| {
        for error in [go!(inner).join().unwrap_err(), go!(|| Builder::new().run(|| ())).join().unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("has a runtime already") && text.contains("call the closure"), "{text}");
        }
        // The root, too; and it goes on after that.
        assert!(catch_unwind(inner).is_err());
        assert_eq!(go!(|| 1).join().unwrap(), 1);
    });
}

/// Another thread may have another runtime, for instance one of `unblock`'s.
#[test]
fn run_in_unblock_in_run() {
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        let mut deep = 0;
        Builder::new().workers(workers).run(|| {
            let results = layby::gather([1, 2, 3].map(|n| {
                move || {
                    layby::unblock(|| {
                        Builder::new().workers(workers).run(|| {
                            let inner = layby::unblock(|| layby::run(|| go!(move || n).join().unwrap()));
                            go!(move || inner + 1).join().unwrap()
                        })
                    })
                }
            }));
            deep = results.iter().sum();
        });
        assert_eq!(deep, 9);
    }
}

/// `Runtime::run` is for tasks of other runtimes, and its own.
#[test]
fn a_runtime_runs_for_tasks_of_others_and_its_own() {
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        let (a, b) = (runtime(workers), runtime(workers));
        let text = String::from("borrowed");
        let length = a.run(|| b.run(|| a.run(|| b.run(|| text.len()))));
        assert_eq!(length, 8);
        assert_eq!(a.run(|| a.run(|| a.run(|| text.len()))), 8);
        let panicked =
            catch_unwind(AssertUnwindSafe(|| a.run(|| b.run(|| resume_unwind(Box::new(5)))))).unwrap_err();
        assert_eq!(panicked.downcast_ref(), Some(&5));
    }
}

#[test]
fn many_runtimes_side_by_side() {
    let _guard = common::watchdog(60);
    let runtimes: Arc<Vec<Runtime>> = Arc::new((0..24).map(|n| runtime(1 + n % 3)).collect());
    let tasks: Vec<JoinHandle<usize>> = runtimes
        .iter()
        .enumerate()
        .map(|(n, own)| {
            let all = runtimes.clone();
            own.spawn(move || {
                // A ring: each hands something to the next one, many times.
                (0..50).map(|round| all[(n + round) % all.len()].spawn(move || round).join().unwrap()).sum()
            })
        })
        .collect();
    let outside = thread::spawn(|| layby::run(|| go!(|| 1).join().unwrap()));
    for task in tasks {
        assert_eq!(task.join().unwrap(), 1225);
    }
    assert_eq!(outside.join().unwrap(), 1);
    // The last `Arc` may be a task's, for a moment; then that one drops all.
    drop(runtimes);
}

/// Dropped by one of its own tasks it only signals; the task goes on to its next suspension point.
#[test]
fn a_runtime_dropped_by_its_own_task() {
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        let (give, take) = mpsc::channel::<Runtime>();
        let own = runtime(workers);
        let other = own.spawn(|| sleep(Duration::MAX));
        let task = own.spawn(move || {
            drop(take.recv().unwrap());
            "went on"
        });
        let cancelled = own.spawn(task::park);
        give.send(own).unwrap();
        // Cancelled or not is a matter of what comes first: it has no suspension point after the drop.
        assert_eq!(task.join().unwrap(), "went on");
        assert!(other.join().unwrap_err().is_cancelled());
        assert!(cancelled.join().unwrap_err().is_cancelled());
    }
}

// ---- Spawning at the edges

/// A std thread-local whose destructor runs what was put there.
struct AtThreadEnd(RefCell<Vec<Box<dyn FnOnce()>>>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        self.0.get_mut().drain(..).for_each(|f| f());
    }
}

thread_local!(static AT_THREAD_END: AtThreadEnd = const { AtThreadEnd(RefCell::new(Vec::new())) });

fn at_thread_end(f: impl FnOnce() + 'static) {
    AT_THREAD_END.with(|end| end.0.borrow_mut().push(Box::new(f)));
}

/// All that a thread can do while its locals are dropped.
fn use_layby_at_the_end(done: &mpsc::Sender<u32>) {
    assert_eq!(go!(|| 20 + 1).join().unwrap(), 21);
    sleep(Duration::from_micros(100));
    yield_now();
    task::current().unpark();
    task::park_timeout(Duration::from_micros(100));
    assert_eq!(layby::gather([|| 1, || 2]), [1, 2]);
    assert_eq!(Builder::new().workers(2).run(|| go!(|| 3).join().unwrap()), 3);
    let own = runtime(1);
    assert_eq!(own.run(|| own.spawn(|| 4).join().unwrap()), 4);
    assert_eq!(layby::unblock(|| 5), 5);
    drop(go!(|| sleep(Duration::MAX)));
    done.send(6).unwrap();
}

#[test]
fn from_destructors_of_a_plain_threads_locals() {
    let _guard = common::watchdog(60);
    let (done, end) = mpsc::channel();
    // Registered before and after layby's own thread-locals, so dropped after and before them.
    for layby_first in [false, true] {
        let done = done.clone();
        thread::spawn(move || {
            if layby_first {
                go!(|| ()).join().unwrap();
                let _ = task::current().id();
            }
            at_thread_end(move || use_layby_at_the_end(&done));
            go!(|| ()).join().unwrap();
            let _ = task::current().id();
        })
        .join()
        .unwrap();
        assert_eq!(end.recv().unwrap(), 6);
    }
}

/// On worker threads these run when the thread ends: then it is a worker no more.
#[test]
fn from_destructors_of_a_worker_threads_locals() {
    let _guard = common::watchdog(60);
    let (done, end) = mpsc::channel();
    for workers in common::workers() {
        let own = runtime(workers);
        let task = done.clone();
        own.spawn(move || at_thread_end(move || use_layby_at_the_end(&task))).join().unwrap();
        assert!(end.try_recv().is_err());
        drop(own);
        assert_eq!(end.try_recv(), Ok(6), "the runtime has ended before its thread");
    }
    // The thread that calls `run` is a worker for a time.
    let thread = thread::spawn(move || {
        Builder::new().workers(1).run(|| {
            let done = done.clone();
            at_thread_end(move || use_layby_at_the_end(&done));
        });
    });
    thread.join().unwrap();
    assert_eq!(end.recv().unwrap(), 6);
    // And a pool thread's of `unblock` when it was idle for long: not waited for here.
}

/// What is spawned while a runtime ends starts cancelled: the closure is dropped, `join` says so.
#[test]
fn spawned_while_its_runtime_ends() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static RAN: AtomicBool = AtomicBool::new(false);
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    fn late() {
        let _late = OnDrop(|| {
            let captured = OnDrop(|| _ = DROPPED.fetch_add(1, SeqCst));
            let task = go!(move || {
                RAN.store(true, SeqCst);
                drop(captured);
            });
            let named = task::Builder::new().name("late".into()).spawn(|| RAN.store(true, SeqCst)).unwrap();
            assert!(task.join().unwrap_err().is_cancelled());
            assert!(named.join().unwrap_err().is_cancelled());
            // What waits for its children anyway gets them.
            assert_eq!(layby::gather!(1, 2), (1, 2));
        });
        STARTED.fetch_add(1, SeqCst);
        sleep(Duration::MAX);
    }
    let wait_for_all = || {
        while STARTED.load(SeqCst) < 50 {
            yield_now();
        }
        STARTED.store(0, SeqCst);
    };
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        Builder::new().workers(workers).run(|| {
            (0..50).for_each(|_| drop(go!(late)));
            wait_for_all();
        });
        assert_eq!(DROPPED.swap(0, SeqCst), 50);
        let own = runtime(workers);
        let tasks: Vec<_> = (0..50).map(|_| own.spawn(late)).collect();
        wait_for_all();
        drop(own);
        assert_eq!(DROPPED.swap(0, SeqCst), 50);
        for task in tasks {
            assert!(task.join().unwrap_err().is_cancelled());
        }
        assert!(!RAN.load(SeqCst));
    }
}

/// Foreign threads spawn up to the end, and join, cancel and unpark until, while and after the runtime ends. All joins
/// end, and each closure is dropped once, whether it ran or not.
///
/// (To spawn *while* it ends takes `Runtime::shutdown`: see `runtime_shutdown.rs`.)
#[test]
fn foreign_threads_while_it_shuts_down() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let _guard = common::watchdog(120);
    for round in 0..60 {
        let own = runtime(1 + round % 4);
        let (handles, taken) = mpsc::channel::<JoinHandle<usize>>();
        let taken = Arc::new(Mutex::new(taken));
        let begin = Arc::new(Barrier::new(4));
        let joiners: Vec<_> = (0..3)
            .map(|kind| {
                let (taken, begin) = (taken.clone(), begin.clone());
                thread::spawn(move || {
                    begin.wait();
                    let mut joined = 0;
                    loop {
                        let Ok(handle) = taken.lock().unwrap().recv() else { return joined };
                        match kind {
                            0 => handle.task().unpark(),
                            1 => handle.cancel(),
                            _ => {}
                        }
                        match handle.join() {
                            Ok(n) => assert!(n < 1000),
                            Err(error) => assert!(error.is_cancelled(), "{error}"),
                        }
                        joined += 1;
                    }
                })
            })
            .collect();
        thread::scope(|s| {
            let own = &own;
            for _ in 0..2 {
                let handles = handles.clone();
                s.spawn(move || {
                    for n in 0..100 {
                        ALIVE.fetch_add(1, SeqCst);
                        let counted = OnDrop(|| _ = ALIVE.fetch_sub(1, SeqCst));
                        let task = own.spawn(move || {
                            let _counted = counted;
                            match n % 3 {
                                0 => task::park(),
                                1 => sleep(Duration::from_micros(n as u64)),
                                _ => sleep(Duration::MAX),
                            }
                            n
                        });
                        handles.send(task).unwrap();
                    }
                });
            }
        });
        drop(handles);
        begin.wait();
        if round % 2 == 0 {
            thread::sleep(Duration::from_micros(round as u64 * 10));
        }
        drop(own);
        let joined: usize = joiners.into_iter().map(|joiner| joiner.join().unwrap()).sum();
        assert_eq!((joined, ALIVE.load(SeqCst)), (200, 0));
    }
}

// ---- Panics that nobody gets

/// In a result's destructor: the task is detached, so it is layby that drops the result.
#[test]
fn panics_in_what_a_task_leaves() {
    let _guard = common::watchdog(60);
    let ended = in_own_process("panics_in_what_a_task_leaves", || {
        layby::task_local!(static BOMB: Bomb = Bomb);
        for workers in common::workers() {
            Builder::new().workers(workers).run(|| {
                // The result of a detached task.
                let done = Arc::new(AtomicBool::new(false));
                let seen = done.clone();
                drop(go!(move || {
                    yield_now();
                    (Bomb, OnDrop(move || seen.store(true, SeqCst)))
                }));
                while !done.load(SeqCst) {
                    yield_now();
                }
                // The result of one that has ended before its handle goes.
                let task = go!(|| Bomb);
                while !task.is_finished() {
                    yield_now();
                }
                drop(task);
                // What a closure has captured that never ran.
                let bomb = Bomb;
                let task = task::Builder::new().name("unstarted".into());
                let task = task.spawn(move || drop(bomb)).unwrap();
                task.cancel();
                let _ = task.join();
                // A local, in a task that has a result.
                assert_eq!(go!(|| BOMB.with(|_| 5)).join().unwrap(), 5);
                // The joined result is the joiner's.
                let bomb = go!(|| Bomb).join().unwrap();
                assert!(catch_unwind(AssertUnwindSafe(|| drop(bomb))).is_err());
                // The payload of a panic that nobody joined.
                let task = go!(|| -> () { resume_unwind(Box::new(Bomb)) });
                while !task.is_finished() {
                    yield_now();
                }
                drop(task);
                assert!(!task::panicking());
                assert_eq!(go!(|| 1).join().unwrap(), 1);
            });
        }
    });
    let said = ended.expect_success().reports();
    let count = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("dropping the result of task #"), 6, "{}", ended.stderr);
    assert_eq!(count("dropping a task-local of task #"), 2, "{}", ended.stderr);
    // With several workers it may have run before it was cancelled; then it is the task that has panicked.
    assert!((1..=2).contains(&count("dropping the closure of task 'unstarted'")), "{}", ended.stderr);
    assert_eq!(count("nobody has joined it"), 2, "{}", ended.stderr);
}

/// A panic of a detached task: std's message, and one line of layby's with name or id and place. One that is joined:
/// no line of layby's. A cancellation: nothing.
#[test]
fn panics_of_detached_tasks_are_said() {
    let _guard = common::watchdog(60);
    let ended = in_own_process("panics_of_detached_tasks_are_said", || {
        let left = Arc::new(AtomicUsize::new(3));
        let count = |left: &Arc<AtomicUsize>| {
            let left = left.clone();
            OnDrop(move || _ = left.fetch_sub(1, SeqCst))
        };
        // Detached before it ends, by name; the same after it has ended; by id.
        layby::run(|| {
            let counted = count(&left);
            let named = task::Builder::new().name("early".into());
            drop(named.spawn(move || {
                yield_now();
                let _counted = counted;
                panic!("first message");
            }));
            let counted = count(&left);
            let named = task::Builder::new().name("late".into());
            let task = named
                .spawn(move || {
                    let _counted = counted;
                    panic!("second message");
                })
                .unwrap();
            while !task.is_finished() {
                yield_now();
            }
            drop(task);
            let counted = count(&left);
            drop(go!(move || {
                let _counted = counted;
                panic!("third message");
            }));
            while left.load(SeqCst) > 0 {
                yield_now();
            }
        });
        // Of a runtime that ends with the message.
        let own = runtime(2);
        let fourth = own.spawn(|| panic!("fourth message"));
        while !fourth.is_finished() {
            yield_now();
        }
        drop(fourth);
        drop(own);
        layby::run(|| {
            assert!(go!(|| panic!("joined message")).join().unwrap_err().is_panic());
            let cancelled = go!(|| sleep(Duration::MAX));
            yield_now();
            cancelled.cancel();
            drop(cancelled);
        });
    });
    ended.expect_success();
    for message in ["first", "second", "third", "fourth", "joined"] {
        let message = format!("{message} message");
        assert_eq!(ended.stderr.matches(&message).count(), 1, "{message}: {}", ended.stderr);
    }
    let said = ended.reports();
    assert_eq!(said.len(), 4, "{}", ended.stderr);
    let line = |begin: &str| {
        let begin = format!("{begin}, spawned at tests/lifecycle.rs:");
        let line = said.iter().find(|line| line.starts_with(&begin));
        assert!(
            line.is_some_and(|line| line.ends_with(" has panicked, and nobody has joined it")),
            "{said:?}"
        );
    };
    line("task 'early'");
    line("task 'late'");
    assert_eq!(said.iter().filter(|line| line.starts_with("task #")).count(), 2, "{said:?}");
}
