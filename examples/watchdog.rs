//! Three tasks that keep their worker, and what the watchdog says of them: one computes, one sleeps with its thread, one
//! waits for a lock of std's.
//!
//! `cargo run --example watchdog`

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use layby::{Builder, task};

const LONG: Duration = Duration::from_millis(150);

fn compute() {
    let start = Instant::now();
    while start.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

fn wait_for_a_lock() {
    let (lock, held) = (Mutex::new(()), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let _guard = lock.lock();
            held.wait();
            thread::sleep(LONG);
        });
        held.wait();
        drop(lock.lock()); // blocks the worker, and all of its tasks
    });
}

fn main() {
    let tasks: [(&str, fn()); 3] =
        [("computes", compute), ("sleeps", || thread::sleep(LONG)), ("locks", wait_for_a_lock)];
    Builder::new().workers(1).watchdog(Duration::from_millis(50)).run(|| {
        for (name, body) in tasks {
            let bystander = layby::spawn(layby::yield_now); // has to wait until it is over
            let task = task::Builder::new().name(name.into()).spawn(body).expect("a task");
            task.join().unwrap();
            bystander.join().unwrap();
        }
    });
    println!("all three are done");
}
