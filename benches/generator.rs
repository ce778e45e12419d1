//! What a value from a generator costs: beside corosensei's bare pair, which is the floor, and beside an iterator
//! that needs no stack, which is what the compiler makes of a loop.
//!
//! One value is one resume and the suspend that answers it. `made and …` is a whole life: a stack from the pool, the
//! first value, the end.
//!
//! ```text
//! cargo bench --bench generator
//! ```

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use criterion::{criterion_group, criterion_main};
use layby::generator::{Generator, gen_iter};

type Bare = corosensei::Coroutine<u64, u64, ()>;

fn bare() -> Bare {
    Bare::new(|y, mut sent| {
        while sent < u64::MAX {
            sent = y.suspend(sent);
        }
    })
}

fn numbers() -> Generator<(), u64, ()> {
    gen_iter(|y| {
        for n in 0.. {
            y.suspend(n);
        }
    })
}

/// The same, at the end of so many delegations.
fn delegated(depth: u32) -> Generator<(), u64, ()> {
    if depth == 0 {
        return numbers();
    }
    gen_iter(move |y| y.delegate(delegated(depth - 1), ()))
}

/// What `numbers` is, written by hand.
struct ByHand(u64);

impl Iterator for ByHand {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 += 1;
        Some(self.0 - 1)
    }
}

fn rows(group: &mut BenchmarkGroup<'_, WallTime>, place: &str) {
    let name = |row: &str| format!("layby, {row}{place}");
    group.bench_function(name("resume"), |b| {
        let mut echo = Generator::<u64, u64, ()>::new(|y, mut sent| {
            loop {
                sent = y.suspend(sent);
            }
        });
        b.iter(|| echo.resume(black_box(1)));
    });
    group.bench_function(name("next"), |b| {
        let mut numbers = numbers();
        b.iter(|| numbers.next());
    });
    group.bench_function(name("next, 10 delegations deep"), |b| {
        let mut numbers = delegated(10);
        b.iter(|| numbers.next());
    });
    group.bench_function(name("made and finished"), |b| {
        b.iter(|| gen_iter(|y| y.suspend(black_box(1))).sum::<u64>());
    });
    group.bench_function(name("made and dropped in its midst"), |b| b.iter(|| numbers().next()));
}

fn generator(c: &mut Criterion) {
    let mut group = c.benchmark_group("generator");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));

    group.bench_function("corosensei, bare pair", |b| {
        let mut pair = bare();
        b.iter(|| pair.resume(black_box(1)));
        pair.resume(u64::MAX); // to its end, so that dropping it has nothing to unwind
    });
    group.bench_function("corosensei, made and finished", |b| {
        b.iter(|| {
            let mut pair = bare();
            pair.resume(black_box(1));
            pair.resume(u64::MAX)
        });
    });
    group.bench_function("an iterator by hand", |b| {
        let mut numbers = ByHand(0);
        b.iter(|| black_box(&mut numbers).next());
    });
    rows(&mut group, "");
    layby::Builder::new().workers(1).run(|| rows(&mut group, ", in a task"));
    group.finish();
}

criterion_group!(benches, generator);
criterion_main!(benches);
