//! Programs run as real processes, which end with the test that started them.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What has been started. An abort runs no destructors, so the watchdog kills these by hand.
static STARTED: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// A test that failed while it held one of these locks must not hide its failure behind another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn kill_all() {
    for child in lock(&STARTED).iter() {
        let _ = lock(child).kill();
    }
}

/// `examples/NAME.rs`, as cargo built it beside this test, in no environment of layby's.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("the path of this test");
    // target/PROFILE/deps/TEST and target/PROFILE/examples/NAME
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a target directory");
    let path: PathBuf = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing. A plain `cargo test` builds it; with `--test NAME`, `--examples` or \
         `--all-targets` run `cargo build --examples` first (with the same --release and --target)",
        path.display()
    );
    let mut command = Command::new(path);
    command.env_remove("LAYBY_WORKERS").env_remove("LAYBY_STACK_SIZE");
    command
}

/// Whether a program that a test would like to use is there. In CI it has to be, where `required`.
pub(crate) fn installed(program: &str, required: bool) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if run.is_ok() {
        return true;
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!(ci && required), "{program} is not installed, and in CI it must be");
    eprintln!("skipped: {program} is not installed");
    false
}

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    stdout: Collected,
    stderr: Collected,
}

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A stream that a thread empties all the time, so that the program never waits for us.
#[derive(Debug)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn new(mut source: impl Read + Send + 'static) -> Collected {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = bytes.clone();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut buffer) {
                lock(&sink).extend_from_slice(&buffer[..length]);
            }
        });
        Collected { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }

    /// All of it, once the program has ended.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the thread that reads the program's output");
        }
        self.text()
    }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Collected::new(child.stdout.take().expect("it is piped"));
        let stderr = Collected::new(child.stderr.take().expect("it is piped"));
        let child = Arc::new(Mutex::new(child));
        lock(&STARTED).push(child.clone());
        Process { child, stdout, stderr }
    }

    pub(crate) fn run(command: Command) -> Finished {
        Process::start(command).finish()
    }

    pub(crate) fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Where a server listens: it says so in its first line.
    pub(crate) fn address(&self) -> SocketAddr {
        loop {
            let text = self.stdout.text();
            if let Some((line, _)) = text.split_once('\n') {
                let addr = line.strip_prefix("listening on ").expect("a server's first line");
                return addr.trim_start_matches("http://").parse().expect("the server's address");
            }
            if let Some(status) = self.status() {
                panic!("the server ended at once ({status}): {}", self.stderr());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn status(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().expect("the state of a child")
    }

    /// Waits for its end. The test's watchdog is the limit.
    pub(crate) fn finish(mut self) -> Finished {
        // Not `wait`: that would keep the lock, and the watchdog could not kill the child.
        let status = loop {
            match self.status() {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        // A test program that was asked for a test it has not ends well.
        assert!(!stdout.contains("\nrunning 0 tests\n"), "no such test: {stdout}");
        Finished { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        {
            let mut child = lock(&self.child);
            let _ = child.kill();
            let _ = child.wait();
        }
        lock(&STARTED).retain(|child| !Arc::ptr_eq(child, &self.child));
        if thread::panicking() {
            eprintln!("the program's stderr was:\n{}", self.stderr.finish());
        }
    }
}
