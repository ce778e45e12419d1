//! Trees of tasks that lock, send, receive, connect, read and write, under random timeouts, cancels and panics, by a seed.
//!
//! What must hold, whatever happens: each message that was sent is received or still there; all permits are there; locks
//! are free, and poisoned only if somebody has panicked under one; each connection that was accepted or made is closed; and the process's
//! descriptors, threads and mappings are back to where they were. `LAYBY_SEED` repeats a run; `STRESS_SEEDS` sets how many there are.

mod common;

use common::{Drops, Process, Rng, Token, alone, is_child, on, quiet_panics, watchdog};
use layby::channel::{Receiver, Sender, bounded};
use layby::net::{TcpListener, TcpStream};
use layby::sync::{Condvar, Mutex, RwLock, Semaphore};
use layby::{race, scope, shield, sleep, task, timeout, try_scope};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const PERMITS: usize = 4;

/// What the tasks of a run share.
struct World {
    mutex: Mutex<usize>,
    changed: Condvar,
    lock: RwLock<[usize; 2]>,
    semaphore: Semaphore,
    channel: (Sender<Token>, Receiver<Token>),
    listener: TcpListener,
    address: SocketAddr,
    /// Additions to the mutex and to both halves of the other lock.
    added: [AtomicUsize; 2],
    panics: AtomicUsize,
    /// Messages that were made, and dropped.
    made: AtomicUsize,
    drops: Drops,
    sent: AtomicUsize,
    got: AtomicUsize,
    /// Bytes that came back.
    echoed: AtomicUsize,
}

impl World {
    fn new() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        World {
            mutex: Mutex::new(0),
            changed: Condvar::new(),
            lock: RwLock::new([0; 2]),
            semaphore: Semaphore::new(PERMITS),
            channel: bounded(2),
            address: listener.local_addr().unwrap(),
            listener,
            added: Default::default(),
            panics: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            drops: Drops::new(),
            sent: AtomicUsize::new(0),
            got: AtomicUsize::new(0),
            echoed: AtomicUsize::new(0),
        }
    }

    /// After all tasks have ended.
    fn check(&self) {
        let quiet = self.panics.load(SeqCst) == 0;
        assert!(!quiet || !self.mutex.is_poisoned() && !self.lock.is_poisoned(), "poisoned by no panic");
        self.mutex.clear_poison();
        self.lock.clear_poison();
        assert_eq!(*self.mutex.try_lock().expect("a free lock"), self.added[0].load(SeqCst));
        assert_eq!(*self.lock.try_write().expect("a free lock"), [self.added[1].load(SeqCst); 2]);
        assert_eq!(self.semaphore.available(), PERMITS, "permits were lost");
        let left = self.channel.1.try_iter().count();
        assert_eq!(self.got.load(SeqCst) + left, self.sent.load(SeqCst), "messages were lost");
        assert_eq!(self.made.load(SeqCst), self.drops.count(), "messages were dropped twice, or never");
    }
}

fn nap(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(300) as u64)
}

/// One thing that may wait. Each may be cut short at any point of it.
fn step(world: &World, rng: &mut Rng) {
    let pause = nap(rng) / 4;
    match rng.below(9) {
        0 => {
            let mut value = world.mutex.lock().unwrap_or_else(PoisonError::into_inner);
            sleep(pause);
            *value += 1;
            world.added[0].fetch_add(1, SeqCst);
            world.changed.notify_one();
        }
        1 => {
            let value = world.mutex.lock().unwrap_or_else(PoisonError::into_inner);
            let before = *value;
            let waited = world.changed.wait_timeout(value, pause).unwrap_or_else(PoisonError::into_inner);
            assert!(*waited.0 >= before);
        }
        2 => {
            let mut value = world.lock.write().unwrap_or_else(PoisonError::into_inner);
            shield(|| {
                value[0] += 1;
                sleep(pause);
                value[1] += 1;
                world.added[1].fetch_add(1, SeqCst);
            });
        }
        3 => {
            let value = world.lock.read().unwrap_or_else(PoisonError::into_inner);
            sleep(pause);
            assert_eq!(value[0], value[1], "an update was cut in two");
        }
        4 => {
            let permits = world.semaphore.acquire(1 + rng.below(PERMITS)).unwrap();
            sleep(pause);
            drop(permits);
        }
        5 => {
            world.made.fetch_add(1, SeqCst);
            let message = world.drops.token();
            world.channel.0.send(message).unwrap();
            world.sent.fetch_add(1, SeqCst);
        }
        6 => {
            let message = world.channel.1.recv().unwrap();
            world.got.fetch_add(1, SeqCst);
            drop(message);
        }
        7 => {
            let mut stream = TcpStream::connect(world.address).expect("the listener is there");
            let length = 1 + rng.below(3000);
            let bytes = rng.bytes(length);
            stream.write_all(&bytes).unwrap();
            let mut answer = vec![0; bytes.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(bytes, answer);
            world.echoed.fetch_add(bytes.len(), SeqCst);
        }
        _ => sleep(pause),
    }
}

/// One task's life.
fn live(world: &World, seed: u64, depth: u32) {
    let rng = &mut Rng::new(seed);
    for _ in 0..2 + rng.below(3) {
        // Nobody waits for ever for a message that no one sends.
        let _ = timeout(nap(rng) * 4, || step(world, rng));
        if depth > 0 && rng.below(2) == 0 {
            structure(world, rng, depth - 1);
        }
    }
    if rng.below(30) == 0 {
        world.panics.fetch_add(1, SeqCst);
        let _guards = (world.mutex.lock(), rng.below(2) == 0);
        panic!("expected: at random");
    }
}

fn structure(world: &World, rng: &mut Rng, depth: u32) {
    let seeds: Vec<u64> = (0..1 + rng.below(3)).map(|_| rng.next()).collect();
    let (kind, limit) = (rng.below(4), nap(rng) * 6);
    let children = || seeds.iter().map(|&seed| move || live(world, seed, depth));
    let run = AssertUnwindSafe(|| match kind {
        0 => {
            let _ = timeout(limit, || scope(|s| children().for_each(|child| drop(s.spawn(child)))));
        }
        1 => scope(|s| {
            children().for_each(|child| drop(s.spawn(child)));
            sleep(limit);
            s.cancel();
        }),
        2 => {
            let _ = try_scope(|s| {
                children().for_each(|child| {
                    s.spawn(move || {
                        child();
                        if depth > 0 { Ok(()) } else { Err(()) }
                    });
                });
                Ok(())
            });
        }
        _ => race(children()),
    });
    if let Err(payload) = catch_unwind(run)
        && task::is_cancellation(&*payload)
    {
        resume_unwind(payload);
    }
}

/// Sends back what each client sends, until it is cancelled.
fn serve(world: &World) {
    scope(|s| {
        loop {
            let (mut stream, _) = world.listener.accept().expect("enough descriptors");
            s.spawn(move || {
                let mut bytes = [0; 512];
                loop {
                    // A client that was cut short hangs up in the midst of something.
                    match stream.read(&mut bytes) {
                        Ok(0) | Err(_) => break,
                        Ok(length) => match stream.write_all(&bytes[..length]) {
                            Err(error) if error.kind() != ErrorKind::Interrupted => break,
                            _ => {}
                        },
                    }
                }
            });
        }
    });
}

/// Returns how many bytes were echoed.
fn storm(seed: u64) -> usize {
    let rng = &mut Rng::new(seed);
    let world = World::new();
    scope(|s| {
        let server = s.spawn(|| serve(&world));
        let trees: Vec<_> = (0..4)
            .map(|_| {
                let seed = rng.next();
                let world = &world;
                s.spawn(move || live(world, seed, 2))
            })
            .collect();
        for tree in trees {
            sleep(nap(rng));
            if rng.below(2) == 0 {
                tree.cancel();
            }
            let _ = tree.join();
        }
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
    });
    world.check();
    world.echoed.load(SeqCst)
}

/// Threads, descriptors and mappings of the process.
fn holdings() -> [usize; 3] {
    let entries = |dir| std::fs::read_dir(dir).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    [entries("/proc/self/task"), entries("/proc/self/fd"), maps]
}

/// In a process of its own: `quiet_panics` takes layby's hook away where a runtime has been before, and other tests have threads.
#[test]
fn nothing_is_lost_and_nothing_is_left() {
    let _watchdog = watchdog(600);
    if !is_child() {
        let seed = std::env::var("LAYBY_SEED").unwrap_or_default();
        let mut command = alone("nothing_is_lost_and_nothing_is_left");
        command.env("WORLD_SEED", seed);
        let child = Process::run(command);
        assert!(child.status.success(), "{}{}", child.stdout, child.stderr);
        return;
    }
    quiet_panics();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("WORLD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STRESS_SEEDS").unwrap_or(40),
    };
    // What is made once, and kept, is there after a first round.
    for workers in 1..=4 {
        on(workers, || storm(u64::MAX));
    }
    let before = holdings();
    let mut echoed = 0;
    for seed in seeds {
        println!("seed {seed}");
        echoed += on(1 + seed as usize % 4, || storm(seed));
        assert_eq!(holdings()[1], before[1], "descriptors are left");
    }
    assert!(echoed > 0, "no tree has talked to the server");
    // A thread that was joined is listed for a moment still. Of mappings, std's allocator may keep some.
    while holdings()[0] > before[0] {
        std::thread::sleep(Duration::from_millis(1));
    }
    let [_, _, mappings] = holdings();
    assert!(mappings <= before[2] + 8, "stacks are left: {mappings} mappings, {} before", before[2]);
}
