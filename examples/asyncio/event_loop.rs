//! `call_soon`, `call_later`, `call_at`, `run_until_complete`.

use layby::task::{spawn_after, spawn_at};
use layby::{Builder, sleep, spawn};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

pub(super) fn run() {
    let event_loop = Builder::new().workers(1).build().expect("a thread");
    // From here on its worker runs; Python's loop waits for `run_until_complete`.
    event_loop.run(|| {
        spawn(|| println!("soon"));
        layby::yield_now();
        spawn_after(30 * MS, || println!("later"));
        spawn_at(Instant::now() + 10 * MS, || println!("at a time"));
        spawn_after(20 * MS, || println!("never")).cancel();
    });
    let result = event_loop.run(|| {
        println!("main");
        sleep(50 * MS);
        "result"
    });
    println!("{result}");
    println!("{}", event_loop.run(|| "the loop runs again"));
}
