//! `gather!`, `scope` and their relatives in tasks that are cancelled, and in their destructors: who is told, and when.

#![allow(clippy::unit_arg, reason = "`Ok(sleep(…))` says what is meant")]

use crate::common::{OnDrop, on, watchdog, workers, yield_until};
use layby::{
    gather, gather_limit, gather_local, race, scope, shield, sleep, task, timeout, try_gather, try_scope,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const FOREVER: Duration = Duration::MAX;

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

/// What a leaf of a tree shows: that it waits, and that it was cancelled there.
#[derive(Clone, Default)]
struct Leaf(Arc<[AtomicBool; 2]>);

impl Leaf {
    fn live(&self) {
        let _ended = OnDrop(|| self.0[1].store(true, SeqCst));
        self.0[0].store(true, SeqCst);
        sleep(FOREVER);
    }

    fn lives(&self) -> bool {
        self.0[0].load(SeqCst)
    }

    fn has_ended(&self) -> bool {
        self.0[1].load(SeqCst)
    }
}

/// `leaf`, below a structure of each kind.
fn parents(leaf: &Leaf) -> Vec<Box<dyn FnOnce() + Send>> {
    fn parent(leaf: &Leaf, f: impl FnOnce(Leaf) + Send + 'static) -> Box<dyn FnOnce() + Send> {
        let leaf = leaf.clone();
        Box::new(|| f(leaf))
    }
    vec![
        parent(leaf, |leaf| scope(|s| drop(s.spawn(|| leaf.live())))),
        parent(leaf, |leaf| scope(|s| s.spawn(|| leaf.live()).join().unwrap())),
        parent(leaf, |leaf| try_scope(|s| Ok::<_, ()>(drop(s.spawn(|| Ok(leaf.live()))))).unwrap()),
        parent(leaf, |leaf| {
            let ((), ()) = gather!(leaf.live(), sleep(FOREVER));
        }),
        parent(leaf, |leaf| drop(gather([|| leaf.live()]))),
        parent(leaf, |leaf| drop(gather_limit(1, [(); 2].map(|()| || leaf.live())))),
        parent(leaf, |leaf| drop(try_gather([|| Ok::<_, ()>(leaf.live())]))),
        parent(leaf, |leaf| race([|| leaf.live()])),
        // Three levels, and the leaf's parent is not the task that is cancelled.
        parent(leaf, |leaf| {
            scope(|s| drop(s.spawn(|| scope(|s| drop(s.spawn(|| gather!(leaf.live(), ())))))))
        }),
    ]
}

/// The parent's worker is busy, so the parent cannot run: who cancels tells the leaf himself. Guards against telling it level by
/// level, as each parent unwinds.
#[test]
fn a_cancel_reaches_the_leaves_while_their_parents_cannot_run() {
    let _watchdog = watchdog(30);
    for kind in 0..parents(&Leaf::default()).len() {
        let reached = (0..50).any(|_| {
            on(2, || {
                // So many tasks on this worker that further closures go to the other one.
                (0..100).for_each(|_| drop(task::spawn_local(|| sleep(FOREVER))));
                layby::yield_now();
                let leaf = Leaf::default();
                let parent = task::spawn_local(parents(&leaf).remove(kind));
                yield_until(|| leaf.lives());
                parent.cancel();
                let reached = spin_until(|| leaf.has_ended());
                assert!(!parent.is_finished());
                assert!(parent.join().unwrap_err().is_cancelled(), "kind {kind}");
                assert!(leaf.has_ended());
                reached
            })
        });
        assert!(
            reached,
            "kind {kind}: the leaf was told by its parent, or was on the parent's worker 50 times"
        );
    }
}

/// Keeps the worker, but not for ever.
fn spin_until(condition: impl Fn() -> bool) -> bool {
    let from = std::time::Instant::now();
    while !condition() {
        if from.elapsed() > Duration::from_millis(10) {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}

/// The body is in a shield, or in a destructor, and waits there for the end of the leaf: it would never come, if the body's own
/// unwinding had to tell it.
#[test]
fn a_body_that_must_not_be_cut_short_does_not_hold_back_its_children() {
    let _watchdog = watchdog(30);
    type Body = fn(&Leaf);
    let bodies: [Body; 6] = [
        |leaf| shield(|| yield_until(|| leaf.has_ended())),
        |leaf| {
            let _guard = OnDrop(|| yield_until(|| leaf.has_ended()));
            sleep(FOREVER);
        },
        // Deeper: the middle level holds it up, and the frames between are of other kinds.
        |leaf| scope(|_| shield(|| timeout(FOREVER, || yield_until(|| leaf.has_ended())).unwrap())),
        |leaf| shield(|| gather!((), yield_until(|| leaf.has_ended())).1),
        |leaf| {
            let _guard = OnDrop(|| drop(gather([|| yield_until(|| leaf.has_ended())])));
            sleep(FOREVER);
        },
        |leaf| {
            try_scope(|_| Ok::<_, ()>(shield(|| yield_until(|| leaf.has_ended())))).unwrap();
        },
    ];
    for n in workers() {
        on(n, || {
            for (kind, body) in bodies.into_iter().enumerate() {
                for by_timeout in [false, true] {
                    let leaf = Leaf::default();
                    let begun = Arc::new(AtomicBool::new(false));
                    let parent = layby::spawn({
                        let (leaf, begun) = (leaf.clone(), begun.clone());
                        move || {
                            let live = || {
                                scope(|s| {
                                    s.spawn(|| scope(|s| drop(s.spawn(|| leaf.live()))));
                                    yield_until(|| leaf.lives());
                                    begun.store(true, SeqCst);
                                    body(&leaf);
                                });
                            };
                            match by_timeout {
                                true => timeout(Duration::from_millis(10), live).unwrap_err(),
                                false => unreachable!("{:?}", live()),
                            };
                        }
                    });
                    yield_until(|| begun.load(SeqCst));
                    if !by_timeout {
                        parent.cancel();
                    }
                    let result = parent.join();
                    assert!(leaf.has_ended(), "kind {kind}");
                    match by_timeout {
                        true => result.unwrap(),
                        false => assert!(result.unwrap_err().is_cancelled(), "kind {kind}"),
                    }
                }
            }
        });
    }
}

/// What a shield, or a destructor, is to do whole is whole: the structures inside of it are not reached.
#[test]
fn structures_inside_a_shield_or_a_destructor_are_protected() {
    let _watchdog = watchdog(30);
    fn sums() -> u64 {
        let nap = |value| {
            move || {
                sleep(Duration::from_millis(2));
                value
            }
        };
        let (a, b) = gather!(nap(1)(), nap(2)());
        let c = gather([nap(3), nap(4)]).iter().sum::<u64>();
        let d = scope(|s| s.spawn(nap(5)).join().unwrap());
        let e = try_scope(|s| Ok::<_, ()>(s.spawn(|| Ok(nap(6)())).join().unwrap())).unwrap();
        let f = race([nap(7)]);
        a + b + c + d + e + f
    }
    for n in workers() {
        on(n, || {
            for by_timeout in [false, true] {
                let (begun, sum) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
                let (begin, add) = (begun.clone(), sum.clone());
                let parent = layby::spawn(move || {
                    let live = || {
                        let _guard = OnDrop(|| {
                            add.fetch_add(100 * sums() as usize, SeqCst);
                        });
                        // A structure around the shield is told; that inside is not, though it is in its body.
                        scope(|s| {
                            let outer = s.spawn(|| sleep(FOREVER));
                            shield(|| {
                                begin.store(true, SeqCst);
                                let value = sums() as usize;
                                assert!(outer.join().unwrap_err().is_cancelled());
                                add.fetch_add(value, SeqCst);
                            });
                        });
                        sleep(FOREVER);
                    };
                    if by_timeout {
                        timeout(Duration::from_millis(3), live).unwrap_err();
                        return;
                    }
                    live();
                });
                yield_until(|| begun.load(SeqCst));
                if !by_timeout {
                    (0..3).for_each(|_| parent.cancel());
                }
                assert_eq!(parent.join().is_ok(), by_timeout);
                assert_eq!(sum.load(SeqCst), 2828);
            }
        });
    }
}

/// A child that is cancelled with its parent may have ended before the parent has heard. What the parent then joins is not told
/// to it as the child's failure, which it would take for a mistake.
#[test]
fn a_cancelled_parent_unwinds_where_it_joins_its_cancelled_child() {
    let _watchdog = watchdog(30);
    let parents: [fn(); 4] = [
        || scope(|s| s.spawn(|| sleep(FOREVER)).join().unwrap()),
        || drop(gather([|| sleep(FOREVER)])),
        || drop(try_gather([|| Ok::<_, ()>(sleep(FOREVER))])),
        || race([|| sleep(FOREVER); 2]),
    ];
    for n in workers() {
        on(n, || {
            for round in 0..400 {
                let task = layby::spawn(parents[round % 4]);
                (0..round / 4 % 8).for_each(|_| layby::yield_now());
                std::thread::scope(|threads| threads.spawn(|| task.cancel()).join().unwrap());
                assert!(task.join().unwrap_err().is_cancelled(), "round {round}");
            }
        });
    }
}

/// Down a chain that is much longer than a stack could be deep.
#[test]
fn a_long_chain_of_scopes() {
    let _watchdog = watchdog(60);
    fn chain(depth: u32, leaf: &Leaf) {
        match depth {
            0 => leaf.live(),
            _ => scope(|s| drop(s.spawn(|| chain(depth - 1, leaf)))),
        }
    }
    for n in workers() {
        on(n, || {
            let leaf = Leaf::default();
            let parent = layby::spawn({
                let leaf = leaf.clone();
                move || chain(3000, &leaf)
            });
            yield_until(|| leaf.lives());
            let canceller = task::Builder::new().stack_size(32 * 1024);
            canceller.spawn(move || parent.cancel()).unwrap().join().unwrap();
            yield_until(|| leaf.has_ended());
        });
    }
}
