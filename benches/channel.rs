//! Channels beside their rivals: a message there and back, and a stream through a buffer.
//!
//! `cargo bench --bench channel`. layby on one worker; tokio's current-thread runtime; may on one worker; crossbeam between
//! two OS threads, which is what one would have without tasks.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::thread;
use std::time::Instant;

/// Messages a round.
const MESSAGES: u64 = 1_000;

fn round_trips(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel_round_trip");
    group.throughput(Throughput::Elements(MESSAGES));
    for capacity in [0, 1] {
        group.bench_function(BenchmarkId::new("layby", capacity), |b| {
            layby::Builder::new().workers(1).run(|| {
                let ((s1, r1), (s2, r2)) =
                    (layby::channel::bounded(capacity), layby::channel::bounded(capacity));
                let echo = layby::go!(move || r1.iter().for_each(|m| s2.send(m).unwrap()));
                b.iter(|| {
                    for i in 0..MESSAGES {
                        s1.send(i).unwrap();
                        assert_eq!(r2.recv(), Ok(i));
                    }
                });
                drop(s1);
                echo.join().unwrap();
            });
        });
        group.bench_function(BenchmarkId::new("crossbeam, threads", capacity), |b| {
            let ((s1, r1), (s2, r2)) =
                (crossbeam_channel::bounded(capacity), crossbeam_channel::bounded(capacity));
            let echo = thread::spawn(move || r1.iter().for_each(|m| s2.send(m).unwrap()));
            b.iter(|| {
                for i in 0..MESSAGES {
                    s1.send(i).unwrap();
                    assert_eq!(r2.recv(), Ok(i));
                }
            });
            drop(s1);
            echo.join().unwrap();
        });
    }
    group.bench_function(BenchmarkId::new("tokio", 1), |b| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        b.iter(|| {
            runtime.block_on(async {
                let ((s1, mut r1), (s2, mut r2)) =
                    (tokio::sync::mpsc::channel(1), tokio::sync::mpsc::channel(1));
                tokio::spawn(async move {
                    while let Some(m) = r1.recv().await {
                        s2.send(m).await.unwrap();
                    }
                });
                for i in 0..MESSAGES {
                    s1.send(i).await.unwrap();
                    assert_eq!(r2.recv().await, Some(i));
                }
            });
        });
    });
    group.bench_function(BenchmarkId::new("may", "unbounded"), |b| {
        may::config().set_workers(1);
        b.iter_custom(|rounds| {
            let ((s1, r1), (s2, r2)) = (may::sync::mpsc::channel(), may::sync::mpsc::channel());
            let echo = may::go!(move || r1.iter().for_each(|m| s2.send(m).unwrap()));
            let asker = may::go!(move || {
                let start = Instant::now();
                for i in 0..rounds * MESSAGES {
                    s1.send(i).unwrap();
                    assert_eq!(r2.recv(), Ok(i));
                }
                start.elapsed()
            });
            let took = asker.join().unwrap();
            echo.join().unwrap();
            took
        });
    });
    group.finish();
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel_stream_100");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("layby", |b| {
        layby::Builder::new().workers(1).run(|| {
            let (s, r) = layby::channel::bounded(100);
            b.iter(|| {
                let s = s.clone();
                layby::go!(move || (0..MESSAGES).for_each(|i| s.send(i).unwrap()));
                (0..MESSAGES).for_each(|i| assert_eq!(r.recv(), Ok(i)));
            });
        });
    });
    group.bench_function("crossbeam, threads", |b| {
        let (s, r) = crossbeam_channel::bounded(100);
        let (go_s, go_r) = crossbeam_channel::bounded(1);
        let sender = thread::spawn(move || {
            go_r.iter().for_each(|()| (0..MESSAGES).for_each(|i| s.send(i).unwrap()));
        });
        b.iter(|| {
            go_s.send(()).unwrap();
            (0..MESSAGES).for_each(|i| assert_eq!(r.recv(), Ok(i)));
        });
        drop(go_s);
        sender.join().unwrap();
    });
    group.bench_function("may", |b| {
        may::config().set_workers(1);
        b.iter(|| {
            let (s, r) = may::sync::mpsc::channel();
            // SAFETY: neither closure keeps a reference to thread-local state over a wait.
            let sender =
                unsafe { may::coroutine::spawn(move || (0..MESSAGES).for_each(|i| s.send(i).unwrap())) };
            // SAFETY: as above.
            let receiver = unsafe {
                may::coroutine::spawn(move || (0..MESSAGES).for_each(|i| assert_eq!(r.recv(), Ok(i))))
            };
            sender.join().unwrap();
            receiver.join().unwrap();
        });
    });
    group.bench_function("tokio", |b| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        b.iter(|| {
            runtime.block_on(async {
                let (s, mut r) = tokio::sync::mpsc::channel(100);
                tokio::spawn(async move {
                    for i in 0..MESSAGES {
                        s.send(i).await.unwrap();
                    }
                });
                for i in 0..MESSAGES {
                    assert_eq!(r.recv().await, Some(i));
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, round_trips, streams);
criterion_main!(benches);
