//! `sync::mpsc`: what it has beside the channel that it is made of: std's names, errors, `Debug` and auto traits.

use crate::common::{Drops, everywhere, on, watchdog, workers};
use layby::sync::mpsc::{
    self, Receiver, RecvError, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError, TrySendError,
};
use layby::{go, testing};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Either sender.
enum Either<T> {
    Free(Sender<T>),
    Sync(SyncSender<T>),
}

impl<T> Either<T> {
    fn send(&self, t: T) -> Result<(), SendError<T>> {
        match self {
            Either::Free(s) => s.send(t),
            Either::Sync(s) => s.send(t),
        }
    }
}

impl<T> Clone for Either<T> {
    fn clone(&self) -> Either<T> {
        match self {
            Either::Free(s) => Either::Free(s.clone()),
            Either::Sync(s) => Either::Sync(s.clone()),
        }
    }
}

/// One channel of each sort.
fn sorts<T>() -> Vec<(Either<T>, Receiver<T>)> {
    let mut all: Vec<_> = [0, 1, 3, 100].map(mpsc::sync_channel).map(|(s, r)| (Either::Sync(s), r)).into();
    let (s, r) = mpsc::channel();
    all.push((Either::Free(s), r));
    all
}

#[test]
fn every_message_arrives_once_and_in_order() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        for (s, r) in sorts() {
            let senders: Vec<_> = (0..3)
                .map(|sender| {
                    let s = s.clone();
                    actors.start(move || (0..200).for_each(|i| s.send((sender, i)).unwrap()))
                })
                .collect();
            drop(s);
            let got = actors.start(move || r.into_iter().collect::<Vec<(usize, usize)>>()).join();
            senders.into_iter().for_each(crate::common::Actor::join);
            assert_eq!(got.len(), 600);
            for sender in 0..3 {
                assert!(got.iter().filter(|m| m.0 == sender).map(|m| m.1).eq(0..200));
            }
        }
    });
}

#[test]
fn errors_are_stds_and_give_the_message_back() {
    let _watchdog = watchdog(60);
    fn send(result: Result<(), std::sync::mpsc::SendError<u32>>) -> u32 {
        result.unwrap_err().0
    }
    for n in workers() {
        on(n, || {
            let (s, r) = mpsc::channel();
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(r.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
            drop(r);
            assert_eq!(send(s.send(1)), 1);

            let (s, r) = mpsc::sync_channel(1);
            s.send(1).unwrap();
            assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
            let sender = {
                let s = s.clone();
                go!(move || s.send(3))
            };
            drop(r);
            assert_eq!(send(sender.join().unwrap()), 3);
            assert_eq!(s.try_send(4), Err(TrySendError::Disconnected(4)));

            let (s, r) = mpsc::sync_channel(1);
            s.send(1).unwrap();
            drop(s);
            assert_eq!((r.recv(), r.recv()), (Ok(1), Err(RecvError)));
            assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
            assert_eq!(r.recv_timeout(MS), Err(RecvTimeoutError::Disconnected));
        });
    }
}

#[test]
fn iterators_end_where_they_should() {
    let _watchdog = watchdog(60);
    for (s, r) in sorts() {
        let s2 = s.clone();
        let sender = go!(move || (0..3).for_each(|i| s2.send(i).unwrap()));
        let (mut got, mut iter) = (Vec::new(), r.iter());
        while got.len() < 3 {
            got.extend(iter.next());
        }
        assert_eq!(got, [0, 1, 2]);
        sender.join().unwrap();
        assert_eq!(r.try_iter().next(), None);
        drop(s);
        assert_eq!((&r).into_iter().next(), None);
        assert_eq!(r.into_iter().next(), None);
    }
}

#[test]
fn a_message_is_dropped_once() {
    let _watchdog = watchdog(60);
    let drops = Drops::new();
    for (s, r) in sorts() {
        let sending: Vec<_> = (0..5)
            .map(|_| {
                let (s, drops) = (s.clone(), drops.clone());
                go!(move || drop(s.send(drops.token())))
            })
            .collect();
        drop(r.recv());
        drop(r);
        sending.into_iter().for_each(|sending| sending.join().unwrap());
    }
    assert_eq!(drops.count(), 25);
}

#[test]
fn who_is_cancelled_takes_nothing_along() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let (s, r) = mpsc::sync_channel(seed as usize % 3);
            let sent = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let (s, sent) = (s.clone(), sent.clone());
                    go!(move || while s.send(()).is_ok() {
                        // No suspension point between the two.
                        sent.fetch_add(1, SeqCst);
                    })
                })
                .collect();
            drop(s);
            let received = Arc::new(AtomicUsize::new(0));
            let counted = received.clone();
            let r = Arc::new(layby::sync::Mutex::new(r));
            let theirs = r.clone();
            let receiver = go!(move || while theirs.lock().unwrap().recv().is_ok() {
                counted.fetch_add(1, SeqCst);
            });
            for task in &tasks {
                (0..testing::random() % 20).for_each(|_| layby::yield_now());
                task.cancel();
            }
            receiver.cancel();
            drop(receiver.join());
            let left = r.lock().unwrap().iter().count();
            tasks.into_iter().for_each(|task| drop(task.join()));
            assert_eq!(received.load(SeqCst) + left, sent.load(SeqCst), "seed {seed}");
        });
    }
}

#[test]
fn debug_and_traits_are_stds() {
    fn traits<T: Send + UnwindSafe + RefUnwindSafe>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let (ours, std) = (mpsc::channel::<u32>(), std::sync::mpsc::channel::<u32>());
    assert_eq!(format!("{ours:?} {ours:#?}"), format!("{std:?} {std:#?}"));
    let iters = (ours.1.iter(), ours.1.try_iter());
    assert_eq!(format!("{iters:?}"), format!("{:?}", (std.1.iter(), std.1.try_iter())));
    assert_eq!(format!("{:?}", ours.1.into_iter()), format!("{:?}", std.1.into_iter()));
    let (ours, std) = (mpsc::sync_channel::<u32>(1), std::sync::mpsc::sync_channel::<u32>(1));
    assert_eq!(format!("{ours:?} {ours:#?}"), format!("{std:?} {std:#?}"));
    traits(&ours.0);
    traits(&ours.1);
    traits(&std.1);
    sync(&ours.0);
    sync(&mpsc::channel::<std::cell::Cell<u32>>().0);
}
