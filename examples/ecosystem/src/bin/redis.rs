//! Redis by the blocking crate redis, through `unblock`: `redis URL [TASKS]` lets so many tasks (100) count at once, each
//! with a key that all share and one of its own, and prints the shared count.
//!
//! The crate opens its own connections and has no seam for ours, so each command runs on the blocking pool; up to
//! sixteen connections, given out by a `Semaphore` (`src/pool.rs`).

#![forbid(unsafe_code)]

use layby_ecosystem::pool::Pool;
use layby_ecosystem::{Error, arguments};
use redis::{Client, Connection, RedisResult};

const USAGE: &str = "redis URL [TASKS]    (redis://HOST:PORT/; default 100)";

fn main() -> Result<(), Error> {
    let arguments = arguments(1..=2, USAGE)?;
    let client = Client::open(arguments[0].as_str())?;
    let tasks: u64 = arguments.get(1).map_or(Ok(100), |text| text.parse())?;
    layby::run(|| {
        let pool = Pool::new(16, move || client.get_connection());
        let count = |task| {
            move |connection: &mut Connection| -> RedisResult<u64> {
                redis::pipe()
                    .set(format!("layby:task:{task}"), task)
                    .ignore()
                    .incr("layby:count", 1)
                    .query::<(u64,)>(connection)
                    .map(|(count,)| count)
            }
        };
        let counts = layby::try_gather((0..tasks).map(|task| {
            let pool = &pool;
            move || pool.with(count(task))
        }))?;
        println!("{}", counts.into_iter().max().unwrap_or(0));
        Ok(())
    })
}
