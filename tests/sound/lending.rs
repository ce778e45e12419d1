//! Soundness attempts: frames that are lent, to threads and to tasks, and whose owners then panic, are cancelled, or wait for
//! ever. What has borrowed has ended before the frame goes; nothing is left of it afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{Drops, OnDrop, message, on, quiet_panics, watchdog, workers, yield_until};
use layby::{Builder, go, task};

/// A frame's own value: whoever reads it when it is gone reads something else (and address sanitizers say so).
struct Lent(Vec<u64>, AtomicUsize);

impl Lent {
    fn new() -> Lent {
        Lent(vec![0x5a; 64], AtomicUsize::new(0))
    }

    fn check(&self) {
        assert!(self.0.iter().all(|n| *n == 0x5a), "the frame is gone");
        self.1.fetch_add(1, SeqCst);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.fill(0xdead);
    }
}

#[test]
fn a_root_lends_to_threads_and_panics() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        let after = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            on(n, || {
                let lent = Lent::new();
                thread::scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| {
                            thread::sleep(Duration::from_millis(5));
                            lent.check();
                            after.fetch_add(1, SeqCst);
                        });
                    }
                    layby::yield_now();
                    panic!("expected: with threads in its frame");
                })
            })
        }));
        assert_eq!(message(caught.map(|(): ()| ()).unwrap_err()), "expected: with threads in its frame");
        assert_eq!(after.load(SeqCst), 3);
    }
}

/// The threads call layby: they wait for tasks, and wake the root.
#[test]
fn threads_in_the_roots_frame_use_the_runtime() {
    let _watchdog = watchdog(30);
    let runtime = Builder::new().workers(2).build().unwrap();
    for n in workers() {
        on(n, || {
            let (lent, root) = (Lent::new(), task::current());
            thread::scope(|s| {
                for i in 0..4 {
                    let (lent, root, runtime) = (&lent, &root, &runtime);
                    s.spawn(move || {
                        runtime.run(|| {
                            layby::yield_now();
                            lent.check();
                        });
                        let doubled = layby::gather((0..3).map(|n| move || 2 * (n + i)));
                        assert_eq!(doubled, [2 * i, 2 * i + 2, 2 * i + 4]);
                        root.unpark();
                    });
                }
                while lent.1.load(SeqCst) < 4 {
                    task::park_timeout(Duration::from_millis(1));
                }
            });
        });
    }
}

/// A thread that has the frame wakes a root that waits for nothing else: no deadlock, however long it takes.
#[test]
fn a_root_that_parks_with_its_frame_lent_waits_for_the_thread() {
    let _watchdog = watchdog(30);
    on(2, || {
        let (lent, root, done) = (Lent::new(), task::current(), AtomicBool::new(false));
        thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(250)); // a look for a deadlock comes after 100
                lent.check();
                done.store(true, SeqCst);
                root.unpark();
            });
            while !done.load(SeqCst) {
                task::park();
            }
        });
    });
}

/// The end of the runtime cancels a task whose frame is lent to a thread, to a pool closure, and to children.
#[test]
fn a_cancelled_task_keeps_its_frame_for_whom_it_was_lent_to() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let reads = Arc::new(AtomicUsize::new(0));
        let (tell, told) = mpsc::channel();
        on(n, || {
            for kind in 0..3 {
                let (reads, tell) = (reads.clone(), tell.clone());
                drop(go!(move || {
                    let lent = Lent::new();
                    let read = || {
                        lent.check();
                        reads.fetch_add(1, SeqCst);
                    };
                    match kind {
                        0 => thread::scope(|s| {
                            s.spawn(|| {
                                thread::sleep(Duration::from_millis(20));
                                read();
                            });
                            tell.send(()).unwrap();
                            task::park();
                        }),
                        1 => layby::unblock(|| {
                            tell.send(()).unwrap();
                            thread::sleep(Duration::from_millis(20));
                            read();
                        }),
                        _ => drop(layby::gather!(
                            {
                                let _late = OnDrop(|| {
                                    layby::sleep(Duration::from_millis(20));
                                    read();
                                });
                                tell.send(()).unwrap();
                                loop {
                                    task::park();
                                }
                            },
                            ()
                        )),
                    }
                }));
            }
            yield_until(|| told.try_recv().is_ok());
            yield_until(|| told.try_recv().is_ok());
            yield_until(|| told.try_recv().is_ok());
        });
        assert_eq!(reads.load(SeqCst), 3);
    }
}

/// Reads what was lent to it late: in a destructor that waits.
fn child(lent: &Lent, begun: &AtomicUsize, sleep: Duration) {
    let _late = OnDrop(|| {
        (0..3).for_each(|_| layby::yield_now());
        lent.check();
    });
    begun.fetch_add(1, SeqCst);
    layby::sleep(sleep);
}

/// A frame that says, when it goes, how often it was read.
struct Frame(Lent, Arc<AtomicUsize>);

impl Drop for Frame {
    fn drop(&mut self) {
        self.1.fetch_add(self.0.1.load(SeqCst), SeqCst);
    }
}

/// By whatever way a gather is left.
#[test]
fn children_end_before_the_frame_they_borrow() {
    const SHORT: Duration = Duration::from_millis(1);
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let (reads, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let frame = || Frame(Lent::new(), reads.clone());
            let expect = |count| {
                assert_eq!(reads.swap(0, SeqCst), count);
                begun.store(0, SeqCst);
            };
            {
                let frame = frame();
                layby::gather((0..3).map(|_| || child(&frame.0, &begun, SHORT)));
            }
            expect(3);
            // A sibling panics.
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let frame = frame();
                layby::gather!(child(&frame.0, &begun, SHORT), panic!("expected: a sibling"))
            }));
            assert!(caught.map(|_: ((), ())| ()).is_err());
            expect(1);
            // The iterator panics, when two run.
            let caught = catch_unwind(AssertUnwindSafe(|| {
                let frame = frame();
                layby::gather((0..3).map(|i| {
                    if i == 2 {
                        yield_until(|| begun.load(SeqCst) == 2);
                        panic!("expected: in the iterator");
                    }
                    || child(&frame.0, &begun, Duration::MAX)
                }))
            }));
            assert!(caught.is_err());
            expect(2);
            // The parent is cancelled; in the second case it has children in a destructor, too, which are not.
            for limit in [2, 3] {
                let (frame, begun) = (frame(), begun.clone());
                let parent = go!({
                    let begun = begun.clone();
                    move || {
                        let frame = frame;
                        let _last = OnDrop(|| {
                            if limit == 3 {
                                layby::gather((0..2).map(|_| || child(&frame.0, &begun, SHORT)));
                            }
                        });
                        layby::gather_limit(limit, (0..5).map(|_| || child(&frame.0, &begun, Duration::MAX)));
                    }
                });
                yield_until(|| begun.load(SeqCst) == limit);
                parent.cancel();
                assert!(parent.join().unwrap_err().is_cancelled());
                expect(if limit == 3 { 5 } else { 2 });
            }
        });
    }
}

/// `Runtime::run` lends the caller's frame to another runtime, which is dropped meanwhile: the task has ended first.
#[test]
fn a_frame_lent_to_a_runtime_that_is_dropped() {
    let _watchdog = watchdog(30);
    for n in workers() {
        for _ in 0..20 {
            let runtime = Arc::new(Builder::new().workers(n).build().unwrap());
            let begun = Barrier::new(2);
            thread::scope(|s| {
                let inside = runtime.clone();
                let begun = &begun;
                s.spawn(move || {
                    let lent = Lent::new();
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        inside.run(|| {
                            let _late = OnDrop(|| {
                                layby::sleep(Duration::from_micros(200));
                                lent.check();
                            });
                            begun.wait();
                            // Until it is cancelled, from inside.
                            layby::yield_now();
                            layby::task::check_cancelled();
                        });
                    }));
                    assert!(caught.is_ok());
                    assert_eq!(lent.1.load(SeqCst), 1);
                });
                begun.wait();
                drop(runtime);
            });
        }
    }
}

/// Safe code forgets what it likes; only memory is lost.
#[test]
fn forgotten_handles() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        let drops = Drops::new();
        on(n, || {
            for i in 0..30 {
                let token = drops.token();
                let handle = go!(move || {
                    let _token = token;
                    match i % 3 {
                        0 => vec![i; 100],
                        1 => panic!("expected: nobody looks"),
                        _ => loop {
                            layby::sleep(Duration::MAX);
                        },
                    }
                });
                if i % 2 == 0 {
                    layby::yield_now();
                }
                std::mem::forget(handle);
            }
            yield_until(|| drops.count() >= 20);
        });
        assert_eq!(drops.count(), 30);
    }
    // A whole runtime: its threads live on, and its tasks.
    let runtime = Builder::new().workers(1).build().unwrap();
    let task = runtime.spawn(task::park);
    std::mem::forget(runtime);
    task.task().unpark();
    task.join().unwrap();
}
