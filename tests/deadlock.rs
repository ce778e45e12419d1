//! The certain deadlock: reported when nothing in the process can wake a task any more, and never otherwise. Each case is a
//! process of its own, with no thread that is not layby's.

mod common;

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::{Drops, Finished, OnDrop, in_own_process, is_child, message, on, watchdog, workers};
use layby::generator::gen_iter;
use layby::sync::{Barrier, Mutex};
use layby::{Builder, go, task};

const CASES: &[(&str, fn())] = &[
    ("a_root_that_parks_for_ever", a_root_that_parks_for_ever),
    ("tasks_that_hold_what_others_want_are_named", tasks_that_hold_what_others_want_are_named),
    (
        "tasks_on_many_workers_are_all_listed_and_all_unwound",
        tasks_on_many_workers_are_all_listed_and_all_unwound,
    ),
    ("idle_threads_of_the_pool_are_no_hope", idle_threads_of_the_pool_are_no_hope),
    ("a_watchdog_is_no_hope", a_watchdog_is_no_hope),
    ("a_panic_on_the_way_out_says_more", a_panic_on_the_way_out_says_more),
    ("a_root_that_swallows_it_ends_the_process", a_root_that_swallows_it_ends_the_process),
    ("a_task_that_swallows_it_ends_the_process", a_task_that_swallows_it_ends_the_process),
    ("a_destructor_that_waits_for_ever_ends_the_process", a_destructor_that_waits_for_ever_ends_the_process),
    ("a_runtime_inside_a_run", a_runtime_inside_a_run),
    ("the_default_runtime_beside_a_run", the_default_runtime_beside_a_run),
    (
        "a_timekeeper_that_was_cancelled_is_followed_by_another",
        a_timekeeper_that_was_cancelled_is_followed_by_another,
    ),
    ("a_run_inside_a_run_on_another_thread", a_run_inside_a_run_on_another_thread),
    (
        "what_borrows_from_the_root_has_ended_before_run_unwinds",
        what_borrows_from_the_root_has_ended_before_run_unwinds,
    ),
    ("whatever_the_root_waits_in_it_is_found", whatever_the_root_waits_in_it_is_found),
    ("another_thread_may_yet_unpark", another_thread_may_yet_unpark),
    ("threads_that_unpark_and_end_while_it_looks", threads_that_unpark_and_end_while_it_looks),
    (
        "a_thread_that_unparks_while_its_locals_are_destroyed",
        a_thread_that_unparks_while_its_locals_are_destroyed,
    ),
    (
        "a_timer_a_closure_on_the_pool_or_a_socket_may_yet_wake",
        a_timer_a_closure_on_the_pool_or_a_socket_may_yet_wake,
    ),
    ("another_runtime_may_yet_unpark", another_runtime_may_yet_unpark),
    ("a_run_that_is_not_on_the_main_thread", a_run_that_is_not_on_the_main_thread),
    ("a_signal_handler_may_yet_unpark", a_signal_handler_may_yet_unpark),
    ("a_sleep_for_ever_is_what_was_asked_for", a_sleep_for_ever_is_what_was_asked_for),
    (
        "who_waits_for_another_thread_wakes_once_for_the_look",
        who_waits_for_another_thread_wakes_once_for_the_look,
    ),
];

/// Not libtest's, which keeps the main thread for itself: that would be a thread that is not layby's.
fn main() {
    if let Ok(child) = std::env::var("LAYBY_TEST_CHILD") {
        let (_, case) = CASES.iter().find(|(name, _)| *name == child).expect("a case of that name");
        return case();
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let cases: Vec<_> = CASES.iter().filter(|(name, _)| wanted(name)).collect();
    // They mostly wait: side by side.
    let run = |(name, case): &(&str, fn())| {
        let thread = thread::Builder::new().name((*name).to_owned()).spawn(*case).unwrap();
        (name.to_string(), thread)
    };
    let running: Vec<_> = cases.into_iter().map(run).collect();
    let mut failed = 0;
    for (name, thread) in running {
        let ok = thread.join().is_ok();
        failed += usize::from(!ok);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
    }
    assert_eq!(failed, 0, "cases that failed");
}

/// Longer than all must have been at rest before layby looks.
const LONG: Duration = Duration::from_millis(300);

/// `body` in a process of its own. The watchdog, a thread that is not layby's, stays with the parent.
fn alone(test: &str, body: impl FnOnce()) -> Finished {
    let _watchdog = (!is_child()).then(|| watchdog(30));
    in_own_process(test, body)
}

/// `f`'s panic, which is that of a deadlock.
#[track_caller]
fn stuck<T>(f: impl FnOnce() -> T) {
    let caught = catch_unwind(AssertUnwindSafe(|| drop(f())));
    let message = message(caught.expect_err("the deadlock was not found"));
    assert!(message.starts_with("layby::run: deadlock"), "{message}");
}

/// How many deadlocks were reported.
fn found(ended: &Finished) -> usize {
    ended.reports().iter().filter(|line| line.starts_with("deadlock: ")).count()
}

#[track_caller]
fn expect_found(ended: &Finished, times: usize) {
    assert_eq!(found(ended.expect_success()), times, "{}", ended.stderr);
}

#[track_caller]
fn expect_none(ended: &Finished) {
    expect_found(ended, 0);
}

fn park_for_ever() -> ! {
    loop {
        task::park();
    }
}

/// The task `name`d so waits for this.
#[track_caller]
fn listed(ended: &Finished, name: &str, reason: &str) {
    let line = ended.stderr.lines().find(|line| line.starts_with(&format!("task '{name}' (#")));
    let line = line.unwrap_or_else(|| panic!("{name} is not in {}", ended.stderr));
    let (_, rest) = line.split_once("), spawned at tests/").expect("a place");
    assert!(rest.contains(&format!(": waits in {reason}")), "{line}");
}

fn a_root_that_parks_for_ever() {
    let ended = alone("a_root_that_parks_for_ever", || {
        for n in workers() {
            let drops = Drops::new();
            stuck(|| {
                on(n, || {
                    let _token = drops.token();
                    park_for_ever()
                })
            });
            assert_eq!(drops.count(), 1);
            // And on it goes.
            assert_eq!(on(n, || go!(|| 1).join().unwrap()), 1);
        }
    });
    expect_found(&ended, workers().len());
    listed(&ended, "main", "park");
}

fn tasks_on_many_workers_are_all_listed_and_all_unwound() {
    let ended = alone("tasks_on_many_workers_are_all_listed_and_all_unwound", || {
        let drops = Drops::new();
        stuck(|| {
            on(4, || {
                let tasks: Vec<_> = (0..200)
                    .map(|i| {
                        let token = drops.token();
                        let name = format!("number {i}");
                        task::Builder::new().name(name).spawn(move || {
                            let _token = token;
                            if i % 2 == 0 { park_for_ever() } else { layby::gather!(task::park(), ()).1 }
                        })
                    })
                    .collect();
                for task in tasks {
                    let _ = task.unwrap().join();
                }
            })
        });
        assert_eq!(drops.count(), 200);
    });
    expect_found(&ended, 1);
    listed(&ended, "main", "join of task 'number 0', for ");
    // From a worker's first moment on it is known what time it is.
    assert!(!ended.stderr.contains(" min"), "{}", ended.stderr);
    assert!(ended.stderr.contains("301 tasks: 301 waiting\n"), "{}", ended.stderr);
    // Of those that wait at the same place, the first twenty.
    assert!(ended.stderr.contains("and 80 more at the same place\n"), "{}", ended.stderr);
    for i in 0..20 {
        listed(
            &ended,
            &format!("number {i}"),
            if i % 2 == 0 { "park" } else { "the end of a task of a scope" },
        )
    }
}

/// Who holds what, and who waits for it, is said. A thread that only waits for SIGQUIT is no hope.
fn tasks_that_hold_what_others_want_are_named() {
    let ended = alone("tasks_that_hold_what_others_want_are_named", || {
        layby::runtime::dump_on_sigquit().unwrap();
        stuck(|| {
            on(2, || {
                let locks = [Mutex::new(()), Mutex::new(())];
                let barrier = Barrier::new(2);
                let hold = |own: usize| {
                    let _own = locks[own].lock().unwrap();
                    barrier.wait();
                    drop(locks[1 - own].lock());
                };
                layby::scope(|s| {
                    task::Builder::new().name("left".into()).spawn_scoped(s, || hold(0)).unwrap();
                    task::Builder::new().name("right".into()).spawn_scoped(s, || hold(1)).unwrap();
                });
            })
        });
    });
    expect_found(&ended, 1);
    listed(&ended, "main", "the end of 2 tasks of a scope");
    listed(&ended, "left", "lock of a Mutex, held by task 'right' (#");
    listed(&ended, "right", "lock of a Mutex, held by task 'left' (#");
    assert!(ended.stderr.contains("\nthese tasks wait for each other:\n"), "{}", ended.stderr);
    let has = |text| ended.stderr.contains(text);
    assert!(has(" at src/sync/mutex.rs:") && !has(" at src/park/"), "a backtrace: {}", ended.stderr);
}

/// Nor is a runtime without a task.
fn idle_threads_of_the_pool_are_no_hope() {
    let ended = alone("idle_threads_of_the_pool_are_no_hope", || {
        let runtime = Builder::new().workers(2).build().unwrap();
        assert_eq!(runtime.run(|| 2), 2);
        for n in workers() {
            stuck(|| {
                on(n, || {
                    layby::gather((0..3).map(|_| || layby::unblock(|| thread::sleep(LONG))));
                    park_for_ever()
                })
            });
        }
    });
    expect_found(&ended, workers().len());
}

/// Its thread is layby's own, and it sleeps.
fn a_watchdog_is_no_hope() {
    let ended = alone("a_watchdog_is_no_hope", || {
        for n in workers() {
            stuck(|| Builder::new().workers(n).debug_mode(true).run(|| park_for_ever()));
        }
    });
    expect_found(&ended, 2);
}

fn a_panic_on_the_way_out_says_more() {
    let ended = alone("a_panic_on_the_way_out_says_more", || {
        common::quiet_panics();
        let caught = catch_unwind(|| {
            on(1, || {
                let caught = catch_unwind(|| park_for_ever());
                assert!(task::is_cancellation(&*caught.unwrap_err()));
                panic!("expected: instead");
            })
        });
        assert_eq!(message(caught.unwrap_err()), "expected: instead");
        // A value does not: the run has failed.
        stuck(|| on(1, || catch_unwind(|| park_for_ever()).is_err()));
    });
    expect_found(&ended, 2);
}

/// The deadlock was found twice; then the process was aborted.
#[track_caller]
fn expect_abort(ended: &Finished) {
    assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{}", ended.stderr);
    assert_eq!(found(ended), 2, "{}", ended.stderr);
    let last = ended.reports().pop().unwrap_or_default().to_owned();
    assert!(last.ends_with("the process is aborted"), "{last}");
}

/// Waits for ever while it unwinds, when it has caught the cancellation.
fn swallow() -> ! {
    let _ = catch_unwind(|| park_for_ever());
    // The next suspension point would throw again, and so on for ever.
    let _guard = OnDrop(|| park_for_ever());
    park_for_ever()
}

fn a_root_that_swallows_it_ends_the_process() {
    expect_abort(&alone("a_root_that_swallows_it_ends_the_process", || on(1, || swallow())));
}

fn a_task_that_swallows_it_ends_the_process() {
    expect_abort(&alone("a_task_that_swallows_it_ends_the_process", || {
        on(2, || go!(|| swallow()).join().map(|never: ()| never).unwrap());
    }));
}

fn a_destructor_that_waits_for_ever_ends_the_process() {
    expect_abort(&alone("a_destructor_that_waits_for_ever_ends_the_process", || {
        on(2, || {
            let _guard = OnDrop(|| park_for_ever());
            park_for_ever()
        })
    }));
}

/// The inner task is one of another runtime, for which the root waits, uncancellably.
fn a_runtime_inside_a_run() {
    let ended = alone("a_runtime_inside_a_run", || {
        let caught = catch_unwind(|| {
            on(2, || {
                let inner = Builder::new().workers(2).build().unwrap();
                inner.run(|| park_for_ever())
            })
        });
        let message = message(caught.map(drop).unwrap_err());
        assert!(message.contains("its tasks are cancelled"), "{message}");
    });
    // First the root is cancelled, which waits masked; then the inner task is.
    expect_found(&ended, 2);
}

/// And its task lives on: the deadlock is not its own.
fn the_default_runtime_beside_a_run() {
    let ended = alone("the_default_runtime_beside_a_run", || {
        let waiting = task::Builder::new().name("beside".into()).spawn(task::park).unwrap();
        stuck(|| on(1, || park_for_ever()));
        assert!(!waiting.is_finished());
        waiting.task().unpark();
        waiting.join().unwrap();
    });
    expect_found(&ended, 1);
    listed(&ended, "beside", "park");
}

/// The root holds out for a task of the default runtime, whose tasks are cancelled then: also the one that looks after what begins
/// later. What is to begin still later waits for its time.
fn a_timekeeper_that_was_cancelled_is_followed_by_another() {
    let ended = alone("a_timekeeper_that_was_cancelled_is_followed_by_another", || {
        let waiting = task::Builder::new().spawn(task::park).unwrap();
        let never = task::spawn_after(Duration::MAX, || unreachable!());
        stuck(|| on(1, || layby::shield(|| assert!(waiting.join().unwrap_err().is_cancelled()))));
        assert!(never.join().unwrap_err().is_cancelled());
        for _ in 0..2 {
            let start = Instant::now();
            task::spawn_after(Duration::from_millis(50), || ()).join().unwrap();
            assert!(start.elapsed() >= Duration::from_millis(50), "after {:?}", start.elapsed());
        }
    });
    expect_found(&ended, 2);
}

/// A `run` on another thread, which is a worker as well: the newest is cancelled, and that frees the other.
fn a_run_inside_a_run_on_another_thread() {
    let ended = alone("a_run_inside_a_run_on_another_thread", || {
        on(1, || {
            let root = task::current();
            let over = Arc::new(AtomicBool::new(false));
            let inner = thread::spawn({
                let over = over.clone();
                move || {
                    stuck(|| on(2, || park_for_ever()));
                    over.store(true, SeqCst);
                    root.unpark();
                }
            });
            while !over.load(SeqCst) {
                task::park();
            }
            inner.join().unwrap();
        });
    });
    expect_found(&ended, 1);
}

/// The frame of the root is lent to a thread that is gone, and to tasks: they end before `run` unwinds.
fn what_borrows_from_the_root_has_ended_before_run_unwinds() {
    let ended = alone("what_borrows_from_the_root_has_ended_before_run_unwinds", || {
        let ends = AtomicUsize::new(0);
        stuck(|| {
            on(4, || {
                let lent = [1, 2, 3];
                layby::gather(lent.iter().map(|n| {
                    let ends = &ends;
                    move || {
                        let _guard = OnDrop(|| {
                            layby::sleep(Duration::from_millis(20));
                            ends.fetch_add(*n, SeqCst);
                        });
                        park_for_ever()
                    }
                }));
            })
        });
        assert_eq!(ends.load(SeqCst), 6);
    });
    expect_found(&ended, 1);
}

fn whatever_the_root_waits_in_it_is_found() {
    let ended = alone("whatever_the_root_waits_in_it_is_found", || {
        fn wait() {
            park_for_ever()
        }
        let waits: [fn(); 5] = [
            || layby::scope(|s| drop(s.spawn(wait))),
            || {
                let result = layby::try_scope(|s| {
                    drop(s.spawn(|| {
                        wait();
                        Err::<(), ()>(())
                    }));
                    Ok(())
                });
                drop(result);
            },
            || layby::race([wait, wait]),
            || layby::timeout(Duration::MAX, wait).unwrap(),
            || {
                let mut generator = gen_iter(|y| {
                    wait();
                    y.suspend(1);
                });
                assert_eq!(generator.next(), None);
            },
        ];
        for wait in waits {
            for n in workers() {
                stuck(|| on(n, wait));
            }
        }
    });
    expect_found(&ended, 5 * workers().len());
}

// What is none.

fn another_thread_may_yet_unpark() {
    let ended = alone("another_thread_may_yet_unpark", || {
        for n in workers() {
            let done = Arc::new(AtomicBool::new(false));
            on(n, || {
                let (root, done) = (task::current(), done.clone());
                drop(thread::spawn({
                    let done = done.clone();
                    move || {
                        thread::sleep(LONG);
                        done.store(true, SeqCst);
                        root.unpark();
                    }
                }));
                while !done.load(SeqCst) {
                    task::park();
                }
            });
        }
    });
    expect_none(&ended);
}

/// About when layby looks.
fn threads_that_unpark_and_end_while_it_looks() {
    let ended = alone("threads_that_unpark_and_end_while_it_looks", || {
        on(2, || {
            for micros in (0..20).map(|i| 99_600 + 50 * i) {
                let done = Arc::new(AtomicBool::new(false));
                let parker = go!({
                    let done = done.clone();
                    move || {
                        while !done.load(SeqCst) {
                            task::park();
                        }
                    }
                });
                let task = parker.task();
                // Detached: nobody knows when it ends.
                drop(thread::spawn(move || {
                    thread::sleep(Duration::from_micros(micros));
                    done.store(true, SeqCst);
                    task.unpark();
                }));
                parker.join().unwrap();
            }
        });
    });
    expect_none(&ended);
}

fn a_thread_that_unparks_while_its_locals_are_destroyed() {
    struct Unparks(task::Task, Arc<AtomicBool>);
    impl Drop for Unparks {
        fn drop(&mut self) {
            thread::sleep(LONG);
            self.1.store(true, SeqCst);
            self.0.unpark();
        }
    }
    thread_local!(static LOCAL: std::cell::RefCell<Option<Unparks>> = const { std::cell::RefCell::new(None) });

    let ended = alone("a_thread_that_unparks_while_its_locals_are_destroyed", || {
        on(1, || {
            let (root, done) = (task::current(), Arc::new(AtomicBool::new(false)));
            let unparks = Unparks(root, done.clone());
            // A worker of a runtime that signals its own end, and nobody waits for.
            let runtime = Arc::new(Builder::new().workers(1).build().unwrap());
            let task = runtime.spawn({
                let runtime = runtime.clone();
                move || {
                    LOCAL.set(Some(unparks));
                    task::park();
                    drop(runtime);
                }
            });
            drop(runtime);
            task.task().unpark();
            while !done.load(SeqCst) {
                task::park();
            }
        });
    });
    expect_none(&ended);
}

fn a_timer_a_closure_on_the_pool_or_a_socket_may_yet_wake() {
    let ended = alone("a_timer_a_closure_on_the_pool_or_a_socket_may_yet_wake", || {
        for n in workers() {
            on(n, || {
                layby::sleep(LONG);
                task::park_timeout(LONG);
                layby::unblock(|| thread::sleep(LONG));
                // By a pool thread.
                let done = Arc::new(AtomicBool::new(false));
                let parked = go!({
                    let done = done.clone();
                    move || {
                        while !done.load(SeqCst) {
                            task::park();
                        }
                    }
                });
                layby::unblock(|| {
                    thread::sleep(LONG);
                    done.store(true, SeqCst);
                    parked.task().unpark();
                });
                parked.join().unwrap();
                let listener = layby::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let port = listener.local_addr().unwrap().port();
                let script = format!("sleep 0.4; : > /dev/tcp/127.0.0.1/{port}");
                let mut client = std::process::Command::new("bash").args(["-c", &script]).spawn().unwrap();
                listener.accept().unwrap();
                layby::unblock(|| client.wait()).unwrap();
            });
        }
    });
    expect_none(&ended);
}

fn another_runtime_may_yet_unpark() {
    let ended = alone("another_runtime_may_yet_unpark", || {
        on(1, || {
            let other = Builder::new().workers(2).build().unwrap();
            for kind in 0..2 {
                let (root, done) = (task::current(), Arc::new(AtomicBool::new(false)));
                let task = other.spawn({
                    let done = done.clone();
                    move || {
                        let begin = Instant::now();
                        if kind == 0 {
                            while begin.elapsed() < LONG {}
                        } else {
                            layby::sleep(LONG);
                        }
                        done.store(true, SeqCst);
                        root.unpark();
                    }
                });
                while !done.load(SeqCst) {
                    task::park();
                }
                task.join().unwrap();
            }
        });
    });
    expect_none(&ended);
}

/// The thread that has made the process may do anything.
fn a_run_that_is_not_on_the_main_thread() {
    let ended = alone("a_run_that_is_not_on_the_main_thread", || {
        let root = Arc::new(OnceLock::new());
        let done = Arc::new(AtomicBool::new(false));
        let runner = thread::spawn({
            let (root, done) = (root.clone(), done.clone());
            move || {
                on(2, || {
                    root.set(task::current()).unwrap();
                    while !done.load(SeqCst) {
                        task::park();
                    }
                });
            }
        });
        thread::sleep(LONG);
        done.store(true, SeqCst);
        root.get().unwrap().unpark();
        runner.join().unwrap();
    });
    expect_none(&ended);
}

fn a_signal_handler_may_yet_unpark() {
    static ROOT: OnceLock<task::Task> = OnceLock::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    extern "C" fn handler(_: libc::c_int) {
        DONE.store(true, SeqCst);
        // Not for signal handlers, in general. But the only thread sleeps in the kernel.
        ROOT.get().unwrap().unpark();
    }
    let ended = alone("a_signal_handler_may_yet_unpark", || {
        on(1, || {
            ROOT.set(task::current()).unwrap();
            // SAFETY: the handler has the type for it.
            unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
            // SAFETY: takes a number.
            unsafe { libc::alarm(1) };
            while !DONE.load(SeqCst) {
                task::park();
            }
        });
    });
    expect_none(&ended);
}

/// As programs wait for the signal that ends them.
fn a_sleep_for_ever_is_what_was_asked_for() {
    let ended = alone("a_sleep_for_ever_is_what_was_asked_for", || {
        on(2, || {
            drop(go!(|| park_for_ever()));
            // SAFETY: takes a number.
            unsafe { libc::alarm(1) };
            layby::sleep(Duration::MAX);
        });
    });
    assert_eq!(ended.status.signal(), Some(libc::SIGALRM), "{}", ended.stderr);
    assert_eq!(found(&ended), 0, "{}", ended.stderr);
}

/// Once for the look, and the rest by what else may happen on a machine.
fn who_waits_for_another_thread_wakes_once_for_the_look() {
    fn wakes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse().unwrap()
    }
    let ended = alone("who_waits_for_another_thread_wakes_once_for_the_look", || {
        on(1, || {
            let (root, done) = (task::current(), Arc::new(AtomicBool::new(false)));
            let other = thread::spawn({
                let done = done.clone();
                move || {
                    thread::sleep(Duration::from_millis(50));
                    let before = wakes();
                    thread::sleep(Duration::from_secs(1));
                    let wakes = wakes() - before;
                    done.store(true, SeqCst);
                    root.unpark();
                    wakes
                }
            });
            while !done.load(SeqCst) {
                task::park();
            }
            let wakes = other.join().unwrap();
            assert!((1..=3).contains(&wakes), "{wakes}");
        });
    });
    expect_none(&ended);
}
