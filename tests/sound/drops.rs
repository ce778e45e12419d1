//! Soundness attempts: destructors that panic, wait, spawn, wherever layby drops something; results and captures of every shape.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::common::{Drops, OnDrop, Token, on, quiet_panics, watchdog, workers};
use layby::{Builder, JoinHandle, go, spawn_local, task};

/// Waits, spawns, and panics when dropped.
struct Bomb(#[allow(dead_code, reason = "it is dropped, and counted")] Token);

impl Drop for Bomb {
    fn drop(&mut self) {
        layby::yield_now();
        drop(go!(layby::yield_now));
        if !thread::panicking() {
            panic!("expected: a bomb");
        }
    }
}

#[test]
fn panicking_destructors_everywhere() {
    layby::task_local!(static LOCAL: RefCell<Option<Bomb>> = const { RefCell::new(None) });
    let _watchdog = watchdog(60);
    quiet_panics();
    for n in workers() {
        let drops = Drops::new();
        let bomb = || Bomb(drops.token());
        // Each worker's tasks, and what they leave, one after the other.
        on(n, || {
            // The captures of a closure that has run, and of one that never does.
            let captured = bomb();
            assert!(go!(move || drop(captured)).join().unwrap_err().is_panic());
            let captured = bomb();
            let never = spawn_local(move || drop(captured));
            never.cancel();
            assert!(never.join().unwrap_err().is_cancelled());
            // A result that nobody takes, before and after the handle goes.
            let result = bomb();
            drop(go!(move || result));
            let result = bomb();
            let handle = go!(move || result);
            crate::common::yield_until(|| handle.is_finished());
            drop(handle);
            // A task-local.
            let local = bomb();
            go!(move || LOCAL.set(Some(local))).join().unwrap();
            // A payload, of a task that is joined, and of a detached one.
            let payload = bomb();
            let error = go!(move || panic_any(payload)).join().unwrap_err();
            assert!(catch_unwind(AssertUnwindSafe(|| drop(error))).is_err());
            let payload = bomb();
            drop(go!(move || panic_any(payload)));
            // Of a task that is cancelled while it waits: a panic on the way out.
            let held = bomb();
            let cancelled = go!(move || {
                let _held = held;
                task::park();
            });
            layby::yield_now();
            cancelled.cancel();
            let _ = cancelled.join().unwrap_err();
            // Results of a gather with a failure, and the failure.
            let (a, b) = (bomb(), bomb());
            let gathered = catch_unwind(AssertUnwindSafe(|| {
                layby::gather!(a, {
                    layby::yield_now();
                    panic_any(b)
                })
            }));
            let payload = gathered.map(|_: (Bomb, ())| ()).unwrap_err();
            drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        });
        assert_eq!(drops.count(), 10, "{n} workers");
    }
}

/// The root's result and payload are the caller's, whatever they do when they are dropped.
#[test]
fn what_comes_out_of_run() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        let drops = Drops::new();
        let value = on(n, || Bomb(drops.token()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(value))).is_err());
        let payload =
            catch_unwind(AssertUnwindSafe(|| on(n, || panic_any(Bomb(drops.token()))))).unwrap_err();
        assert!(payload.is::<Bomb>());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(payload))).is_err());
        assert_eq!(drops.count(), 2);
        // Handles outlive the run, on its thread: their results need not be Send.
        let handles: Vec<JoinHandle<Rc<Token>>> = on(n, || {
            let token = Rc::new(drops.token());
            let handles: Vec<_> =
                (0..4).map(|_| (token.clone(), ())).map(|(t, ())| spawn_local(|| t)).collect();
            layby::yield_now();
            handles
        });
        let tokens: Vec<_> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
        assert_eq!(Rc::strong_count(&tokens[0]), 4);
        drop(tokens);
        assert_eq!(drops.count(), 3);
    }
}

#[repr(align(4096))]
struct Aligned([u8; 64]);

/// A task's cell holds closures and results of every shape.
#[test]
fn captures_and_results_of_every_shape() {
    fn check<T: PartialEq + core::fmt::Debug + Clone + Send + 'static>(value: T) {
        let (captured, want) = (value.clone(), value);
        let join = |handle: JoinHandle<T>| assert_eq!(handle.join().unwrap(), want);
        join(go!(move || {
            layby::yield_now();
            captured
        }));
        let captured = want.clone();
        join(spawn_local(move || captured));
    }
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            check(());
            check(7u8);
            check([3u128; 5]);
            check(vec![String::from("text"); 3]);
            check([9u8; 4_000]);
            check(Some(Box::new(5)));
            check("static");
            let aligned = Aligned([3; 64]);
            let task = go!(move || {
                let here = std::ptr::from_ref(&aligned).addr();
                layby::yield_now();
                assert_eq!((here % 4096, aligned.0), (0, [3; 64]));
                aligned
            });
            let aligned = task.join().unwrap();
            assert_eq!((std::ptr::from_ref(&aligned).addr() % 4096, aligned.0), (0, [3; 64]));
            // Zero-sized, with a destructor.
            static DROPS: AtomicUsize = AtomicUsize::new(0);
            struct Empty;
            impl Drop for Empty {
                fn drop(&mut self) {
                    DROPS.fetch_add(1, SeqCst);
                }
            }
            let before = DROPS.load(SeqCst);
            let empty = Empty;
            drop(go!(move || empty).join());
            assert_eq!(DROPS.load(SeqCst), before + 1);
        });
    }
}

/// Payloads of cancellations are kept, thrown on by others, dropped elsewhere: nobody is harmed.
#[test]
fn payloads_in_the_wrong_hands() {
    let _watchdog = watchdog(30);
    quiet_panics();
    for n in workers() {
        on(n, || {
            let stolen = || -> Box<dyn Any + Send> {
                let task = spawn_local(|| catch_unwind(task::park).unwrap_err());
                layby::yield_now();
                task.cancel();
                task.join().unwrap()
            };
            // Thrown by another task: that one counts as cancelled.
            let payload = stolen();
            assert!(go!(|| resume_unwind(payload)).join().unwrap_err().is_cancelled());
            // On a thread, and dropped there.
            let payload = stolen();
            let thread = thread::spawn(move || resume_unwind(payload));
            drop(layby::unblock(|| thread.join()).map(|(): ()| ()).unwrap_err());
            // Kept until the end of all.
            let kept = Arc::new(std::sync::Mutex::new(vec![stolen(), stolen()]));
            let task = go!({
                let kept = kept.clone();
                move || {
                    let _guard = OnDrop(layby::yield_now);
                    let payload = kept.lock().unwrap().pop().unwrap();
                    resume_unwind(payload)
                }
            });
            assert!(task.join().map(|(): ()| ()).unwrap_err().is_cancelled());
        });
    }
}

/// Clones of a task's handle outlive its runtime, and what its closure has borrowed.
#[test]
fn tasks_outlive_everything() {
    let _watchdog = watchdog(30);
    for n in workers() {
        let tasks = {
            let text = String::from("borrowed by the root");
            on(n, || {
                let mut tasks = vec![task::current()];
                let (a, b) = layby::gather!((task::current(), text.len()), (task::current(), text.as_str()));
                tasks.extend([a.0, b.0]);
                tasks
            })
        };
        let runtime = Builder::new().workers(n).build().unwrap();
        let lent = [1, 2, 3];
        let other = runtime.run(|| (lent.len(), task::current()).1);
        drop(runtime);
        thread::spawn(move || {
            for task in tasks.iter().chain([&other]) {
                task.unpark();
                assert!(!format!("{task:?}").is_empty());
                assert!(task.id() != task::current().id());
            }
        })
        .join()
        .unwrap();
    }
}
