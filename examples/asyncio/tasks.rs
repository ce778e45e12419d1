//! `create_task`, names, results.

use layby::{sleep, task};
use std::time::Duration;

fn square(n: u32) -> u32 {
    println!("begin {n}");
    sleep(n * Duration::from_millis(10));
    println!("end {n}");
    n * n
}

pub(super) fn run() {
    // One worker, as asyncio has one thread: so the lines come in the same order.
    layby::Builder::new().workers(1).run(|| {
        let spawn = |n| task::Builder::new().name(format!("square {n}")).spawn(move || square(n));
        let tasks = [3, 1, 2].map(|n| spawn(n).unwrap());
        println!("created {:?}", tasks.each_ref().map(|task| task.task().name().unwrap().to_owned()));
        println!("done: {}", tasks[0].is_finished());
        let results = tasks.map(|task| task.join().unwrap()); // taken, so it cannot be taken twice
        println!("results {results:?}");
    });
}
