//! Spawning: names, ids, stacks, places. (Joining: `task_join.rs`.)

use crate::common::{Drops, on, quiet_panics_that_say, watchdog, workers};
use layby::task::{self, Builder};
use layby::{JoinHandle, go};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

#[test]
fn results_of_many_tasks() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let sum = on(n, || {
            let tasks: Vec<_> = (0..1000u64).map(|i| layby::spawn(move || i * 2)).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).sum::<u64>()
        });
        assert_eq!(sum, 999_000);
    }
}

#[test]
fn spawn_from_a_plain_thread_and_join_there() {
    let _watchdog = watchdog(20);
    let threads: Vec<_> = (0..4)
        .map(|t| {
            std::thread::spawn(move || {
                (0..100).map(|i| layby::spawn(move || t * i).join().unwrap()).sum::<i32>()
            })
        })
        .collect();
    let sums: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, [0, 4950, 9900, 14850]);
}

#[test]
fn every_form_of_go() {
    let _watchdog = watchdog(20);
    assert_eq!(go!(|| 1).join().unwrap(), 1);
    assert_eq!(go!(|| 2,).join().unwrap(), 2);
    let runtime = layby::Builder::new().workers(1).build().unwrap();
    assert_eq!(go!(runtime, || 3).join().unwrap(), 3);
    assert_eq!(go!(&runtime, || 4,).join().unwrap(), 4);
    let named = go!(Builder::new().name("five".into()), || task::current().name().map(String::from));
    assert_eq!(named.join().unwrap().as_deref(), Some("five"));
    let moved = String::from("six");
    assert_eq!(go!(move || moved.len()).join().unwrap(), 3);
    fn seven() -> i32 {
        7
    }
    assert_eq!(go!(seven).join().unwrap(), 7);
}

#[test]
fn go_with_a_builder_that_fails_panics_and_drops_the_closure() {
    let _watchdog = watchdog(20);
    let drops = Drops::new();
    let token = drops.token();
    quiet_panics_that_say("the stack size is");
    let caught = catch_unwind(AssertUnwindSafe(|| go!(Builder::new().stack_size(1), move || drop(token))));
    let message = caught.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("stack size"), "{message}");
    assert_eq!(drops.count(), 1);
}

#[test]
fn stack_sizes() {
    let _watchdog = watchdog(30);
    #[inline(never)]
    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels as u8; 4096]);
        if levels == 0 { 0 } else { deep(levels - 1) + usize::from(frame[17] == levels as u8) }
    }
    for n in workers() {
        on(n, || {
            for bad in [0, 1, 4096, 32 * 1024 - 1, usize::MAX, usize::MAX / 2, (1 << 40) + 1] {
                let error = Builder::new().stack_size(bad).spawn(|| ()).unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{bad}");
                assert!(error.to_string().contains(&bad.to_string()), "{error}");
                assert!(Builder::new().stack_size(bad).spawn_local(|| ()).is_err());
            }
            for size in [32 * 1024, 32 * 1024 + 1, 64 * 1024, 100_000, 256 * 1024, 1 << 20] {
                // What was asked for is there, but for the few KiB that the frames below take.
                let levels = (size - 16 * 1024) / (3 * 4096);
                let task = Builder::new().stack_size(size).spawn(move || deep(levels)).unwrap();
                assert_eq!(task.join().unwrap(), levels);
            }
            let big = Builder::new().stack_size(64 << 20).spawn(|| deep(4000)).unwrap();
            assert_eq!(big.join().unwrap(), 4000);
            let local = Builder::new().stack_size(4 << 20).spawn_local(|| deep(200)).unwrap();
            assert_eq!(local.join().unwrap(), 200);
        });
    }
}

#[test]
fn names() {
    let _watchdog = watchdog(20);
    on(1, || {
        assert_eq!(layby::spawn(|| task::current().name().map(String::from)).join().unwrap(), None);
        let long = "n".repeat(10_000);
        for name in ["", "a", "with space", "ünï", long.as_str()] {
            let task = Builder::new().name(name.into()).spawn(task::current).unwrap();
            assert_eq!(task.task().name(), Some(name));
            assert!(format!("{:?}", task.task()).contains("name"));
            assert_eq!(task.join().unwrap().name(), Some(name));
        }
        let local = Builder::new().name("here".into()).spawn_local(task::current).unwrap();
        assert_eq!(local.join().unwrap().name(), Some("here"));
    });
    let thread = std::thread::Builder::new().name("plain".into());
    let name = thread.spawn(|| task::current().name().map(String::from)).unwrap().join().unwrap();
    assert_eq!(name.as_deref(), Some("plain"));
}

#[test]
fn ids_are_unique_and_stable() {
    let _watchdog = watchdog(20);
    let mut all = HashSet::new();
    for n in workers() {
        let ids = on(n, || {
            let tasks: Vec<_> = (0..2000)
                .map(|_| {
                    layby::spawn(|| {
                        let before = task::current().id();
                        layby::yield_now();
                        assert_eq!(before, task::current().id());
                        before
                    })
                })
                .collect();
            let mut ids = vec![task::current().id()];
            for task in tasks {
                let id = task.task().id();
                assert_eq!(task.join().unwrap(), id);
                ids.push(id);
            }
            ids
        });
        for id in ids {
            assert!(all.insert(id), "{id:?} twice");
        }
    }
    let thread = || (task::current().id(), task::current().id());
    for _ in 0..4 {
        let (a, b) = std::thread::spawn(thread).join().unwrap();
        assert_eq!(a, b);
        assert!(all.insert(a));
    }
}

#[test]
fn spawn_local_keeps_what_is_not_send_on_the_thread() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let shared = Rc::new(RefCell::new(Vec::new()));
            let thread = std::thread::current().id();
            let tasks: Vec<JoinHandle<Rc<usize>>> = (0..100)
                .map(|i| {
                    let shared = shared.clone();
                    layby::spawn_local(move || {
                        layby::yield_now();
                        assert_eq!(std::thread::current().id(), thread);
                        shared.borrow_mut().push(i);
                        Rc::new(i)
                    })
                })
                .collect();
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(*task.join().unwrap(), i);
            }
            assert_eq!(shared.borrow().len(), 100);
            assert_eq!(Rc::strong_count(&shared), 1);
        });
    }
}

#[test]
fn spawn_local_on_a_plain_thread_is_refused() {
    let _watchdog = watchdog(20);
    let drops = Drops::new();
    let token = drops.token();
    let error = Builder::new().spawn_local(move || drop(token)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(drops.count(), 1);
    quiet_panics_that_say("spawn_local: ");
    let caught = catch_unwind(|| layby::spawn_local(|| ()));
    // On a pool thread, too: it is no worker.
    let on_pool = on(1, || layby::unblock(|| Builder::new().spawn_local(|| ()).is_err()));
    assert!(caught.is_err());
    assert!(on_pool);
}

#[test]
fn a_started_task_stays_on_its_thread() {
    let _watchdog = watchdog(20);
    on(4, || {
        let tasks: Vec<_> = (0..200)
            .map(|i| {
                layby::spawn(move || {
                    let kept = Rc::new(Cell::new(0)); // not Send, over suspension points
                    let thread = std::thread::current().id();
                    for _ in 0..20 {
                        if i % 3 == 0 {
                            layby::sleep(Duration::from_micros(50))
                        } else {
                            layby::yield_now()
                        }
                        kept.set(kept.get() + 1);
                        assert_eq!(std::thread::current().id(), thread);
                    }
                    kept.get()
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join().unwrap(), 20);
        }
    });
}

#[test]
fn a_closure_is_dropped_once_even_if_it_is_big_or_empty() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let drops = Drops::new();
            let token = drops.token();
            let big = [7u64; 2000];
            let task = layby::spawn(move || {
                let _token = token;
                big.iter().sum::<u64>()
            });
            assert_eq!(task.join().unwrap(), 14_000);
            assert_eq!(drops.count(), 1);
            let big = layby::spawn(|| [3u8; 20_000]).join().unwrap();
            assert!(big.iter().all(|&byte| byte == 3));
            #[repr(align(256))]
            struct Aligned(#[allow(dead_code)] u8);
            let aligned = Aligned(1);
            let (a, b) =
                layby::spawn(move || (&raw const aligned as usize % 256, Aligned(2))).join().unwrap();
            assert_eq!((a, &raw const b as usize % 256), (0, 0));
        });
    }
}

#[test]
fn nested_spawns() {
    let _watchdog = watchdog(30);
    fn tree(depth: usize) -> usize {
        if depth == 0 {
            return 1;
        }
        let children: Vec<_> = (0..3).map(|_| layby::spawn(move || tree(depth - 1))).collect();
        1 + children.into_iter().map(|child| child.join().unwrap()).sum::<usize>()
    }
    for n in workers() {
        assert_eq!(on(n, || tree(6)), 1093);
    }
}
