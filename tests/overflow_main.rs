//! The overflow report where most programs call `run`: on the main thread, whose stack and signal stack are not
//! as other threads' are. The rest is in `overflow.rs`.

mod common;

#[path = "overflow/ways.rs"]
#[allow(dead_code)] // the other test takes the rest
mod ways;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use common::Process;

const CASES: [(&str, i32, &[&str]); 4] = [
    (
        "root",
        libc::SIGABRT,
        &[
            "layby: task 'main' (#",
            "), spawned at tests/overflow_main.rs:",
            ", has overflowed its stack of 8388608 bytes (8192 KiB)\n",
        ],
    ),
    (
        "task",
        libc::SIGABRT,
        &[
            "layby: task #",
            ", spawned at tests/overflow_main.rs:",
            ", has overflowed its stack of 262144 bytes (256 KiB)\n",
        ],
    ),
    // std's, not ours: nothing of the main thread's own stack is a slot.
    ("thread", libc::SIGABRT, &["\nthread 'main' (", "has overflowed its stack\n"]),
    ("null", libc::SIGSEGV, &[]),
];

fn main() {
    match env::var("LAYBY_TEST_CHILD").as_deref() {
        Ok(case) => child(case),
        // As libtest would: cargo's `--list`, and filters for other tests, run nothing.
        Err(_) if env::args().len() > 1 => {}
        Err(_) => parent(),
    }
}

fn child(case: &str) {
    // A core file takes time, and nobody wants it.
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0).unwrap();
    match case {
        "root" => layby::run(|| ways::go("recursion")),
        "task" => layby::run(|| layby::go!(|| ways::go("recursion")).join().unwrap()),
        "thread" => {
            layby::run(|| layby::go!(|| ()).join().unwrap());
            ways::go("recursion");
        }
        "null" => layby::run(|| ways::touch(16)),
        _ => panic!("no case {case:?}"),
    }
}

fn parent() {
    let _guard = common::watchdog(60);
    for guard in ["auto", "mprotect"] {
        for (case, signal, parts) in CASES {
            let mut command = Command::new(env::current_exe().expect("the path of this test"));
            command
                .env("LAYBY_TEST_CHILD", case)
                .env("LAYBY_STACK_GUARD", guard)
                .env_remove("LAYBY_STACK_SIZE");
            let ended = Process::run(command);
            let stderr = ended.stderr;
            assert_eq!(ended.status.signal(), Some(signal), "{case} [{guard}]: {stderr}");
            for part in parts {
                assert!(stderr.contains(part), "{case} [{guard}]: {stderr}");
            }
            let ours = parts.iter().any(|part| part.contains("layby"));
            assert_eq!(stderr.contains("layby: "), ours, "{case} [{guard}]: {stderr}");
            println!("test {case} [{guard}] ... ok");
        }
    }
}
