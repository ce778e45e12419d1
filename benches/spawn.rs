//! What a task costs from its spawn to its join: layby beside tokio, may and OS threads, in one report.
//!
//! *One at a time*: spawned, and joined at once. *A batch*: so many spawned, then all joined; the time is that of one. Of two
//! workers, layby's and tokio's, the spawner is a task of one. (may's stacks come from a pool of 100 by default; beyond it, each
//! is mapped and unmapped.)
//!
//! ```text
//! cargo bench --bench spawn
//! ```

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// One at a time, and two batches.
const TASKS: [u64; 3] = [1, 1_000, 10_000];
const WORKERS: [usize; 2] = [1, 2];

/// `$spawn` for each number to `$tasks`, then `$join` for each handle.
macro_rules! batch {
    ($tasks:expr, $spawn:expr, |$handle:ident| $join:expr) => {{
        let handles: Vec<_> = (0..$tasks).map($spawn).collect();
        let mut sum = 0_u64;
        for $handle in handles {
            sum += $join;
        }
        assert_eq!(sum, $tasks * ($tasks - 1) / 2);
    }};
}

fn spawn(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for tasks in TASKS {
        group.throughput(Throughput::Elements(tasks));
        for workers in WORKERS {
            group.bench_function(BenchmarkId::new(format!("layby, {workers} w"), tasks), |b| {
                let runtime = layby::Builder::new().workers(workers).build().expect("a runtime");
                runtime
                    .run(|| b.iter(|| batch!(tasks, |i| layby::go!(move || i), |task| task.join().unwrap())));
            });
        }
        for workers in WORKERS {
            group.bench_function(BenchmarkId::new(format!("tokio, {workers} w"), tasks), |b| {
                let runtime = match workers {
                    1 => tokio::runtime::Builder::new_current_thread().build(),
                    _ => tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build(),
                }
                .expect("a runtime");
                b.iter_custom(|rounds| {
                    // In a task, as layby's: `block_on` itself is no worker of tokio's.
                    let root = async move {
                        let start = Instant::now();
                        for _ in 0..rounds {
                            batch!(tasks, |i| tokio::spawn(async move { i }), |task| task.await.unwrap());
                        }
                        start.elapsed()
                    };
                    runtime.block_on(async { tokio::spawn(root).await.unwrap() })
                });
            });
        }
        may::config().set_workers(1);
        group.bench_function(BenchmarkId::new("may, 1 w", tasks), |b| {
            b.iter_custom(|rounds| {
                let root = move || {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        batch!(tasks, |i| may::go!(move || i), |task| task.join().unwrap());
                    }
                    start.elapsed()
                };
                may::go!(root).join().unwrap()
            });
        });
        if tasks <= 1_000 {
            group.bench_function(BenchmarkId::new("OS threads", tasks), |b| {
                b.iter(|| batch!(tasks, |i| std::thread::spawn(move || i), |thread| thread.join().unwrap()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, spawn);
criterion_main!(benches);
