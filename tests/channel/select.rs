//! `Select`: its operations, readiness, what an uncompleted operation leaves, and both ends at once.

use crate::common::{
    Drops, everywhere, on, quiet_panics, quiet_panics_that_say, watchdog, workers, yield_until,
};
use layby::channel::{
    Receiver, RecvError, Select, SendError, Sender, TryRecvError, bounded, never, unbounded,
};
use layby::time::Instant;
use layby::{go, testing};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn selects_what_is_ready() {
    (0..20).for_each(|seed| testing::run(seed, one_after_the_other));
}

fn one_after_the_other() {
    let (s, r) = bounded(1);
    let silence = never::<u32>();
    let mut select = Select::new();
    assert!(select.try_select().is_err() && select.try_ready().is_err());
    let (sending, nothing) = (select.send(&s), select.recv(&silence));
    assert_eq!((sending, nothing), (0, 1));
    assert_eq!(select.try_ready(), Ok(sending));
    select.select().send(&s, 1).unwrap();
    assert!(select.try_select().is_err() && select.try_ready().is_err());
    let start = Instant::now();
    assert!(select.select_timeout(5 * MS).is_err() && select.ready_timeout(5 * MS).is_err());
    assert!(select.select_deadline(Instant::now() + 5 * MS).is_err());
    assert!(select.ready_deadline(Instant::now() + 5 * MS).is_err());
    assert_eq!(start.elapsed().as_millis(), 20);
    let receiving = select.recv(&r);
    assert_eq!(receiving, 2);
    let operation = select.try_select().unwrap();
    assert_eq!((operation.index(), operation.recv(&r)), (receiving, Ok(1)));
    drop(r.clone());
    assert_eq!(format!("{select:?}"), "Select { .. }");
}

#[test]
fn what_is_disconnected_is_ready() {
    let (s, r) = unbounded::<u32>();
    let (s2, r2) = unbounded::<u32>();
    drop(s);
    drop(r2);
    let mut select = Select::new();
    let receiving = select.recv(&r);
    assert_eq!(select.ready(), receiving);
    assert_eq!(select.select().recv(&r), Err(RecvError));
    select.remove(receiving);
    assert!(catch_unwind(AssertUnwindSafe(|| select.clone().remove(receiving))).is_err());
    select.send(&s2);
    assert_eq!(select.select().send(&s2, 5), Err(SendError(5)));
}

#[test]
#[should_panic(expected = "no operations have been added")]
fn of_nothing_nothing_can_be_selected() {
    let _ = Select::new().select();
}

#[test]
fn the_choice_is_fair_or_biased() {
    let _watchdog = watchdog(20);
    let (s, r) = unbounded();
    (0..3_000).for_each(|i| s.send(i).unwrap());
    let others: Vec<_> = (0..2).map(|_| r.clone()).collect();
    for (biased, least) in [(false, 200), (true, 0)] {
        let mut select = if biased { Select::new_biased() } else { Select::new() };
        let receivers = [&r, &others[0], &others[1]];
        for r in receivers {
            select.recv(r);
        }
        let mut counts = [0; 3];
        for _ in 0..1_000 {
            let operation = select.select();
            let index = operation.index();
            counts[index] += 1;
            operation.recv(receivers[index]).unwrap();
        }
        assert!(counts.iter().all(|count| *count >= least), "{counts:?}");
        assert!(!biased || counts == [1_000, 0, 0], "{counts:?}");
    }
}

#[test]
fn waiting_operations_of_one_queue_are_chosen_fairly() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (s, r) = bounded(0);
        let sender = go!(move || {
            for _ in 0..400 {
                layby::select! {
                    send(s, 0) -> sent => sent.unwrap(),
                    send(s, 1) -> sent => sent.unwrap(),
                }
            }
        });
        let ones: usize = r.iter().sum();
        assert!((100..300).contains(&ones), "{ones} of 400");
        sender.join().unwrap();
    });
}

#[test]
fn selects_meet_selects() {
    let _watchdog = watchdog(60);
    // Each sends what the other receives, without a buffer, in both directions.
    everywhere(|actors| {
        let ((s1, r1), (s2, r2)) = (bounded(0), bounded(0));
        let exchange = |s: Sender<u32>, r: Receiver<u32>| {
            move || {
                let (mut sent, mut received) = (0, 0);
                while sent < 200 || received < 200 {
                    let (idle_s, idle_r) = (bounded(0), never());
                    let (s, r) =
                        (if sent < 200 { &s } else { &idle_s.0 }, if received < 200 { &r } else { &idle_r });
                    layby::select! {
                        send(s, sent) -> result => { result.unwrap(); sent += 1; }
                        recv(r) -> message => { assert_eq!(message, Ok(received)); received += 1; }
                    }
                }
            }
        };
        let there = actors.start(exchange(s1, r2));
        let here = actors.start(exchange(s2, r1));
        there.join();
        here.join();
    });
}

#[test]
fn polling_meets_a_select() {
    let _watchdog = watchdog(60);
    everywhere(|actors| {
        let (s, r) = bounded(0);
        let sender = actors.start(move || {
            (0..100).for_each(|i| layby::select! { send(s, i) -> sent => sent.unwrap() });
        });
        for i in 0..100 {
            let got = loop {
                match r.try_recv() {
                    Err(TryRecvError::Empty) => layby::yield_now(),
                    got => break got,
                }
            };
            assert_eq!(got, Ok(i));
        }
        sender.join();
    });
}

#[test]
fn a_task_does_not_meet_itself() {
    let _watchdog = watchdog(20);
    for n in workers() {
        on(n, || {
            let (s, r) = bounded(0);
            let both = || {
                layby::select! {
                    send(s, 1) -> _ => Some('s'),
                    recv(r) -> _ => Some('r'),
                    default(5 * MS) => None,
                }
            };
            assert_eq!(both(), None);
            let other = go!({
                let (s, r) = (s.clone(), r.clone());
                move || {
                    layby::select! {
                        send(s, 2) -> _ => 's',
                        recv(r) -> _ => 'r',
                    }
                }
            });
            let mine = loop {
                if let Some(mine) = both() {
                    break mine;
                }
            };
            assert_ne!(mine, other.join().unwrap());
            let mut select = Select::new();
            select.send(&s);
            select.recv(&r);
            assert!(select.ready_timeout(5 * MS).is_err());
        });
    }
}

#[test]
fn ready_tells_all_and_takes_nothing() {
    let _watchdog = watchdog(20);
    everywhere(|actors| {
        let (s, r) = bounded(1);
        let watch = |r: Receiver<u32>| {
            move || {
                let mut select = Select::new();
                select.recv(&r);
                select.ready()
            }
        };
        let watchers: Vec<_> = (0..3).map(|_| actors.start(watch(r.clone()))).collect();
        layby::sleep(MS);
        s.send(1).unwrap();
        watchers.into_iter().for_each(|watcher| assert_eq!(watcher.join(), 0));
        assert_eq!(r.try_recv(), Ok(1));
    });
    // Without a buffer: ready is who has a peer waiting.
    on(1, || {
        let (s, r) = bounded(0);
        let sender = go!({
            let s = s.clone();
            move || s.send(7)
        });
        let mut select = Select::new();
        let (receiving, _) = (select.recv(&r), select.send(&s));
        assert_eq!(select.ready(), receiving);
        assert_eq!(r.try_recv(), Ok(7));
        sender.join().unwrap().unwrap();
    });
}

#[test]
fn uncompleted_it_panics_and_loses_nothing() {
    let _watchdog = watchdog(20);
    quiet_panics_that_say("without completing the operation");
    for n in workers() {
        on(n, || {
            for capacity in [0, 1, 2] {
                let (s, r) = bounded(capacity);
                // A send: the place, or the receiver, is free again.
                let receiver = (capacity == 0).then(|| {
                    let r = r.clone();
                    go!(move || r.recv())
                });
                let dropped = catch_unwind(AssertUnwindSafe(|| {
                    let mut select = Select::new();
                    select.send(&s);
                    drop(select.select());
                }));
                assert!(dropped.is_err());
                s.send(1).unwrap();
                let Some(receiver) = receiver else {
                    // A receive: the message is the next again.
                    let sender = go!({
                        let s = s.clone();
                        move || (2..=4).for_each(|i| s.send(i).unwrap())
                    });
                    layby::yield_now();
                    let dropped = catch_unwind(AssertUnwindSafe(|| {
                        let mut select = Select::new();
                        select.recv(&r);
                        drop(select.select());
                    }));
                    assert!(dropped.is_err());
                    assert_eq!((0..4).map(|_| r.recv().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
                    sender.join().unwrap();
                    continue;
                };
                assert_eq!(receiver.join().unwrap(), Ok(1));
            }
        });
    }
}

#[test]
fn dropped_by_an_unwind_it_is_given_back() {
    let _watchdog = watchdog(20);
    quiet_panics();
    let drops = Drops::new();
    for (s, r) in [bounded(0), bounded(1), unbounded()] {
        let sender = std::thread::spawn({
            let (s, token) = (s.clone(), drops.token());
            move || s.send(token)
        });
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let mut select = Select::new();
            select.recv(&r);
            let _operation = select.select();
            resume_unwind(Box::new("expected"));
        }));
        assert!(unwound.is_err());
        let before = drops.count();
        drop(r.recv_timeout(Duration::from_secs(10)).expect("it was given back"));
        assert_eq!(drops.count(), before + 1);
        sender.join().unwrap().unwrap();
    }
}

#[test]
fn between_select_and_completion_a_task_may_park_and_its_peer_waits() {
    let _watchdog = watchdog(20);
    for seed in 0..50 {
        testing::run(seed, || {
            let (s, r) = bounded(0);
            let receiver = go!(move || r.recv_timeout(Duration::from_secs(1)));
            layby::sleep(MS);
            let mut select = Select::new();
            select.send(&s);
            let operation = select.select();
            // The receiver's time is up meanwhile; but it has been promised a message.
            layby::sleep(Duration::from_secs(10));
            assert!(!receiver.is_finished());
            operation.send(&s, 5).unwrap();
            assert_eq!(receiver.join().unwrap(), Ok(5));
        });
    }
}

#[test]
fn the_wrong_handle_is_refused() {
    quiet_panics_that_say("that was not selected");
    let (s, r) = bounded(1);
    let other = bounded::<u32>(1);
    let mut select = Select::new();
    select.send(&s);
    let operation = select.select();
    assert!(catch_unwind(AssertUnwindSafe(|| operation.send(&other.0, 1))).is_err());
    s.try_send(3).expect("the place was given back");
    assert_eq!(r.recv(), Ok(3));
}

#[test]
fn large_messages_come_through() {
    let _watchdog = watchdog(20);
    everywhere(|actors| {
        let (s, r) = bounded(0);
        let sender = actors.start(move || (0..50_u64).for_each(|i| s.send([i; 100]).unwrap()));
        let silence = never::<u8>();
        for i in 0..50 {
            let mut select = Select::new();
            let (receiving, _) = (select.recv(&r), select.recv(&silence));
            let operation = select.select();
            assert_eq!((operation.index(), operation.recv(&r)), (receiving, Ok([i; 100])));
        }
        sender.join();
    });
}

#[test]
fn a_select_that_waits_leaves_no_node() {
    let _watchdog = watchdog(20);
    on(1, || {
        let (s, r) = bounded::<u32>(0);
        let (s2, r2) = bounded::<u32>(0);
        let selecting = go!(move || {
            layby::select! {
                recv(r) -> message => (1, message, r2),
                recv(r2) -> message => (2, message, r2),
            }
        });
        (0..3).for_each(|_| layby::yield_now());
        s2.send(5).unwrap();
        assert!(s.try_send(1).is_err(), "decided, so nobody waits here");
        let (which, message, _r2) = selecting.join().unwrap();
        assert_eq!((which, message), (2, Ok(5)));
        yield_until(|| s.send_timeout(1, MS).is_err());
    });
}
