//! Errors are values; a panic comes out of `join`; a failure cancels its siblings where one asks for that.

use layby::task::Failure;
use layby::{gather, go, sleep, try_gather, try_scope};
use std::time::Duration;

#[derive(Debug)]
struct DivisionByZero;

fn divide(a: u32, b: u32) -> Result<u32, DivisionByZero> {
    sleep(Duration::from_millis(10));
    a.checked_div(b).ok_or(DivisionByZero)
}

pub(super) fn run() {
    layby::run(|| {
        match go!(|| divide(1, 0)).join().expect("no panic, and nobody cancels it") {
            Ok(n) => println!("{n}"),
            Err(error) => println!("caught: {error:?}"),
        }
        let (a, b, c) = gather!(divide(6, 3), divide(1, 0), divide(8, 2));
        println!("{:?}", [a, b, c].map(|result| result.map_or_else(|e| format!("{e:?}"), |n| n.to_string())));
        if try_gather!(divide(6, 3), divide(1, 0)).is_err() {
            println!("the first failure goes on");
        }
        let scope = try_scope(|s| {
            s.spawn(|| divide(1, 0));
            s.spawn(|| {
                sleep(Duration::from_secs(3600)); // cancelled
                Ok(0)
            });
            Ok(())
        });
        let failures = scope.unwrap_err().into_iter().map(|failure| match failure {
            Failure::Err(error) => format!("{error:?}"),
            Failure::Panic(panic) => panic.to_string(),
        });
        println!("failures: {:?}", failures.collect::<Vec<_>>());
    });
}
