//! SQLite by rusqlite, through `unblock`: `sqlite FILE [TASKS]` lets so many tasks (100) count in a table, at once, and
//! prints the sum.
//!
//! SQLite reads and locks files, and blocks its thread; so each use of a connection runs on the blocking pool. Up to
//! eight connections, given out by a `Semaphore` (`src/pool.rs`).

#![forbid(unsafe_code)]

use std::time::Duration;

use layby_ecosystem::pool::Pool;
use layby_ecosystem::{Error, arguments};
use rusqlite::Connection;

const USAGE: &str = "sqlite FILE [TASKS]    (default 100)";

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=2, USAGE)?;
    let file = arguments[0].clone();
    let tasks: i64 = arguments.get(1).map_or(Ok(100), |text| text.parse())?;
    layby::run(|| {
        let pool = Pool::new(8, move || {
            let connection = Connection::open(&file)?;
            connection.busy_timeout(Duration::from_secs(30))?; // there is one writer at a time
            Ok::<_, rusqlite::Error>(connection)
        });
        pool.with(|connection| {
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
                 CREATE TABLE IF NOT EXISTS counted (task INTEGER NOT NULL)",
            )
        })?;
        layby::try_gather((0..tasks).map(|task| {
            let pool = &pool;
            move || pool.with(|connection| connection.execute("INSERT INTO counted VALUES (?1)", [task]))
        }))?;
        let sum: i64 = pool
            .with(|connection| connection.query_row("SELECT sum(task) FROM counted", [], |row| row.get(0)))?;
        println!("{sum}");
        Ok(())
    })
}
