//! `runtime::dump`: what every task is doing, where, and why it waits.

mod common;

use common::{watchdog, workers};
use layby::runtime::{self, DumpedTask, TaskDump, TaskState};
use layby::sync::{Condvar, Event, Mutex, Semaphore};
use layby::{Builder, Runtime, channel, generator, go, task};
use std::sync::Arc;
use std::time::Duration;

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

/// A task of that name.
fn named<T: Send + 'static>(
    runtime: &Runtime,
    name: &str,
    f: impl FnOnce() -> T + Send + 'static,
) -> layby::JoinHandle<T> {
    let name = name.to_owned();
    runtime.spawn(|| task::Builder::new().name(name).spawn(f).unwrap()).join().unwrap()
}

#[track_caller]
fn find<'a>(dump: &'a TaskDump, name: &str) -> &'a DumpedTask {
    let task = dump.tasks().iter().find(|task| task.name() == Some(name));
    task.unwrap_or_else(|| panic!("{name} is not in {dump}"))
}

/// A dump in which all of the named tasks wait.
fn dump_when_waiting(runtime: &Runtime, names: &[&str]) -> TaskDump {
    loop {
        let dump = runtime.dump();
        let state = |name| dump.tasks().iter().find(|task| task.name() == Some(name)).map(DumpedTask::state);
        if names.iter().all(|name| state(name) == Some(TaskState::Waits)) {
            return dump;
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn expect_waits(dump: &TaskDump, name: &str, what: &str) {
    assert_eq!(find(dump, name).waits_in(), Some(what), "{dump}");
}

/// Whether a function of that name is in its backtrace.
fn is_in(dump: &TaskDump, name: &str, function: &str) -> bool {
    dump.backtrace(find(dump, name)).any(|frame| frame.contains(function))
}

#[inline(never)]
fn waits_for_the_event(event: &Event) {
    event.wait();
    std::hint::black_box(());
}

#[test]
fn a_task_says_what_it_waits_for_and_where_and_goes_on() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let runtime = runtime(n);
        let event = Arc::new(Event::new());
        let tasks: Vec<_> = (0..3)
            .map(|i| {
                let event = event.clone();
                named(&runtime, &format!("waiter {i}"), move || waits_for_the_event(&event))
            })
            .collect();
        let names = ["waiter 0", "waiter 1", "waiter 2"];
        for _ in 0..10 {
            let dump = dump_when_waiting(&runtime, &names);
            for name in names {
                let task = find(&dump, name);
                assert_eq!((task.state(), task.waits_in()), (TaskState::Waits, Some("an Event")));
                assert_eq!(task.spawned_at().file(), "tests/dump.rs");
                assert!(task.parent().is_some() && !task.is_cancelled());
                let (used, size) = task.stack().unwrap();
                assert!((200..32 * 1024).contains(&used) && size == 256 * 1024, "{used} of {size}");
                assert!(is_in(&dump, name, "dump::waits_for_the_event"), "{dump}");
                assert!(is_in(&dump, name, "Event::wait"), "{dump}");
                assert!(!is_in(&dump, name, "layby::park"), "{dump}");
                assert!(!is_in(&dump, name, "carrier"), "{dump}");
            }
            // One backtrace for the three.
            assert_eq!(dump.to_string().matches("dump::waits_for_the_event").count(), 1, "{dump}");
        }
        event.set();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    }
}
