//! Tests that need a process of their own: to end it, to read its stderr, or to count what it has.

use std::process::Command;

use super::process::{Finished, Process};

/// Set in the child, to the test's name.
const CHILD: &str = "LAYBY_TEST_CHILD";

/// Runs `body` in a new process of this test program, and returns what it left. `test` is the name of the
/// calling test, which must do nothing before this call: the child comes here again, and ends here.
pub(crate) fn in_own_process(test: &str, body: impl FnOnce()) -> Finished {
    if std::env::var(CHILD).is_ok_and(|child| child == test) {
        body();
        // Not back into the test, which is the parent's.
        std::process::exit(0);
    }
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"])
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
