//! Loom: the lock's byte.

use std::sync::Arc;

use ::loom::cell::UnsafeCell;
use ::loom::thread;

use super::SpinLock;
use crate::util::model::check;

/// Each of two adds one.
///
/// Seen to fail: with Relaxed in `try_take`, in the guard's drop.
#[test]
fn spin_lock_two() {
    check("spin lock: two", 3, || {
        let lock = Arc::new(SpinLock::new(UnsafeCell::new(0)));
        let add_one = |lock: &SpinLock<UnsafeCell<u32>>| {
            lock.lock().with_mut(|value| {
                // SAFETY: the holder's; loom sees to it.
                unsafe { *value += 1 }
            });
        };
        let theirs = lock.clone();
        let other = thread::spawn(move || add_one(&theirs));
        add_one(&lock);
        other.join().unwrap();
        let sum = lock.lock().with(|value| {
            // SAFETY: as above.
            unsafe { *value }
        });
        assert_eq!(sum, 2);
    });
}
