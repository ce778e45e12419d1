//! Two tasks on one thread of control: `cargo run --example hello`.
#![forbid(unsafe_code)]

use layby::{go, sleep};
use std::time::Duration;

fn main() {
    layby::run(|| {
        let world = go!(|| {
            sleep(Duration::from_millis(100)); // parks this task; its worker goes on with others
            "world"
        });
        print!("hello, ");
        println!("{}!", world.join().unwrap());
    });
}
