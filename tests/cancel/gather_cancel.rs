//! `gather!` and its relatives in tasks that are cancelled, and in their destructors.

use crate::common::{OnDrop, on, watchdog, workers};
use layby::{gather, gather_limit, gather_local};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Starts `parent`, cancels it once `begun` counts `children`, and checks that it was cancelled.
fn cancel_when_begun(parent: impl FnOnce() + Send + 'static, begun: &AtomicUsize, children: usize) {
    let parent = layby::spawn(parent);
    while begun.load(SeqCst) < children {
        layby::yield_now();
    }
    parent.cancel();
    assert!(parent.join().unwrap_err().is_cancelled());
}

#[test]
fn a_cancelled_parent_cancels_its_children_and_waits_for_them() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            for kind in 0..4 {
                let begun = Arc::new(AtomicUsize::new(0));
                let ended = Arc::new(AtomicUsize::new(0));
                let (count, end) = (begun.clone(), ended.clone());
                let parent = move || {
                    let mut frame = [0u8; 100]; // what the children borrow
                    let _gone =
                        OnDrop(|| assert_eq!(end.load(SeqCst), 4, "a child outlives its parent's frame"));
                    let child = |part: &mut [u8]| {
                        let _end = OnDrop(|| {
                            layby::sleep(Duration::from_millis(2));
                            part.fill(1);
                            end.fetch_add(1, SeqCst);
                        });
                        count.fetch_add(1, SeqCst);
                        layby::sleep(Duration::MAX);
                    };
                    let mut parts: Vec<&mut [u8]> = frame.chunks_mut(25).collect();
                    match kind {
                        0 => drop(gather(parts.into_iter().map(|part| || child(part)))),
                        1 => drop(gather_limit(4, parts.into_iter().map(|part| || child(part)))),
                        2 => {
                            let [a, b, c, d] = &mut parts[..] else { unreachable!() };
                            let ((), (), (), ()) = gather!(child(a), child(b), child(c), child(d));
                        }
                        _ => {
                            let [a, b, c, d] = &mut parts[..] else { unreachable!() };
                            let ((), (), (), ()) = gather_local!(child(a), child(b), child(c), child(d));
                        }
                    }
                };
                cancel_when_begun(parent, &begun, 4);
                assert_eq!(ended.load(SeqCst), 4);
            }
        });
    }
}

/// Guards against cancelling them one after the other: here the first can end only after the second.
#[test]
fn all_children_are_cancelled_before_any_is_waited_for() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            for kind in 0..4 {
                let begun = Arc::new(AtomicUsize::new(0));
                let count = begun.clone();
                cancel_when_begun(
                    move || {
                        let (sender, receiver) = mpsc::channel::<()>();
                        let count = &*count;
                        let first = move || {
                            count.fetch_add(1, SeqCst);
                            let _ = layby::unblock(move || receiver.recv());
                            layby::sleep(Duration::MAX);
                        };
                        let second = move || {
                            let _sender = sender; // dropped when it is cancelled
                            count.fetch_add(1, SeqCst);
                            layby::sleep(Duration::MAX);
                        };
                        match kind {
                            0 => {
                                let ((), ()) = gather!(first(), second());
                            }
                            1 => drop(gather([boxed(first), boxed(second)])),
                            2 => drop(gather_limit(2, [boxed(first), boxed(second)])),
                            _ => {
                                let ((), ()) = gather_local!(first(), second());
                            }
                        }
                    },
                    &begun,
                    2,
                );
            }
        });
    }
}

fn boxed<'a>(f: impl FnOnce() + Send + 'a) -> Box<dyn FnOnce() + Send + 'a> {
    Box::new(f)
}

#[test]
fn a_destructor_may_gather_while_the_runtime_ends() {
    let _watchdog = watchdog(20);
    for n in workers() {
        let done = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(AtomicBool::new(false));
        on(n, || {
            let (count, start) = (done.clone(), started.clone());
            drop(layby::spawn(move || {
                let _guard = OnDrop(|| {
                    let (a, b) = gather!(
                        {
                            layby::sleep(Duration::from_millis(1));
                            1
                        },
                        2
                    );
                    count.fetch_add(a + b, SeqCst);
                    count.fetch_add(gather((0..3).map(|i| move || i)).into_iter().sum::<usize>(), SeqCst);
                });
                start.store(true, SeqCst);
                layby::sleep(Duration::MAX);
            }));
            while !started.load(SeqCst) {
                layby::yield_now();
            }
        });
        assert_eq!(done.load(SeqCst), 6);
    }
}
