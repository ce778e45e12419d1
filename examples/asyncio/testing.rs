//! Testing: virtual time, and the order of tasks by a seed.

use layby::time::Instant;
use layby::{sleep, testing};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn poll(mut ready: impl FnMut() -> bool, every: Duration) -> u32 {
    let mut attempts = 1;
    while !ready() {
        sleep(every);
        attempts += 1;
    }
    attempts
}

pub(super) fn run() {
    testing::run(1, || {
        let start = Instant::now();
        let mut answers = [false, false, true].into_iter();
        assert_eq!(poll(|| answers.next().unwrap(), HOUR), 3);
        assert!(start.elapsed() >= 2 * HOUR); // in no time
    });
    println!("tests: 1 failures: 0");
}
