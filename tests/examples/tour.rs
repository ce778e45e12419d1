//! `examples/tour` and `examples/hello` as a newcomer runs them, with their output piped.

use crate::common::{Process, example, watchdog};
use std::time::{Duration, Instant};

#[test]
fn the_tour_shows_all_its_parts() {
    let _watchdog = watchdog(180);
    let start = Instant::now();
    let finished = Process::run(example("tour"));
    let took = start.elapsed();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    // Neither a progress bar, since this is no terminal, nor the report of the panic it shows. Where each guard is a
    // mapping of its own, not all tasks find a stack at once, and layby says so, once.
    let about_stacks = |line: &&str| line.starts_with("layby: no stack") && line.contains("vm.max_map_count");
    let unexpected: Vec<_> = finished.stderr.lines().filter(|line| !about_stacks(line)).collect();
    assert!(unexpected.is_empty() && finished.stderr.lines().count() <= 1, "{}", finished.stderr);

    let text = &finished.stdout;
    let mut rest = text.as_str();
    for part in [
        "\n1. Ten tasks sleep 1 s each\n",
        "all ten had ended after ",
        " s, not 10 s\n",
        "\n2. gather!",
        "(5, \"layby\", 42)\n",
        "\n3. 100,000 tasks at once",
        "waiting at one gate ",
        "gate opened, all tasks woken and joined in ",
        "\n4. An echo server and ",
        "requests per second ",
        "\n5. What a switch costs",
        "two tasks, yield_now ",
        " ns\n",
        "two OS threads, park and unpark ",
        " ns\n",
        "\n6. A panic harms nobody\n",
        "unlucky",
        "it had to happen",
        "done, done, done",
        "\nAll of it took ",
    ] {
        let (_, behind) = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in\n{text}"));
        rest = behind;
    }
    // Where the kernel knows no guard markers it allows fewer stacks at once, and the tour says so.
    assert!(
        text.contains("100,000 after ") || text.contains("vm.max_map_count"),
        "not all tasks were waiting at once:\n{text}"
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    // A debug build is for debugging; its time says nothing.
    if !cfg!(debug_assertions) {
        assert!(took < Duration::from_secs(15), "the tour took {took:?}:\n{text}");
    }
}

#[test]
fn hello_says_hello() {
    let _watchdog = watchdog(60);
    let finished = Process::run(example("hello"));
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(finished.stdout, "hello, world!\n");
    assert_eq!(finished.stderr, "");
}
