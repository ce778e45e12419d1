//! Three classic bugs of concurrent programs, each beside its mended version. Run one after the other, none of them shows: it takes
//! a certain order of two steps.

use layby::sync::{Condvar, Mutex};
use layby::{scope, sleep};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A test of one of them; with `true`, of the mended version.
pub(crate) type Test = fn(mended: bool);

/// All three.
pub(crate) const BUGS: [(&str, Test); 3] = [
    ("a lost wake-up", lost_wakeup),
    ("two locks in two orders", lock_order),
    ("a check, then an act", check_then_act),
];

/// Who waits looks at the flag, lets go of the lock, and takes it again to wait: a notification in between wakes nobody.
pub(crate) fn lost_wakeup(mended: bool) {
    let (ready, changed) = (Mutex::new(false), Condvar::new());
    scope(|s| {
        s.spawn(|| {
            if mended {
                drop(changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap());
                return;
            }
            let is_ready = *ready.lock().unwrap();
            if !is_ready {
                drop(changed.wait(ready.lock().unwrap()).unwrap());
            }
        });
        s.spawn(|| {
            *ready.lock().unwrap() = true;
            changed.notify_one();
        });
    });
}

/// Two transfers in opposite directions, each of which locks the account that it takes from first.
pub(crate) fn lock_order(mended: bool) {
    let accounts = [Mutex::new(100), Mutex::new(100)];
    let transfer = |from: usize, to: usize| {
        let first = if mended { from.min(to) } else { from };
        let mut first = (first, accounts[first].lock().unwrap());
        let second = from + to - first.0;
        let mut second = (second, accounts[second].lock().unwrap());
        let (taken, given) =
            if first.0 == from { (&mut first, &mut second) } else { (&mut second, &mut first) };
        *taken.1 -= 10;
        *given.1 += 10;
    };
    scope(|s| {
        s.spawn(|| transfer(0, 1));
        s.spawn(|| transfer(1, 0));
    });
    let [here, there] = accounts.map(|account| account.into_inner().unwrap());
    assert_eq!((here, there), (100, 100));
}

/// Three customers, two seats: each looks whether one is free, pays, and takes it.
pub(crate) fn check_then_act(mended: bool) {
    let free = AtomicU32::new(2);
    let sold = Mutex::new(0);
    let pay = || sleep(Duration::from_millis(20));
    scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let taken = if mended {
                    // Taken first; given back if the payment should fail.
                    let one_less = |free: u32| free.checked_sub(1);
                    free.try_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
                } else {
                    free.load(Ordering::SeqCst) > 0
                };
                if !taken {
                    return;
                }
                pay();
                if !mended {
                    free.fetch_sub(1, Ordering::SeqCst);
                }
                *sold.lock().unwrap() += 1;
            });
        }
    });
    let sold = sold.into_inner().unwrap();
    assert!(sold <= 2, "{sold} tickets for 2 seats");
}
