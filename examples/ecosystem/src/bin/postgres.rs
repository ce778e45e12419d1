//! PostgreSQL by the blocking crate postgres, through `unblock`: `postgres URL [TASKS]` lets so many tasks (100) ask at
//! once, each for a tenth of a second of the server's time, and prints the sum of the answers and how long all took.
//!
//! The crate opens its own connections and has no seam for ours, so each query runs on the blocking pool; up to
//! sixteen connections, given out by a `Semaphore` (`src/pool.rs`).

#![forbid(unsafe_code)]

use std::time::Instant;

use layby_ecosystem::pool::Pool;
use layby_ecosystem::{Error, arguments};
use postgres::{Client, NoTls};

const USAGE: &str = "postgres URL [TASKS]    (postgres://USER@HOST:PORT/DATABASE; default 100)";

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=2, USAGE)?;
    let url = arguments[0].clone();
    let tasks: i64 = arguments.get(1).map_or(Ok(100), |text| text.parse())?;
    layby::run(|| {
        let begin = Instant::now();
        let pool = Pool::new(16, move || Client::connect(&url, NoTls));
        let answers = layby::try_gather((0..tasks).map(|task| {
            let pool = &pool;
            move || pool.with(|client| client.query_one("SELECT $1::int8, pg_sleep(0.1)", &[&task]))
        }))?;
        let sum: i64 = answers.iter().map(|row| row.get::<_, i64>(0)).sum();
        println!("{sum} in {} ms", begin.elapsed().as_millis());
        Ok(())
    })
}
