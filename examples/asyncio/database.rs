//! A database driver that blocks its thread: `unblock`, as `to_thread`.
//!
//! The standard library has no database; a table and a sleep of the *thread* stand for one here. A real driver is called in the same way.

use layby::{gather, unblock};
use std::time::Duration;

struct Table(Vec<(u32, &'static str)>);

impl Table {
    fn id(&self, name: &str) -> Option<u32> {
        std::thread::sleep(Duration::from_millis(5));
        self.0.iter().find(|(_, n)| *n == name).map(|(id, _)| *id)
    }
}

pub(super) fn run() {
    layby::run(|| {
        let users = Table(vec![(1, "ann"), (2, "bob"), (3, "cy")]);
        let query = |name| unblock(|| users.id(name)); // it may borrow
        println!("{:?}", gather!(query("ann"), query("cy"), query("zoe")));
    });
}
