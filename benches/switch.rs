//! What a switch costs: layby beside corosensei's bare pair, tokio, may and OS threads, in one report.
//!
//! A *switch* is control passing from one task to the next: a yield, with everything that the
//! runtime does in between. For corosensei alone it is one resume and the suspend that answers it,
//! the floor for whoever is built on it. For OS threads it is one hand-over through a pipe, half of
//! a round trip.
//!
//! Every runtime has one worker, and all of them drive the same [`Ring`]: n tasks that do nothing
//! but yield. The last to come up is the leader. It alone looks at the clock, and between two
//! samples it waits with its worker, so the ring stands still; making the tasks and touching their
//! stacks for the first time lie outside of the samples.
//!
//! ```text
//! cargo bench                     # all rows
//! cargo bench -- 'switch/layby'   # some of them
//! ```

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};

/// How many tasks pass control round: the smallest ring, one that fits the caches, one that does not.
const TASKS: [usize; 3] = [2, 1_000, 30_000];

/// n tasks that yield until the leader says that it is over.
struct Ring {
    tasks: usize,
    up: AtomicUsize,
    over: AtomicBool,
    /// Of all tasks. One worker runs them all, so a load and a store count exactly, and cost
    /// next to nothing. (tokio's order is no strict round: 1,000 laps of one task are not 1,000 of each.)
    yields: AtomicU64,
    /// Taken by the leader.
    orders: Mutex<Option<Orders>>,
}

/// What the leader is told, and its answers. When the other end is gone, the ring is over.
struct Orders {
    laps: Receiver<u64>,
    done: Sender<Sample>,
}

struct Sample {
    took: Duration,
    /// How many yields happened meanwhile.
    yields: u64,
    /// How many of them were the leader's.
    laps: u64,
}

impl Ring {
    /// Says to the calling task, which has just come up, whether it leads.
    fn join_in(&self) -> Option<Orders> {
        let last = self.up.fetch_add(1, Relaxed) + 1 == self.tasks;
        if last { self.orders.lock().expect("no panic inside").take() } else { None }
    }

    fn count(&self) {
        self.yields.store(self.yields.load(Relaxed) + 1, Relaxed);
    }
}

impl Sample {
    /// The time of that many switches at the measured rate.
    fn scaled_to(&self, switches: u64, tasks: usize) -> Duration {
        // A yield that returns to its own task has not switched, and must not count as one.
        let share = self.yields as f64 / self.laps as f64 / tasks as f64;
        assert!(self.laps < 100 || (0.5..2.0).contains(&share), "each lap took {share} x {tasks} yields");
        self.took.mul_f64(switches as f64 / self.yields as f64)
    }
}

/// What each task of a [`Ring`] does. `$yield` is the runtime's own, written out in place of a
/// call through a closure, because that is how a program would have it.
macro_rules! go_round {
    ($ring:expr, $yield:expr) => {{
        let ring = $ring;
        if let Some(orders) = ring.join_in() {
            while let Ok(laps) = orders.laps.recv() {
                let before = ring.yields.load(Relaxed);
                let start = Instant::now();
                for _ in 0..laps {
                    ring.count();
                    $yield;
                }
                let took = start.elapsed();
                let yields = ring.yields.load(Relaxed) - before;
                orders.done.send(Sample { took, yields, laps }).expect("the row waits for it");
            }
            ring.over.store(true, Relaxed);
        } else {
            while !ring.over.load(Relaxed) {
                ring.count();
                $yield;
            }
        }
    }};
}

/// One row of the report: `host` brings up the ring in some runtime and returns when it is over.
fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    tasks: usize,
    host: impl FnOnce(Arc<Ring>) + Send,
) {
    let (laps, laps_to_do) = channel();
    let (done, samples) = channel();
    let ring = Arc::new(Ring {
        tasks,
        up: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        yields: AtomicU64::new(0),
        orders: Mutex::new(Some(Orders { laps: laps_to_do, done })),
    });
    thread::scope(|scope| {
        let hosted = scope.spawn(|| host(ring));
        group.bench_function(BenchmarkId::new(name, tasks), |bencher| {
            bencher.iter_custom(|switches| {
                laps.send((switches / tasks as u64).max(1)).expect("the leader waits for it");
                samples.recv().expect("the leader's sample").scaled_to(switches, tasks)
            });
        });
        drop(laps);
        hosted.join().expect("the tasks only yield");
    });
}

fn layby(rt: &layby::Runtime, ring: Arc<Ring>) {
    rt.run(|| {
        let spawn = |_| {
            let ring = ring.clone();
            layby::go!(move || go_round!(&ring, layby::yield_now()))
        };
        let handles: Vec<_> = (0..ring.tasks).map(spawn).collect();
        for handle in handles {
            handle.join().expect("the task only yields");
        }
    });
}

fn tokio(rt: &tokio::runtime::Runtime, ring: Arc<Ring>) {
    rt.block_on(async {
        let spawn = |_| {
            let ring = ring.clone();
            tokio::spawn(async move { go_round!(&ring, tokio::task::yield_now().await) })
        };
        let handles: Vec<_> = (0..ring.tasks).map(spawn).collect();
        for handle in handles {
            handle.await.expect("the task only yields");
        }
    });
}

fn may(ring: Arc<Ring>) {
    let root = move || {
        let spawn = |_| {
            let ring = ring.clone();
            may::go!(move || go_round!(&ring, may::coroutine::yield_now()))
        };
        let handles: Vec<_> = (0..ring.tasks).map(spawn).collect();
        for handle in handles {
            handle.join().expect("the task only yields");
        }
    };
    may::go!(root).join().expect("the root only joins");
}

/// corosensei and nothing else: the floor.
fn corosensei(switches: u64) -> Duration {
    let mut pair = corosensei::Coroutine::new(|yielder: &corosensei::Yielder<bool, ()>, mut go_on| {
        while go_on {
            go_on = yielder.suspend(());
        }
    });
    pair.resume(true);
    let start = Instant::now();
    for _ in 0..switches {
        pair.resume(true);
    }
    let took = start.elapsed();
    pair.resume(false); // to its end, so that dropping it has nothing to unwind
    took
}

/// Two threads, two pipes, one byte. `pinned`: both on one CPU, where each hand-over is one switch
/// of that CPU. Otherwise the kernel may spread them, and wakes an idle core each time.
fn os_threads(switches: u64, pinned: bool) -> Duration {
    let laps = (switches / 2).max(1);
    let measure = move || {
        if pinned {
            pin_to_one_cpu();
        }
        let (mut from_here, mut to_there) = std::io::pipe().expect("a pipe");
        let (mut from_there, mut to_here) = std::io::pipe().expect("a pipe");
        let there = thread::spawn(move || {
            let mut byte = [0];
            while from_here.read(&mut byte).expect("the other end") == 1 {
                to_here.write_all(&byte).expect("the other end");
            }
        });
        let mut byte = [0];
        let mut lap = || {
            to_there.write_all(&byte).expect("the other end");
            from_there.read_exact(&mut byte).expect("the other end");
        };
        lap(); // the thread is up
        let start = Instant::now();
        for _ in 0..laps {
            lap();
        }
        let took = start.elapsed();
        drop(to_there);
        there.join().expect("the thread only echoes");
        took
    };
    // On a thread of its own, so that the affinity dies with it.
    let took = thread::spawn(measure).join().expect("the thread only measures");
    took.mul_f64(switches as f64 / (2 * laps) as f64)
}

/// Keeps the calling thread, and those it starts, on the CPU that it runs on now.
fn pin_to_one_cpu() {
    // SAFETY: takes nothing; -1 (not known) is looked at below.
    let cpu = unsafe { libc::sched_getcpu() };
    let cpu = usize::try_from(cpu).expect("the kernel knows on which CPU this runs");
    let mut set = [0u64; 16]; // 1,024 CPUs, as cpu_set_t has
    set[cpu / 64] |= 1 << (cpu % 64);
    // SAFETY: the mask is as long as said, and is only read.
    let failed = unsafe { libc::sched_setaffinity(0, size_of_val(&set), set.as_ptr().cast()) };
    assert_eq!(failed, 0, "pinning: {}", std::io::Error::last_os_error());
}

fn switch(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20);
    group.warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(3));

    group.bench_function("corosensei, bare pair", |b| b.iter_custom(corosensei));
    for tasks in TASKS {
        row(&mut group, "layby", tasks, |ring| {
            let rt = layby::Builder::new().workers(1).build().expect("a runtime");
            layby(&rt, ring);
        });
    }
    for tasks in TASKS {
        row(&mut group, "tokio current_thread", tasks, |ring| {
            let rt = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            tokio(&rt, ring);
        });
    }
    may::config().set_workers(1);
    for tasks in TASKS {
        row(&mut group, "may", tasks, may);
    }
    for (cpus, pinned) in [("both on one CPU", true), ("not pinned", false)] {
        let id = BenchmarkId::new("OS threads, pipe", cpus);
        group.bench_function(id, |b| b.iter_custom(|switches| os_threads(switches, pinned)));
    }
    group.finish();
}

criterion_group!(benches, switch);
criterion_main!(benches);
