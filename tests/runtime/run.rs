//! `run`, `Builder`, `Runtime`, the default runtime: starting, and settings. (Ending: `runtime_end.rs`.)

use crate::common::{
    Drops, Finished, Process, alone, is_child, message, on, quiet_panics, quiet_panics_that_say, watchdog,
    workers,
};
use layby::{Builder, Runtime, go, task};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

#[test]
fn run_takes_and_returns_what_is_neither_send_nor_static() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let text = String::from("here");
        let shared = Rc::new(1);
        let thread = std::thread::current().id();
        let (word, count) = on(n, || {
            assert_eq!(std::thread::current().id(), thread);
            layby::sleep(Duration::from_millis(1));
            (&text[1..], shared.clone())
        });
        assert_eq!((word, Rc::strong_count(&count)), ("ere", 2));
        assert_eq!(layby::run(|| 3), 3);
    }
}

#[test]
fn the_root_is_deep_and_is_called_main() {
    let _watchdog = watchdog(20);
    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([1u8; 4096]);
        if levels == 0 { 0 } else { deep(levels - 1) + usize::from(frame[9]) }
    }
    assert_eq!(on(1, || deep(800)), 800);
    assert_eq!(runtime(1).run(|| deep(800)), 800);
    assert_eq!(on(1, || task::current().name().map(String::from)).as_deref(), Some("main"));
}

#[test]
fn run_inside_a_task_is_refused_with_a_clear_message() {
    let _watchdog = watchdog(20);
    quiet_panics_that_say("a task has a runtime already");
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let token = drops.token();
            let caught = catch_unwind(AssertUnwindSafe(|| layby::run(move || drop(token))));
            assert!(message(caught.unwrap_err()).contains("a task has a runtime already"));
            assert_eq!(drops.count(), 1);
            let error = layby::spawn(|| Builder::new().workers(1).run(|| ())).join().unwrap_err();
            assert!(error.is_panic());
            // A pool thread is no task.
            assert_eq!(layby::unblock(|| on(1, || 2)), 2);
        });
    }
}

#[test]
fn settings() {
    let _watchdog = watchdog(20);
    for bad in [0, 1025, usize::MAX] {
        let error = Builder::new().workers(bad).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
    }
    for bad in [0, 1, usize::MAX] {
        assert!(Builder::new().stack_size(bad).build().is_err());
    }
    assert!(Builder::new().name("nul\0").build().is_err());
    quiet_panics_that_say("layby::run: ");
    let drops = Drops::new();
    let token = drops.token();
    let caught = catch_unwind(AssertUnwindSafe(|| Builder::new().workers(0).run(move || drop(token))));
    assert!(message(caught.unwrap_err()).contains("number of workers"));
    assert_eq!(drops.count(), 1);

    let named = Builder::new().workers(2).name("custom").build().unwrap();
    assert_eq!(named.workers(), 2);
    let name = named.run(|| std::thread::current().name().map(String::from)).unwrap();
    assert!(name == "custom-0" || name == "custom-1", "{name}");
    let small = Builder::new().workers(1).stack_size(64 * 1024).build().unwrap();
    assert_eq!(small.spawn(|| 1).join().unwrap(), 1);
    assert!(!format!("{named:?} {:?}", Builder::new()).is_empty());
}

/// Runs `test` in a process of its own with a variable set.
fn with_variable(test: &str, name: &str, value: &str) -> Finished {
    let mut command = alone(test);
    command.env(name, value);
    Process::run(command)
}

#[test]
fn settings_by_environment() {
    let _watchdog = watchdog(60);
    const ME: &str = "settings_by_environment";
    if is_child() {
        println!("workers {}", Builder::new().build().unwrap().workers());
        println!("explicit {}", runtime(3).workers());
        layby::run(|| layby::spawn(|| ()).join().unwrap());
        return;
    }
    let good = |name, value| {
        let output = with_variable(ME, name, value);
        let text = output.stdout;
        assert!(output.status.success(), "{text}{}", output.stderr);
        assert!(text.contains("explicit 3"));
        text
    };
    assert!(good("LAYBY_WORKERS", "2").contains("workers 2"));
    assert!(good("LAYBY_WORKERS", " 5 ").contains("workers 5"));
    good("LAYBY_STACK_SIZE", "65536");
    good("LAYBY_STACK_GUARD", "mprotect");
    good("LAYBY_STACK_GUARD", "auto");
    for (name, value) in [
        ("LAYBY_WORKERS", "0"),
        ("LAYBY_WORKERS", ""),
        ("LAYBY_WORKERS", "many"),
        ("LAYBY_WORKERS", "-1"),
        ("LAYBY_WORKERS", "99999999999999999999999"),
        ("LAYBY_STACK_SIZE", "1"),
        ("LAYBY_STACK_SIZE", "64K"),
        ("LAYBY_STACK_GUARD", "none"),
    ] {
        let output = with_variable(ME, name, value);
        let text = output.stdout + &output.stderr;
        assert!(!output.status.success(), "{name}={value}");
        assert!(text.contains("InvalidInput"), "{name}={value}: {text}");
    }
}

#[test]
fn a_bad_variable_fails_run_and_the_default_runtime_with_a_clear_message() {
    let _watchdog = watchdog(30);
    const ME: &str = "a_bad_variable_fails_run_and_the_default_runtime_with_a_clear_message";
    if is_child() {
        let caught = catch_unwind(|| layby::run(|| ()));
        assert!(message(caught.unwrap_err()).contains("LAYBY_WORKERS"));
        let caught = catch_unwind(|| go!(|| ()));
        assert!(message(caught.map(drop).unwrap_err()).contains("LAYBY_WORKERS"));
        return;
    }
    let output = with_variable(ME, "LAYBY_WORKERS", "x");
    assert!(output.status.success(), "{}", output.stderr);
}

#[test]
fn the_first_go_on_a_plain_thread_starts_the_default_runtime() {
    let _watchdog = watchdog(30);
    const ME: &str = "the_first_go_on_a_plain_thread_starts_the_default_runtime";
    if is_child() {
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        let starters: Vec<_> =
            (0..8).map(|i| std::thread::spawn(move || go!(move || i * 2).join().unwrap())).collect();
        let sum: i32 = starters.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(sum, 56);
        assert!(threads() > before); // it stays
        let inner = go!(|| go!(|| std::thread::current().name().map(String::from)).join().unwrap());
        assert!(inner.join().unwrap().unwrap().starts_with("layby-worker-"));
        // A task that never ends does not keep the process.
        drop(go!(|| layby::sleep(Duration::MAX)));
        let begun = Arc::new(AtomicBool::new(false));
        let flag = begun.clone();
        drop(go!(move || loop {
            flag.store(true, SeqCst);
            layby::yield_now();
        }));
        while !begun.load(SeqCst) {
            std::thread::yield_now();
        }
        return;
    }
    let output = Process::run(alone(ME));
    assert!(output.status.success(), "{}", output.stderr);
}

#[test]
fn a_runtime_runs_borrowing_closures_from_threads_and_tasks() {
    let _watchdog = watchdog(20);
    quiet_panics();
    for n in workers() {
        let runtime = runtime(n);
        let words = ["a", "b"];
        assert_eq!(runtime.run(|| words.concat()), "ab");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    assert_eq!(runtime.run(|| layby::spawn(|| 2).join().unwrap() + words.len()), 4)
                });
            }
        });
        // From its own tasks, and from another runtime's.
        assert_eq!(runtime.run(|| runtime.run(|| runtime.spawn(|| 3).join().unwrap())), 3);
        assert_eq!(on(1, || runtime.run(|| words.len())), 2);
        let caught = catch_unwind(AssertUnwindSafe(|| runtime.run(|| panic!("expected"))));
        assert!(caught.map(|_: ()| ()).is_err());
        // Others live on after `run`.
        let task = runtime.run(|| {
            layby::spawn(|| {
                layby::sleep(Duration::from_millis(2));
                4
            })
        });
        assert_eq!(task.join().unwrap(), 4);
    }
}

#[test]
fn too_few_descriptors_are_an_error_that_says_so() {
    let _watchdog = watchdog(30);
    const ME: &str = "too_few_descriptors_are_an_error_that_says_so";
    if !is_child() {
        let output = Process::run(alone(ME));
        assert!(output.status.success(), "{}", output.stderr);
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for room in 1..24 {
        rlimit::setrlimit(rlimit::Resource::NOFILE, before as u64 + room, 10_000).unwrap();
        match Builder::new().workers(4).build() {
            Ok(runtime) => assert_eq!(runtime.spawn(|| 1).join().unwrap(), 1),
            Err(error) => assert!(error.to_string().contains("ulimit -n"), "{error}"),
        }
        let caught = catch_unwind(|| on(4, || 2));
        assert!(caught.is_ok_and(|value| value == 2) || room < 23);
        rlimit::setrlimit(rlimit::Resource::NOFILE, 10_000, 10_000).unwrap();
        assert_eq!(descriptors(), before, "room for {room}");
    }
    assert_eq!(on(4, || 3), 3);
}

#[test]
fn many_runtimes_side_by_side() {
    let _watchdog = watchdog(60);
    let threads: Vec<_> = (0..8)
        .map(|i| {
            std::thread::spawn(move || {
                (0..10)
                    .map(|j| {
                        on(1 + (i + j) % 3, || {
                            layby::gather((0..50).map(|k| {
                                move || {
                                    layby::yield_now();
                                    k
                                }
                            }))
                            .into_iter()
                            .sum::<usize>()
                        })
                    })
                    .sum::<usize>()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 10 * 1225);
    }
    // Tasks of several runtimes that work together.
    let runtimes: Vec<_> = (0..4).map(|_| runtime(1)).collect();
    let mut last = runtimes[0].spawn(|| 0);
    for i in 0..200 {
        let before = last;
        last = runtimes[i % 4].spawn(move || before.join().unwrap() + 1);
    }
    assert_eq!(last.join().unwrap(), 200);
}
