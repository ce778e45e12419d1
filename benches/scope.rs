//! What structure costs: layby's `scope` beside tokio's `JoinSet` and std's scoped threads, in one report.
//!
//! *Children*: so many are spawned, each does next to nothing, and all have ended at the end; the time is that of one child.
//! *Borrowed* means that they read a local of the parent: with `JoinSet` they cannot, so they share an `Arc`. *Cancelled*: when all
//! wait, for ever, they are cancelled, and their end is waited for, by `Scope::cancel` or `JoinSet::shutdown`.
//!
//! ```text
//! cargo bench --bench scope
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use tokio::task::JoinSet;

/// Rounds of `children` each, about `total` children in all, and the time scaled to that.
fn timed(total: u64, children: u64, mut round: impl FnMut()) -> Duration {
    let rounds = total.div_ceil(children);
    let start = Instant::now();
    (0..rounds).for_each(|_| round());
    start.elapsed().mul_f64(total as f64 / (rounds * children) as f64)
}

fn row(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    parameter: impl std::fmt::Display,
    mut run: impl FnMut(u64) -> Duration,
) {
    group.bench_function(BenchmarkId::new(name, parameter), |b| b.iter_custom(&mut run));
}

fn layby(workers: usize, children: u64, cancelled: bool) -> impl FnMut(u64) -> Duration {
    let runtime = layby::Builder::new().workers(workers).build().expect("a runtime");
    move |total| {
        runtime.run(|| {
            timed(total, children, || {
                let local = black_box(7_u64);
                let waiting = AtomicU64::new(0);
                layby::scope(|s| {
                    for n in 0..children {
                        let local = &local;
                        match cancelled {
                            true => drop(s.spawn(|| {
                                waiting.fetch_add(1, Relaxed);
                                layby::sleep(Duration::MAX);
                            })),
                            false => drop(s.spawn(move || black_box(*local + n))),
                        }
                    }
                    if cancelled {
                        while waiting.load(Relaxed) < children {
                            layby::yield_now();
                        }
                        s.cancel();
                    }
                });
            })
        })
    }
}

fn tokio(workers: usize, children: u64, cancelled: bool) -> impl FnMut(u64) -> Duration {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers).build().expect("a runtime");
    move |total| {
        timed(total, children, || {
            runtime.block_on(async {
                let shared = Arc::new(AtomicU64::new(0));
                let mut set = JoinSet::new();
                for n in 0..children {
                    let shared = shared.clone();
                    match cancelled {
                        true => drop(set.spawn(async move {
                            shared.fetch_add(1, Relaxed);
                            std::future::pending().await
                        })),
                        false => drop(set.spawn(async move { black_box(shared.load(Relaxed) + n) })),
                    }
                }
                if cancelled {
                    while shared.load(Relaxed) < children {
                        tokio::task::yield_now().await;
                    }
                    set.shutdown().await;
                }
                while set.join_next().await.is_some() {}
            });
        })
    }
}

fn threads(children: u64) -> impl FnMut(u64) -> Duration {
    move |total| {
        timed(total, children, || {
            let local = black_box(7_u64);
            thread::scope(|s| {
                for n in 0..children {
                    let local = &local;
                    s.spawn(move || black_box(*local + n));
                }
            });
        })
    }
}

fn scope(c: &mut Criterion) {
    let mut group = c.benchmark_group("scope");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for workers in [1, 2] {
        for children in [1, 10, 1000] {
            let borrowed = format!("{children} borrowed, {workers} workers");
            row(&mut group, "layby", &borrowed, layby(workers, children, false));
            row(&mut group, "tokio", &borrowed, tokio(workers, children, false));
        }
        let cancelled = format!("1000 cancelled, {workers} workers");
        row(&mut group, "layby", &cancelled, layby(workers, 1000, true));
        row(&mut group, "tokio", &cancelled, tokio(workers, 1000, true));
    }
    row(&mut group, "std, threads", "10 borrowed, all cores", threads(10));
    group.finish();
}

criterion_group!(benches, scope);
criterion_main!(benches);
