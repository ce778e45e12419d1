//! `gather`, `as_completed`, `wait`.

use layby::task::as_completed;
use layby::{gather, sleep};
use std::time::{Duration, Instant};

fn fetch(name: &str, millis: u64) -> String {
    sleep(Duration::from_millis(millis));
    println!("fetched {name}");
    name.to_uppercase()
}

pub(super) fn run() {
    layby::run(|| {
        let start = Instant::now();
        let (a, b, c) = gather!(fetch("a", 60), fetch("b", 20), fetch("c", 40));
        println!("{:?}", [a, b, c]);
        println!("together, not one after the other: {}", start.elapsed() < Duration::from_millis(120));
        for first in as_completed([("d", 40), ("e", 20)].map(|(name, millis)| move || fetch(name, millis))) {
            println!("next: {}", first.unwrap());
        }
        let tasks = [("f", 20), ("g", 40), ("h", 60)].map(|(name, millis)| move || fetch(name, millis));
        let mut tasks = as_completed(tasks);
        let done = tasks.wait_until(|_| true);
        println!("done {} pending {}", done.len(), tasks.len());
        println!("done {} pending 0", tasks.join_all().len());
    });
}
