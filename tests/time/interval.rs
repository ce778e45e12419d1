//! `time::interval`, in virtual time; and in real time, on a task and on a thread.

use std::time::Duration;

use layby::testing;
use layby::time::{Instant, MissedTickBehavior, interval, interval_at};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// When the ticks return, in whole seconds from the first, if the task is busy from the second (at 10) until 34.
fn late(behavior: MissedTickBehavior) -> Vec<u64> {
    testing::run(1, || {
        let start = Instant::now();
        let mut ticks = interval(seconds(10));
        ticks.set_missed_tick_behavior(behavior);
        assert_eq!(ticks.missed_tick_behavior(), behavior);
        ticks.tick();
        ticks.tick();
        layby::sleep_until(start + seconds(34));
        (0..5)
            .map(|_| {
                ticks.tick();
                start.elapsed().as_secs()
            })
            .collect()
    })
}

#[test]
fn burst() {
    assert_eq!(late(MissedTickBehavior::Burst), [34, 34, 40, 50, 60]);
}

#[test]
fn delay() {
    assert_eq!(late(MissedTickBehavior::Delay), [34, 44, 54, 64, 74]);
}

#[test]
fn skip() {
    assert_eq!(late(MissedTickBehavior::Skip), [34, 40, 50, 60, 70]);
}

/// Guards: what a tick's work takes does not move the ticks after it.
#[test]
fn no_drift() {
    for seed in 0..5 {
        testing::run(seed, || {
            let start = Instant::now();
            let mut ticks = interval_at(start + seconds(5), seconds(10));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            for (count, due) in ticks.take(100).enumerate() {
                assert_eq!(due - start, seconds(5 + 10 * count as u64));
                layby::sleep(Duration::from_millis(testing::random() % 9_000));
            }
        });
    }
}

#[test]
fn reset_begins_anew() {
    testing::run(1, || {
        let start = Instant::now();
        let mut ticks = interval(seconds(10));
        ticks.tick();
        layby::sleep(seconds(3));
        ticks.reset();
        assert_eq!((ticks.tick() - start).as_secs(), 13);
        assert_eq!((ticks.tick() - start).as_secs(), 23);
        assert_eq!(ticks.period(), seconds(10));
    });
}

#[test]
fn a_cancelled_tick_is_still_to_come() {
    testing::run(1, || {
        let start = Instant::now();
        let ticker = layby::go!(|| interval_at(Instant::now() + seconds(10), seconds(10)).tick());
        layby::sleep(seconds(1));
        ticker.cancel();
        assert!(ticker.join().unwrap_err().is_cancelled());
        assert_eq!(start.elapsed().as_secs(), 1);
    });
}

#[test]
fn real_time() {
    let _guard = crate::common::watchdog(30);
    let body = || {
        let start = std::time::Instant::now();
        interval(Duration::from_millis(5)).take(4).for_each(drop);
        assert!(start.elapsed() >= Duration::from_millis(15));
    };
    crate::common::on(1, body);
    body();
}

#[test]
#[should_panic(expected = "must not be zero")]
fn a_period_of_nothing() {
    let _ = interval(Duration::ZERO);
}
