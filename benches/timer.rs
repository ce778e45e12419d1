//! What a sleep costs the processor: layby beside tokio, may and OS threads, in one report.
//!
//! So many tasks sleep at once, each for another time of up to 20 ms. What counts is not how long that takes, which the
//! sleeps decide, but the CPU time of the whole process meanwhile (`getrusage`), by sleep: spawn, arming the timer, parking,
//! the wake-up and the end of the task.
//!
//! ```text
//! cargo bench --bench timer
//! ```

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SLEEPERS: [u64; 2] = [100, 10_000];

/// How long the sleeper of that number sleeps: spread evenly, in no order.
fn nap(sleeper: u64) -> Duration {
    Duration::from_micros(sleeper * 7_919 % 20_000)
}

/// The CPU time of this process so far.
fn cpu_time() -> Duration {
    // SAFETY: all zero is a value of this plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes into the struct given.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    assert_eq!(failed, 0, "getrusage: {}", std::io::Error::last_os_error());
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1_000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The CPU time of so many `round`s, after one that is not counted.
fn measured(rounds: u64, mut round: impl FnMut()) -> Duration {
    round();
    let before = cpu_time();
    (0..rounds).for_each(|_| round());
    cpu_time() - before
}

fn timer(c: &mut Criterion) {
    let mut group = c.benchmark_group("timer, CPU time");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    may::config().set_workers(1);
    for sleepers in SLEEPERS {
        group.throughput(Throughput::Elements(sleepers));
        group.bench_function(BenchmarkId::new("layby", sleepers), |b| {
            let runtime = layby::Builder::new().workers(1).build().expect("a runtime");
            let round = || {
                let tasks: Vec<_> = (0..sleepers).map(|i| layby::go!(move || layby::sleep(nap(i)))).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            };
            b.iter_custom(|rounds| runtime.run(|| measured(rounds, round)));
        });
        group.bench_function(BenchmarkId::new("tokio", sleepers), |b| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let round = async || {
                let tasks: Vec<_> = (0..sleepers).map(|i| tokio::spawn(tokio::time::sleep(nap(i)))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            };
            b.iter_custom(|rounds| measured(rounds, || runtime.block_on(round())));
        });
        group.bench_function(BenchmarkId::new("may", sleepers), |b| {
            let round = move || {
                let tasks: Vec<_> =
                    (0..sleepers).map(|i| may::go!(move || may::coroutine::sleep(nap(i)))).collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            };
            b.iter_custom(|rounds| measured(rounds, || may::go!(round).join().unwrap()));
        });
        if sleepers <= 1_000 {
            group.bench_function(BenchmarkId::new("OS threads", sleepers), |b| {
                let round = || {
                    std::thread::scope(|s| {
                        for i in 0..sleepers {
                            s.spawn(move || std::thread::sleep(nap(i)));
                        }
                    });
                };
                b.iter_custom(|rounds| measured(rounds, round));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, timer);
criterion_main!(benches);
