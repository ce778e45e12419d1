//! Sending and receiving: the same behaviour for every capacity, by tasks, by threads and by some of each.

use crate::common::{Drops, everywhere, on, watchdog, workers};
use layby::channel::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    bounded, unbounded,
};
use layby::testing;
use layby::time::Instant;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// One channel of each sort.
fn sorts<T>() -> Vec<(Sender<T>, Receiver<T>)> {
    vec![bounded(0), bounded(1), bounded(3), bounded(100), unbounded()]
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
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let r = r.clone();
                    actors.start(move || r.iter().collect::<Vec<(usize, usize)>>())
                })
                .collect();
            senders.into_iter().for_each(crate::common::Actor::join);
            let mut all = Vec::new();
            for receiver in receivers {
                let got = receiver.join();
                // What one receiver has from one sender is in order.
                for sender in 0..3 {
                    let numbers: Vec<_> = got.iter().filter(|m| m.0 == sender).map(|m| m.1).collect();
                    assert!(numbers.is_sorted());
                }
                all.extend(got);
            }
            all.sort_unstable();
            let want: Vec<_> = (0..3).flat_map(|sender| (0..200).map(move |i| (sender, i))).collect();
            assert_eq!(all, want);
            assert_eq!(r.recv(), Err(RecvError));
        }
    });
}

#[test]
fn the_last_sender_and_the_last_receiver_end_all_waits() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        for (s, r) in sorts::<u32>() {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    let r = r.clone();
                    actors.start(move || r.recv())
                })
                .collect();
            layby::sleep(MS);
            drop(s);
            waiting.into_iter().for_each(|waiting| assert_eq!(waiting.join(), Err(RecvError)));
        }
        for capacity in [0, 1, 3] {
            let (s, r) = bounded(capacity);
            (0..capacity).for_each(|i| s.send(i).unwrap());
            let waiting: Vec<_> = (0..4)
                .map(|i| {
                    let s = s.clone();
                    actors.start(move || s.send(100 + i))
                })
                .collect();
            layby::sleep(MS);
            drop(r);
            for (i, waiting) in waiting.into_iter().enumerate() {
                assert_eq!(waiting.join(), Err(SendError(100 + i)));
            }
        }
    });
}

#[test]
fn what_does_not_wait_and_what_waits_in_vain() {
    let _watchdog = watchdog(20);
    let tried = || {
        let (s, r) = bounded(1);
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(r.recv_timeout(MS), Err(RecvTimeoutError::Timeout));
        assert_eq!(s.try_send(1), Ok(()));
        assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
        let start = Instant::now();
        assert_eq!(s.send_timeout(3, 10 * MS), Err(SendTimeoutError::Timeout(3)));
        assert!(start.elapsed() >= 10 * MS);
        assert_eq!(s.send_deadline(4, Instant::now()), Err(SendTimeoutError::Timeout(4)));
        assert_eq!((s.len(), r.len(), s.is_full(), r.is_empty()), (1, 1, true, false));
        drop(s);
        assert_eq!(r.recv_deadline(Instant::now()), Ok(1), "a message is there, whatever the deadline");
        assert_eq!(r.recv_deadline(Instant::now()), Err(RecvTimeoutError::Disconnected));
        assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));

        let (s, r) = bounded::<u32>(0);
        assert_eq!(s.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(s.send_timeout(1, MS), Err(SendTimeoutError::Timeout(1)));
        assert!(s.is_empty() && s.is_full() && r.is_empty() && r.is_full());
        assert_eq!(r.recv_timeout(MS), Err(RecvTimeoutError::Timeout), "who gave up left nothing");
        drop(r);
        assert_eq!(s.try_send(1), Err(TrySendError::Disconnected(1)));
        assert_eq!(s.send_timeout(1, MS), Err(SendTimeoutError::Disconnected(1)));
    };
    tried();
    on(1, tried);
    (0..20).for_each(|seed| testing::run(seed, tried));
}

#[test]
fn a_message_is_dropped_once_wherever_it_is() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        for taken in [0, 1, 50] {
            for (s, r) in sorts() {
                let drops = Drops::new();
                let room = s.capacity().unwrap_or(100);
                let sent = if room == 0 { taken } else { 100 };
                let sender = actors.start({
                    let (s, drops) = (s.clone(), drops.clone());
                    move || (0..sent).take_while(|_| s.send(drops.token()).is_ok()).count()
                });
                (0..taken).for_each(|_| drop(r.recv().unwrap()));
                assert!(drops.count() == taken);
                drop(r);
                let sent = sender.join();
                // All that were sent, and the one that was refused.
                assert!((sent..=sent + 1).contains(&drops.count()), "{} of {sent}", drops.count());
                assert!(s.is_empty());
            }
        }
    });
}

#[test]
fn a_drop_that_panics_drops_none_twice() {
    let _watchdog = watchdog(20);
    crate::common::quiet_panics();
    struct Loud(Option<crate::common::Token>);
    impl Drop for Loud {
        fn drop(&mut self) {
            self.0.take().expect("dropped twice");
            panic!("expected: a message that does not want to go");
        }
    }
    for (s, r) in [bounded(10), unbounded()] {
        let drops = Drops::new();
        (0..5).for_each(|_| s.send(Loud(Some(drops.token()))).unwrap());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(r))).is_err());
        assert!((1..=5).contains(&drops.count()));
        assert!(s.is_empty());
    }
}

#[test]
fn messages_that_are_not_send_stay_on_their_worker() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            for (s, r) in sorts() {
                let sender = layby::spawn_local(move || (0..10).for_each(|i| s.send(Rc::new(i)).unwrap()));
                assert_eq!(r.iter().map(|number| *number).sum::<i32>(), 45);
                sender.join().unwrap();
            }
        });
    }
}

#[test]
fn a_waiting_receiver_is_handed_the_message() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (s, r) = unbounded();
        let waiting = layby::spawn({
            let r = r.clone();
            move || r.recv()
        });
        (0..3).for_each(|_| layby::yield_now());
        s.send(1).unwrap();
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty), "it is the waiting task's, which has not run yet");
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

#[test]
fn large_small_and_empty_messages() {
    let _watchdog = watchdog(20);
    everywhere(|actors| {
        for (s, r) in sorts::<[u64; 200]>() {
            let sender = actors.start(move || (0..40).for_each(|i| s.send([i; 200]).unwrap()));
            r.iter()
                .enumerate()
                .for_each(|(i, message)| assert!(message.iter().all(|word| *word == i as u64)));
            sender.join();
        }
        for (s, r) in sorts::<()>() {
            let sender = actors.start(move || (0..100).for_each(|_| s.send(()).unwrap()));
            assert_eq!(r.iter().count(), 100);
            sender.join();
        }
    });
}

#[test]
fn iterators() {
    let (s, r) = unbounded();
    (0..4).for_each(|i| s.send(i).unwrap());
    assert_eq!(r.try_iter().take(2).collect::<Vec<_>>(), [0, 1]);
    drop(s);
    let mut rest = (&r).into_iter();
    assert_eq!((rest.next(), rest.next(), rest.next(), rest.next()), (Some(2), Some(3), None, None));
    assert_eq!(r.into_iter().count(), 0);
}

#[test]
fn handles_look_and_compare_as_crossbeams() {
    fn traits<T: Send + Sync + UnwindSafe + RefUnwindSafe>(_: &T) {}
    let (s, r) = bounded::<u32>(1);
    traits(&s);
    traits(&r);
    assert_eq!(format!("{s:?} {r:?}"), "Sender { .. } Receiver { .. }");
    assert_eq!(format!("{:?} {:?}", r.iter(), r.try_iter()), "Iter { .. } TryIter { .. }");
    assert!(s.same_channel(&s.clone()) && r.same_channel(&r.clone()));
    let (s2, r2) = bounded::<u32>(1);
    assert!(!s.same_channel(&s2) && !r.same_channel(&r2));
}
