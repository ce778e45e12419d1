//! Context variables: task-locals that children inherit.

use layby::{gather, go, sleep, task_local};
use std::cell::Cell;
use std::time::Duration;

task_local! {
    #[inherit]
    static REQUEST: Cell<u32> = const { Cell::new(0) };
}

fn log(text: &str) {
    println!("request {}: {text}", REQUEST.get());
}

fn handle(number: u32) {
    REQUEST.set(number);
    sleep(number * Duration::from_millis(10));
    go!(|| log("from a child")).join().unwrap();
}

pub(super) fn run() {
    layby::run(|| {
        gather!(handle(1), handle(2));
        log("main's own");
    });
}
