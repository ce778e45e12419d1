//! `select!` beside its rivals: among two channels of which one has a message, and without one.
//!
//! `cargo bench --bench select`. layby in a task and on a plain thread; crossbeam on a plain thread; tokio's and may's `select!` over their mpsc
//! (may's starts a coroutine for each case).

use criterion::{Criterion, criterion_group, criterion_main};
use std::time::Instant;

fn selects(c: &mut Criterion) {
    let mut group = c.benchmark_group("select_of_two");
    let ours = |b: &mut criterion::Bencher<'_>| {
        let ((s, r), (_s2, r2)) = (layby::channel::bounded(1), layby::channel::bounded::<u32>(1));
        b.iter(|| {
            s.send(1).unwrap();
            layby::select! {
                recv(r) -> message => message.unwrap(),
                recv(r2) -> message => message.unwrap(),
            }
        });
    };
    group.bench_function("layby, task", |b| layby::Builder::new().workers(1).run(|| ours(b)));
    group.bench_function("layby, thread", ours);
    group.bench_function("crossbeam, thread", |b| {
        let ((s, r), (_s2, r2)) = (crossbeam_channel::bounded(1), crossbeam_channel::bounded::<u32>(1));
        b.iter(|| {
            s.send(1).unwrap();
            crossbeam_channel::select! {
                recv(r) -> message => message.unwrap(),
                recv(r2) -> message => message.unwrap(),
            }
        });
    });
    group.bench_function("tokio", |b| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (s, mut r) = tokio::sync::mpsc::channel(1);
        let (_s2, mut r2) = tokio::sync::mpsc::channel::<u32>(1);
        b.iter(|| {
            runtime.block_on(async {
                s.send(1).await.unwrap();
                tokio::select! {
                    message = r.recv() => message.unwrap(),
                    message = r2.recv() => message.unwrap(),
                }
            })
        });
    });
    group.bench_function("may", |b| {
        may::config().set_workers(1);
        b.iter_custom(|rounds| {
            let selecting = may::go!(move || {
                let ((s, r), (_s2, r2)) = (may::sync::mpsc::channel(), may::sync::mpsc::channel::<u32>());
                let start = Instant::now();
                for _ in 0..rounds {
                    s.send(1).unwrap();
                    may::select!(message = r.recv() => assert!(message.is_ok()), message = r2.recv() => assert!(message.is_ok()));
                }
                start.elapsed()
            });
            selecting.join().unwrap()
        });
    });
    group.finish();

    let mut group = c.benchmark_group("select_default");
    group.bench_function("layby, thread", |b| {
        let ((_s, r), (_s2, r2)) = (layby::channel::bounded::<u32>(1), layby::channel::bounded::<u32>(1));
        b.iter(|| layby::select! { recv(r) -> _ => true, recv(r2) -> _ => true, default => false });
    });
    group.bench_function("crossbeam, thread", |b| {
        let ((_s, r), (_s2, r2)) =
            (crossbeam_channel::bounded::<u32>(1), crossbeam_channel::bounded::<u32>(1));
        b.iter(
            || crossbeam_channel::select! { recv(r) -> _ => true, recv(r2) -> _ => true, default => false },
        );
    });
    group.finish();

    let mut group = c.benchmark_group("select_that_waits");
    group.bench_function("layby", |b| {
        layby::Builder::new().workers(1).run(|| {
            let ((s, r), (s2, r2)) = (layby::channel::bounded(0), layby::channel::bounded(0));
            let other = layby::go!(move || {
                (0_u32..).find(|i| if i % 2 == 0 { s.send(*i).is_err() } else { s2.send(*i).is_err() });
            });
            b.iter(|| {
                layby::select! {
                    recv(r) -> message => message.unwrap(),
                    recv(r2) -> message => message.unwrap(),
                }
            });
            drop((r, r2));
            other.join().unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, selects);
criterion_main!(benches);
