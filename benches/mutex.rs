//! What a mutex costs: layby's beside std's on threads, tokio's and may's, in one report.
//!
//! *Free*: locked and released by one task that nobody disturbs. *Shared*: 100 tasks (or threads) on one and on two workers, each of
//! which adds one to the same number again and again; the time is that of one addition, from the first to the last. *Held over a
//! switch*: ten tasks of one worker that yield with the lock, so that nearly every lock has to wait; threads are not
//! in that row, since their yield is the kernel's.
//!
//! ```text
//! cargo bench --bench mutex
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};

const SHARERS: usize = 100;
const HOLDERS: usize = 10;

/// So many rounds for each of `tasks`, as near to `total` as that goes, and the time scaled to it.
fn timed(total: u64, tasks: usize, run: impl FnOnce(u64)) -> Duration {
    let rounds = (total / tasks as u64).max(1);
    let start = Instant::now();
    run(rounds);
    start.elapsed().mul_f64(total as f64 / (rounds * tasks as u64) as f64)
}

/// `$lock` again and again, with `$between` while it is held.
macro_rules! add {
    ($rounds:expr, $lock:expr $(, $between:expr)?) => {
        for _ in 0..$rounds {
            let mut value = $lock;
            *value += 1;
            $($between;)?
        }
    };
}

fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    parameter: impl std::fmt::Display,
    mut run: impl FnMut(u64) -> Duration,
) {
    group.bench_function(BenchmarkId::new(name, parameter), |b| b.iter_custom(&mut run));
}

fn layby(workers: usize, tasks: usize, held: bool) -> impl FnMut(u64) -> Duration {
    let rt = layby::Builder::new().workers(workers).build().expect("a runtime");
    move |total| {
        rt.run(|| {
            let value = Arc::new(layby::sync::Mutex::new(0_u64));
            timed(total, tasks, |rounds| {
                let spawn = |_| {
                    let value = value.clone();
                    layby::go!(move || match held {
                        true => add!(rounds, black_box(&value).lock().unwrap(), layby::yield_now()),
                        false => add!(rounds, black_box(&value).lock().unwrap()),
                    })
                };
                let tasks: Vec<_> = (0..tasks).map(spawn).collect();
                tasks.into_iter().for_each(|task| task.join().expect("it only adds"));
            })
        })
    }
}

fn tokio(workers: usize, tasks: usize, held: bool) -> impl FnMut(u64) -> Duration {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let rt = builder.worker_threads(workers).build().expect("a runtime");
    move |total| {
        let value = Arc::new(tokio::sync::Mutex::new(0_u64));
        timed(total, tasks, |rounds| {
            rt.block_on(async {
                let spawn = |_| {
                    let value = value.clone();
                    tokio::spawn(async move {
                        match held {
                            true => {
                                add!(rounds, black_box(&value).lock().await, tokio::task::yield_now().await)
                            }
                            false => add!(rounds, black_box(&value).lock().await),
                        }
                    })
                };
                let tasks: Vec<_> = (0..tasks).map(spawn).collect();
                for task in tasks {
                    task.await.expect("it only adds");
                }
            });
        })
    }
}

fn may(tasks: usize, held: bool) -> impl FnMut(u64) -> Duration {
    move |total| {
        let value = Arc::new(may::sync::Mutex::new(0_u64));
        timed(total, tasks, |rounds| {
            let spawn = |_| {
                let value = value.clone();
                may::go!(move || match held {
                    true => add!(rounds, black_box(&value).lock().unwrap(), may::coroutine::yield_now()),
                    false => add!(rounds, black_box(&value).lock().unwrap()),
                })
            };
            let tasks: Vec<_> = (0..tasks).map(spawn).collect();
            tasks.into_iter().for_each(|task| task.join().expect("it only adds"));
        })
    }
}

fn threads(tasks: usize) -> impl FnMut(u64) -> Duration {
    move |total| {
        let value = std::sync::Mutex::new(0_u64);
        timed(total, tasks, |rounds| {
            thread::scope(|s| {
                for _ in 0..tasks {
                    s.spawn(|| add!(rounds, black_box(&value).lock().unwrap()));
                }
            });
        })
    }
}

fn mutex(c: &mut Criterion) {
    let mut group = c.benchmark_group("mutex");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));

    row(&mut group, "layby", "free", layby(1, 1, false));
    row(&mut group, "std, a thread", "free", threads(1));
    row(&mut group, "tokio", "free", tokio(1, 1, false));
    may::config().set_workers(1);
    row(&mut group, "may", "free", may(1, false));

    row(&mut group, "layby", "held over a switch", layby(1, HOLDERS, true));
    row(&mut group, "tokio", "held over a switch", tokio(1, HOLDERS, true));
    row(&mut group, "may", "held over a switch", may(HOLDERS, true));

    for workers in [1, 2] {
        let shared = format!("shared, {workers} workers");
        row(&mut group, "layby", &shared, layby(workers, SHARERS, false));
        row(&mut group, "tokio", &shared, tokio(workers, SHARERS, false));
    }
    row(&mut group, "may", "shared, 1 workers", may(SHARERS, false));
    row(&mut group, "std, threads", "shared, all cores", threads(SHARERS));
    group.finish();
}

criterion_group!(benches, mutex);
criterion_main!(benches);
