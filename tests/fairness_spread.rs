//! Where closures start when there is a choice: computing tasks use all workers, connections are spread evenly.

mod common;

use common::{descriptors, on, watchdog};
use layby::net::{TcpListener, TcpStream};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// What keeps a worker, without an end that the clock decides.
fn compute_until(condition: impl Fn() -> bool) {
    while !condition() {
        // The machine may have fewer processors than there are workers.
        thread::yield_now();
    }
}

/// As many closures as there are workers, none of which ends before all have begun: each needs a worker of its own.
#[test]
fn computing_tasks_use_every_worker() {
    let _watchdog = watchdog(30);
    for n in [2, 4] {
        on(n, || {
            for _ in 0..50 {
                let begun = Arc::new(AtomicUsize::new(0));
                let tasks: Vec<_> = (0..n)
                    .map(|_| {
                        let begun = begun.clone();
                        layby::spawn(move || {
                            begun.fetch_add(1, SeqCst);
                            compute_until(|| begun.load(SeqCst) == n);
                            thread::current().id()
                        })
                    })
                    .collect();
                let ran_on: HashSet<ThreadId> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
                assert_eq!(ran_on.len(), n);
            }
        });
    }
}

/// The same while the one that spawned them computes and keeps its worker.
#[test]
fn computing_tasks_use_every_other_worker_while_their_spawner_computes() {
    let _watchdog = watchdog(30);
    for n in [2, 4] {
        on(n, || {
            for _ in 0..50 {
                let begun = Arc::new(AtomicUsize::new(0));
                let ended = Arc::new(AtomicUsize::new(0));
                // More than one for each: a worker that is through takes the next.
                for _ in 0..3 * (n - 1) {
                    let (begun, ended) = (begun.clone(), ended.clone());
                    drop(layby::spawn(move || {
                        begun.fetch_add(1, SeqCst);
                        compute_until(|| begun.load(SeqCst) >= n - 1);
                        ended.fetch_add(1, SeqCst);
                    }));
                }
                compute_until(|| ended.load(SeqCst) == 3 * (n - 1));
            }
        });
    }
}

/// A task that spawns without end and never waits keeps its own worker, but its closures start on the other one.
#[test]
fn closures_of_an_endless_spawner_start_elsewhere() {
    let _watchdog = watchdog(30);
    on(2, || {
        let ran = Arc::new(AtomicUsize::new(0));
        while ran.load(SeqCst) < 20_000 {
            let ran = ran.clone();
            drop(layby::spawn(move || ran.fetch_add(1, SeqCst)));
        }
    });
}

/// A crowd of short computations, spawned at once: the workers share them while the spawner waits, and while it does not.
#[test]
fn a_crowd_of_computations_is_shared() {
    let _watchdog = watchdog(30);
    for spawner_computes in [false, true] {
        on(2, || {
            let spawner = thread::current().id();
            let ran: Arc<Mutex<HashMap<ThreadId, u32>>> = Arc::default();
            let tasks: Vec<_> = (0..200)
                .map(|_| {
                    let ran = ran.clone();
                    layby::spawn(move || {
                        let start = Instant::now();
                        while start.elapsed() < Duration::from_micros(500) {}
                        *ran.lock().unwrap().entry(thread::current().id()).or_default() += 1;
                    })
                })
                .collect();
            if spawner_computes {
                // Until the other worker has done a part that it can only have taken away.
                compute_until(|| ran.lock().unwrap().values().sum::<u32>() >= 50);
                assert!(!ran.lock().unwrap().contains_key(&spawner));
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let ran = ran.lock().unwrap();
            assert_eq!((ran.len(), ran.values().sum::<u32>()), (2, 200), "{ran:?}");
            assert!(ran.values().all(|&count| count >= 20), "{ran:?}");
        });
    }
}

/// How many of `count` connections each of two workers has, from clients that are no tasks.
fn accept(count: usize, clients: impl FnOnce(std::net::SocketAddr) + Send + 'static) -> Vec<usize> {
    on(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || clients(address));
        let serve = |mut stream: TcpStream| {
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() > 0 {
                stream.write_all(&byte).unwrap();
            }
            thread::current().id()
        };
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                layby::spawn(move || serve(stream))
            })
            .collect();
        let mut on: HashMap<ThreadId, usize> = HashMap::new();
        for task in tasks {
            *on.entry(task.join().unwrap()).or_default() += 1;
        }
        layby::unblock(|| clients.join().unwrap());
        on.into_values().collect()
    })
}

#[track_caller]
fn is_even(on: &[usize], count: usize) {
    assert_eq!((on.len(), on.iter().sum::<usize>()), (2, count), "{on:?}");
    let part = count * 45 / 100..=count * 55 / 100;
    assert!(on.iter().all(|n| part.contains(n)), "connections by worker: {on:?}");
}

const CONNECTIONS: usize = 1000;

fn connections() -> usize {
    if descriptors(2 * CONNECTIONS as u64 + 200) { CONNECTIONS } else { 400 }
}

/// All connect as fast as they can, and then speak.
#[test]
fn connections_that_come_in_a_crowd_are_spread() {
    let _watchdog = watchdog(60);
    let count = connections();
    let on = accept(count, move |address| {
        let mut all: Vec<_> = (0..count).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        all.iter_mut().for_each(|stream| stream.write_all(&[1]).unwrap());
        all.iter_mut().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
    });
    is_even(&on, count);
}

/// One after the other, each served before the next one comes.
#[test]
fn connections_that_come_one_by_one_are_spread() {
    let _watchdog = watchdog(60);
    let count = connections();
    let on = accept(count, move |address| {
        let connect = |_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&[1]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        };
        drop((0..count).map(connect).collect::<Vec<_>>());
    });
    is_even(&on, count);
}

/// While the old ones are busy, from several threads.
#[test]
fn connections_that_come_beside_traffic_are_spread() {
    let _watchdog = watchdog(60);
    let count = connections();
    let on = accept(count, move |address| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let mut all: Vec<std::net::TcpStream> = Vec::new();
                    for _ in 0..count / 4 {
                        all.push(std::net::TcpStream::connect(address).unwrap());
                        let recent = all.len().saturating_sub(10);
                        for stream in &mut all[recent..] {
                            stream.write_all(&[1]).unwrap();
                        }
                        for stream in &mut all[recent..] {
                            stream.read_exact(&mut [0]).unwrap();
                        }
                    }
                    all
                })
            })
            .collect();
        drop(threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>());
    });
    is_even(&on, count);
}
