//! Overflows on stacks that are no task's, and of threads. What tasks do is in `tests/overflow.rs`. Each case
//! ends its process, so each has one of its own: this test binary again, told by the environment what to do.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::{env, thread};

use super::*;
use crate::coroutine::Coroutine;
use crate::stack::{Guard, MIN_SIZE, Pool};

const SIGABRT: i32 = 6;

fn recursion(depth: u64) -> u64 {
    let frame = black_box([depth; 20]);
    if black_box(true) { recursion(depth + 1) + frame[7] } else { depth }
}

/// As a generator has it: a coroutine on a stack of a pool of the thread's, which knows no runtime.
fn overflow_a_coroutine(guard: Guard, size: usize) {
    let mut pool = Pool::new(guard);
    let stack = pool.take(size).unwrap();
    let _signal_stack = prepare().unwrap();
    let _watched = Watched::new(pool.slabs(), None);
    let mut coroutine = Coroutine::<(), u64>::new(stack, |yielder, ()| {
        yielder.suspend(1);
        yielder.suspend(recursion(0));
    });
    assert_eq!(coroutine.resume(()), Some(1));
    coroutine.resume(());
}

fn overflow_a_thread() {
    let mut pool = Pool::new(Guard::detect());
    let _stack = pool.take(MIN_SIZE).unwrap();
    let _signal_stack = prepare().unwrap();
    let _watched = Watched::new(pool.slabs(), None);
    black_box(recursion(0));
}

/// The child's side of the others.
#[test]
fn child() {
    let Ok(case) = env::var("LAYBY_TEST_CHILD") else { return };
    let guard = if case.ends_with("protect") { Guard::Protect } else { Guard::detect() };
    match case.split(' ').next() {
        Some("alone") => overflow_a_coroutine(guard, 128 << 10),
        Some("nested") => crate::run(|| {
            let task = crate::task::Builder::new().name("outer".to_owned());
            task.spawn(move || overflow_a_coroutine(guard, 128 << 10)).unwrap().join().unwrap();
        }),
        Some("root") => crate::run(|| overflow_a_coroutine(guard, MIN_SIZE)),
        Some("thread") => {
            thread::Builder::new().name("own".to_owned()).spawn(overflow_a_thread).unwrap().join().unwrap();
        }
        _ => panic!("no case {case:?}"),
    }
}

fn run(case: &str) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    // The name of the test begins behind the crate's.
    let (_, module) = module_path!().split_once("::").unwrap();
    command.args(["--exact", &format!("{module}::child"), "--nocapture"]).env("LAYBY_TEST_CHILD", case);
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.signal(), Some(SIGABRT), "{case}: {status}, {stderr}");
    stderr
}

#[test]
fn a_coroutine_outside_of_any_task_is_reported() {
    for case in ["alone auto", "alone protect"] {
        let stderr = run(case);
        let expected = "\nlayby: a generator has overflowed its stack of 131072 bytes (128 KiB)\n";
        assert!(stderr.contains(expected), "{case}: {stderr}");
    }
}

#[test]
fn a_coroutine_in_a_task_is_reported_with_the_task() {
    for guard in ["auto", "protect"] {
        for (case, task, size) in [("nested", "outer", "131072"), ("root", "main", "32768")] {
            let stderr = run(&format!("{case} {guard}"));
            let expected = format!("a generator, resumed by task '{task}' (#");
            assert!(stderr.contains(&expected), "{case}: {stderr}");
            assert!(stderr.contains(concat!(", spawned at ", file!(), ":")), "{case}: {stderr}");
            assert!(stderr.contains(&format!("stack of {size} bytes")), "{case}: {stderr}");
        }
    }
}

#[test]
fn a_thread_s_own_overflow_is_std_s_in_spite_of_a_watch() {
    let stderr = run("thread");
    assert!(stderr.contains("thread 'own'") && stderr.contains("has overflowed its stack"), "{stderr}");
    assert!(!stderr.contains("layby:"), "{stderr}");
}

#[test]
fn watches_end_in_any_order() {
    let pool = Pool::new(Guard::detect());
    let watch = || Watched::new(pool.slabs(), None);
    let there = || watches().map(|watch| ptr::from_ref(watch).cast_mut()).collect::<Vec<_>>();
    let before = there();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut watched = [watch(), watch(), watch()].map(Some);
        for i in order {
            watched[i] = None;
            let left = watched.iter().rev().flatten().map(|w| w.watch.as_ptr()).chain(before.clone());
            assert_eq!(there(), left.collect::<Vec<_>>());
        }
    }
    assert_eq!(there(), before);
}
