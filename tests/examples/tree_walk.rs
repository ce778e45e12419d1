//! `examples/tree_walk` as a newcomer runs it.

use crate::common::{Process, example, watchdog};

#[test]
fn trees_are_walked_and_compared() {
    let _watchdog = watchdog(60);
    let finished = Process::run(example("tree_walk"));
    assert!(finished.status.success(), "{finished:?}");
    assert_eq!(
        finished.stdout,
        "in order: [1, 2, 3, 4, 5, 6, 7]\n\
         a list and a bush of 300: same: true, looked at 300\n\
         without the 5: same: false, looked at 6\n\
         the first ten even ones: 90 in all\n"
    );
    assert_eq!(finished.stderr, "");
}
