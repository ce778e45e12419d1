//! Loads that never let their worker rest, each beside others of the same worker: a task, closures that have not
//! started, timers, sockets and wakes from other threads. The bounds are those of docs/fairness.md, and counted in turns.

mod common;

use common::{OnDrop, on, watchdog, workers, yield_until};
use layby::net::{TcpListener, TcpStream};
use layby::task::{self, Task};
use layby::{JoinHandle, channel, spawn_local, yield_now};
use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Operations that need not wait, before a task lets others go first.
const BUDGET: u64 = 128;
/// How many closures the burst spawns in one turn.
const BURST: u64 = 50;

/// A load that runs: when to stop, and what it has done so far.
#[derive(Clone, Default)]
struct Load(Arc<State>);

#[derive(Default)]
struct State {
    stop: AtomicBool,
    done: AtomicU64,
}

impl Load {
    /// Counts an operation. False: that was enough.
    fn goes_on(&self) -> bool {
        self.0.done.fetch_add(1, SeqCst);
        !self.0.stop.load(SeqCst)
    }

    fn done(&self) -> u64 {
        self.0.done.load(SeqCst)
    }
}

/// Each test keeps a worker busy, and counts; beside another it would count the kernel's time slices, too.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Both ends of a connection in one hand: what is written is there to be read.
fn ready_sockets(load: Load) -> Vec<JoinHandle<()>> {
    let (mut near, mut far) = pair();
    vec![spawn_local(move || {
        while load.goes_on() {
            near.write_all(&[1]).unwrap();
            far.read_exact(&mut [0]).unwrap();
        }
    })]
}

/// A writer and a reader, each of which hardly ever waits.
fn streaming_sockets(load: Load) -> Vec<JoinHandle<()>> {
    let (mut near, mut far) = pair();
    let writer = load.clone();
    vec![
        spawn_local(move || while writer.goes_on() && near.write_all(&[1; 64]).is_ok() {}),
        spawn_local(move || while far.read(&mut [0; 64]).unwrap() > 0 && load.goes_on() {}),
    ]
}

/// Two tasks that unpark each other.
fn ping_pong(load: Load) -> Vec<JoinHandle<()>> {
    let first: Rc<Cell<Option<Task>>> = Rc::default();
    let (there, mine) = (first.clone(), load.clone());
    let second = spawn_local(move || {
        let first = loop {
            match there.take() {
                Some(first) => break first,
                None => yield_now(),
            }
        };
        while mine.goes_on() {
            first.unpark();
            task::park();
        }
        first.unpark();
    });
    let other = second.task();
    let starter = spawn_local(move || {
        first.set(Some(task::current()));
        while load.goes_on() {
            other.unpark();
            task::park();
        }
        other.unpark();
    });
    vec![starter, second]
}

/// A task that finds its token each time it parks.
fn own_token(load: Load) -> Vec<JoinHandle<()>> {
    vec![spawn_local(move || {
        while load.goes_on() {
            task::current().unpark();
            task::park();
        }
    })]
}

/// As many tokens as a thread can leave.
fn tokens_from_a_thread(load: Load) -> Vec<JoinHandle<()>> {
    let stop = load.clone();
    let parking = spawn_local(move || {
        while load.goes_on() {
            task::park();
        }
    });
    let task = parking.task();
    let thread = std::thread::spawn(move || {
        while !stop.0.stop.load(SeqCst) {
            task.unpark();
        }
        task.unpark();
    });
    vec![parking, spawn_local(move || layby::unblock(|| thread.join().unwrap()))]
}

/// A task that only sends, and need not ever wait. (Messages without a size: there will be millions.)
fn only_sends(load: Load) -> Vec<JoinHandle<()>> {
    let (s, r) = channel::unbounded();
    vec![spawn_local(move || {
        while load.goes_on() {
            s.send(()).unwrap();
        }
        drop(r);
    })]
}

/// A task that finds in its channel what it has just sent.
fn own_messages(load: Load) -> Vec<JoinHandle<()>> {
    let (s, r) = channel::bounded(1);
    vec![spawn_local(move || {
        while load.goes_on() {
            s.send(1).unwrap();
            r.recv().unwrap();
        }
    })]
}

/// A task that asks for what is not there, and does not wait.
fn asks_in_vain(load: Load) -> Vec<JoinHandle<()>> {
    let (_s, r) = channel::bounded::<()>(0);
    vec![spawn_local(move || {
        while load.goes_on() {
            r.try_recv().unwrap_err();
        }
    })]
}

/// A task that selects among what is always ready, and among what never is.
fn ready_selects(load: Load) -> Vec<JoinHandle<()>> {
    let (ready, never) = (channel::tick(Duration::ZERO), channel::never::<()>());
    vec![spawn_local(move || {
        while load.goes_on() {
            channel::select! {
                recv(ready) -> _ => {}
                recv(never) -> _ => unreachable!(),
            }
            channel::select! {
                recv(never) -> _ => unreachable!(),
                default => {}
            }
        }
    })]
}

fn yields(load: Load) -> Vec<JoinHandle<()>> {
    vec![spawn_local(move || {
        while load.goes_on() {
            yield_now();
        }
    })]
}

/// While one of them runs, the time of the other comes: the worker has nothing to do, looks at the clock, and has.
fn short_sleeps(load: Load) -> Vec<JoinHandle<()>> {
    let sleeper = |load: Load| {
        spawn_local(move || {
            while load.goes_on() {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(10) {}
                layby::sleep(Duration::from_nanos(1));
            }
        })
    };
    vec![sleeper(load.clone()), sleeper(load)]
}

/// Each task spawns the next. (Local ones: on several workers the others would be taken away.)
fn spawn_chain(load: Load) -> Vec<JoinHandle<()>> {
    fn next(load: Load, end: Task) {
        if load.goes_on() {
            drop(spawn_local(move || next(load, end)));
        } else {
            end.unpark();
        }
    }
    let over = load.clone();
    let waits = spawn_local(move || {
        while !over.0.stop.load(SeqCst) {
            task::park();
        }
    });
    next(load, waits.task());
    vec![waits]
}

/// The same with closures that may start anywhere.
fn free_spawn_chain(load: Load) -> Vec<JoinHandle<()>> {
    fn next(load: Load) {
        if load.goes_on() {
            drop(layby::spawn(move || next(load)));
        }
    }
    next(load);
    vec![]
}

/// One task spawns without end, a crowd each turn.
fn spawn_bursts(load: Load) -> Vec<JoinHandle<()>> {
    vec![spawn_local(move || {
        while load.goes_on() {
            (0..BURST).for_each(|_| drop(layby::spawn(|| ())));
            yield_now();
        }
    })]
}

struct Kind {
    name: &'static str,
    start: fn(Load) -> Vec<JoinHandle<()>>,
    /// How many operations it does at most between two turns of another task of its worker.
    most: u64,
    /// Its closures may go to another worker that is idle.
    wanders: bool,
}

/// One operation more than the budget allows fits into a turn: the one that begins it.
const KINDS: [Kind; 14] = [
    Kind { name: "ready sockets", start: ready_sockets, most: BUDGET / 2 + 1, wanders: false },
    Kind { name: "streaming sockets", start: streaming_sockets, most: 2 * (BUDGET + 1), wanders: false },
    Kind { name: "ping-pong", start: ping_pong, most: 2, wanders: false },
    Kind { name: "own token", start: own_token, most: BUDGET + 1, wanders: false },
    Kind { name: "tokens from a thread", start: tokens_from_a_thread, most: BUDGET + 1, wanders: false },
    Kind { name: "only sends", start: only_sends, most: BUDGET + 1, wanders: false },
    Kind { name: "own messages", start: own_messages, most: BUDGET / 2 + 1, wanders: false },
    Kind { name: "asks in vain", start: asks_in_vain, most: BUDGET + 1, wanders: false },
    Kind { name: "ready selects", start: ready_selects, most: BUDGET / 2 + 1, wanders: false },
    Kind { name: "yields", start: yields, most: 1, wanders: false },
    Kind { name: "short sleeps", start: short_sleeps, most: 2, wanders: false },
    Kind { name: "spawn chain", start: spawn_chain, most: 1, wanders: false },
    Kind { name: "free spawn chain", start: free_spawn_chain, most: 1, wanders: true },
    Kind { name: "spawn bursts", start: spawn_bursts, most: 1, wanders: false },
];

/// Calls `victim` beside each load, on the same worker, of one and of several. It gets what the load may do in a turn,
/// if that can be counted, and the load.
fn beside_each_load(victim: impl Fn(Option<u64>, &Load)) {
    for n in workers() {
        for kind in &KINDS {
            let _name = OnDrop(|| {
                if std::thread::panicking() {
                    eprintln!("beside {:?}, with {n} workers", kind.name);
                }
            });
            on(n, || {
                let load = Load::default();
                let tasks = (kind.start)(load.clone());
                // Until it runs at full speed.
                yield_until(|| load.done() >= 1000);
                victim((n == 1 || !kind.wanders).then_some(kind.most), &load);
                load.0.stop.store(true, SeqCst);
                for task in tasks {
                    task.task().unpark();
                    task.join().unwrap();
                }
            });
        }
    }
}

/// How much the load does while `f` runs, on the same worker.
fn done_meanwhile(load: &Load, f: impl FnOnce()) -> u64 {
    let before = load.done();
    f();
    load.done() - before
}

#[test]
fn a_ready_task_waits_for_one_turn_of_each_other() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    beside_each_load(|most, load| {
        let done = (0..150).map(|_| done_meanwhile(load, yield_now)).max();
        if let Some(most) = most {
            assert!(done <= Some(most), "{done:?} operations between two turns; {most} are allowed");
        }
    });
}

/// One that may start elsewhere waits for the rest of this round, for the turns of the next one, and for the closures
/// that came before; one that may not is a ready task like any other. And as much again until its end is seen here.
#[test]
fn a_closure_starts_in_the_next_round() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    beside_each_load(|most, load| {
        for _ in 0..30 {
            let local = done_meanwhile(load, || {
                let load = load.clone();
                spawn_local(move || drop(load)).join().unwrap();
            });
            let alone = std::thread::current().id();
            let mut elsewhere = false;
            let free = done_meanwhile(load, || {
                elsewhere = layby::spawn(|| std::thread::current().id()).join().unwrap() != alone;
            });
            if let Some(most) = most {
                assert!(
                    local <= 2 * most,
                    "{local} operations until a local closure had run; {most} in a turn"
                );
                assert!(elsewhere || free <= 3 * most, "{free} until a free one had run; {most} in a turn");
            }
        }
    });
}

/// One that spawns more in each turn than a round starts at least: the queue grows until a round starts as many, and
/// no further.
#[test]
fn a_closure_starts_however_many_another_spawns() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    on(1, || {
        let load = Load::default();
        let spawner = load.clone();
        let spawner = spawn_local(move || {
            while spawner.goes_on() {
                (0..200).for_each(|_| drop(layby::spawn(|| ())));
                yield_now();
            }
        });
        yield_until(|| load.done() >= 500);
        let turns = done_meanwhile(&load, || layby::spawn(|| ()).join().unwrap());
        load.0.stop.store(true, SeqCst);
        spawner.join().unwrap();
        assert!(turns <= 300, "{turns} turns of the spawner");
    });
}

/// The least lateness of some, since the machine may do other things, and far less than that of a starved one.
#[test]
fn a_timer_fires() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    beside_each_load(|_, _| {
        let late = |wait: fn(Duration)| {
            let start = Instant::now();
            wait(Duration::from_millis(1));
            start.elapsed().saturating_sub(Duration::from_millis(1))
        };
        let least = (0..4).map(|_| late(layby::sleep)).min();
        assert!(least < Some(Duration::from_millis(10)), "the least late of some sleeps was {least:?} late");
        let least = (0..4).map(|_| late(task::park_timeout)).min();
        assert!(least < Some(Duration::from_millis(10)), "the least late of some parks was {least:?} late");
    });
}

/// A peer that is no task sends only when it was answered, so each byte is a wait for the kernel. What the load did
/// meanwhile, by round trip.
fn round_trips(load: &Load) -> Vec<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        for i in 0..30 {
            stream.write_all(&[i]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
    });
    let (mut stream, _) = listener.accept().unwrap();
    let mut trip = |i| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [i]);
        stream.write_all(&byte).unwrap();
    };
    let done = (0..30).map(|i| done_meanwhile(load, || trip(i))).collect();
    layby::unblock(|| peer.join().unwrap());
    done
}

#[test]
fn a_socket_is_served() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    beside_each_load(|_, load| drop(round_trips(load)));
}

/// Guards: a worker that had nothing but due timers, each time it looked, never asked the kernel, but when chance made
/// one of its slices long.
#[test]
fn timers_leave_time_for_the_kernel() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            let load = Load::default();
            let tasks = short_sleeps(load.clone());
            yield_until(|| load.done() >= 1000);
            let done = round_trips(&load);
            // An operation takes 10 µs at least, and the kernel is asked every 100 µs or so. The peer takes time, too.
            assert!(done.iter().sum::<u64>() < 6000, "by round trip, with {n} workers: {done:?}");
            load.0.stop.store(true, SeqCst);
            tasks.into_iter().for_each(|task| task.join().unwrap());
        });
    }
}

#[test]
fn a_wake_from_a_thread_arrives() {
    let _one = one_at_a_time();
    let _watchdog = watchdog(60);
    beside_each_load(|_, _| {
        let (me, turn) = (task::current(), Arc::new(AtomicU64::new(0)));
        let theirs = turn.clone();
        let thread = std::thread::spawn(move || {
            for i in 0..30 {
                while theirs.load(SeqCst) != 2 * i {
                    std::thread::yield_now();
                }
                theirs.fetch_add(1, SeqCst);
                me.unpark();
            }
        });
        for i in 0..30 {
            while turn.load(SeqCst) != 2 * i + 1 {
                task::park();
            }
            turn.fetch_add(1, SeqCst);
        }
        layby::unblock(|| thread.join().unwrap());
    });
}
