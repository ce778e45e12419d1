//! `wait_for`, `timeout`, `shield`.

use layby::{go, sleep, timeout};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn slow() {
    sleep(Duration::from_secs(3600));
}

pub(super) fn run() {
    layby::run(|| {
        if timeout(10 * MS, slow).is_err() {
            println!("too slow");
        }
        let whole = timeout(50 * MS, || {
            sleep(10 * MS);
            println!("in time");
            slow();
        });
        if whole.is_err() {
            println!("too slow as a whole");
        }
        // A task of its own needs no shield: a timeout ends the wait for it, not the task.
        let (done, saved) = layby::channel::bounded(1);
        go!(move || {
            sleep(30 * MS);
            done.send("saved").unwrap();
        });
        if timeout(10 * MS, || saved.recv()).is_err() {
            println!("not waited for, and not cancelled: {}", saved.recv().unwrap());
        }
    });
}
