//! `Runtime::shutdown`: the end with a limit, and what becomes of tasks that refuse to end.

use crate::common::{
    Drops, OnDrop, Rng, in_own_process, message, on, quiet_panics_that_say, watchdog, workers,
};
use layby::sync::Event;
use layby::{Builder, JoinHandle, Runtime, Unfinished, go, shield, sleep, task, timeout, yield_now};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(60);

fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().unwrap()
}

/// A task that has begun, and when cancelled waits for `release` in a destructor. Its result is a cancellation.
fn stubborn(own: &Runtime, name: &str, release: &Arc<Event>) -> JoinHandle<()> {
    let (name, release) = (name.to_owned(), release.clone());
    let (begun, begin) = mpsc::channel();
    let task = own.run(move || {
        task::Builder::new().name(name).spawn(move || {
            let kept = [0xAB_u8; 512];
            let _last = OnDrop(|| {
                release.wait();
                // The stack is as it was left.
                assert!(std::hint::black_box(&kept).iter().all(|&byte| byte == 0xAB));
            });
            begun.send(()).unwrap();
            sleep(Duration::MAX)
        })
    });
    begin.recv().unwrap();
    task.unwrap()
}

fn names(unfinished: &Unfinished) -> Vec<&str> {
    let mut names: Vec<_> = unfinished.tasks().iter().map(|task| task.name().unwrap_or("?")).collect();
    names.sort_unstable();
    names
}

/// How many threads this process has.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn all_end_and_nothing_starts_after() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for grace in [LONG, Duration::MAX] {
            let own = runtime(n);
            let drops = Drops::new();
            let tasks: Vec<_> = (0..60)
                .map(|i| {
                    let token = drops.token();
                    own.spawn(move || {
                        let _token = token;
                        let _slow = OnDrop(|| sleep(MOMENT)); // a destructor may wait
                        match i % 4 {
                            0 => sleep(Duration::MAX),
                            1 => task::park(),
                            2 => drop(go!(task::park).join()),
                            _ => loop {
                                yield_now();
                            },
                        }
                    })
                })
                .collect();
            assert_eq!(own.shutdown(grace), Ok(()));
            assert_eq!(drops.count(), 60);
            for task in tasks {
                assert!(task.is_finished() && task.join().unwrap_err().is_cancelled());
            }
            let token = drops.token();
            let late = own.spawn(move || drop(token));
            assert!(late.join().unwrap_err().is_cancelled());
            assert_eq!(drops.count(), 61);
            quiet_panics_that_say("the runtime has ended");
            let late = catch_unwind(AssertUnwindSafe(|| own.run(|| 1))).unwrap_err();
            assert!(message(late).contains("the runtime has ended"));
            // Again, and again.
            assert_eq!(own.shutdown(Duration::ZERO), Ok(()));
            assert_eq!(own.shutdown(Duration::MAX), Ok(()));
        }
    }
}

#[test]
fn what_refuses_is_named_and_runs_on() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = runtime(n);
        let release = Arc::new(Event::new());
        let first = stubborn(&own, "first", &release);
        let second = stubborn(&own, "second", &release);
        let (inside, begin) = mpsc::channel();
        let event = release.clone();
        let shielded = own.spawn(move || {
            inside.send(()).unwrap();
            shield(|| event.wait());
            "whole"
        });
        begin.recv().unwrap();
        let sleepers: Vec<_> = (0..50).map(|_| own.spawn(|| sleep(Duration::MAX))).collect();

        for grace in [Duration::ZERO, MOMENT] {
            let unfinished = own.shutdown(grace).unwrap_err();
            assert_eq!((names(&unfinished), unfinished.unlisted()), (vec!["?", "first", "second"], 0));
            for seen in unfinished.tasks() {
                assert_eq!(seen.waits_in(), Some("an Event"), "{seen}");
                assert!(seen.spawned_at().file().ends_with("runtime/shutdown.rs"));
            }
            let text = unfinished.to_string();
            assert!(text.starts_with("3 tasks have not ended: task "), "{text}");
            assert!(
                text.contains("task 'first' (#") && text.contains("waits in an Event, cancelled"),
                "{text}"
            );
            let ids: Vec<_> = unfinished.tasks().iter().map(task::TaskInfo::id).collect();
            assert!(ids.contains(&first.task().id()) && ids.contains(&shielded.task().id()), "{ids:?}");
            assert!(format!("{unfinished:?}").contains("\"second\""));
        }
        for task in sleepers {
            assert!(task.join().unwrap_err().is_cancelled());
        }
        release.set();
        assert_eq!(own.shutdown(Duration::MAX), Ok(()));
        assert!(first.join().unwrap_err().is_cancelled() && second.join().unwrap_err().is_cancelled());
        assert_eq!(shielded.join().unwrap(), "whole");
    }
}

/// A task that does not let go of its thread keeps its worker from telling.
#[test]
fn what_keeps_its_thread_is_counted() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = runtime(n);
        let (leave, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (flag, begun) = (leave.clone(), inside.clone());
        let busy = own.spawn(move || {
            begun.store(true, SeqCst);
            while !flag.load(SeqCst) {
                thread::yield_now();
            }
            "value"
        });
        while !inside.load(SeqCst) {
            thread::yield_now();
        }
        let unfinished = own.shutdown(MOMENT).unwrap_err();
        assert_eq!((unfinished.tasks().len(), unfinished.unlisted()), (0, 1));
        let text = unfinished.to_string();
        assert!(text.starts_with("1 task has not ended: 1 that cannot be listed"), "{text}");
        leave.store(true, SeqCst);
        assert_eq!(own.shutdown(Duration::MAX), Ok(()));
        assert_eq!(busy.join().unwrap(), "value");
    }
}

/// One that never waits and never ends, but yields, leaves its worker time to tell.
#[test]
fn what_only_yields_is_named() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = runtime(n);
        let leave = Arc::new(AtomicBool::new(false));
        let (flag, begun) = (leave.clone(), Arc::new(Event::new()));
        let begin = begun.clone();
        let spinning = own.spawn(move || {
            begun.set();
            shield(|| {
                while !flag.load(SeqCst) {
                    yield_now();
                }
            });
        });
        begin.wait();
        let unfinished = own.shutdown(Duration::ZERO).unwrap_err();
        assert_eq!((unfinished.tasks().len(), unfinished.unlisted()), (1, 0));
        assert_eq!(unfinished.tasks()[0].id(), spinning.task().id());
        leave.store(true, SeqCst);
        assert_eq!(own.shutdown(LONG), Ok(()));
    }
}

/// The drop after a shutdown that has failed waits for nobody. What was left keeps its thread and stack, ends in its
/// time, and then there is nothing left of the runtime.
#[test]
fn dropped_after_a_failure_it_does_not_wait() {
    let _watchdog = watchdog(60);
    let ended = in_own_process("dropped_after_a_failure_it_does_not_wait", || {
        for n in workers() {
            let before = threads();
            let own = runtime(n);
            let release = Arc::new(Event::new());
            let task = stubborn(&own, "left", &release);
            assert_eq!(names(&own.shutdown(MOMENT).unwrap_err()), ["left"]);
            drop(own);
            assert!(!task.is_finished());
            // Others use what that runtime has not given back.
            on(n, || (0..50).for_each(|_| drop(go!(|| sleep(MOMENT)))));
            release.set();
            assert!(task.join().unwrap_err().is_cancelled());
            while threads() > before {
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
    ended.expect_success();
    assert!(ended.reports().is_empty(), "{}", ended.stderr);
}

#[test]
fn zero_grace() {
    let _watchdog = watchdog(30);
    for n in workers() {
        assert_eq!(runtime(n).shutdown(Duration::ZERO), Ok(()));
        // What need not wait for anything gets to its end.
        let own = runtime(n);
        let (begun, begin) = mpsc::channel();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let begun = begun.clone();
                own.spawn(move || {
                    begun.send(()).unwrap();
                    sleep(Duration::MAX)
                })
            })
            .collect();
        (0..100).for_each(|_| begin.recv().unwrap());
        assert_eq!(own.shutdown(Duration::ZERO), Ok(()));
        assert!(tasks.iter().all(JoinHandle::is_finished));
    }
}

#[test]
fn by_several_at_the_same_time() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = runtime(n);
        let release = Arc::new(Event::new());
        let task = stubborn(&own, "stubborn", &release);
        let together = Barrier::new(4);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    together.wait();
                    assert_eq!(names(&own.shutdown(MOMENT).unwrap_err()), ["stubborn"]);
                    together.wait();
                    assert_eq!(own.shutdown(Duration::MAX), Ok(()));
                    assert!(task.is_finished());
                });
            }
            together.wait();
            together.wait();
            release.set();
        });
    }
}

/// One of its own tasks cannot wait for itself: it signals, and is told who is left: itself.
#[test]
fn from_one_of_its_own_tasks() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = Arc::new(runtime(n));
        let sleeper = own.spawn(|| sleep(Duration::MAX));
        let (it, begun) = (own.clone(), Arc::new(AtomicBool::new(false)));
        let flag = begun.clone();
        let task = own.spawn(move || {
            let unfinished = it.shutdown(Duration::MAX).unwrap_err();
            assert_eq!(unfinished.tasks().len(), 1);
            assert_eq!(unfinished.tasks()[0].id(), task::current().id());
            assert!(unfinished.to_string().contains(": running"), "{unfinished}");
            flag.store(true, SeqCst);
            drop(it);
            yield_now();
            unreachable!("it is cancelled as well");
        });
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(begun.load(SeqCst));
        assert_eq!(own.shutdown(Duration::MAX), Ok(()));
        assert!(sleeper.join().unwrap_err().is_cancelled());
    }
}

/// The wait parks a task of another runtime, not its worker; and it can be cancelled, and timed out.
#[test]
fn from_a_task_of_another_runtime() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let own = Arc::new(runtime(n));
        let release = Arc::new(Event::new());
        let task = stubborn(&own, "stubborn", &release);
        on(1, || {
            assert!(timeout(MOMENT, || own.shutdown(Duration::MAX)).is_err());
            let it = own.clone();
            let waits = go!(move || it.shutdown(Duration::MAX));
            (0..10).for_each(|_| yield_now());
            waits.cancel();
            assert!(waits.join().unwrap_err().is_cancelled());
            let (result, ()) = layby::gather!(own.shutdown(Duration::MAX), {
                (0..10).for_each(|_| yield_now());
                assert!(!task.is_finished());
                release.set();
            });
            assert_eq!(result, Ok(()));
        });
        assert!(task.join().unwrap_err().is_cancelled());
    }
    // On a thread that is no task, too.
    let own = runtime(1);
    let release = Arc::new(Event::new());
    let _task = stubborn(&own, "stubborn", &release);
    assert!(timeout(MOMENT, || own.shutdown(Duration::MAX)).is_err());
    release.set();
}

/// At the end of its own thread, where thread-locals are dropped, there is nothing to wait for.
#[test]
fn from_a_destructor_of_its_threads_locals() {
    type Shared = RefCell<Option<(Arc<Runtime>, mpsc::Sender<bool>)>>;
    struct AtEnd(Shared);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let (own, said) = self.0.take().unwrap();
            said.send(own.shutdown(Duration::MAX).is_ok()).unwrap();
        }
    }
    thread_local!(static END: AtEnd = const { AtEnd(RefCell::new(None)) });
    let _watchdog = watchdog(30);
    let (said, heard) = mpsc::channel();
    let own = Arc::new(runtime(1));
    let it = own.clone();
    own.spawn(move || END.with(|end| *end.0.borrow_mut() = Some((it, said)))).join().unwrap();
    assert_eq!(own.shutdown(Duration::MAX), Ok(()));
    assert_eq!(heard.recv(), Ok(true));
}

/// Duration::MAX waits for slow destructors, and a long grace is not waited for when all is done.
#[test]
fn it_waits_as_long_as_it_takes_and_no_longer() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for grace in [LONG, Duration::MAX] {
            let own = runtime(n);
            let done = Arc::new(AtomicUsize::new(0));
            for _ in 0..10 {
                let done = done.clone();
                drop(own.spawn(move || {
                    let _slow = OnDrop(move || {
                        sleep(Duration::from_millis(30));
                        done.fetch_add(1, SeqCst);
                    });
                    sleep(Duration::MAX);
                }));
            }
            own.run(yield_now);
            let from = Instant::now();
            assert_eq!(own.shutdown(grace), Ok(()));
            assert!(from.elapsed() < LONG / 2);
            // Those that had not begun never did.
            assert!(done.load(SeqCst) <= 10);
        }
    }
}

/// Spawns 150 tasks and joins them, and counts in `counts` how many of them ran and how many were cancelled.
fn spawn_many(own: &Runtime, alive: &Arc<AtomicUsize>, counts: &Mutex<(usize, usize)>) {
    let spawn = |n: usize| {
        alive.fetch_add(1, SeqCst);
        let counted = alive.clone();
        let counted = OnDrop(move || assert_ne!(counted.fetch_sub(1, SeqCst), 0));
        own.spawn(move || {
            let _counted = counted;
            match n % 4 {
                0 => sleep(Duration::from_micros(20)),
                1 => drop(go!(move || n).join()),
                2 => yield_now(),
                _ => {}
            }
            n
        })
    };
    let handles: Vec<_> = (0..150).map(spawn).collect();
    for (n, handle) in handles.into_iter().enumerate() {
        let ending = handle.join();
        let mut counts = counts.lock().unwrap();
        match ending {
            Ok(value) => {
                assert_eq!(value, n);
                counts.0 += 1;
            }
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                counts.1 += 1;
            }
        }
    }
}

/// Foreign threads and tasks of another runtime spawn *while* it shuts down: each join gives the result or says cancelled, each
/// closure is dropped once, and nothing is left. (Guards the race of `Shared::submit` against the phase.)
#[test]
fn spawned_from_everywhere_while_it_shuts_down() {
    let _watchdog = watchdog(60);
    let (mut ran, mut cancelled) = (0, 0);
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let own = runtime(1 + rng.below(3));
        let alive = Arc::new(AtomicUsize::new(0));
        let begin = Barrier::new(4);
        let counts = Mutex::new((0, 0));
        let spin = rng.below(20_000);
        thread::scope(|s| {
            for kind in 0..3 {
                let (begin, own, alive, counts) = (&begin, &own, &alive, &counts);
                s.spawn(move || {
                    begin.wait();
                    let spawn = || spawn_many(own, alive, counts);
                    if kind == 0 { on(1, spawn) } else { spawn() }
                });
            }
            begin.wait();
            (0..spin).for_each(|_| std::hint::spin_loop());
            assert_eq!(own.shutdown(LONG), Ok(()), "seed {seed}");
        });
        let counts = counts.into_inner().unwrap();
        assert_eq!((counts.0 + counts.1, alive.load(SeqCst)), (450, 0), "seed {seed}");
        ran += counts.0;
        cancelled += counts.1;
        drop(own);
    }
    assert!(ran > 0 && cancelled > 0, "{ran} ran, {cancelled} were cancelled: there was no race");
}
