//! `examples/find_bugs`: three bugs are found, repeated by their seeds, and mended.

use crate::common::{Process, example, watchdog};

#[test]
fn three_bugs() {
    let _watchdog = watchdog(60);
    let mut command = example("find_bugs");
    command.env_remove("LAYBY_SEED");
    let finished = Process::run(command);
    assert!(finished.status.success(), "{finished:?}");
    let count = |text| finished.stdout.matches(text).count();
    assert_eq!(count(": found in schedule "), 3, "{finished:?}");
    assert_eq!(count("with that seed: the same\n"), 3, "{finished:?}");
    assert_eq!(count("mended: 200 schedules, none has failed\n"), 3, "{finished:?}");
    assert!(finished.stderr.contains("every task waits") && finished.stderr.contains("waits in a Condvar"));
}
