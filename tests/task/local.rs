//! `task_local!` and `LocalKey`: on tasks, on one worker and on four, and on threads that are no tasks.

// Proves that the macro expands to none.
#![forbid(unsafe_code)]

use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Once};
use std::thread::ThreadId;
use std::time::Duration;

use layby::task::{self, AccessError, LocalKey, TaskId};
use layby::{Builder, go, sleep, task_local, yield_now};

/// Runs the body as a root task with each number of workers, then on a plain thread (whose `go!`s
/// are tasks of the default runtime).
#[track_caller]
fn everywhere(body: impl Fn() + Sync) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        Builder::new().workers(workers).run(&body);
    }
    std::thread::scope(|s| s.spawn(&body).join().unwrap());
}

/// Counts those that live.
struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(count: &'static AtomicUsize) -> Counted {
        count.fetch_add(1, SeqCst);
        Counted(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Runs its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// A value to be given its destructor later.
type Later = OnceCell<OnDrop<Box<dyn FnMut()>>>;

#[track_caller]
fn at_the_end(key: &'static LocalKey<Later>, f: impl FnMut() + 'static) {
    key.with(|cell| assert!(cell.set(OnDrop(Box::new(f))).is_ok()));
}

/// Whether `f`, which does not wait, panics; without the hook's message.
fn quietly_panics(f: impl FnOnce()) -> bool {
    std::thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let caught = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(false);
    caught.is_err()
}

type Log = Arc<Mutex<Vec<&'static str>>>;

fn log(log: &Log, line: &'static str) {
    log.lock().unwrap().push(line);
}

#[test]
fn each_task_has_its_own() {
    task_local! {
        static NUMBER: Cell<usize> = const { Cell::new(7) };
        static WORDS: RefCell<Vec<usize>> = RefCell::new(vec![7]);
    }
    everywhere(|| {
        NUMBER.set(1);
        WORDS.with_borrow_mut(|words| words.push(1));
        let tasks: Vec<_> = (0..100)
            .map(|n| {
                go!(move || {
                    assert_eq!(NUMBER.replace(n), 7);
                    WORDS.with_borrow_mut(|words| words.push(n));
                    for _ in 0..10 {
                        yield_now();
                        assert_eq!(NUMBER.get(), n);
                        assert_eq!(WORDS.with_borrow(|words| words.clone()), [7, n]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!((NUMBER.take(), NUMBER.get()), (1, 0));
        assert_eq!((WORDS.take(), WORDS.take()), (vec![7, 1], vec![]));
    });
}

#[test]
fn children_of_a_gather_have_their_own() {
    task_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    let body = || {
        NUMBER.set(5);
        let next = || {
            yield_now();
            NUMBER.replace(9)
        };
        assert_eq!(layby::gather!(next(), next()), (0, 0));
        assert_eq!(layby::gather([next; 20]), [0; 20]);
        if task::Builder::new().spawn_local(|| ()).is_ok() {
            assert_eq!(layby::gather_local!(next(), next()), (0, 0));
        }
        assert_eq!(NUMBER.get(), 5);
    };
    everywhere(body);
}

/// `run` makes a task, which has values of its own; `unblock` lends a thread, which has, too.
#[test]
fn threads_have_their_own() {
    task_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    let _guard = crate::common::watchdog(60);
    NUMBER.set(1);
    layby::run(|| {
        assert_eq!(NUMBER.replace(2), 0);
        let elsewhere = layby::unblock(|| {
            assert_ne!(NUMBER.get(), 2);
            // On a thread that is no task an `unblock` runs right there.
            NUMBER.set(3);
            layby::unblock(|| NUMBER.get())
        });
        assert_eq!(elsewhere, 3);
        assert_eq!(NUMBER.get(), 2);
        std::thread::spawn(|| assert_eq!(NUMBER.replace(9), 0)).join().unwrap();
        assert_eq!(NUMBER.get(), 2);
    });
    assert_eq!(NUMBER.get(), 1);
    layby::unblock(|| assert_eq!(NUMBER.get(), 1));
}

mod forms {
    use super::*;

    task_local! {}
    task_local!(static ONE: u8 = 1);
    task_local!(
        pub(crate) static TWO: u8 = 2;
    );
    task_local! {
        /// Documented.
        #[allow(non_upper_case_globals)]
        #[doc(alias = "3")]
        pub(super) static three: Cell<u8> = const { Cell::new(3) };
        #[cfg(any())]
        static NOT_THERE: NoSuchType = const { no_such_function() };
        pub static FOUR: RefCell<Vec<u8>> = RefCell::new(vec![4; 4]);
        static FIVE: Option<&'static str> = Some("five");
        static ELIDED: Cell<&str> = const { Cell::new("six") };
        static SEVEN: [u8; 7] = const { let mut n = [0; 7]; n[6] = 7; n }
    }

    /// Names of the macro's own must not get in the way.
    fn initial() -> u32 {
        9
    }
    task_local!(static NINE: u32 = initial());

    #[test]
    fn of_the_macro() {
        layby::thread::thread_local!(static LOCAL: u8 = const { 8 });
        everywhere(|| {
            assert_eq!((ONE.with(|n| *n), TWO.with(|n| *n), three.get()), (1, 2, 3));
            assert_eq!(FOUR.with_borrow(Vec::len), 4);
            assert_eq!(FIVE.with(|s| *s), Some("five"));
            assert_eq!(ELIDED.replace("half a dozen"), "six");
            assert_eq!(SEVEN.with(|n| n[6]), 7);
            assert_eq!(LOCAL.with(|n| *n), 8);
            assert_eq!(NINE.with(|n| *n), 9);
        });
        assert_eq!(format!("{LOCAL:?}"), "LocalKey { .. }");
    }

    /// As with std's, in a generic function each instance shares the one key.
    #[test]
    fn in_functions_and_generics() {
        fn count<T>(_: T) -> u32 {
            task_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
            COUNT.set(COUNT.get() + 1);
            COUNT.get()
        }
        layby::run(|| assert_eq!((count(0_u8), count('c')), (1, 2)));
    }
}

#[test]
fn access_errors_are_as_stds() {
    fn is<T: std::error::Error + Send + Sync + Copy + Eq + 'static>(_: Option<T>) {}
    is(None::<AccessError>);
    is(None::<std::thread::AccessError>);
    task_local!(static ERRORS: Later = OnceCell::new());
    std::thread_local!(static STDS: Later = const { OnceCell::new() });
    fn texts<E: std::error::Error>(error: E) -> (String, String) {
        (error.to_string(), format!("{error:?}"))
    }
    let slot = Arc::new(Mutex::new(None));
    let (ours, stds) = (slot.clone(), slot.clone());
    go!(move || at_the_end(&ERRORS, move || {
        *ours.lock().unwrap() = Some(texts(ERRORS.try_with(|_| ()).unwrap_err()));
    }))
    .join()
    .unwrap();
    let ours = slot.lock().unwrap().take().expect("the destructor has run");
    let thread = std::thread::spawn(move || {
        STDS.with(|cell| {
            let f = move || *stds.lock().unwrap() = Some(texts(STDS.try_with(|_| ()).unwrap_err()));
            assert!(cell.set(OnDrop(Box::new(f))).is_ok());
        });
    });
    thread.join().unwrap();
    let stds = slot.lock().unwrap().take().expect("the destructor has run");
    assert_eq!(ours, stds);
}

#[test]
fn initialised_once_by_those_that_use_it() {
    static INITIALISED: AtomicUsize = AtomicUsize::new(0);
    task_local!(static LAZY: usize = INITIALISED.fetch_add(1, SeqCst));
    everywhere(|| {
        INITIALISED.store(0, SeqCst);
        let tasks: Vec<_> = (0..60)
            .map(|n| {
                go!(move || {
                    yield_now();
                    (n % 3 == 0).then(|| {
                        let first = LAZY.with(|v| *v);
                        yield_now();
                        assert_eq!(LAZY.with(|v| *v), first);
                        first
                    })
                })
            })
            .collect();
        let mut seen: Vec<_> = tasks.into_iter().filter_map(|task| task.join().unwrap()).collect();
        seen.sort();
        assert_eq!(seen, Vec::from_iter(0..20));
        assert_eq!(INITIALISED.load(SeqCst), 20);
    });
}

/// A reference stays good while its task waits, others run, and the table grows.
#[test]
fn references_live_across_waits() {
    task_local!(static TEXT: String = format!("{:?}", task::current().id()));
    everywhere(|| {
        let body = || {
            TEXT.with(|text| {
                let address = text.as_ptr();
                for n in 0..20 {
                    sleep(Duration::from_micros(200));
                    many::touch_all(n);
                    assert_eq!(*text, format!("{:?}", task::current().id()));
                }
                assert_eq!(TEXT.with(|text| text.as_ptr()), address);
            });
        };
        layby::gather([body; 8]);
    });
}

/// What is not `Send` may be there, and is dropped where it was made.
#[test]
fn values_stay_on_their_worker() {
    struct Pinned(Rc<Cell<(TaskId, ThreadId)>>);
    impl Drop for Pinned {
        fn drop(&mut self) {
            yield_now();
            assert_eq!(self.0.get(), here(), "dropped elsewhere");
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    fn here() -> (TaskId, ThreadId) {
        (task::current().id(), std::thread::current().id())
    }
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    task_local!(static PINNED: Pinned = Pinned(Rc::new(Cell::new(here()))));
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        DROPPED.store(0, SeqCst);
        Builder::new().workers(workers).run(|| {
            let task = || {
                let mine = PINNED.with(|pinned| pinned.0.clone());
                sleep(Duration::from_micros(300));
                assert_eq!(mine.get(), here());
            };
            let tasks: Vec<_> = (0..40).map(|_| go!(task)).collect();
            for task in tasks {
                task.join().unwrap();
            }
            assert_eq!(DROPPED.load(SeqCst), 40);
        });
    }
}

/// Exactly once, and before `join` returns: whether the task returns, panics, or is cancelled.
#[test]
fn dropped_before_join_returns() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    task_local!(static COUNTED: Counted = Counted::new(&ALIVE));
    everywhere(|| {
        let ends: [fn(); 4] = [
            || (),
            || sleep(Duration::from_micros(100)),
            || std::panic::resume_unwind(Box::new("no hook")),
            || sleep(Duration::MAX),
        ];
        for round in 0..20 {
            let end = ends[round % ends.len()];
            let task = go!(move || {
                COUNTED.with(|_| ());
                task::current().unpark();
                task::park();
                COUNTED.with(|_| end());
            });
            while ALIVE.load(SeqCst) == 0 && !task.is_finished() {
                yield_now();
            }
            task.cancel();
            let _ = task.join();
            assert_eq!(ALIVE.load(SeqCst), 0);
        }
    });
}

/// One process's worth of them at once.
#[test]
fn ten_thousand_tasks() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    task_local! {
        static A: Counted = Counted::new(&ALIVE);
        static B: RefCell<Vec<usize>> = RefCell::new(Vec::new());
        static C: Cell<usize> = const { Cell::new(0) };
    }
    everywhere(|| {
        let tasks: Vec<_> = (0..10_000)
            .map(|n| {
                go!(move || {
                    C.set(n);
                    yield_now();
                    A.with(|_| yield_now());
                    B.with_borrow_mut(|b| b.push(C.get()));
                    task::park();
                    (C.get(), B.take())
                })
            })
            .collect();
        while ALIVE.load(SeqCst) < 10_000 {
            sleep(Duration::from_millis(1));
        }
        for task in &tasks {
            task.task().unpark();
        }
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join().unwrap(), (n, vec![n]));
        }
        assert_eq!(ALIVE.load(SeqCst), 0);
    });
}

mod many {
    use super::*;

    /// 1,000 keys: three digits, each a level of modules.
    macro_rules! keys {
        ($($digit:ident)*) => {
            keys!(@hundreds [$($digit)*] $($digit)*);
            pub(super) const ALL: &[&[&[&LocalKey<Cell<u64>>]]] = &[$($digit::ALL),*];
        };
        (@hundreds $digits:tt $($digit:ident)*) => { $(keys!(@tens $digits $digit);)* };
        (@tens [$($digit:ident)*] $name:ident) => {
            mod $name {
                use super::*;
                $(keys!(@ones $digit [a b c d e f g h i j]);)*
                pub(super) const ALL: &[&[&LocalKey<Cell<u64>>]] = &[$($digit::ALL),*];
            }
        };
        (@ones $name:ident [$($digit:ident)*]) => {
            mod $name {
                use super::*;
                task_local! { $(#[allow(non_upper_case_globals)] static $digit: Cell<u64> = const { Cell::new(1) };)* }
                pub(super) const ALL: &[&LocalKey<Cell<u64>>] = &[$(&$digit),*];
            }
        };
    }
    keys!(a b c d e f g h i j);

    fn all() -> impl Iterator<Item = &'static LocalKey<Cell<u64>>> {
        ALL.iter().flat_map(|tens| tens.iter()).flat_map(|ones| ones.iter()).copied()
    }

    /// The fifty that begin at `n * 50`.
    pub(super) fn touch_all(n: usize) {
        for key in all().skip(n * 50).take(50) {
            key.set(key.get() + 1);
        }
    }

    #[test]
    fn a_thousand_keys() {
        assert_eq!(all().count(), 1000);
        everywhere(|| {
            let sum = |seed: u64| {
                let mut rng = crate::common::Rng::new(seed);
                let mut keys: Vec<_> = all().zip(0..).collect();
                for n in (1..keys.len()).rev() {
                    keys.swap(n, rng.below(n + 1));
                }
                for (key, n) in &keys {
                    assert_eq!(key.replace(n * seed), 1);
                }
                yield_now();
                all().map(|key| key.get()).sum::<u64>()
            };
            let sums = layby::gather((1..=50).map(|seed| move || sum(seed)));
            assert!((1..=50).zip(sums).all(|(seed, sum)| sum == seed * 499_500));
        });
    }
}

/// The same story, told by std's thread-locals on a thread and by ours in a task, event by event.
mod as_std {

    macro_rules! tell {
        ($name:ident, $local:path, $spawn:path) => {
            mod $name {
                use super::super::*;
                use $local as local;

                /// Says when it is made and when it is dropped, and does something then.
                struct Noisy(&'static str, fn());

                impl Drop for Noisy {
                    fn drop(&mut self) {
                        say(self.0);
                        (self.1)();
                    }
                }

                static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());

                fn say(line: &'static str) {
                    SAID.lock().unwrap().push(line);
                }

                fn noisy(name: &'static str, f: fn()) -> Noisy {
                    say(name);
                    Noisy(name, f)
                }

                fn told(story: fn()) -> Vec<&'static str> {
                    $spawn(story).join().unwrap();
                    std::mem::take(&mut SAID.lock().unwrap())
                }

                local! {
                    static A: Noisy = noisy("a", || ());
                    static B: Noisy = { A.with(|_| say("b uses a")); noisy("b", || ()) };
                    static C: Noisy = noisy("c", || ());
                }

                fn order() {
                    C.with(|_| ());
                    B.with(|_| ());
                    A.with(|_| say("a again"));
                }

                local! {
                    static LATE: Noisy = noisy("late", || {
                        say(if EARLY.try_with(|_| ()).is_err() { "early is gone" } else { "early is there" });
                        PLAIN.set(PLAIN.get() + 1);
                        say(if PLAIN.get() == 42 { "42" } else { "not 42" });
                    });
                    static EARLY: Noisy = noisy("early", || {
                        say(if EARLY.try_with(|_| ()).is_err() { "early is going" } else { "early is here" });
                        LATE.with(|_| say("late was made"));
                        PLAIN.set(41);
                    });
                    static PLAIN: Cell<u32> = const { Cell::new(7) };
                    static LAZY_PLAIN: Cell<u32> = Cell::new(40);
                    static FIRST: Noisy = noisy("first", || {
                        say(if LATE.try_with(|_| ()).is_err() { "late is gone" } else { "late is there" });
                        say(if LAZY_PLAIN.get() == 41 { "41" } else { "not 41" });
                    });
                }

                fn destructors_use_others() {
                    FIRST.with(|_| ());
                    LAZY_PLAIN.set(41);
                    EARLY.with(|_| ());
                }

                local! {
                    static AGAIN: Cell<Option<Noisy>> = {
                        if DEPTH.get() == 0 {
                            DEPTH.set(1);
                            say("outer begins");
                            AGAIN.with(|again| again.set(Some(noisy("inner", || {
                                // Dropped when the outer one has taken its place.
                                AGAIN.with(|again| say(if again.take().is_some() { "outer" } else { "none" }));
                            }))));
                            say("outer ends");
                            Cell::new(Some(noisy("outer value", || ())))
                        } else {
                            say("inner begins");
                            Cell::new(None)
                        }
                    };
                    static DEPTH: Cell<u32> = const { Cell::new(0) };
                }

                fn recursion() {
                    AGAIN.with(|again| say(if again.take().is_some() { "outer left" } else { "nothing left" }));
                }

                local! {
                    static TRY: Noisy = {
                        TRIES.set(TRIES.get() + 1);
                        if TRIES.get() < 3 {
                            std::panic::resume_unwind(Box::new("no hook"));
                        }
                        noisy("third", || ())
                    };
                    static TRIES: Cell<u32> = const { Cell::new(0) };
                }

                fn panicking_initialisers() {
                    for _ in 0..4 {
                        match catch_unwind(|| TRY.with(|_| ())) {
                            Ok(()) => say("has it"),
                            Err(_) => say("has it not"),
                        }
                    }
                }

                local! {
                    static SET: Cell<u32> = { say("never"); Cell::new(0) };
                    static SET_REF: RefCell<u32> = { say("never"); RefCell::new(0) };
                    static REPLACED: Cell<u32> = { say("replaced"); Cell::new(1) };
                    static TAKEN: RefCell<u32> = { say("taken"); RefCell::new(1) };
                }

                fn setting() {
                    SET.set(1);
                    SET_REF.set(1);
                    SET_REF.set(2);
                    assert_eq!((SET.get(), SET_REF.take()), (1, 2));
                    assert_eq!((REPLACED.replace(2), TAKEN.take()), (1, 1));
                    let panics = |f: fn() -> u32| quietly_panics(|| _ = TAKEN.with_borrow(|_| f()));
                    assert!(panics(|| TAKEN.take()));
                    assert!(panics(|| TAKEN.replace(2)));
                    assert!(panics(|| TAKEN.with_borrow_mut(|n| *n)));
                    assert!(quietly_panics(|| TAKEN.with_borrow(|_| TAKEN.set(2))));
                    assert!(!panics(|| TAKEN.with_borrow(|n| *n)));
                    say("set");
                }

                pub(super) fn stories() -> Vec<Vec<&'static str>> {
                    [order, destructors_use_others, recursion, panicking_initialisers, setting]
                        .map(told)
                        .into()
                }
            }
        };
    }

    tell!(of_std, std::thread_local, std::thread::spawn);
    tell!(of_tasks, layby::task_local, layby::spawn);
    tell!(of_threads, layby::task_local, std::thread::spawn);

    #[test]
    fn event_by_event() {
        let _guard = crate::common::watchdog(60);
        let expected = of_std::stories();
        assert_eq!(expected[0], ["c", "a", "b uses a", "b", "a again", "b", "a", "c"]);
        assert!(expected.iter().all(|story| story.len() > 1), "{expected:?}");
        assert_eq!(of_tasks::stories(), expected);
        assert_eq!(of_threads::stories(), expected);
    }
}

/// Destructors may wait: for time, for others, for tasks that they spawn. Also in a task that is cancelled, and
/// where there is nobody to join it.
#[test]
fn destructors_may_wait() {
    task_local! {
        static FIRST: Later = const { OnceCell::new() };
        static SECOND: Later = const { OnceCell::new() };
    }
    fn body(events: Log) {
        let (first, second) = (events.clone(), events.clone());
        FIRST.with(|_| ());
        at_the_end(&SECOND, move || {
            sleep(Duration::from_millis(1));
            let inside = second.clone();
            let child = go!(move || {
                yield_now();
                log(&inside, "child");
            });
            log(&second, if child.join().is_ok() { "joined" } else { "not joined" });
        });
        at_the_end(&FIRST, move || {
            yield_now();
            task::check_cancelled();
            task::park_timeout(Duration::from_micros(100));
            layby::gather!(yield_now(), sleep(Duration::from_micros(10)));
            log(&first, if task::is_cancelled() { "cancelled" } else { "first" });
        });
        log(&events, "body");
    }
    everywhere(|| {
        let events = Log::default();
        let task = events.clone();
        go!(move || body(task)).join().unwrap();
        assert_eq!(*events.lock().unwrap(), ["body", "child", "joined", "first"]);

        let events = Log::default();
        let mine = events.clone();
        let task = go!(move || {
            body(mine);
            task::park();
            sleep(Duration::MAX);
        });
        while events.lock().unwrap().is_empty() {
            yield_now();
        }
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(*events.lock().unwrap(), ["body", "child", "joined", "cancelled"]);

        let events = Log::default();
        let mine = events.clone();
        drop(go!(move || body(mine)));
        while events.lock().unwrap().len() < 4 {
            yield_now();
        }
    });
}

/// The end of a runtime is the end of its tasks' values.
#[test]
fn dropped_when_the_runtime_ends() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    task_local!(static COUNTED: (Counted, Later) = (Counted::new(&ALIVE), OnceCell::new()));
    let _guard = crate::common::watchdog(60);
    let body = || {
        COUNTED.with(|(_, later)| {
            let wait = || {
                sleep(Duration::from_millis(1));
                assert!(go!(|| ()).join().is_err(), "the runtime takes no tasks any more");
            };
            assert!(later.set(OnDrop(Box::new(wait))).is_ok());
        });
        sleep(Duration::MAX);
    };
    for workers in crate::common::workers() {
        Builder::new().workers(workers).run(|| {
            (0..50).for_each(|_| drop(go!(body)));
            COUNTED.with(|_| ());
            while ALIVE.load(SeqCst) < 51 {
                yield_now();
            }
        });
        assert_eq!(ALIVE.load(SeqCst), 0);
        let runtime = Builder::new().workers(workers).build().unwrap();
        (0..50).for_each(|_| drop(runtime.spawn(body)));
        while ALIVE.load(SeqCst) < 50 {
            yield_now();
        }
        drop(runtime);
        assert_eq!(ALIVE.load(SeqCst), 0);
    }
}

/// A task that never starts makes none, unless the destructors of what it has captured do.
#[test]
fn cancelled_before_the_start() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    task_local!(static COUNTED: Counted = {
        MADE.fetch_add(1, SeqCst);
        Counted::new(&ALIVE)
    });
    let _guard = crate::common::watchdog(60);
    Builder::new().workers(1).run(|| {
        let task = go!(|| COUNTED.with(|_| ()));
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(MADE.load(SeqCst), 0);

        let here = task::current().id();
        let captured = OnDrop(move || {
            assert_ne!(task::current().id(), here);
            COUNTED.with(|_| sleep(Duration::from_micros(10)));
            assert_eq!(ALIVE.load(SeqCst), 1);
        });
        let task = go!(move || drop(captured));
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!((MADE.load(SeqCst), ALIVE.load(SeqCst)), (1, 0));
    });
}

/// Of a task that nobody can join, the result goes before the values; of others it goes elsewhere.
#[test]
fn a_detached_result_still_finds_them() {
    /// The task goes on only when its handle is gone.
    fn detach<T>(handle: layby::JoinHandle<T>) {
        let task = handle.task();
        drop(handle);
        task.unpark();
    }
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    task_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
        static COUNTED: Counted = Counted::new(&ALIVE);
    }
    everywhere(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let from = sender.clone();
        let task = go!(move || {
            task::park();
            NUMBER.set(5);
            COUNTED.with(|_| ());
            OnDrop(move || from.send((NUMBER.get(), COUNTED.try_with(|_| ()).is_ok())).unwrap())
        });
        detach(task);
        let next = || {
            loop {
                match receiver.try_recv() {
                    Ok(got) => return got,
                    Err(_) => yield_now(),
                }
            }
        };
        assert_eq!(next(), (5, true));
        // Made by the result's destructor only.
        let task = go!(move || {
            task::park();
            OnDrop(move || sender.send((NUMBER.replace(6), COUNTED.try_with(|_| ()).is_ok())).unwrap())
        });
        detach(task);
        assert_eq!(next(), (0, true));
        while ALIVE.load(SeqCst) > 0 {
            yield_now();
        }

        NUMBER.set(8);
        let seen = Arc::new(AtomicUsize::new(0));
        let see = seen.clone();
        let joined = go!(move || {
            NUMBER.set(7);
            OnDrop(move || see.store(NUMBER.get() as usize, SeqCst))
        });
        drop(joined.join().unwrap());
        assert_eq!(seen.load(SeqCst), 8);
    });
}

/// A destructor that panics does nobody harm but is said so, in one line; `join` has the result.
#[test]
fn destructors_that_panic_are_reported() {
    let _guard = crate::common::watchdog(60);
    let ended = crate::common::in_own_process("destructors_that_panic_are_reported", || {
        static ALIVE: AtomicUsize = AtomicUsize::new(0);
        task_local! {
            static BEFORE: Counted = Counted::new(&ALIVE);
            static BAD: Later = const { OnceCell::new() };
            static AFTER: Counted = Counted::new(&ALIVE);
        }
        Builder::new().workers(2).run(|| {
            let body = || {
                BEFORE.with(|_| ());
                at_the_end(&BAD, || {
                    // It may wait while it unwinds, too.
                    let _wait = OnDrop(|| sleep(Duration::from_micros(10)));
                    panic!("oh no");
                });
                AFTER.with(|_| ());
                assert_eq!(ALIVE.load(SeqCst), 2);
                "result"
            };
            let task = task::Builder::new().name("named".into()).spawn(body).unwrap();
            assert_eq!(task.join().unwrap(), "result");
            assert_eq!(ALIVE.load(SeqCst), 0);
            let task = go!(move || {
                body();
                sleep(Duration::MAX);
            });
            while ALIVE.load(SeqCst) < 2 {
                yield_now();
            }
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            assert_eq!(ALIVE.load(SeqCst), 0);
            assert!(!std::thread::panicking() && !task::panicking());
        });
    });
    let reports = ended.expect_success().reports();
    assert_eq!(reports.len(), 2, "{}", ended.stderr);
    let begin = "dropping a task-local of task 'named', spawned at tests/task/local.rs:";
    assert!(reports[0].starts_with(begin) && reports[0].ends_with(", has panicked"), "{reports:?}");
    assert!(reports[1].starts_with("dropping a task-local of task #"), "{reports:?}");
    assert_eq!(ended.stderr.matches("oh no").count(), 2, "{}", ended.stderr);
}

/// `with` panics there, at the caller's place, and `try_with` has an error.
#[test]
fn no_access_during_and_after_destruction() {
    task_local! {
        static OLD: Later = const { OnceCell::new() };
        static NEW: Later = const { OnceCell::new() };
    }
    let story = |events: Log| {
        at_the_end(&OLD, move || {
            let gone = [&OLD, &NEW].map(|key| key.try_with(|_| ()).is_err());
            log(&events, if gone == [true; 2] { "both" } else { "not both" });
            let panics = quietly_panics(|| NEW.with(|_| ())) && quietly_panics(|| OLD.with(|_| ()));
            log(&events, if panics { "panic" } else { "do not panic" });
        });
        NEW.with(|new| assert!(new.set(OnDrop(Box::new(|| ()))).is_ok()));
    };
    everywhere(|| {
        let events = Log::default();
        let mine = events.clone();
        go!(move || story(mine)).join().unwrap();
        assert_eq!(*events.lock().unwrap(), ["both", "panic"]);
        let events = Log::default();
        let mine = events.clone();
        std::thread::spawn(move || story(mine)).join().unwrap();
        assert_eq!(*events.lock().unwrap(), ["both", "panic"]);
    });
}
