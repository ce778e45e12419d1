//! Tests that need a process of their own: to end it, to read its stderr, or to count what it has.

use std::panic::Location;
use std::path::Path;
use std::process::Command;

use super::process::{Finished, Process};

/// Set in the child, to the test's name.
const CHILD: &str = "LAYBY_TEST_CHILD";

/// A test's name as libtest has it: with its module in front, where it is not in the crate's first file.
pub(super) fn full_name(test: &str, place: &Location<'_>) -> String {
    // tests/AREA.rs, tests/AREA/main.rs or tests/AREA/MODULE.rs
    let path = Path::new(place.file());
    let module = path.file_stem().and_then(|name| name.to_str()).expect("a file's name");
    if module == "main" || path.components().count() == 2 { test.into() } else { format!("{module}::{test}") }
}

/// Runs `body` in a new process of this test program, and returns what it left. `test` is the name of the
/// calling test, which must do nothing before this call: the child comes here again, and ends here.
#[track_caller]
pub(crate) fn in_own_process(test: &str, body: impl FnOnce()) -> Finished {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        body();
        // Not back into the test, which is the parent's.
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command
        .args([
            "--exact",
            &full_name(test, Location::caller()),
            "--nocapture",
            "--test-threads=1",
            "--include-ignored",
        ])
        .env(CHILD, test)
        .env("RUST_BACKTRACE", "0");
    Process::run(command)
}

impl Finished {
    /// Fails with what the process said, unless it ended well.
    #[track_caller]
    pub(crate) fn expect_success(&self) -> &Finished {
        assert!(self.status.success(), "{}\nstdout:\n{}\nstderr:\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// What layby itself has said, line by line. (A line may begin in the midst of one of std's panic hook.)
    pub(crate) fn reports(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| Some(line.split_once("layby: ")?.1)).collect()
    }
}
