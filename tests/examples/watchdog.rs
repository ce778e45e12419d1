//! `examples/watchdog`: who keeps the worker is named, and what it does.

use crate::common::{Finished, Process, example, watchdog};

const TASKS: [(&str, &str); 3] =
    [("computes", " ms: it "), ("sleeps", ": blocked in "), ("locks", ": blocked in ")];

/// What was said of the task of that name.
fn said<'a>(finished: &'a Finished, name: &str) -> Vec<&'a str> {
    let of_it = format!("task '{name}' (#");
    finished.reports().into_iter().filter(|line| line.starts_with(&of_it)).collect()
}

#[test]
fn who_keeps_the_worker_is_named() {
    let _watchdog = watchdog(60);
    let run = || Process::run(example("watchdog"));
    let mut finished = run();
    // The watchdog's thread has to run to see anything: on a busy machine it may come too late.
    for _ in 0..5 {
        if TASKS.iter().all(|(name, _)| !said(&finished, name).is_empty()) {
            break;
        }
        finished = run();
    }
    assert_eq!(finished.expect_success().stdout, "all three are done\n");
    for (name, what) in TASKS {
        let lines = said(&finished, name);
        let (last, kept) = lines.split_last().unwrap_or_else(|| panic!("{name}: {}", finished.stderr));
        assert!(last.contains("has let go of worker 0 after "), "{last}");
        let told = |line: &&str| line.contains("has kept worker 0 for ") && line.contains(what);
        assert!(kept.iter().any(told), "{}", finished.stderr);
        assert!(kept[0].contains("; 2 other tasks live there"), "{}", finished.stderr);
    }
}
