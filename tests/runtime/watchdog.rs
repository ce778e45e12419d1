//! The watchdog, and the rest of debug mode: what is said on stderr, by processes of their own. No test here says how long
//! something may take at most.

use crate::common::{
    Finished, Process, Rng, alone, in_own_process, is_child, quiet_panics, watchdog, workers,
};
use layby::runtime::{StackUsage, metrics, stack_usage};
use layby::{Builder, go, task};
use std::hint::black_box;
use std::io::{ErrorKind, Read};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(40);
/// Reported for sure: longer than the limit and the time between two looks.
const LONG: Duration = Duration::from_millis(120);

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        black_box(());
    }
}

fn named<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> layby::JoinHandle<T> {
    task::Builder::new().name(name.into()).spawn(f).unwrap()
}

/// What was said of the task of that name: while it kept its worker, and afterwards.
fn said<'a>(finished: &'a Finished, name: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let of_it = format!("task '{name}' (#");
    let lines = finished.reports().into_iter().filter(|line| line.starts_with(&of_it));
    lines.partition(|line| line.contains("has kept worker "))
}

/// Whether all of these were reported.
fn all_said(finished: &Finished, names: &[String]) -> bool {
    names.iter().all(|name| !said(finished, name).0.is_empty())
}

/// What a process has left that tries to be seen by the watchdog: that has to run, too, and on a busy machine may come too late.
fn seen(attempt: impl Fn() -> Finished, seen: impl Fn(&Finished) -> bool) -> Finished {
    let mut finished = attempt();
    for _ in 0..5 {
        if !finished.status.success() || seen(&finished) {
            break;
        }
        finished = attempt();
    }
    finished
}

#[track_caller]
fn expect_said(finished: &Finished, name: &str, what: &str) {
    let (kept, let_go) = said(finished.expect_success(), name);
    assert!(!kept.is_empty() && let_go.len() == 1, "{name}: {}", finished.stderr);
    assert!(kept.iter().any(|line| line.contains(what)), "{name} {what}: {}", finished.stderr);
    assert!(
        kept.iter().all(|line| line.contains(&format!("spawned at {}:", file!()))),
        "{}",
        finished.stderr
    );
}

#[test]
fn who_computes_is_named_and_so_is_who_blocks() {
    let _watchdog = watchdog(60);
    let child = || {
        for n in workers() {
            Builder::new().workers(n).watchdog(LIMIT).run(|| {
                named(&format!("computes {n}"), || compute(LONG)).join().unwrap();
                named(&format!("sleeps {n}"), || thread::sleep(LONG)).join().unwrap();
                named(&format!("locks {n}"), || {
                    let (lock, held) = (Mutex::new(()), Barrier::new(2));
                    thread::scope(|threads| {
                        threads.spawn(|| {
                            let _guard = lock.lock();
                            held.wait();
                            thread::sleep(LONG);
                        });
                        held.wait();
                        drop(lock.lock());
                    });
                })
                .join()
                .unwrap();
                named(&format!("reads {n}"), || {
                    let (mut end, other) = std::io::pipe().unwrap();
                    let writer = thread::spawn(move || {
                        thread::sleep(LONG);
                        drop(other);
                    });
                    assert_eq!(end.read(&mut [0]).unwrap(), 0);
                    writer.join().unwrap();
                })
                .join()
                .unwrap();
            });
        }
    };
    let names: Vec<_> = workers()
        .into_iter()
        .flat_map(|n| ["computes", "sleeps", "locks", "reads"].map(|name| format!("{name} {n}")))
        .collect();
    let finished = seen(
        || in_own_process("who_computes_is_named_and_so_is_who_blocks", child),
        |finished| all_said(finished, &names),
    );
    for n in workers() {
        // On a busy machine: "it runs, but had the processor for only …".
        expect_said(&finished, &format!("computes {n}"), " ms: it ");
        for name in ["sleeps", "locks", "reads"] {
            expect_said(&finished, &format!("{name} {n}"), "blocked in ");
        }
    }
    // The names of the calls, where the kernel gives them away.
    if std::fs::read_to_string("/proc/thread-self/syscall").is_ok() {
        expect_said(&finished, "sleeps 1", "nanosleep: a sleep of the whole thread; use `layby::sleep`");
        expect_said(&finished, "locks 1", "futex: a std lock");
        expect_said(&finished, "reads 1", "blocked in read: ");
    }
}

/// The number of milliseconds in `… for 56 ms: …`.
fn milliseconds(line: &str) -> u64 {
    let (_, rest) = line.split_once(" for ").expect(line);
    let (number, unit) = rest.split_once(' ').expect(line);
    if unit.starts_with("ms") {
        number.parse().unwrap()
    } else {
        (number.parse::<f64>().unwrap() * 1e3) as u64
    }
}

#[test]
fn an_incident_is_said_again_at_doubling_intervals() {
    let _watchdog = watchdog(60);
    let child = || {
        Builder::new().workers(2).watchdog(Duration::from_millis(5)).run(|| {
            named("long", || thread::sleep(Duration::from_millis(200))).join().unwrap();
        });
    };
    let finished = seen(
        || in_own_process("an_incident_is_said_again_at_doubling_intervals", child),
        |finished| said(finished, "long").0.len() >= 2,
    );
    let (kept, _) = said(finished.expect_success(), "long");
    let times: Vec<_> = kept.iter().map(|line| milliseconds(line)).collect();
    assert!(times.len() >= 2 && times[0] >= 5, "{times:?}");
    // What is printed is rounded down.
    assert!(times.windows(2).all(|pair| pair[1] + 1 >= 2 * pair[0]), "{times:?}");
}

/// A task that lets go now and then is not reported, however long it runs. How long it has held on at most, it measures itself.
#[test]
fn who_lets_go_is_not_reported() {
    const AT_MOST: Duration = Duration::from_millis(30);
    let _watchdog = watchdog(60);
    let finished = in_own_process("who_lets_go_is_not_reported", || {
        Builder::new().workers(2).watchdog(AT_MOST).run(|| {
            let polite: Vec<_> = (0..4)
                .map(|n| {
                    let name = format!("polite {n}");
                    named(&name.clone(), move || {
                        let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
                        while start.elapsed() < Duration::from_millis(100) {
                            layby::yield_now();
                            longest = longest.max(last.elapsed());
                            last = Instant::now();
                        }
                        // The machine may have been busy with others.
                        println!("{name}: {}", longest < AT_MOST);
                    })
                })
                .collect();
            polite.into_iter().for_each(|task| task.join().unwrap());
        });
    });
    finished.expect_success();
    for n in 0..4 {
        let name = format!("polite {n}");
        if finished.stdout.contains(&format!("{name}: true")) {
            assert_eq!(said(&finished, &name), (vec![], vec![]), "{}", finished.stderr);
        }
    }
}

/// Tasks that end while they are looked at: names and headers come and go under the watchdog's eyes.
#[test]
fn tasks_may_end_while_they_are_reported() {
    let _watchdog = watchdog(60);
    let finished = in_own_process("tasks_may_end_while_they_are_reported", || {
        for n in workers() {
            Builder::new().workers(n).watchdog(Duration::from_millis(1)).run(|| {
                let mut rng = Rng::new(n as u64);
                let tasks: Vec<_> = (0..40)
                    .map(|i| {
                        let time = Duration::from_micros(rng.below(4000) as u64);
                        named(&format!("short-lived {i} {}", "x".repeat(i)), move || compute(time))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            });
        }
    });
    finished.expect_success();
    for line in finished.reports() {
        assert!(line.starts_with("task 'short-lived ") || line.starts_with("task 'main'"), "{line}");
    }
}

/// What a case prints as `test` alone in a process, with these settings in its environment.
fn with_environment(test: &str, settings: &[(&str, &str)]) -> Finished {
    let mut command = alone(test);
    command.envs(settings.iter().copied()).env("RUST_BACKTRACE", "0");
    Process::run(command)
}

#[test]
fn the_environment_turns_it_on_for_the_default_runtime_too() {
    const TEST: &str = "the_environment_turns_it_on_for_the_default_runtime_too";
    if is_child() {
        return named("slow", || thread::sleep(LONG)).join().unwrap();
    }
    let _watchdog = watchdog(60);
    for (settings, found) in [
        (&[("LAYBY_WATCHDOG", "40")][..], true),
        (&[("LAYBY_DEBUG", "1"), ("LAYBY_WATCHDOG", "40")], true),
        (&[("LAYBY_DEBUG", "1"), ("LAYBY_WATCHDOG", "off")], false),
        (&[("LAYBY_DEBUG", "0")], false),
        (&[], false),
    ] {
        let finished = with_environment(TEST, settings);
        assert_eq!(
            said(finished.expect_success(), "slow").0.is_empty(),
            !found,
            "{settings:?} {}",
            finished.stderr
        );
    }
    // The limit of debug mode is 100 ms; the sleep may have been too short for that.
    with_environment(TEST, &[("LAYBY_DEBUG", "1")]).expect_success();
}

#[test]
fn bad_settings_are_clear_errors() {
    const TEST: &str = "bad_settings_are_clear_errors";
    if is_child() {
        println!("says: {}", Builder::new().build().unwrap_err());
        return;
    }
    let _watchdog = watchdog(60);
    for (name, value, text) in [
        (
            "LAYBY_WATCHDOG",
            "soon",
            "LAYBY_WATCHDOG is \"soon\": it may be a number of milliseconds, 1 at least, or `off`",
        ),
        (
            "LAYBY_WATCHDOG",
            "0",
            "LAYBY_WATCHDOG is \"0\": it may be a number of milliseconds, 1 at least, or `off`",
        ),
        ("LAYBY_DEBUG", "yes", "LAYBY_DEBUG is \"yes\": it may be `1` (debug mode) or `0`"),
    ] {
        let finished = with_environment(TEST, &[(name, value)]);
        assert!(finished.expect_success().stdout.contains(&format!("says: {text}\n")), "{}", finished.stdout);
    }
    let error = Builder::new().watchdog(Duration::from_micros(999)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("1 ms at least"), "{error}");
}

/// However far away its next look is.
#[test]
fn a_runtime_does_not_wait_for_its_watchdog() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for limit in [Duration::from_secs(3600), Duration::from_secs(u64::MAX), Duration::MAX] {
            assert_eq!(Builder::new().workers(n).watchdog(limit).run(|| 5), 5);
            let own = Builder::new().workers(n).watchdog(limit).build().unwrap();
            assert_eq!(own.run(|| 6), 6);
            own.shutdown(Duration::MAX).unwrap();
        }
    }
}

#[test]
fn panics_that_nobody_has_joined_are_counted_and_said_at_the_end() {
    let _watchdog = watchdog(60);
    let finished = in_own_process("panics_that_nobody_has_joined_are_counted_and_said_at_the_end", || {
        quiet_panics();
        fn panics(n: usize) {
            for i in 0..n {
                // Detached before its end, or after.
                let task = go!(|| panic!("expected: alone"));
                if i % 2 == 1 {
                    while !task.is_finished() {
                        layby::yield_now();
                    }
                }
            }
            go!(|| panic!("expected: joined")).join().unwrap_err();
            while metrics().panics_unjoined < n as u64 {
                layby::yield_now();
            }
            assert_eq!(metrics().panics_unjoined, n as u64);
        }
        for n in workers() {
            Builder::new().workers(n).debug_mode(true).run(|| panics(3));
            // Not said, but counted.
            Builder::new().workers(n).debug_mode(false).run(|| panics(2));
            let own = Builder::new().workers(n).debug_mode(true).build().unwrap();
            own.run(|| panics(1));
            assert_eq!(own.metrics().panics_unjoined, 1);
            own.shutdown(Duration::MAX).unwrap();
            assert_eq!(own.metrics().panics_unjoined, 1);
        }
    });
    let said: Vec<_> =
        finished.expect_success().reports().into_iter().filter(|line| line.contains("has ended")).collect();
    let want = |n, text| {
        let ends = format!("{text}: {n} spawned at {}:", file!());
        said.iter()
            .filter(|line| line.starts_with(&format!("the runtime has ended; {n} of its tasks {ends}")))
            .count()
    };
    assert_eq!(want(3, "have panicked, and nobody has joined them"), 2, "{said:?}");
    assert_eq!(want(1, "has panicked, and nobody has joined it"), 2, "{said:?}");
    assert_eq!(said.len(), 4, "{said:?}");
}

/// Uses so many bytes of stack, and a little more (or as much again, for want of optimisation).
#[inline(never)]
fn deep<const BYTES: usize>() -> u8 {
    let mut here = [1; BYTES];
    black_box(&mut here)[BYTES / 2]
}

#[track_caller]
fn usage(line: u32) -> StackUsage {
    let found =
        |place: &StackUsage| place.spawned_at().line() == line && place.spawned_at().file() == file!();
    stack_usage().into_iter().find(found).expect("the place was used")
}

#[test]
fn the_stack_that_tasks_use_is_known_by_place() {
    let _watchdog = watchdog(60);
    let finished = in_own_process("the_stack_that_tasks_use_is_known_by_place", || {
        let mut lines = (0, 0, 0, 0);
        for n in workers() {
            Builder::new().workers(n).debug_mode(true).run(|| {
                for _ in 0..5 {
                    // One after the other, so that one's stack would be the next one's.
                    lines.0 = line!() + 1;
                    go!(deep::<60_000>).join().unwrap();
                    lines.1 = line!() + 1;
                    go!(|| 1).join().unwrap();
                    let small = task::Builder::new().stack_size(64 * 1024);
                    lines.2 = line!() + 1;
                    go!(small, deep::<20_000>).join().unwrap();
                    lines.3 = line!() + 1;
                    go!(deep::<{ 220 * 1024 }>).join().unwrap();
                }
            });
        }
        let [middle, flat, small, much] = [lines.0, lines.1, lines.2, lines.3].map(usage);
        for place in [middle, flat, small, much] {
            assert_eq!(place.tasks(), 10, "{place:?}");
            assert!(place.deepest() > 0 && place.deepest() <= place.size(), "{place:?}");
            assert_eq!(place.size(), if place == small { 64 << 10 } else { 256 << 10 });
        }
        // Unoptimised frames are larger than what is in them.
        assert!((60_000..150_000).contains(&middle.deepest()), "{middle:?}");
        assert!(flat.deepest() < 30_000, "{flat:?}");
        assert!((20_000..60_000).contains(&small.deepest()), "{small:?}");
        assert!(much.deepest() >= 220 * 1024, "{much:?}");
        let text = format!("KiB: 10 tasks spawned at {}:{}:", file!(), lines.0);
        assert!(middle.to_string().starts_with("used ") && middle.to_string().contains(&text), "{middle}");
        // Whoever needs most comes first.
        assert_eq!(stack_usage()[0].spawned_at(), much.spawned_at());
        // Without debug mode nothing is looked at.
        layby::run(|| go!(|| 1).join().unwrap());
        assert!(stack_usage().iter().all(|place| place.spawned_at().line() < line!() - 2));
        println!("much: {}", lines.3);
    });
    let finished = finished.expect_success();
    let warned: Vec<_> = finished.reports().into_iter().filter(|line| line.contains("of stack")).collect();
    let (_, line) = finished.stdout.split_once("much: ").unwrap();
    let place = format!("a task spawned at {}:{}:", file!(), line.lines().next().unwrap());
    assert!(warned.len() == 1 && warned[0].starts_with(&place), "{place} {warned:?}");
}

/// Where every task waits, and only other threads could wake one: said once.
#[test]
fn what_may_be_a_deadlock_is_said_once_in_debug_mode() {
    const TEST: &str = "what_may_be_a_deadlock_is_said_once_in_debug_mode";
    const WARNING: &str = "layby: every task waits, and layby knows of nothing that could wake one";
    if is_child() {
        return Builder::new().workers(2).debug_mode(true).run(|| {
            drop(named("bystander", task::park));
            let me = task::current();
            thread::spawn(move || {
                loop {
                    thread::sleep(Duration::from_millis(150));
                    me.unpark();
                }
            });
            loop {
                task::park();
                eprintln!("woken");
            }
        });
    }
    let _watchdog = watchdog(60);
    let process = Process::start(alone(TEST));
    let text = loop {
        thread::sleep(Duration::from_millis(10));
        let text = process.stderr();
        // So that there was time for a second one.
        if text.split_once(WARNING).is_some_and(|(_, rest)| {
            rest.matches("woken").count() >= 4 && rest.contains("task 'main' (#") && rest.contains("\n\n")
        }) {
            break text;
        }
    };
    assert_eq!(text.matches(WARNING).count(), 1, "{text}");
    let (_, rest) = text.split_once(WARNING).unwrap();
    for name in ["'bystander'", "'main'"] {
        let begin = format!("task {name} (#");
        let listed =
            rest.lines().filter(|line| line.starts_with(&begin) && line.contains(": waits in park")).count();
        assert_eq!(listed, 1, "{text}");
    }
    drop(process);
}

#[test]
fn metrics_add_up() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = Builder::new().workers(n).build().unwrap();
        own.run(|| {
            let parked: Vec<_> = (0..10).map(|_| go!(task::park)).collect();
            let sleeps = go!(|| layby::sleep(Duration::from_secs(3600)));
            // As the workers publish it.
            loop {
                let now = metrics();
                assert_eq!((now.workers, now.spawned, now.finished), (n, 12, 0));
                assert_eq!(now.queued + now.ready + now.parked, 12, "{now:?}");
                if now.queued == 0 && now.parked == 11 && now.timers == 1 && now.stacks == 12 {
                    assert_eq!(now.ready, 1);
                    assert!(now.switches >= 12, "{now:?}");
                    break;
                }
                layby::yield_now();
            }
            sleeps.cancel();
            parked.iter().for_each(|task| task.task().unpark());
            parked.into_iter().for_each(|task| task.join().unwrap());
            sleeps.join().unwrap_err();
            assert_eq!(layby::unblock(|| 3), 3);
            assert!(metrics().blocking_threads >= 1);
        });
        own.shutdown(Duration::MAX).unwrap();
        let end = own.metrics();
        assert_eq!((end.spawned, end.finished), (12, 12));
        assert_eq!((end.queued, end.ready, end.parked, end.timers, end.stacks), (0, 0, 0, 0, 0), "{end:?}");
        assert_eq!(end.panics_unjoined, 0);
    }
    // On a thread that is no worker: those of the default runtime.
    assert!(metrics().spawned <= metrics().spawned);
}
