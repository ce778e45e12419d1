//! `PriorityQueue` and `LifoQueue`: order, room, shutdown, `join`, and whatever user code does in `Ord`.

use crate::common::{Rng, everywhere, message, on, quiet_panics_that_say, watchdog, workers};
use layby::channel::{LifoQueue, PriorityQueue, RecvError, SendError, TryRecvError, TrySendError};
use layby::{go, testing, yield_now};
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// An item with a name, that compares by its priority, and does something of the user's on the way.
#[derive(Debug)]
struct Job(u32, u64, fn());

impl Ord for Job {
    fn cmp(&self, other: &Job) -> Ordering {
        (self.2)();
        (other.2)();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}

#[test]
fn the_least_or_the_newest_is_next() {
    let _watchdog = watchdog(60);
    let (least, newest) = (PriorityQueue::unbounded(), LifoQueue::unbounded());
    let (mut sorted, mut stack) = (Vec::new(), Vec::new());
    let mut rng = Rng::new(7);
    for name in 0..3000 {
        if rng.below(5) < 3 {
            let priority = rng.below(10) as u32;
            least.put(Job(priority, name, || ())).unwrap();
            newest.put(name).unwrap();
            sorted.push((priority, name));
            sorted.sort_unstable();
            stack.push(name);
        } else {
            // Of equal ones, the oldest: the names count up.
            let want = (!sorted.is_empty()).then(|| sorted.remove(0));
            assert_eq!(least.try_get().ok().map(|Job(priority, name, _)| (priority, name)), want);
            assert_eq!(newest.try_get().ok(), stack.pop());
        }
        assert_eq!((least.len(), newest.len()), (sorted.len(), stack.len()));
    }
}

#[test]
fn each_item_comes_once_and_join_waits_for_all() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        for capacity in [Some(1), Some(3), None] {
            let queue = Arc::new(capacity.map_or_else(PriorityQueue::unbounded, PriorityQueue::bounded));
            let done = Arc::new(AtomicUsize::new(0));
            let getting: Vec<_> = (0..3)
                .map(|_| {
                    let (queue, done) = (queue.clone(), done.clone());
                    actors.start(move || {
                        let mut got = Vec::new();
                        while let Ok(item) = queue.get() {
                            got.push(item);
                            yield_now();
                            done.fetch_add(1, SeqCst);
                            queue.task_done();
                        }
                        got
                    })
                })
                .collect();
            let putting: Vec<_> = (0..3)
                .map(|i| {
                    let queue = queue.clone();
                    actors.start(move || (0..100).for_each(|j| queue.put(100 * i + j).unwrap()))
                })
                .collect();
            putting.into_iter().for_each(crate::common::Actor::join);
            queue.join();
            assert_eq!(done.load(SeqCst), 300);
            queue.shutdown();
            let mut all: Vec<_> = getting.into_iter().flat_map(crate::common::Actor::join).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..300));
        }
    });
}

#[test]
fn a_full_queue_waits_and_refuses() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let queue = Arc::new(LifoQueue::bounded(2));
            assert_eq!((queue.capacity(), queue.is_full(), queue.is_empty()), (Some(2), false, true));
            assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
            (0..2).for_each(|i| queue.put(i).unwrap());
            assert_eq!(queue.try_put(2), Err(TrySendError::Full(2)));
            assert!(queue.is_full());
            let waiting = queue.clone();
            let waiting = go!(move || waiting.put(3));
            yield_now();
            assert_eq!(queue.len(), 2);
            assert_eq!(queue.get(), Ok(1));
            waiting.join().unwrap().unwrap();
            assert_eq!((queue.get(), queue.get()), (Ok(3), Ok(0)));
            assert_eq!(LifoQueue::<u32>::unbounded().capacity(), None);
        });
    }
}

#[test]
fn shutdown_ends_all_waits() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        let full = Arc::new(LifoQueue::bounded(1));
        full.put(1).unwrap();
        let empty = Arc::new(LifoQueue::<u32>::unbounded());
        let putting = full.clone();
        let putting = actors.start(move || putting.put(2));
        let getting = empty.clone();
        let getting = actors.start(move || getting.get());
        (0..5).for_each(|_| yield_now());
        for _ in 0..2 {
            full.shutdown();
            empty.shutdown();
        }
        assert_eq!(putting.join(), Err(SendError(2)));
        assert_eq!(getting.join(), Err(RecvError));
        assert_eq!(full.try_put(3), Err(TrySendError::Disconnected(3)));
        // What is there comes, and counts until it is done.
        assert_eq!(full.get(), Ok(1));
        assert_eq!((full.get(), full.try_get()), (Err(RecvError), Err(TryRecvError::Disconnected)));
        let joining = full.clone();
        let joining = actors.start(move || joining.join());
        full.task_done();
        joining.join();

        let now = Arc::new(PriorityQueue::bounded(3));
        (0..3).rev().for_each(|i| now.put(i).unwrap());
        let joining = now.clone();
        let joining = actors.start(move || joining.join());
        yield_now();
        assert_eq!(now.shutdown_now(), [0, 1, 2]);
        joining.join();
        assert_eq!((now.get(), now.put(1), now.len()), (Err(RecvError), Err(SendError(1)), 0));
        assert_eq!(now.shutdown_now(), []);
    });
}

/// Nothing is lost, and neither is room: of what was put each came once or is there, and the queue takes as many as it should.
#[test]
fn who_is_cancelled_takes_nothing_along() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let queue = Arc::new(PriorityQueue::bounded(3));
            let (put, got) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let tasks: Vec<_> = (0..6)
                .map(|i| {
                    let (queue, put, got) = (queue.clone(), put.clone(), got.clone());
                    // `Ord` waits now and then, so the lock is held while others come.
                    let job = move || {
                        Job(i, 0, || {
                            if testing::random().is_multiple_of(4) {
                                yield_now()
                            }
                        })
                    };
                    go!(move || loop {
                        // No suspension point between the operation and the count.
                        if i % 2 == 0 {
                            queue.put(job()).unwrap();
                            put.fetch_add(1, SeqCst);
                        } else {
                            queue.get().unwrap();
                            got.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            for task in &tasks {
                (0..testing::random() % 20).for_each(|_| yield_now());
                task.cancel();
            }
            tasks.into_iter().for_each(|task| assert!(task.join().is_err()));
            let (put, got) = (put.load(SeqCst), got.load(SeqCst));
            assert_eq!(queue.len(), put - got, "seed {seed}");
            let room = (0..9).take_while(|_| queue.try_put(Job(0, 0, || ())).is_ok()).count();
            assert_eq!(room, 3 - (put - got), "seed {seed}");
            (0..put + room).for_each(|_| queue.task_done());
            queue.join();
        });
    }
}

/// Who waits for all to be done and is cancelled changes nothing for the others, nor for who works.
#[test]
fn who_gives_up_waiting_for_the_work_leaves_the_others() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let (queue, done) = (Arc::new(LifoQueue::bounded(4)), Arc::new(AtomicUsize::new(0)));
            (0..4).for_each(|i| queue.put(i).unwrap());
            let joiners: Vec<_> = (0..4)
                .map(|_| {
                    let (queue, done) = (queue.clone(), done.clone());
                    go!(move || {
                        queue.join();
                        assert_eq!(done.load(SeqCst), 4, "too early");
                    })
                })
                .collect();
            let worker = go!({
                let (queue, done) = (queue.clone(), done.clone());
                move || {
                    while queue.get().is_ok() {
                        (0..testing::random() % 3).for_each(|_| yield_now());
                        done.fetch_add(1, SeqCst);
                        queue.task_done();
                    }
                }
            });
            for joiner in &joiners[1..] {
                (0..testing::random() % 5).for_each(|_| yield_now());
                joiner.cancel();
            }
            for (i, joiner) in joiners.into_iter().enumerate() {
                assert!(joiner.join().is_ok() || i > 0, "seed {seed}");
            }
            queue.join();
            queue.shutdown();
            worker.join().unwrap();
        });
    }
}

/// The item that was on its way may be gone; the queue goes on, with its room, and counts right.
#[test]
fn a_panic_in_ord_leaves_a_queue_that_works() {
    let _watchdog = watchdog(60);
    fn fails() {
        std::panic::resume_unwind(Box::new(()));
    }
    for n in workers() {
        on(n, || {
            let queue = PriorityQueue::bounded(4);
            let try_to = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
            assert!(!try_to(&|| queue.put(Job(1, 1, || ())).unwrap()));
            assert!(try_to(&|| queue.put(Job(0, 2, fails)).unwrap()));
            assert!(!queue.is_empty(), "what was there stays");
            while !queue.is_full() {
                let _ = try_to(&|| drop(queue.try_put(Job(2, 4, || ()))));
            }
            assert_eq!(queue.len(), 4);
            while !queue.is_empty() {
                let _ = try_to(&|| drop(queue.get()));
            }
            // Once more, with nothing that fails.
            (0..4).for_each(|i| queue.put(Job(3 - i, 5, || ())).unwrap());
            assert!(queue.is_full());
            assert!((0..4).map(|_| queue.get().unwrap().0).eq(0..4));
        });
    }
}

/// It would wait for itself. Guards: a put whose `Ord` looks into its queue never came back.
#[test]
fn an_ord_that_uses_its_queue_panics() {
    static QUEUE: std::sync::LazyLock<PriorityQueue<Job>> =
        std::sync::LazyLock::new(PriorityQueue::unbounded);
    let _watchdog = watchdog(20);
    quiet_panics_that_say("uses that queue");
    let test = || {
        let uses_it = || drop(QUEUE.put(Job(9, 9, || ())));
        QUEUE.put(Job(1, 1, || ())).unwrap();
        let put = catch_unwind(AssertUnwindSafe(|| QUEUE.put(Job(0, 2, uses_it))));
        assert!(message(put.unwrap_err()).contains("uses that queue"));
        assert!(!QUEUE.shutdown_now().is_empty());
    };
    on(1, test);
}

#[test]
fn more_done_than_put_panics() {
    let queue = LifoQueue::unbounded();
    queue.put(1).unwrap();
    queue.task_done();
    let more = catch_unwind(|| queue.task_done()).unwrap_err();
    assert!(more.downcast_ref::<&str>().is_some_and(|message| message.contains("more often")));
    queue.join();
    assert!(catch_unwind(|| LifoQueue::<u32>::bounded(0)).is_err());
}

#[test]
fn debug_and_traits() {
    fn traits<T: Send + Sync + UnwindSafe + RefUnwindSafe + std::fmt::Debug>(t: &T) -> String {
        format!("{t:?}")
    }
    assert_eq!(traits(&PriorityQueue::<u32>::unbounded()), "PriorityQueue { .. }");
    assert_eq!(traits(&LifoQueue::<u32>::unbounded()), "LifoQueue { .. }");
}
