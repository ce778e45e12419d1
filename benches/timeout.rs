//! What a limit costs: layby's `timeout` beside tokio's, in one report.
//!
//! *Nothing inside*: entered and left. *A yield inside*: the body waits once; tokio's deadline gets into the timers only then, layby's always.
//! *A round trip*: a message there and back over channels of one place, with a limit of ten seconds on each receive; *the same,
//! no limit* is what it takes without. *It fires*: a limit of 100 µs that ends a wait; the time above that is the
//! lateness and the unwinding (tokio's clock ticks in milliseconds).
//!
//! layby on one worker, tokio's current-thread runtime: both on the thread that measures.
//!
//! ```text
//! cargo bench --bench timeout
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_micros(100);

/// The time of `$rounds` times `$each`.
macro_rules! timed {
    ($rounds:expr, $each:expr) => {{
        let start = Instant::now();
        for _ in 0..$rounds {
            $each;
        }
        start.elapsed()
    }};
}

fn layby(run: impl Fn(u64) -> Duration + Sync) -> impl FnMut(u64) -> Duration {
    let runtime = layby::Builder::new().workers(1).build().expect("a runtime");
    move |rounds| runtime.run(|| run(rounds))
}

fn tokio<F: Future<Output = Duration>>(run: impl Fn(u64) -> F) -> impl FnMut(u64) -> Duration {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().expect("a runtime");
    move |rounds| runtime.block_on(run(rounds))
}

/// With `limited`, each receive has a limit.
fn layby_round_trips(rounds: u64, limited: bool) -> Duration {
    let ((to, requests), (answers, from)) = (layby::channel::bounded(1), layby::channel::bounded(1));
    let echo = layby::go!(move || requests.iter().for_each(|message: u64| answers.send(message).unwrap()));
    let time = timed!(rounds, {
        to.send(1).unwrap();
        let message = match limited {
            true => layby::timeout(LIMIT, || from.recv()).expect("in time"),
            false => from.recv(),
        };
        black_box(message.unwrap());
    });
    drop(to);
    echo.join().expect("it only answers");
    time
}

async fn tokio_round_trips(rounds: u64, limited: bool) -> Duration {
    let ((to, mut requests), (answers, mut from)) =
        (tokio::sync::mpsc::channel(1), tokio::sync::mpsc::channel(1));
    let echo = tokio::spawn(async move {
        while let Some(message) = requests.recv().await {
            answers.send(message).await.unwrap();
        }
    });
    let time = timed!(rounds, {
        to.send(1_u64).await.unwrap();
        let message = match limited {
            true => tokio::time::timeout(LIMIT, from.recv()).await.expect("in time"),
            false => from.recv().await,
        };
        black_box(message.unwrap());
    });
    drop(to);
    echo.await.expect("it only answers");
    time
}

fn timeout(c: &mut Criterion) {
    let mut group = c.benchmark_group("timeout");
    group.throughput(Throughput::Elements(1));
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    let mut row = |name: &str, run: &mut dyn FnMut(u64) -> Duration| {
        group.bench_function(name, |b| b.iter_custom(&mut *run));
    };

    row(
        "nothing inside/layby",
        &mut layby(|rounds| timed!(rounds, layby::timeout(LIMIT, || black_box(1)).unwrap())),
    );
    row(
        "nothing inside/tokio",
        &mut tokio(async |rounds| {
            timed!(rounds, tokio::time::timeout(LIMIT, async { black_box(1) }).await.unwrap())
        }),
    );
    row(
        "a yield inside/layby",
        &mut layby(|rounds| timed!(rounds, layby::timeout(LIMIT, layby::yield_now).unwrap())),
    );
    row(
        "a yield inside/tokio",
        &mut tokio(async |rounds| {
            timed!(rounds, tokio::time::timeout(LIMIT, tokio::task::yield_now()).await.unwrap())
        }),
    );
    row("a round trip/layby", &mut layby(|rounds| layby_round_trips(rounds, true)));
    row("a round trip/tokio", &mut tokio(|rounds| tokio_round_trips(rounds, true)));
    row("the same, no limit/layby", &mut layby(|rounds| layby_round_trips(rounds, false)));
    row("the same, no limit/tokio", &mut tokio(|rounds| tokio_round_trips(rounds, false)));
    row(
        "it fires/layby",
        &mut layby(|rounds| {
            timed!(rounds, layby::timeout(SHORT, || layby::sleep(Duration::MAX)).unwrap_err())
        }),
    );
    row(
        "it fires/tokio",
        &mut tokio(async |rounds| {
            timed!(rounds, tokio::time::timeout(SHORT, std::future::pending::<()>()).await.unwrap_err())
        }),
    );
    group.finish();
}

criterion_group!(benches, timeout);
criterion_main!(benches);
