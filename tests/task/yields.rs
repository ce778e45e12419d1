//! `yield_now`: the order, and that nothing starves, on this worker or beside it.

use crate::common::{on, watchdog, workers};
use layby::net::{TcpListener, TcpStream};
use layby::task::{self};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

fn park_until(condition: impl Fn() -> bool) {
    while !condition() {
        task::park();
    }
}

#[test]
fn yield_is_round_robin_on_one_worker() {
    let _watchdog = watchdog(20);
    on(1, || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..5)
            .map(|i| {
                let log = log.clone();
                layby::spawn_local(move || {
                    for round in 0..10 {
                        log.borrow_mut().push((round, i));
                        layby::yield_now();
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let wanted: Vec<_> = (0..10).flat_map(|round| (0..5).map(move |i| (round, i))).collect();
        assert_eq!(*log.borrow(), wanted);
    });
}

#[test]
fn spawned_closures_start_in_order_on_one_worker() {
    let _watchdog = watchdog(20);
    on(1, || {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                let log = log.clone();
                layby::spawn(move || log.lock().unwrap().push(i))
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*log.lock().unwrap(), (0..1000).collect::<Vec<_>>());
    });
}

/// Runs `f` while several tasks of the same worker do nothing but yield.
fn among_yielders(n: usize, f: impl FnOnce()) {
    on(n, || {
        let stop = Arc::new(AtomicBool::new(false));
        let yielders: Vec<_> = (0..8)
            .map(|_| {
                let stop = stop.clone();
                layby::spawn(move || {
                    while !stop.load(SeqCst) {
                        layby::yield_now();
                    }
                })
            })
            .collect();
        layby::yield_now();
        f();
        stop.store(true, SeqCst);
        yielders.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn yielding_starves_no_closure_timer_thread_or_pool() {
    let _watchdog = watchdog(30);
    for n in workers() {
        among_yielders(n, || {
            assert_eq!(layby::spawn(|| 1).join().unwrap(), 1);
            assert_eq!(layby::spawn_local(|| 2).join().unwrap(), 2);
            layby::sleep(Duration::from_millis(3));
            task::park_timeout(Duration::from_millis(3));
            assert_eq!(layby::unblock(|| 3), 3);
            let me = task::current();
            let flag = Arc::new(AtomicBool::new(false));
            let set = flag.clone();
            let thread = std::thread::spawn(move || {
                set.store(true, SeqCst);
                me.unpark();
            });
            park_until(|| flag.load(SeqCst));
            thread.join().unwrap();
        });
    }
}

#[test]
fn yielding_starves_no_socket() {
    let _watchdog = watchdog(30);
    for n in workers() {
        among_yielders(n, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let client = std::thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let mut byte = [0];
                for i in 0..100 {
                    stream.write_all(&[i]).unwrap();
                    stream.read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [i]);
                }
            });
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            for _ in 0..100 {
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(&byte).unwrap();
            }
            client.join().unwrap();
        });
    }
}

#[test]
fn busy_sockets_and_fresh_closures_starve_nobody() {
    let _watchdog = watchdog(30);
    for n in workers() {
        on(n, || {
            let stop = Arc::new(AtomicBool::new(false));
            // A pair whose I/O is nearly always ready.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            let flag = stop.clone();
            let writer =
                layby::spawn(move || while !flag.load(SeqCst) && client.write_all(&[1; 512]).is_ok() {});
            let reader = layby::spawn(move || {
                let mut buffer = [0; 512];
                while server.read(&mut buffer).unwrap() > 0 {}
            });
            // Closures that spawn the next one, for ever.
            fn again(stop: Arc<AtomicBool>) {
                if !stop.load(SeqCst) {
                    drop(layby::spawn(move || again(stop)));
                }
            }
            again(stop.clone());
            for _ in 0..20 {
                layby::sleep(Duration::from_millis(1));
                layby::yield_now();
                assert_eq!(layby::spawn(|| 1).join().unwrap(), 1);
            }
            stop.store(true, SeqCst);
            writer.join().unwrap();
            reader.join().unwrap();
        });
    }
}

/// An idle worker takes closures from one that computes on, each time. (Guards the wake-up of the watcher.)
#[test]
fn a_busy_worker_lets_no_closure_rot() {
    let _watchdog = watchdog(60);
    on(2, || {
        let spawner = || {
            for _ in 0..3000 {
                let flag = Arc::new(AtomicBool::new(false));
                let set = flag.clone();
                drop(layby::spawn(move || set.store(true, SeqCst)));
                while !flag.load(SeqCst) {
                    std::hint::spin_loop(); // keeps the worker
                }
            }
        };
        spawner(); // on worker 0
        let started = Arc::new(AtomicBool::new(false));
        let flag = started.clone();
        let task = layby::spawn(move || {
            flag.store(true, SeqCst);
            spawner(); // on worker 1, since worker 0 is kept until it has begun
        });
        while !started.load(SeqCst) {
            std::hint::spin_loop();
        }
        task.join().unwrap();
    });
}
