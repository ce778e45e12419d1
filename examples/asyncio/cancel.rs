//! `cancel`: the task unwinds from where it waits.

use layby::{go, sleep};
use std::time::Duration;

struct CleanUp;

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("cleaning up"); // it could wait, too
    }
}

pub(super) fn run() {
    layby::run(|| {
        let task = go!(|| {
            let _clean_up = CleanUp;
            println!("working");
            sleep(Duration::from_secs(3600));
        });
        sleep(Duration::from_millis(10));
        task.cancel(); // twice is once; a task that has ended keeps its result
        let error = task.join().unwrap_err();
        println!("main: it was cancelled");
        println!("cancelled: {}", error.is_cancelled());
    });
}
