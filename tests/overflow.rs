//! What a stack overflow says and does, and that faults which are none go where they went before. Each case
//! ends its process, so each has one of its own: this test again, told by the environment what to do
//! (`overflow/child.rs`).

mod common;

#[path = "overflow/child.rs"]
mod child;
#[path = "overflow/handlers.rs"]
mod handlers;
#[path = "overflow/ways.rs"]
mod ways;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use common::Process;

const GUARDS: [&str; 2] = ["auto", "mprotect"];
const DEFAULT_SIZE: usize = 256 * 1024;

/// The child's side of all the others.
#[test]
fn child() {
    if let Ok(case) = env::var("LAYBY_TEST_CHILD") {
        child::main(&case);
    }
}

/// What the child has left.
struct Ended {
    case: String,
    status: ExitStatus,
    stderr: String,
    /// Where the task was spawned, as the child saw it.
    place: String,
}

fn command(case: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this test"));
    command.args(["--exact", "child", "--nocapture", "--quiet"]).env("LAYBY_TEST_CHILD", case);
    for variable in ["LAYBY_WORKERS", "LAYBY_STACK_SIZE", "RUST_MIN_STACK"] {
        command.env_remove(variable);
    }
    command
}

fn run(case: &str, command: Command) -> Ended {
    let ended = Process::run(command);
    let place = ended.stdout.lines().find_map(|line| line.strip_prefix("at ")).unwrap_or_default().to_owned();
    Ended { case: case.to_owned(), status: ended.status, stderr: ended.stderr, place }
}

/// Runs a case with each kind of guard.
fn guarded(case: &str, check: impl Fn(Ended)) {
    for guard in GUARDS {
        let mut command = command(case);
        command.env("LAYBY_STACK_GUARD", guard);
        check(run(&format!("{case} [{guard}]"), command));
    }
}

impl Ended {
    /// layby has reported an overflow of `who`, on a stack of `size` bytes.
    #[track_caller]
    fn reported(&self, who: &str, size: usize) {
        let Ended { case, status, stderr, place } = self;
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{case}: {status}, {stderr}");
        let message = stderr.lines().find(|line| line.starts_with("layby: task "));
        let message = message.unwrap_or_else(|| panic!("{case}: no report in {stderr:?}"));
        let (task, rest) = message["layby: task ".len()..].split_once(", spawned at ").expect("a place");
        // A name, if any, then the number: the one that it got is not known here.
        let number =
            task.strip_prefix(who).unwrap_or_else(|| panic!("{case}: {who:?} is not in {message:?}"));
        let number = number.trim_start_matches([' ', '(', '#']).trim_end_matches(')');
        assert!(number.parse::<u64>().is_ok(), "{case}: {message}");
        assert!(place.starts_with("tests/overflow/child.rs:"), "{case}: {place:?}");
        let kib = size / 1024;
        assert_eq!(rest, format!("{place}, has overflowed its stack of {size} bytes ({kib} KiB)"), "{case}");
        for advice in ["task::Builder::stack_size", "Builder::stack_size or LAYBY_STACK_SIZE"] {
            assert!(stderr.contains(advice), "{case}: {stderr}");
        }
        assert!(!stderr.contains("\nthread '"), "{case}: std was asked, too: {stderr}");
    }

    /// The process has died of this signal, and layby has said nothing.
    #[track_caller]
    fn died(&self, signal: i32) {
        assert_eq!(self.status.signal(), Some(signal), "{}: {}, {}", self.case, self.status, self.stderr);
        self.silent();
    }

    /// The process has ended with this code, and layby has said nothing.
    #[track_caller]
    fn exited(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "{}: {}, {}", self.case, self.status, self.stderr);
        self.silent();
    }

    /// std has reported the overflow of a thread's own stack.
    #[track_caller]
    fn std_reported(&self, thread: &str) {
        self.died(libc::SIGABRT);
        let (case, stderr) = (&self.case, &self.stderr);
        let expected = format!("thread '{thread}");
        assert!(stderr.contains(&expected), "{case}: {stderr}");
        assert!(stderr.contains("has overflowed its stack"), "{case}: {stderr}");
    }

    #[track_caller]
    fn silent(&self) {
        assert!(!self.stderr.contains("layby:"), "{}: {}", self.case, self.stderr);
    }
}

fn each_way(workers: usize, others: usize) {
    let _guard = common::watchdog(120);
    for (way, _) in ways::WAYS {
        let case = format!("task {way} {workers} {others}");
        guarded(&case, |ended| ended.reported("", DEFAULT_SIZE));
    }
}

#[test]
fn each_way_alone_on_1_worker() {
    each_way(1, 0);
}

#[test]
fn each_way_alone_on_4_workers() {
    each_way(4, 0);
}

#[test]
fn each_way_among_10_000_on_1_worker() {
    each_way(1, 10_000);
}

#[test]
fn each_way_among_10_000_on_4_workers() {
    each_way(4, 10_000);
}

#[test]
fn names_and_sizes_are_said() {
    let _guard = common::watchdog(60);
    guarded("named", |ended| ended.reported("'deep one'", 1 << 20));
    guarded("root", |ended| ended.reported("'main'", 8 << 20));
    // So long a name that the message takes several writes.
    guarded("long-name", |ended| ended.reported(&format!("'{}'", "x".repeat(5000)), DEFAULT_SIZE));
    let mut small = command("task recursion 1 0");
    small.env("LAYBY_STACK_SIZE", "65536");
    run("LAYBY_STACK_SIZE", small).reported("", 65536);
}

#[test]
fn every_worker_reports() {
    let _guard = common::watchdog(60);
    guarded("worker-threads", |ended| ended.reported("", DEFAULT_SIZE));
    guarded("second-stack", |ended| ended.reported("", DEFAULT_SIZE));
    guarded("second-runtime", |ended| ended.reported("", DEFAULT_SIZE));
    guarded("all-at-once", |ended| {
        assert_eq!(ended.status.signal(), Some(libc::SIGABRT), "{}: {}", ended.status, ended.stderr);
        assert!(ended.stderr.contains("has overflowed its stack of 262144 bytes (256 KiB)"));
    });
    run("no stderr", command("no-stderr")).died(libc::SIGABRT);
}

#[test]
fn a_thread_without_a_signal_stack_gets_one_for_the_time() {
    let _guard = common::watchdog(60);
    guarded("no-signal-stack", |ended| ended.reported("'main'", 8 << 20));
    guarded("small-signal-stack", |ended| ended.reported("'main'", 8 << 20));
    run("signal stack afterwards", command("signal-stack-afterwards")).exited(0);
}

#[test]
fn other_faults_of_tasks_end_the_process_as_ever() {
    let _guard = common::watchdog(60);
    for case in ["null", "null-root", "null-afterwards", "own-stack", "stray-running", "stray-idle"] {
        guarded(case, |ended| ended.died(libc::SIGSEGV));
    }
    run("bus", command("bus")).died(libc::SIGBUS);
    run("non-canonical", command("non-canonical")).died(libc::SIGSEGV);
}

#[test]
fn overflows_of_threads_are_std_s() {
    let _guard = common::watchdog(60);
    guarded("thread", |ended| ended.std_reported("plain"));
    guarded("blocking", |ended| ended.std_reported(""));
}

#[test]
fn handlers_from_before_get_what_is_not_ours() {
    let _guard = common::watchdog(60);
    for kind in ["long", "plain", "nodefer"] {
        guarded(&format!("before {kind} null"), |ended| ended.exited(42));
        guarded(&format!("before {kind} raise"), |ended| ended.exited(42));
        guarded(&format!("before {kind} recursion"), |ended| ended.reported("", DEFAULT_SIZE));
    }
    guarded("before repair null", |ended| ended.exited(0));
    guarded("before once null", |ended| ended.died(libc::SIGSEGV));
    guarded("before default null", |ended| ended.died(libc::SIGSEGV));
    guarded("before default raise", |ended| ended.died(libc::SIGSEGV));
    guarded("before default recursion", |ended| ended.reported("", DEFAULT_SIZE));
    guarded("before ignore null", |ended| ended.died(libc::SIGSEGV));
    guarded("before ignore raise", |ended| ended.exited(0));
    guarded("before ignore recursion", |ended| ended.reported("", DEFAULT_SIZE));
}

#[test]
fn handlers_from_after_get_everything_and_may_pass_on() {
    let _guard = common::watchdog(60);
    guarded("after long null", |ended| ended.exited(42));
    guarded("after long recursion", |ended| ended.exited(43));
    guarded("after passing null", |ended| ended.died(libc::SIGSEGV));
    guarded("after passing recursion", |ended| ended.reported("", DEFAULT_SIZE));
}
