//! Python's `test_asyncio/test_queues.py`, where it applies: for `Queue`, which is a channel, `PriorityQueue` and `LifoQueue`.
//!
//! Not here: constructors, `repr`, sizes that are no whole numbers. A bound of 0 is no limit in Python, and a rendezvous here.

use crate::common::{quiet_panics, watchdog};
use layby::channel::{
    LifoQueue, PriorityQueue, RecvError, SendError, TryRecvError, TrySendError, bounded, unbounded,
};
use layby::sync::Event;
use layby::task::spawn_after;
use layby::time::Instant;
use layby::{go, sleep, testing, timeout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn seeds(f: impl Fn() + Copy) {
    let _watchdog = watchdog(60);
    for seed in 0..30 {
        testing::run(seed, f);
    }
}

/// The three of them, with one set of methods.
trait Queue: Send + Sync + 'static {
    fn put(&self, item: u32) -> Result<(), SendError<u32>>;
    fn try_put(&self, item: u32) -> Result<(), TrySendError<u32>>;
    fn get(&self) -> Result<u32, RecvError>;
    fn try_get(&self) -> Result<u32, TryRecvError>;
    fn len(&self) -> usize;
    fn is_full(&self) -> bool;
}

macro_rules! queue {
    ($type:ty, $put:ident, $try_put:ident, $get:ident, $try_get:ident $(, $sender:tt, $receiver:tt)?) => {
        impl Queue for $type {
            fn put(&self, item: u32) -> Result<(), SendError<u32>> {
                self$(.$sender)?.$put(item)
            }
            fn try_put(&self, item: u32) -> Result<(), TrySendError<u32>> {
                self$(.$sender)?.$try_put(item)
            }
            fn get(&self) -> Result<u32, RecvError> {
                self$(.$receiver)?.$get()
            }
            fn try_get(&self) -> Result<u32, TryRecvError> {
                self$(.$receiver)?.$try_get()
            }
            fn len(&self) -> usize {
                self$(.$receiver)?.len()
            }
            fn is_full(&self) -> bool {
                self$(.$receiver)?.is_full()
            }
        }
    };
}

type Channel = (layby::channel::Sender<u32>, layby::channel::Receiver<u32>);
queue!(Channel, send, try_send, recv, try_recv, 0, 1);
queue!(LifoQueue<u32>, put, try_put, get, try_get);
queue!(PriorityQueue<u32>, put, try_put, get, try_get);

fn queues(capacity: Option<usize>) -> [Arc<dyn Queue>; 3] {
    match capacity {
        None => {
            [Arc::new(unbounded()), Arc::new(LifoQueue::unbounded()), Arc::new(PriorityQueue::unbounded())]
        }
        Some(n) => {
            [Arc::new(bounded(n)), Arc::new(LifoQueue::bounded(n)), Arc::new(PriorityQueue::bounded(n))]
        }
    }
}

/// `test_empty`, `test_full`, `test_order` of each, `test_nonblocking_get`, `…_get_exception`, `…_put`, `…_put_exception`.
#[test]
fn without_waiting() {
    seeds(|| {
        for (queue, order) in queues(None).into_iter().zip([[1, 3, 2], [2, 3, 1], [1, 2, 3]]) {
            assert_eq!((queue.len(), queue.is_full()), (0, false));
            assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
            [1, 3, 2].into_iter().for_each(|n| queue.try_put(n).unwrap());
            assert_eq!(queue.len(), 3);
            assert_eq!([0; 3].map(|_| queue.try_get().unwrap()), order);
        }
        for queue in queues(Some(1)) {
            queue.try_put(1).unwrap();
            assert!(queue.is_full());
            assert_eq!(queue.try_put(2), Err(TrySendError::Full(2)));
        }
    });
}

#[test]
fn maxsize() {
    seeds(|| {
        for queue in queues(Some(2)) {
            let (put, putting) = (Arc::new(AtomicU32::new(0)), queue.clone());
            let count = put.clone();
            let task = go!(move || (0..3).for_each(|n| {
                putting.put(n).unwrap();
                count.fetch_add(1, SeqCst);
            }));
            sleep(10 * MS);
            assert_eq!(put.load(SeqCst), 2, "it waits after two");
            queue.try_get().unwrap();
            sleep(10 * MS);
            assert_eq!(put.load(SeqCst), 3);
            assert!(queue.try_get().is_ok() && queue.try_get().is_ok());
            task.join().unwrap();
        }
    });
}

/// `test_blocking_get_wait`, `test_blocking_put_wait`, `test_put_with_waiting_getters`, `test_get_with_waiting_putters`.
#[test]
fn waiting_for_the_other_side() {
    seeds(|| {
        for queue in queues(Some(1)) {
            let (start, started) = (Instant::now(), Arc::new(Event::new()));
            let (getting, putting, begins) = (queue.clone(), queue.clone(), started.clone());
            spawn_after(10 * MS, move || putting.try_put(1).unwrap());
            let get = go!(move || {
                begins.set();
                getting.get().unwrap()
            });
            started.wait();
            assert!(!get.is_finished());
            assert_eq!(get.join().unwrap(), 1);
            assert!((10 * MS..11 * MS).contains(&start.elapsed()));

            let (getting, putting) = (queue.clone(), queue.clone());
            spawn_after(10 * MS, move || getting.try_get().unwrap());
            let start = Instant::now();
            go!(move || (1..=2).for_each(|n| putting.put(n).unwrap())).join().unwrap();
            assert!((10 * MS..11 * MS).contains(&start.elapsed()));
            assert_eq!(queue.get(), Ok(2));

            let tasks = [3, 4].map(|n| {
                let putting = queue.clone();
                let task = go!(move || putting.put(n).unwrap());
                sleep(MS);
                task
            });
            assert_eq!((queue.get(), queue.get()), (Ok(3), Ok(4)));
            tasks.into_iter().for_each(|task| task.join().unwrap());
        }
    });
}

/// `test_get_cancelled`, `test_get_cancelled_race`, `test_cancelled_getters_not_being_held_in_self_getters`, `test_why_are_getters_waiting`.
#[test]
fn get_cancelled() {
    seeds(|| {
        for queue in queues(None) {
            assert!(timeout(51 * MS, || queue.get()).is_err());
            let (one, two) = (queue.clone(), queue.clone());
            let one = go!(move || one.get());
            sleep(MS);
            let two = go!(move || two.get());
            sleep(MS);
            if testing::random().is_multiple_of(2) {
                one.cancel();
                queue.put(1).unwrap();
            } else {
                queue.put(1).unwrap();
                one.cancel();
            }
            // If it had the item already, it has kept it.
            match one.join() {
                Ok(got) => {
                    assert_eq!(got, Ok(1));
                    queue.put(1).unwrap();
                }
                Err(error) => assert!(error.is_cancelled()),
            }
            assert_eq!(two.join().unwrap(), Ok(1));
            assert_eq!(queue.len(), 0);
        }
    });
}

/// `test_put_cancelled_race`, `test_why_are_putters_waiting`, `test_cancelled_put_silence_value_error_exception`.
#[test]
fn put_cancelled() {
    seeds(|| {
        for queue in queues(Some(1)) {
            let [a, b, x] = [1, 2, 9].map(|n| {
                let putting = queue.clone();
                let task = go!(move || putting.put(n).unwrap());
                sleep(MS);
                task
            });
            assert!(a.is_finished() && !b.is_finished());
            x.cancel();
            assert!(x.join().unwrap_err().is_cancelled());
            assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
            b.join().unwrap();
            assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
        }
    });
}

/// `QueueJoinTests`: `test_task_done_underflow`, `test_task_done`, `test_join_empty_queue`.
#[test]
fn join_and_task_done() {
    crate::common::quiet_panics_that_say("task_done");
    quiet_panics();
    seeds(|| {
        let queue = Arc::new(LifoQueue::unbounded());
        queue.join();
        queue.join();
        assert!(catch_unwind(AssertUnwindSafe(|| queue.task_done())).is_err());
        (0..100).for_each(|n| queue.put(n).unwrap());
        let sum = Arc::new(AtomicU32::new(0));
        let workers = [(); 2].map(|()| {
            let (queue, sum) = (queue.clone(), sum.clone());
            go!(move || {
                while let Ok(n) = queue.get() {
                    sum.fetch_add(n, SeqCst);
                    queue.task_done();
                }
            })
        });
        queue.join();
        assert_eq!(sum.load(SeqCst), 4950);
        queue.shutdown();
        workers.into_iter().for_each(|task| task.join().unwrap());
    });
}

/// `QueueShutdownTests` (3.13). Of a channel: all senders gone. `shutdown(immediate=True)` is `shutdown_now`.
#[test]
fn shutdown() {
    seeds(|| {
        let queue = Arc::new(PriorityQueue::bounded(2));
        let getting = queue.clone();
        let get = go!(move || getting.get());
        sleep(MS);
        queue.shutdown();
        assert_eq!(get.join().unwrap(), Err(RecvError), "test_shutdown_empty");
        assert_eq!(queue.put(1), Err(SendError(1)));

        let queue = Arc::new(PriorityQueue::bounded(1));
        queue.put(7).unwrap();
        let putting = queue.clone();
        let put = go!(move || putting.put(8));
        sleep(MS);
        queue.shutdown();
        assert_eq!(put.join().unwrap(), Err(SendError(8)), "test_shutdown_putters_deterministic");
        assert_eq!(queue.get(), Ok(7), "test_shutdown_nonempty: what is there is still had");
        assert_eq!(queue.get(), Err(RecvError));
        queue.task_done();
        queue.join();

        let queue = PriorityQueue::unbounded();
        (0..3).for_each(|n| queue.put(n).unwrap());
        assert_eq!(queue.shutdown_now().len(), 3, "test_shutdown_immediate");
        assert_eq!(queue.get(), Err(RecvError));
        queue.join();

        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        drop(sender);
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError)));
    });
}
