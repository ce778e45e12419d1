//! The prime sieve: a chain of tasks, one for each prime, through which the numbers run. Each lets pass what its
//! prime does not divide; what comes out at the end is the next prime.
//!
//!     cargo run --release --example sieve -- 1000

use layby::channel::{Receiver, bounded};
use layby::go;

/// 2, 3, 4, and so on, for as long as anybody listens.
fn numbers() -> Receiver<u64> {
    let (s, r) = bounded(0);
    go!(move || (2..).find(|number| s.send(*number).is_err()));
    r
}

/// Those of `numbers` that `prime` does not divide.
fn without_multiples(numbers: Receiver<u64>, prime: u64) -> Receiver<u64> {
    let (s, r) = bounded(0);
    go!(move || {
        for number in numbers.iter().filter(|number| number % prime != 0) {
            if s.send(number).is_err() {
                return;
            }
        }
    });
    r
}

fn main() {
    let count = match std::env::args().nth(1).map(|n| n.parse::<usize>()) {
        None => 20,
        Some(Ok(count)) => count,
        Some(Err(error)) => {
            eprintln!("usage: sieve [HOW_MANY]: {error}");
            std::process::exit(2);
        }
    };
    layby::run(|| {
        let mut chain = numbers();
        for _ in 0..count {
            let prime = chain.recv().expect("there is always a next number");
            println!("{prime}");
            chain = without_multiples(chain, prime);
        }
        // The receiver goes, so the last task's send fails, its receiver goes, and so on to the first.
    });
}
