//! `runtime::dump`: what every task is doing, where, and why it waits.

use crate::common::{watchdog, workers};
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

/// Whether a function of that name is in its backtrace. A program with line tables and nothing more has no paths for many names.
fn is_in(dump: &TaskDump, name: &str, function: &str) -> bool {
    let short = match function.rsplit("::").next().unwrap() {
        "{{closure}}" => "{closure#",
        last => last,
    };
    dump.backtrace(find(dump, name)).any(|frame| frame.contains(function) || frame.starts_with(short))
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
                assert_eq!(task.spawned_at().file(), file!());
                assert!(task.parent().is_some() && !task.is_cancelled());
                let (used, size) = task.stack().unwrap();
                assert!((200..32 * 1024).contains(&used) && size == 256 * 1024, "{used} of {size}");
                assert!(is_in(&dump, name, "dump::waits_for_the_event"), "{dump}");
                assert!(is_in(&dump, name, "Event::wait"), "{dump}");
                assert!(!is_in(&dump, name, "layby::park"), "{dump}");
                assert!(!is_in(&dump, name, "carrier"), "{dump}");
            }
            // One backtrace for the three.
            assert_eq!(dump.to_string().matches("waits_for_the_event at ").count(), 1, "{dump}");
        }
        event.set();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    }
}

/// A name for a task in a seeded run, whose dump has those of tests beside it, too.
fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> layby::JoinHandle<T> {
    go!(task::Builder::new().name(name.to_owned()), f)
}

/// Every kind of wait, by the words that it is shown with.
#[test]
fn each_wait_has_its_words() {
    let _watchdog = watchdog(60);
    layby::testing::run(7, || {
        let mutex: &'static Mutex<()> = Box::leak(Box::default());
        let (full, rest) = channel::bounded(2);
        let (_keeps, empty) = channel::bounded::<()>(100);
        let (also, unbounded) = channel::unbounded::<()>();
        (0..2).for_each(|i| full.send(i).unwrap());
        let tasks = vec![
            spawn("holds", move || {
                let _held = mutex.lock().unwrap();
                layby::sleep(Duration::from_millis(500_500));
            }),
            spawn("locks", move || {
                while mutex.try_lock().is_ok() {
                    layby::yield_now();
                }
                drop(mutex.lock().unwrap());
            }),
            spawn("sleeps", || layby::sleep(Duration::from_millis(70_500))),
            spawn("parks", task::park),
            spawn("sends", move || full.send(3).unwrap()),
            spawn("receives", move || empty.recv().unwrap()),
            spawn("selects", move || {
                let (one, two) = channel::bounded::<()>(0);
                layby::select! { recv(unbounded) -> _ => {}, send(one, ()) -> _ => {} }
                drop(two);
            }),
            spawn("acquires", || drop(Semaphore::new(2).acquire(3))),
            spawn("scopes", || {
                layby::scope(|s| {
                    s.spawn(|| layby::sleep(Duration::from_secs(400)));
                    s.spawn(|| layby::sleep(Duration::from_secs(400)));
                });
            }),
            spawn("joins", || drop(spawn("joined", task::park).join())),
            spawn("notified", || {
                let mutex = Mutex::new(());
                drop(Condvar::new().wait(mutex.lock().unwrap()));
            }),
            spawn("timed", || {
                let _ = layby::timeout(Duration::from_secs(30), || {
                    layby::shield(|| layby::timeout(Duration::from_millis(90_500), task::park))
                });
            }),
        ];
        // The clock of waits has steps of 4 ms.
        layby::sleep(Duration::from_millis(10_050));
        let dump = runtime::dump();
        let holds = find(&dump, "holds").id();
        let lines: Vec<String> = dump.to_string().lines().map(String::from).collect();
        let line =
            |name: &str| lines.iter().find(|line| line.starts_with(&format!("task '{name}' "))).unwrap();
        for (name, words) in [
            ("holds", "waits in sleep, for 10.0 s, 8 min 10 s left".into()),
            ("locks", format!("waits in lock of a Mutex, held by task 'holds' (#{holds}), for 10.0 s;")),
            ("sleeps", "waits in sleep, for 10.0 s, 1 min 0 s left;".into()),
            ("parks", "waits in park, for 10.0 s;".into()),
            ("sends", "waits in send into bounded(2) channel, full, for".into()),
            ("receives", "waits in recv on bounded(100) channel, empty, for".into()),
            (
                "selects",
                "waits in select: recv on unbounded channel, empty; send into bounded(0) channel, for".into(),
            ),
            ("acquires", "waits in permits of a Semaphore, 2 free, for".into()),
            ("scopes", "waits in the end of 2 tasks of a scope, for".into()),
            ("joins", "waits in join of task 'joined', for".into()),
            ("notified", "waits in a Condvar, for".into()),
            ("timed", "waits in park, for 10.0 s; timeout in 1 min 20 s; shielded;".into()),
        ] {
            let line = line(name);
            assert!(line.contains(&words), "{words}\n{line}");
        }
        drop((rest, also));
        tasks.iter().for_each(|task| task.cancel());
    });
}

/// A descriptor is shown as what it is.
#[test]
fn a_read_names_its_socket() {
    let _watchdog = watchdog(60);
    use std::io::Read;
    use std::os::fd::AsRawFd;
    let runtime = runtime(1);
    let listener = layby::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = layby::net::TcpStream::connect(at).unwrap();
    let (own, fds) = (client.local_addr().unwrap(), (listener.as_raw_fd(), client.as_raw_fd()));
    let reader = named(&runtime, "reader", move || (&client).read(&mut [0]).unwrap());
    let accepter = named(&runtime, "accepter", move || {
        drop(listener.accept().unwrap());
        listener.accept().map(drop)
    });
    reader.join().unwrap();
    let dump = dump_when_waiting(&runtime, &["accepter"]);
    expect_waits(&dump, "accepter", &format!("accept on TcpListener {at}, fd {}", fds.0));
    accepter.cancel();
    let _ = (own, accepter.join());

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let client = layby::net::TcpStream::connect(at).unwrap();
    let (own, fd) = (client.local_addr().unwrap(), client.as_raw_fd());
    let reader = named(&runtime, "reader", move || (&client).read(&mut [0]).unwrap());
    let dump = dump_when_waiting(&runtime, &["reader"]);
    expect_waits(&dump, "reader", &format!("read on TcpStream {own} to {at}, fd {fd}"));
    assert!(is_in(&dump, "reader", "TcpStream as std::io::Read>::read"), "{dump}");
    reader.cancel();
    assert!(reader.join().unwrap_err().is_cancelled());
}

#[inline(never)]
fn waits_inside_of_a_generator(event: Arc<Event>) -> u32 {
    let mut inner = generator::gen_iter(move |y| {
        y.suspend(1);
        event.wait();
        y.suspend(2);
    });
    let sum = inner.by_ref().sum();
    std::hint::black_box(sum)
}

/// Waits when it is dropped.
struct Dawdler(Arc<Event>);

impl Drop for Dawdler {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[inline(never)]
fn waits_in_its_destructor(event: Arc<Event>) {
    let _dawdler = Dawdler(event);
    std::panic::resume_unwind(Box::new("not a word of the hook"));
}

/// Where a question is most likely to break something.
#[test]
fn odd_places_answer_and_go_on() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let runtime = runtime(n);
        let event = Arc::new(Event::new());
        let on = |name: &str, f: fn(Arc<Event>) -> u32| {
            let event = event.clone();
            named(&runtime, name, move || f(event))
        };
        let tasks = [
            on("generator", waits_inside_of_a_generator),
            on("unwinding", |event| {
                let caught = std::panic::catch_unwind(|| waits_in_its_destructor(event));
                u32::from(caught.is_err()) + 2
            }),
            on("shielded", |event| {
                layby::shield(|| layby::timeout(Duration::from_secs(1000), || event.wait()).map_or(0, |()| 3))
            }),
            on("selecting", |event| {
                let (sender, receiver) = channel::bounded(0);
                go!(move || {
                    event.wait();
                    let _ = sender.send(3);
                });
                layby::select! { recv(receiver) -> message => message.unwrap() }
            }),
            on("unblocked", |event| {
                layby::unblock(|| event.wait());
                3
            }),
            on("scoping", |event| {
                layby::scope(|s| {
                    s.spawn(|| event.wait());
                });
                3
            }),
            on("cancelled", |event| {
                layby::shield(|| event.wait());
                3
            }),
        ];
        let names = ["generator", "unwinding", "shielded", "selecting", "unblocked", "scoping", "cancelled"];
        dump_when_waiting(&runtime, &names);
        tasks[6].cancel();
        for _ in 0..20 {
            let dump = dump_when_waiting(&runtime, &names);
            assert!(is_in(&dump, "generator", "waits_inside_of_a_generator::{{closure}}"), "{dump}");
            assert!(is_in(&dump, "generator", "odd_places"), "both stacks: {dump}");
            assert!(is_in(&dump, "unwinding", "Dawdler as core::ops::drop::Drop>::drop"), "{dump}");
            assert!(is_in(&dump, "unwinding", "waits_in_its_destructor"), "{dump}");
            let line = |name| find(&dump, name).to_string();
            assert!(line("unwinding").contains("; unwinding"), "{dump}");
            assert!(
                line("shielded").contains("; timeout in 16 min") && line("shielded").contains("; shielded"),
                "{dump}"
            );
            assert!(find(&dump, "cancelled").is_cancelled());
            expect_waits(&dump, "scoping", "the end of a task of a scope");
            expect_waits(&dump, "unblocked", "a closure on the blocking pool");
        }
        event.set();
        for (task, name) in tasks.into_iter().zip(names) {
            assert_eq!(task.join().unwrap(), 3, "{name}");
        }
    }
}

/// Tasks that are ready say where they are; the one that asks is shown as such.
#[test]
fn who_is_ready_and_who_asks() {
    let _watchdog = watchdog(60);
    #[inline(never)]
    fn takes_turns(end: &Event) {
        while !end.is_set() {
            layby::yield_now();
        }
    }
    let runtime = runtime(1);
    let end = Arc::new(Event::new());
    let yielders: Vec<_> = (0..3)
        .map(|i| {
            let end = end.clone();
            named(&runtime, &format!("yielder {i}"), move || takes_turns(&end))
        })
        .collect();
    let dump = named(&runtime, "asks", runtime::dump).join().unwrap();
    expect_waits(&dump, "asks", "a dump of the tasks");
    for name in ["yielder 0", "yielder 1", "yielder 2"] {
        assert_eq!(find(&dump, name).state(), TaskState::Ready);
        assert!(is_in(&dump, name, "takes_turns"), "{dump}");
    }
    end.set();
    yielders.into_iter().for_each(|task| task.join().unwrap());
}

/// A worker that does not answer: its tasks are there all the same, and the one that keeps it is named.
#[test]
fn a_busy_worker_is_looked_at_from_outside() {
    let _watchdog = watchdog(60);
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let runtime = runtime(1);
    let parked = named(&runtime, "parked", task::park);
    dump_when_waiting(&runtime, &["parked"]);
    let (begun, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let spins = named(&runtime, "spins", {
        let (begun, end) = (begun.clone(), end.clone());
        move || {
            begun.store(true, SeqCst);
            while !end.load(SeqCst) {
                std::hint::spin_loop();
            }
        }
    });
    while !begun.load(SeqCst) {
        std::thread::yield_now();
    }
    let late = runtime.spawn(|| 1);
    let dump = runtime.dump();
    let text = dump.to_string();
    let spinner = find(&dump, "spins");
    assert_eq!(spinner.state(), TaskState::Running, "{text}");
    assert!(
        text.contains(&format!(
            "does not answer, kept busy by task 'spins' (#{}): its tasks are shown",
            spinner.id()
        )),
        "{text}"
    );
    let task = find(&dump, "parked");
    assert_eq!((task.state(), task.waits_in()), (TaskState::Waits, Some("park")), "{text}");
    let late_id = format!("{:?}", late.task().id()).replace("TaskId(", "").replace(')', "");
    let unstarted = dump.tasks().iter().find(|task| task.id().to_string() == late_id);
    assert_eq!(unstarted.map(DumpedTask::state), Some(TaskState::Unstarted), "{text}");
    end.store(true, SeqCst);
    spins.join().unwrap();
    assert_eq!(late.join().unwrap(), 1);
    // And now it answers.
    assert!(is_in(&dump_when_waiting(&runtime, &["parked"]), "parked", "layby::spawn::task::park"));
    parked.cancel();
    let _ = parked.join();
}

/// Dumps while everything wakes everything: nothing is lost.
#[test]
fn dumps_disturb_nobody() {
    let _watchdog = watchdog(120);
    for n in workers() {
        let runtime = runtime(n);
        let rounds: u64 = if cfg!(debug_assertions) { 3_000 } else { 30_000 };
        let work = runtime.spawn(move || {
            let sum = Arc::new(Mutex::new(0));
            let mut tasks = Vec::new();
            for i in 0..8 {
                let (there, here) = (channel::bounded(1), channel::bounded(1));
                let (sum, other) = (sum.clone(), (there.1, here.0));
                tasks.push(go!(move || {
                    for _ in 0..rounds {
                        other.1.send(other.0.recv().unwrap() + 1).unwrap();
                    }
                }));
                tasks.push(go!(move || {
                    let mut value = 0;
                    for round in 0..rounds {
                        there.0.send(value).unwrap();
                        let recv = || here.1.recv().unwrap();
                        value = match round % 3 {
                            0 => recv(),
                            1 => layby::timeout(Duration::from_secs(600), recv).unwrap(),
                            _ => layby::select! { recv(here.1) -> value => value.unwrap() },
                        };
                        if round % 64 == i {
                            layby::yield_now();
                        }
                        *sum.lock().unwrap() += 1;
                    }
                    assert_eq!(value, rounds);
                }));
            }
            let sleeper = go!(move || (0..50).for_each(|_| layby::sleep(Duration::from_micros(300))));
            for _ in 0..200 {
                let task = go!(task::park);
                layby::yield_now();
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
            }
            sleeper.join().unwrap();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            *sum.lock().unwrap()
        });
        let mut dumps = 0;
        while !work.is_finished() {
            let dump = runtime.dump();
            dumps += 1;
            assert!(dump.tasks().len() < 50, "{dump}");
        }
        assert_eq!(work.join().unwrap(), 8 * rounds);
        assert!(dumps > 0);
    }
}

#[test]
fn json_is_read_back() {
    let _watchdog = watchdog(60);
    let runtime = runtime(2);
    let event = Arc::new(Event::new());
    let task = named(&runtime, "a \"name\"\n\u{1}", {
        let event = event.clone();
        move || waits_for_the_event(&event)
    });
    let dump = dump_when_waiting(&runtime, &["a \"name\"\n\u{1}"]);
    let json: serde_json::Value = serde_json::from_str(&dump.to_json()).unwrap();
    assert_eq!(json["pid"], std::process::id());
    assert_eq!(json["runtimes"][0]["workers"], serde_json::json!(["answered", "answered"]));
    let of_task =
        json["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "a \"name\"\n\u{1}").unwrap();
    assert_eq!(of_task["state"], "waits");
    assert_eq!(of_task["waits_in"], "an Event");
    assert_eq!(of_task["spawned_at"]["file"], file!());
    assert_eq!(of_task["left_ms"], serde_json::Value::Null);
    assert!(of_task["since_ms"].is_u64() && of_task["parent"].is_u64() && of_task["stack"]["used"].is_u64());
    let frames = json["backtraces"][of_task["backtrace"].as_u64().unwrap() as usize].as_array().unwrap();
    assert!(
        frames.iter().any(|frame| frame["function"].as_str().unwrap().ends_with("waits_for_the_event")),
        "{frames:?}"
    );
    assert_eq!(json["cycles"], serde_json::json!([]));
    event.set();
    task.join().unwrap();
}

/// Two tasks that each hold what the other wants, and one that joins itself through another.
#[test]
fn circles_are_named() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let runtime = runtime(n);
        let locks = Arc::new([Mutex::new(()), Mutex::new(())]);
        let barrier = Arc::new(layby::sync::Barrier::new(2));
        let tasks: Vec<_> = (0..2)
            .map(|i| {
                let (locks, barrier) = (locks.clone(), barrier.clone());
                named(&runtime, ["left", "right"][i], move || {
                    let _own = locks[i].lock().unwrap();
                    barrier.wait();
                    drop(locks[1 - i].lock());
                })
            })
            .collect();
        let dump = loop {
            let dump = dump_when_waiting(&runtime, &["left", "right"]);
            if ["left", "right"].iter().all(|name| find(&dump, name).waits_in() == Some("lock of a Mutex")) {
                break dump;
            }
        };
        let (left, right) = (find(&dump, "left").id(), find(&dump, "right").id());
        assert_eq!(dump.cycles(), [[left.min(right), left.max(right)]], "{dump}");
        let text = dump.to_string();
        assert!(text.contains("these tasks wait for each other:\n"), "{text}");
        assert!(
            text.contains(&format!(
                "task 'left' (#{left}) waits in lock of a Mutex, held by task 'right' (#{right})\n"
            )),
            "{text}"
        );
        tasks.iter().for_each(|task| task.cancel());
        tasks.into_iter().for_each(|task| drop(task.join()));
    }
}

/// Who lets another task begin at once, and who yields while it unwinds, may be asked while it is ready. It goes on in its own turn.
#[test]
fn who_is_asked_while_ready_goes_on_in_its_turn() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    struct Yields(Arc<AtomicBool>);
    impl Drop for Yields {
        fn drop(&mut self) {
            while !self.0.load(SeqCst) {
                layby::yield_now();
            }
        }
    }
    let _watchdog = watchdog(60);
    let runtime = runtime(1);
    let end = Arc::new(AtomicBool::new(false));
    let flag = end.clone();
    let eager = named(&runtime, "eager", move || {
        let begun = std::rc::Rc::new(std::cell::Cell::new(0));
        for round in 1.. {
            let counts = begun.clone();
            let task = task::spawn_eager(move || {
                counts.set(counts.get() + 1);
                layby::yield_now();
            });
            assert_eq!(begun.get(), round, "it has begun");
            task.join().unwrap();
            if flag.load(SeqCst) {
                return 3;
            }
        }
        0
    });
    let flag = end.clone();
    let unwinding = named(&runtime, "unwinding", move || {
        let caught = std::panic::catch_unwind(|| {
            let _yields = Yields(flag);
            panic!("on purpose");
        });
        u32::from(caught.is_err()) + 2
    });
    // Until each was met in the middle of it a hundred times.
    let mut met = (0, 0);
    while met.0 < 100 || met.1 < 100 {
        let dump = runtime.dump();
        let ready = |name| {
            let task = dump.tasks().iter().find(|task| task.name() == Some(name));
            u32::from(task.is_some_and(|task| task.state() == TaskState::Ready))
        };
        met = (met.0 + ready("eager"), met.1 + ready("unwinding"));
    }
    end.store(true, SeqCst);
    assert_eq!((eager.join().unwrap(), unwinding.join().unwrap()), (3, 3));
    // And a panic of another is still only that one's.
    assert!(runtime.spawn(|| panic!("on purpose")).join().is_err());
}
