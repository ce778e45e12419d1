//! What the tests share: a watchdog, worker counts, a random generator, and example programs run
//! as real processes.

// Every file in tests/ is a crate of its own that takes a part of this.
#![allow(dead_code, unused_imports)]

mod actors;
mod own;
mod process;

pub(crate) use actors::{Actor, Actors, KINDS, Kind, everywhere};
pub(crate) use own::in_own_process;
pub(crate) use process::{Finished, Process, example, installed};

use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::Location;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The numbers of workers that a test should be right with.
pub(crate) fn workers() -> [usize; 2] {
    [1, 4]
}

/// Ends the whole process, loudly, unless it is dropped in time. A test that panics drops it too.
#[must_use = "dropped at once it watches nothing"]
#[derive(Debug)]
pub(crate) struct Watchdog {
    // Nothing is ever sent: the thread at the other end wakes when this is dropped.
    _leash: Sender<()>,
}

#[track_caller]
pub(crate) fn watchdog(seconds: u64) -> Watchdog {
    let place = Location::caller();
    // With one test thread all tests run on "main"; the place names the test even then.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (leash, end) = mpsc::channel();
    let (begins, has_begun) = mpsc::channel::<()>();
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            drop(begins);
            if end.recv_timeout(Duration::from_secs(seconds)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let threads = threads().unwrap_or_else(|error| error.to_string());
            // Not eprintln!: the harness captures what that prints, and an abort loses the capture.
            let _ = writeln!(
                io::stderr(),
                "\nwatchdog: {test} ({place}) has not ended in {seconds} s; aborting. Its threads:\n{threads}"
            );
            process::kill_all();
            std::process::abort();
        })
        .expect("a thread for the watchdog");
    // A thread takes memory at its start: not when the test has left none.
    let _ = has_begun.recv();
    Watchdog { _leash: leash }
}

/// Name, state and kernel wait of every thread of this process.
fn threads() -> io::Result<String> {
    let mut text = String::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        let read = |file| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let status = read("status");
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim();
        let (name, state, wait) = (field("Name:"), field("State:"), read("wchan"));
        let _ = writeln!(text, "  {name:<16} {state:<14} {wait}");
    }
    Ok(text)
}

/// Makes room for `needed` descriptors, and tells whether there is.
pub(crate) fn descriptors(needed: u64) -> bool {
    let enough = rlimit::increase_nofile_limit(needed).is_ok_and(|limit| limit >= needed);
    if !enough {
        eprintln!("this process may not have {needed} descriptors (see ulimit -Hn)");
    }
    enough
}

/// xorshift64*: small, fast, and the same on every run.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) // zero would stay zero
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The upper half: the lower bits of this generator are the weaker ones.
        (self.next() >> 32) as usize % end
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// Panics on purpose say `expected …`. After this call such ones print nothing; others print as ever.
pub(crate) fn quiet_panics() {
    quiet_panics_that_say("expected");
}

/// As [`quiet_panics`], for messages that are layby's. (Tests share a process, so none takes the hook for itself.)
pub(crate) fn quiet_panics_that_say(text: &'static str) {
    static HOOK: std::sync::Once = std::sync::Once::new();
    static QUIET: std::sync::Mutex<Vec<&str>> = std::sync::Mutex::new(Vec::new());
    let quiet = || QUIET.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().unwrap_or_default();
            if !quiet().iter().any(|text| message.contains(text)) {
                hook(info);
            }
        }));
    });
    if !quiet().contains(&text) {
        quiet().push(text);
    }
}

/// Counts how often it, or any of its clones, is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drops {
    pub(crate) fn new() -> Drops {
        Drops::default()
    }

    /// Something whose drop is counted.
    pub(crate) fn token(&self) -> Token {
        Token(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Token(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Calls `f` when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The test of that name alone, in a process of its own, with `LAYBY_TEST_CHILD` set and no other setting of layby's.
#[track_caller]
pub(crate) fn alone(test: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().expect("the path of this test"));
    let test = own::full_name(test, Location::caller());
    command.args(["--exact", &test, "--nocapture", "--test-threads=1", "--include-ignored"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LAYBY_") {
            command.env_remove(name);
        }
    }
    command.env("LAYBY_TEST_CHILD", "1");
    command
}

/// Whether this process was started by [`alone`].
pub(crate) fn is_child() -> bool {
    std::env::var_os("LAYBY_TEST_CHILD").is_some()
}

/// `run` on a new runtime of so many workers.
pub(crate) fn on<T>(workers: usize, f: impl FnOnce() -> T) -> T {
    layby::Builder::new().workers(workers).run(f)
}

/// In virtual time, by some seeds.
pub(crate) fn seeded(f: impl Fn()) {
    for seed in 0..10 {
        layby::testing::run(seed, &f);
    }
}

/// In tasks of 1 and of several workers, in seeded order, and on a thread that is no task.
pub(crate) fn everywhere_and_seeded(f: impl Fn() + Sync) {
    seeded(&f);
    for n in workers() {
        on(n, &f);
    }
    f();
}

pub(crate) fn yield_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        layby::yield_now();
    }
}

/// The message of a caught panic.
pub(crate) fn message(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<&str>() {
        Ok(text) => (*text).into(),
        Err(payload) => *payload.downcast::<String>().expect("a panic with a message"),
    }
}

/// A task that sets the flag it is given, and then waits in `f`; already in it, as far as that can be known.
pub(crate) fn waiting_in<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> layby::JoinHandle<T> {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let flag = std::sync::Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    let task = layby::spawn(move || {
        set.store(true, SeqCst);
        f()
    });
    yield_until(|| flag.load(SeqCst));
    (0..5).for_each(|_| layby::yield_now());
    task
}

/// So many tasks of `f`, which is told which one it is.
pub(crate) fn spawn_each(
    count: usize,
    f: impl Fn(usize) + Send + Sync + 'static,
) -> Vec<layby::JoinHandle<()>> {
    let f = std::sync::Arc::new(f);
    (0..count)
        .map(|i| {
            let f = f.clone();
            layby::spawn(move || f(i))
        })
        .collect()
}

/// Cancels some of `tasks`, one now, one later, and sees each of them end. `below(n)` is a random number below n.
pub(crate) fn cancel_some(tasks: Vec<layby::JoinHandle<()>>, mut below: impl FnMut(usize) -> usize) {
    for task in &tasks {
        (0..below(8)).for_each(|_| layby::yield_now());
        if below(2) == 0 {
            task.cancel();
        }
    }
    for task in tasks {
        assert!(task.join().map_or_else(|error| error.is_cancelled(), |()| true));
    }
}
