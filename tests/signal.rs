//! `signal`. Each test in a process of its own, which the signals are sent to.

mod common;

use std::time::Duration;

use common::in_own_process;
use layby::go;
use layby::signal::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals, ctrl_c};

fn raise(signal: i32) {
    let me = libc::pid_t::try_from(std::process::id()).unwrap();
    // SAFETY: it takes no pointer.
    assert_eq!(unsafe { libc::kill(me, signal) }, 0);
}

#[test]
fn signals_come() {
    let _guard = common::watchdog(30);
    in_own_process("signals_come", || {
        for workers in common::workers() {
            common::on(workers, || {
                let mut signals = Signals::new([SIGUSR1, SIGUSR2, SIGTERM]).unwrap();
                for signal in [SIGTERM, SIGUSR2, SIGUSR1, SIGUSR2] {
                    let sender = go!(move || {
                        layby::sleep(Duration::from_millis(2));
                        raise(signal);
                    });
                    assert_eq!(signals.wait().unwrap(), signal);
                    sender.join().unwrap();
                }
                // Two at once, before anybody waits.
                raise(SIGUSR1);
                raise(SIGTERM);
                let mut both: Vec<i32> = signals.by_ref().take(2).collect();
                both.sort_unstable();
                assert_eq!(both, [SIGUSR1, SIGTERM]);
            });
        }
        // On a thread.
        let mut signals = Signals::new([SIGUSR1]).unwrap();
        let sender = std::thread::spawn(|| raise(SIGUSR1));
        assert_eq!(signals.next(), Some(SIGUSR1));
        sender.join().unwrap();
    })
    .expect_success();
}

#[test]
fn everybody_gets_them() {
    let _guard = common::watchdog(30);
    in_own_process("everybody_gets_them", || {
        common::on(2, || {
            let waiting: Vec<_> = (0..4)
                .map(|_| {
                    let mut signals = Signals::new([SIGUSR1]).unwrap();
                    go!(move || signals.wait().unwrap())
                })
                .collect();
            raise(SIGUSR1);
            for task in waiting {
                assert_eq!(task.join().unwrap(), SIGUSR1);
            }
        });
    })
    .expect_success();
}

#[test]
fn ctrl_c_is_waited_for() {
    let _guard = common::watchdog(30);
    in_own_process("ctrl_c_is_waited_for", || {
        common::on(1, || {
            let pressed = go!(ctrl_c);
            let cancelled = go!(ctrl_c);
            layby::yield_now();
            layby::yield_now();
            cancelled.cancel();
            assert!(cancelled.join().unwrap_err().is_cancelled());
            raise(SIGINT);
            pressed.join().unwrap().unwrap();
            // Nobody waits, and yet it ends nobody.
            raise(SIGINT);
        });
    })
    .expect_success();
}

#[test]
fn no_signal() {
    let _guard = common::watchdog(30);
    assert!(Signals::new([12_345]).is_err());
}
