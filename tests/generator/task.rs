//! Generators in tasks: the task waits inside of one, is cancelled there, and hands it to another; and what may not be left open.

use crate::common::{
    Drops, OnDrop, Rng, message, on, quiet_panics, quiet_panics_that_say, watchdog, workers, yield_until,
};
use layby::generator::{Generator, GeneratorState, Yielder, gen_iter};
use layby::{JoinHandle, gather, gather_local, go, sleep, spawn_local, task, yield_now};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

type Shared<R, Y> = Rc<RefCell<Generator<R, Y, ()>>>;

fn shared<R, Y>(f: impl FnOnce(&Yielder<R, Y>, R) + 'static) -> Shared<R, Y> {
    Rc::new(RefCell::new(Generator::new(f)))
}

fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_task_parks_and_others_run() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let tasks: Vec<JoinHandle<u64>> = (0..50_u64)
                .map(|n| {
                    go!(move || {
                        let numbers = gen_iter(move |y| {
                            for m in 0..4 {
                                sleep(MS);
                                y.suspend(n + m);
                                yield_now();
                            }
                        });
                        numbers.inspect(|_| yield_now()).sum()
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.join().unwrap(), 4 * n as u64 + 6);
            }
        });
    }
}

/// The waits of a nest interleave as those of plain tasks do: under virtual time they all take as long as one.
#[test]
fn virtual_time() {
    let _watchdog = watchdog(60);
    for seed in 0..20 {
        layby::testing::run(seed, || {
            let start = layby::time::Instant::now();
            let tasks: Vec<_> = (0..10)
                .map(|_| {
                    go!(|| {
                        gen_iter(|y| {
                            y.delegate(
                                gen_iter(|y| {
                                    (0..3).for_each(|n| {
                                        sleep(1000 * MS);
                                        y.suspend(n)
                                    })
                                }),
                                (),
                            );
                        })
                        .sum::<u32>()
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| assert_eq!(task.join().unwrap(), 3));
            assert!((3000 * MS..3001 * MS).contains(&start.elapsed()), "seed {seed}: {:?}", start.elapsed());
        });
    }
}

#[test]
fn a_body_reads_from_a_socket() {
    let _watchdog = watchdog(30);
    on(2, || {
        let listener = layby::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = go!(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for line in ["one\n", "two\nthr", "ee\n"] {
                stream.write_all(line.as_bytes()).unwrap();
                sleep(MS);
            }
        });
        let lines = gen_iter(move |y| {
            let mut stream = layby::net::TcpStream::connect(addr).unwrap();
            let (mut line, mut byte) = (String::new(), [0]);
            while stream.read(&mut byte).unwrap() == 1 {
                match byte[0] {
                    b'\n' => y.suspend(std::mem::take(&mut line)),
                    byte => line.push(byte.into()),
                }
            }
        });
        assert_eq!(lines.collect::<Vec<_>>(), ["one", "two", "three"]);
        server.join().unwrap();
    });
}

#[test]
fn cancelled_inside_the_whole_task_unwinds() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for depth in [0, 1, 5] {
            on(n, || {
                let (drops, parked) = (Drops::new(), Arc::new(AtomicBool::new(false)));
                fn level(depth: u32, drops: Drops, parked: Arc<AtomicBool>) -> Generator<(), u8, ()> {
                    gen_iter(move |y| {
                        let _token = drops.token();
                        y.suspend(1);
                        if depth > 0 {
                            return y.delegate(level(depth - 1, drops.clone(), parked), ());
                        }
                        parked.store(true, SeqCst);
                        task::park();
                        unreachable!("nobody unparks it");
                    })
                }
                let (inside, flag) = (drops.clone(), parked.clone());
                let task = go!(move || {
                    let _token = inside.token();
                    level(depth, inside.clone(), flag).for_each(|_| ());
                });
                yield_until(|| parked.load(SeqCst));
                task.cancel();
                assert!(task.join().unwrap_err().is_cancelled());
                assert_eq!(drops.count(), depth as usize + 2);
            });
        }
    }
}

/// The cancellation finishes the generator, and who catches it finds that.
#[test]
fn cancelled_inside_and_caught_outside() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let parked = Arc::new(AtomicBool::new(false));
            let flag = parked.clone();
            let task = go!(move || {
                let mut generator = gen_iter(move |y| {
                    flag.store(true, SeqCst);
                    task::park();
                    y.suspend(1);
                });
                let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
                assert!(task::is_cancellation(&*payload));
                drop(payload);
                assert!(generator.is_finished() && !task::panicking());
                assert!(catch_unwind(yield_now).is_err(), "it comes again");
                7
            });
            yield_until(|| parked.load(SeqCst));
            task.cancel();
            assert_eq!(task.join().unwrap(), 7);
        });
    }
}

/// A cancelled task drops a suspended generator while it unwinds: its destructors may block all the same.
#[test]
fn destructors_of_a_generator_may_block() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        for how in 0..3 {
            on(n, || {
                let (ended, others) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
                let (noted, started) = (ended.clone(), Arc::new(AtomicBool::new(false)));
                let starts = started.clone();
                let task = go!(move || {
                    starts.store(true, SeqCst);
                    let mut generator = gen_iter(move |y| {
                        let _slow = OnDrop(|| {
                            sleep(2 * MS);
                            yield_now();
                            noted.store(true, SeqCst);
                        });
                        y.suspend(());
                    });
                    generator.next();
                    match how {
                        0 => generator.close(),
                        1 => panic!("expected"),
                        _ => {
                            task::park();
                            None
                        }
                    };
                    assert!(!task::panicking());
                });
                // Mates that look whether it is they who unwind.
                let mates: Vec<_> = (0..4)
                    .map(|_| {
                        let others = others.clone();
                        go!(move || {
                            for _ in 0..50 {
                                yield_now();
                                others.fetch_add(usize::from(task::panicking()), SeqCst);
                            }
                        })
                    })
                    .collect();
                // On a busy machine that takes a while; a task that is cancelled before does nothing.
                while !started.load(SeqCst) {
                    yield_now();
                }
                sleep(MS);
                task.cancel();
                assert_eq!(task.join().is_ok(), how == 0);
                mates.into_iter().for_each(|mate| mate.join().unwrap());
                assert!(ended.load(SeqCst));
                assert_eq!(others.load(SeqCst), 0);
            });
        }
    }
}

/// Guards the marks of who unwinds: std's count of panics is raised by a mate here, and says nothing.
#[test]
fn closed_while_a_mate_waits_in_an_unwinding() {
    let _watchdog = watchdog(30);
    quiet_panics();
    on(1, || {
        let (waits, go_on) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (waiting, may_end) = (waits.clone(), go_on.clone());
        let mate = spawn_local(move || {
            let _waits = OnDrop(|| {
                waiting.set(true);
                yield_until(|| may_end.get());
            });
            panic!("expected");
        });
        yield_until(|| waits.get());
        assert!(std::thread::panicking() && !task::panicking());
        let inside = Rc::new(Cell::new(false));
        let noted = inside.clone();
        let mut generator = gen_iter(move |y| {
            let _looks = OnDrop(|| noted.set(task::panicking()));
            (0..3).for_each(|n| y.suspend(n));
        });
        assert_eq!(generator.by_ref().take(2).collect::<Vec<_>>(), [0, 1]);
        generator.close();
        assert!(inside.get() && !task::panicking());
        go_on.set(true);
        assert!(mate.join().unwrap_err().is_panic());
    });
}

/// Between two resumes it may go to another task of the worker; that one then waits in it.
#[test]
fn tasks_of_a_worker_take_turns() {
    let _watchdog = watchdog(60);
    for seed in 0..20 {
        layby::testing::run(seed, move || {
            let generator = shared(|y: &Yielder<u32, (u32, task::TaskId)>, mut value| {
                loop {
                    sleep(MS);
                    let inner = Generator::new(|y: &Yielder<u32, (u32, task::TaskId)>, value| {
                        yield_now();
                        y.suspend((value, task::current().id()))
                    });
                    value = y.delegate(inner, value);
                }
            });
            let turns = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..5)
                .map(|n| {
                    let (generator, turns) = (generator.clone(), turns.clone());
                    spawn_local(move || {
                        let mut rng = Rng::new(seed ^ n);
                        for _ in 0..20 {
                            while let Err(_busy) = generator.try_borrow_mut() {
                                sleep(MS);
                            }
                            let mut generator = generator.borrow_mut();
                            let value = rng.below(1000) as u32;
                            let own = task::current().id();
                            assert_eq!(
                                generator.resume(value),
                                GeneratorState::Yielded((value, own)),
                                "seed {seed}"
                            );
                            turns.set(turns.get() + 1);
                            drop(generator);
                            yield_now();
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(turns.get(), 100);
        });
    }
}

/// It may be begun outside, go on in a runtime on the same thread, and end outside.
#[test]
fn in_and_out_of_a_runtime() {
    let _watchdog = watchdog(30);
    let mut generator = gen_iter(|y| {
        for n in 0.. {
            sleep(MS / 10);
            y.suspend(n);
        }
    });
    assert_eq!(generator.next(), Some(0));
    let mut generator = layby::run(move || {
        assert_eq!(generator.next(), Some(1));
        generator
    });
    assert_eq!(generator.next(), Some(2));
    layby::run(move || drop(generator));
}

layby::task_local!(static NAME: Cell<u32> = const { Cell::new(0) });

const OUT_OF: &str = "a generator cannot be suspended out of a timeout, scope, gather, shield or `with`";
const ELSEWHERE: &str = "a generator was suspended on another stack than its own";

/// Resumes it once, and expects the refusal to come out, and to have left nothing open.
#[track_caller]
fn refused(expected: &str, f: impl FnOnce(&Yielder<(), u32>) + 'static) {
    let drops = Drops::new();
    let token = drops.token();
    let mut generator = gen_iter(move |y: &Yielder<(), u32>| {
        let _token = token;
        y.suspend(1);
        f(y);
    });
    assert_eq!(generator.next(), Some(1));
    let text = caught(|| generator.next()).unwrap_err();
    assert!(text.starts_with(expected), "{text}");
    assert!(generator.is_finished() && drops.count() == 1);
    assert_eq!(NAME.with(|_| gen_iter(|y| y.suspend(2)).next()), Some(2));
}

fn quiet_refusals() {
    quiet_panics();
    quiet_panics_that_say(OUT_OF);
    quiet_panics_that_say(ELSEWHERE);
}

/// Guards against a reference to one task's local in another, which may outlive it.
#[test]
fn out_of_a_task_local_s_with() {
    let _watchdog = watchdog(30);
    quiet_refusals();
    let check = || {
        refused(OUT_OF, |y| NAME.with(|_| y.suspend(2)));
        refused(OUT_OF, |y| NAME.try_with(|_| y.suspend(2)).unwrap());
        refused(OUT_OF, |y| NAME.with(|_| y.delegate(gen_iter(|y| y.suspend(2)), ())));
        refused(OUT_OF, |y| y.delegate(gen_iter(|y| NAME.with(|_| y.suspend(2))), ()));
        // One that is open around the resumes does no harm, nor one that is closed again.
        NAME.with(|_| {
            let mut generator = gen_iter(|y| {
                NAME.with(|name| name.set(3));
                y.suspend(NAME.get());
                NAME.with(|_| NAME.with(|_| ()));
                y.suspend(NAME.replace(0));
            });
            assert_eq!((generator.next(), generator.next(), generator.next()), (Some(3), Some(3), None));
        });
        // Nor another depth at each resume.
        let mut generator = gen_iter(|y| (0..9).for_each(|n| y.suspend(n)));
        assert_eq!(NAME.with(|_| generator.next()), Some(0));
        assert_eq!(generator.next(), Some(1));
        assert_eq!(NAME.with(|_| NAME.with(|_| generator.next())), Some(2));
    };
    for n in workers() {
        on(n, check);
    }
    std::thread::spawn(check).join().unwrap();
}

#[test]
fn out_of_a_gather() {
    let _watchdog = watchdog(30);
    quiet_refusals();
    let check = || {
        refused(OUT_OF, |y| {
            gather((0..3).map(|n| {
                y.suspend(n);
                || ()
            }));
        });
        refused(OUT_OF, |y| {
            layby::gather_limit(
                2,
                (0..9).map(|n| {
                    if n == 5 {
                        y.suspend(n);
                    }
                    || ()
                }),
            );
        });
    };
    for n in workers() {
        on(n, check);
        on(n, || {
            // The expressions are tasks of their own, on their own stacks.
            refused(ELSEWHERE, |y| {
                gather_local!(y.suspend(2), ());
            });
            refused(ELSEWHERE, |y| {
                gather_local!(y.delegate(gen_iter(|y| y.suspend(2)), ()), ());
            });
        });
    }
    std::thread::spawn(check).join().unwrap();
}

/// Guards the count of masks, which is the task's: one that is taken down in another task would let that one be cancelled where it
/// must not be.
#[test]
fn out_of_a_lazy_lock_s_closure() {
    let _watchdog = watchdog(30);
    quiet_refusals();
    let check = || {
        refused(OUT_OF, |y| {
            let lazy = layby::sync::LazyLock::new(|| y.suspend(2));
            *lazy
        });
    };
    workers().into_iter().for_each(|n| on(n, check));
    std::thread::spawn(check).join().unwrap();
}

#[test]
fn out_of_a_runtime_that_runs_inside() {
    let _watchdog = watchdog(30);
    quiet_refusals();
    let plain = || refused(ELSEWHERE, |y| layby::run(|| y.suspend(2)));
    std::thread::spawn(plain).join().unwrap();
}

/// A generator that has closed what it was refused to leave open may go on.
#[test]
fn a_refusal_may_be_caught() {
    let _watchdog = watchdog(30);
    quiet_refusals();
    on(1, || {
        let mut generator = gen_iter(|y| {
            assert!(caught(|| NAME.with(|_| y.suspend(1))).is_err());
            y.suspend(2);
            assert!(caught(|| gather_local!(y.suspend(3), ())).is_err());
            y.suspend(4);
        });
        assert_eq!(generator.by_ref().collect::<Vec<_>>(), [2, 4]);
    });
}

/// Many tasks, each with a nest of generators that wait, hand out, panic or are dropped where they stand; some tasks are cancelled.
#[test]
fn stress() {
    let _watchdog = watchdog(120);
    quiet_panics();
    fn nest(rng: u64, depth: usize, drops: Drops, made: Arc<AtomicUsize>) -> Generator<(), u64, u64> {
        Generator::new(move |y: &Yielder<(), u64>, ()| {
            made.fetch_add(1, SeqCst);
            let _token = drops.token();
            let _blocks = OnDrop(yield_now);
            let mut rng = Rng::new(rng);
            let mut sum = 0;
            for _ in 0..rng.below(12) {
                match rng.below(8) {
                    0 => sleep(MS / 20),
                    1 => yield_now(),
                    2 if depth > 0 => {
                        sum += y.delegate(nest(rng.next(), depth - 1, drops.clone(), made.clone()), ());
                    }
                    3 if depth > 0 => {
                        let inner = nest(rng.next(), depth - 1, drops.clone(), made.clone());
                        sum += inner.take(rng.below(4)).sum::<u64>() % 7;
                    }
                    4 if rng.below(30) == 0 => panic!("expected: stress"),
                    _ => y.suspend(1),
                }
                sum += 1;
            }
            sum
        })
    }
    for seed in 0..6 {
        for n in workers() {
            let (drops, made) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
            on(n, || {
                let mut rng = Rng::new(seed);
                let tasks: Vec<_> = (0..60)
                    .map(|_| {
                        let (drops, made, seed) = (drops.clone(), made.clone(), rng.next());
                        go!(move || nest(seed, 5, drops, made).inspect(|_| yield_now()).sum::<u64>())
                    })
                    .collect();
                for task in tasks {
                    if rng.below(4) == 0 {
                        task.cancel();
                    }
                    if let Err(error) = task.join() {
                        assert!(
                            error.is_cancelled() || error.to_string().contains("expected: stress"),
                            "seed {seed}: {error}"
                        );
                    }
                }
            });
            assert_eq!(drops.count(), made.load(SeqCst), "seed {seed}, {n} workers");
        }
    }
}
