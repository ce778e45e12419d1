//! Queues and locks. A channel is the queue; its end, not a `cancel`, ends the workers.

use layby::channel::bounded;
use layby::sync::Mutex;
use layby::{gather, scope, sleep, yield_now};
use std::time::Duration;

pub(super) fn run() {
    layby::run(|| {
        let done = Mutex::new(vec![]);
        let (sender, queue) = bounded(2);
        scope(|s| {
            for _worker in ["a", "b"] {
                s.spawn(|| {
                    for item in &queue {
                        sleep(Duration::from_millis(1));
                        done.lock().unwrap().push(item);
                    }
                });
            }
            (0..6).for_each(|item| sender.send(item).unwrap());
            drop(sender);
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        println!("{done:?}");

        let counter = Mutex::new(0);
        gather((0..10).map(|_| || {
            let mut counter = counter.lock().unwrap();
            let before = *counter;
            yield_now(); // the lock is held over it
            *counter = before + 1;
        }));
        println!("{}", counter.into_inner().unwrap());
    });
}
