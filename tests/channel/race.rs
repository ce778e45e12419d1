//! Cancellation, timeouts and disconnection at every moment: nothing is lost, and nothing comes twice. By seeds in
//! virtual time, and for real on several workers.

use crate::common::{Drops, Rng, on, watchdog};
use layby::channel::{RecvTimeoutError, Select, SendTimeoutError, after, bounded, select, unbounded};
use layby::{go, testing};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const US: Duration = Duration::from_micros(1);

fn pick(below: u64) -> u64 {
    testing::random() % below
}

#[test]
fn a_cancelled_receiver_takes_nothing_with_it() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        testing::run(seed, || {
            let (s, r) = if seed % 3 == 0 { unbounded() } else { bounded(seed as usize % 3 - 1) };
            let received = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..4)
                .map(|i| {
                    let (r, received) = (r.clone(), received.clone());
                    go!(move || loop {
                        let message = match i {
                            0 | 1 => r.recv().ok(),
                            2 => select! { recv(r) -> message => message.ok(), recv(after(3 * US)) -> _ => None },
                            _ => r.recv_timeout(2 * US).ok(),
                        };
                        // No suspension point between the message and the count.
                        received.fetch_add(usize::from(message.is_some()), SeqCst);
                        if message.is_none() {
                            layby::yield_now();
                        }
                    })
                })
                .collect();
            let sender = go!(move || {
                for i in 0..20 {
                    s.send(i).unwrap();
                    layby::sleep(US * pick(3) as u32);
                }
            });
            for task in &tasks[1..] {
                layby::sleep(US * pick(10) as u32);
                task.cancel();
            }
            sender.join().unwrap();
            layby::sleep(100 * US);
            tasks[0].cancel();
            tasks.into_iter().for_each(|task| assert!(task.join().is_err()));
            let left = r.try_iter().count();
            assert_eq!(received.load(SeqCst) + left, 20, "seed {seed}");
        });
    }
}

#[test]
fn a_cancelled_sender_has_sent_or_not() {
    let _watchdog = watchdog(60);
    for seed in 0..300 {
        let drops = Drops::new();
        testing::run(seed, || {
            let (s, r) = bounded(seed as usize % 3);
            let sent = Arc::new(AtomicUsize::new(0));
            let tasks: Vec<_> = (0..4)
                .map(|i| {
                    let (s, sent, drops) = (s.clone(), sent.clone(), drops.clone());
                    go!(move || loop {
                        let token = drops.token();
                        let done = match i {
                            0 | 1 => s.send(token).is_ok(),
                            2 => select! { send(s, token) -> done => done.is_ok(), default(2 * US) => false },
                            _ => s.send_timeout(token, 2 * US).is_ok(),
                        };
                        sent.fetch_add(usize::from(done), SeqCst);
                        if !done {
                            layby::yield_now();
                        }
                    })
                })
                .collect();
            let mut received = 0;
            for task in &tasks {
                for _ in 0..pick(6) {
                    received += r.recv_timeout(5 * US).iter().count();
                }
                task.cancel();
            }
            tasks.into_iter().for_each(|task| assert!(task.join().is_err()));
            received += r.try_iter().count();
            assert_eq!(received, sent.load(SeqCst), "seed {seed}");
        });
    }
}

#[test]
fn timeouts_against_hand_over() {
    let _watchdog = watchdog(60);
    for workers in [1, 2, 4] {
        on(workers, || {
            for capacity in [0, 1, 4] {
                let (s, r) = bounded(capacity);
                let senders: Vec<_> = (0..3)
                    .map(|i| {
                        let s = s.clone();
                        go!(move || {
                            let mut rng = Rng::new(i);
                            let mut sent = 0_usize;
                            for _ in 0..500 {
                                match s.send_timeout((), US * rng.below(30) as u32) {
                                    Ok(()) => sent += 1,
                                    Err(SendTimeoutError::Timeout(())) => {}
                                    Err(SendTimeoutError::Disconnected(())) => unreachable!(),
                                }
                            }
                            sent
                        })
                    })
                    .collect();
                drop(s);
                let mut rng = Rng::new(9);
                let mut received = 0;
                loop {
                    match r.recv_timeout(US * rng.below(30) as u32) {
                        Ok(()) => received += 1,
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                let sent: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
                assert_eq!(sent, received);
            }
        });
    }
}

#[test]
fn cancelled_between_select_and_completion_gives_back() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let (s, r) = bounded(seed as usize % 2);
            let slow = go!({
                let s = s.clone();
                move || {
                    let mut select = Select::new();
                    select.send(&s);
                    let operation = select.select();
                    layby::sleep(US * pick(4) as u32);
                    operation.send(&s, 1).unwrap();
                    1
                }
            });
            let slow_receiver = go!({
                let r = r.clone();
                move || {
                    let mut select = Select::new();
                    select.recv(&r);
                    let operation = select.select();
                    layby::sleep(US * pick(4) as u32);
                    operation.recv(&r).unwrap()
                }
            });
            let quick = go!(move || s.send(2).unwrap());
            layby::sleep(US * pick(5) as u32);
            slow.cancel();
            layby::sleep(US * pick(3) as u32);
            slow_receiver.cancel();
            let sent = slow.join().unwrap_or(0) + 2;
            let received = slow_receiver.join().unwrap_or(0) + r.iter().sum::<u32>();
            quick.join().unwrap();
            assert_eq!(sent, received, "seed {seed}");
        });
    }
}

#[test]
fn a_cancelled_task_takes_nothing_that_is_there() {
    let _watchdog = watchdog(20);
    testing::run(1, || {
        let (s, r) = unbounded();
        s.send(1).unwrap();
        let task = go!({
            let r = r.clone();
            move || {
                layby::sleep(US);
                r.recv()
            }
        });
        layby::yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(r.try_recv(), Ok(1));
    });
}

#[test]
fn who_gives_up_takes_no_message_of_the_clock() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let r = after(3 * US);
            let tasks: Vec<_> = (0..4)
                .map(|i| {
                    let r = r.clone();
                    go!(move || match i {
                        0 | 1 => r.recv().is_ok(),
                        2 => select! { recv(r) -> at => at.is_ok(), recv(after(2 * US)) -> _ => false },
                        _ => r.recv_timeout(pick(6) as u32 * US).is_ok(),
                    })
                })
                .collect();
            for task in &tasks {
                layby::sleep(pick(3) as u32 * US);
                task.cancel();
            }
            let received = tasks.into_iter().filter_map(|task| task.join().ok()).filter(|got| *got).count();
            layby::sleep(9 * US);
            assert_eq!(received + r.try_iter().count(), 1, "seed {seed}");
        });
    }
}

/// Who only wants to know takes nothing, and keeps nobody from it.
#[test]
fn who_watches_and_gives_up_leaves_all_as_it_is() {
    let _watchdog = watchdog(60);
    for seed in 0..200 {
        testing::run(seed, || {
            let channels = [bounded(1), bounded(seed as usize % 2)];
            let watchers: Vec<_> = (0..3)
                .map(|i| {
                    let [(_, a), (_, b)] = channels.clone();
                    go!(move || {
                        let mut select = Select::new();
                        select.recv(&a);
                        select.recv(&b);
                        match i {
                            0 => select.ready(),
                            _ => select.ready_timeout(pick(5) as u32 * US).unwrap_or(0),
                        }
                    })
                })
                .collect();
            let senders = channels.clone().map(|(s, _)| {
                go!(move || {
                    layby::sleep(pick(5) as u32 * US);
                    s.send(7).unwrap();
                })
            });
            for watcher in &watchers[1..] {
                layby::sleep(pick(4) as u32 * US);
                watcher.cancel();
            }
            let mut went = watchers.into_iter().map(|watcher| watcher.join());
            assert!(went.next().is_some_and(|first| first.unwrap() < 2), "one is ready sometime");
            went.for_each(drop);
            let [(_, a), (_, b)] = &channels;
            assert_eq!((a.recv(), b.recv()), (Ok(7), Ok(7)), "seed {seed}");
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }
}
