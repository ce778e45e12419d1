//! Out to threads, and in from threads: `to_thread`, `run_coroutine_threadsafe`.

use layby::{Builder, gather, sleep, unblock};
use std::thread;
use std::time::Duration;

fn blocking(n: u32, main: thread::ThreadId) -> (u32, bool) {
    thread::sleep(Duration::from_millis(20)); // std's: it keeps its thread
    (n * 10, thread::current().id() != main)
}

pub(super) fn run() {
    let main = thread::current().id();
    layby::run(|| {
        let both = gather!(unblock(|| blocking(1, main)), unblock(|| blocking(2, main)));
        println!("{both:?}");
    });
    let runtime = Builder::new().build().expect("some threads");
    let answer = thread::scope(|s| {
        let other_thread = s.spawn(|| {
            let double = |n: u32| {
                sleep(Duration::from_millis(10));
                n * 2
            };
            runtime.spawn(move || double(21)).join().unwrap()
        });
        other_thread.join().unwrap()
    });
    println!("{:?}", [answer]);
}
