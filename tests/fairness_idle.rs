//! A runtime that has nothing to do wakes never, whatever it has done before.

mod common;

use common::{in_own_process, on, watchdog};
use layby::net::{TcpListener, TcpStream};
use layby::{Builder, task};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// How often each thread of this process has gone to sleep by itself. Not the caller, and not those behind `unblock`,
/// which wait for more work for ten seconds and end then.
fn sleeps() -> BTreeMap<String, u64> {
    let mut sleeps = BTreeMap::new();
    let me = std::fs::read_link("/proc/thread-self").unwrap();
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap();
        if path.file_name() == me.file_name() || name.trim() == "layby-unblock" {
            continue;
        }
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        sleeps.insert(format!("{} {}", path.display(), name.trim()), count.trim().parse().unwrap());
    }
    sleeps
}

/// Tasks that end and tasks that stay, sockets, timers that fire and timers that never do.
fn a_busy_life(idle: &Arc<AtomicUsize>) {
    // More at once than a worker keeps stacks for.
    let tasks: Vec<_> =
        (0..500).map(|n| layby::spawn(move || layby::sleep(Duration::from_micros(n)))).collect();
    tasks.into_iter().for_each(|task| task.join().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = layby::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        for _ in 0..100 {
            stream.write_all(&[1]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        stream
    });
    let (mut server, _) = listener.accept().unwrap();
    for _ in 0..100 {
        server.read_exact(&mut [0]).unwrap();
        server.write_all(&[1]).unwrap();
    }
    let client = client.join().unwrap();
    assert_eq!(layby::unblock(|| 1), 1);
    // Spawned while the spawner computes, so that a watcher looks around.
    let spawned: Vec<_> = (0..50).map(|_| layby::spawn(thread::yield_now)).collect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2) {}
    spawned.into_iter().for_each(|task| task.join().unwrap());
    // What stays: an open connection, one that nobody has made yet, a timer far away, a task without any.
    let stays: [Box<dyn FnOnce() + Send>; 4] = [
        Box::new(move || drop((&server).read(&mut [0]))),
        Box::new(move || drop(listener.accept())),
        Box::new(|| layby::sleep(Duration::from_secs(3600))),
        Box::new(move || {
            task::park();
            drop(client);
        }),
    ];
    for stay in stays {
        let idle = idle.clone();
        drop(layby::spawn(move || {
            idle.fetch_add(1, SeqCst);
            stay();
        }));
    }
}

#[test]
fn an_idle_runtime_wakes_never() {
    let _watchdog = watchdog(60);
    in_own_process("an_idle_runtime_wakes_never", || {
        let _watchdog = watchdog(50);
        let idle = Arc::new(AtomicUsize::new(0));
        // A watchdog sleeps when there is nothing to watch.
        let runtimes = [(1, false), (4, true)]
            .map(|(n, debug)| Builder::new().workers(n).debug_mode(debug).build().unwrap());
        for runtime in &runtimes {
            runtime.run(|| a_busy_life(&idle));
        }
        for n in [1, 4] {
            let idle = idle.clone();
            thread::spawn(move || {
                on(n, || {
                    a_busy_life(&idle);
                    task::park();
                });
            });
        }
        while idle.load(SeqCst) < 16 {
            thread::sleep(Duration::from_millis(1));
        }
        // The stacks of the crowd are given back at the end of the first second or the second one, the last of the
        // short timers was set for a fifth of one, a watcher stops after some milliseconds.
        thread::sleep(Duration::from_millis(2300));
        let before = sleeps();
        assert!(before.len() >= 10, "the workers of four runtimes: {before:?}");
        thread::sleep(Duration::from_secs(1));
        let after = sleeps();
        let woken: Vec<_> =
            after.iter().filter(|(thread, count)| before.get(*thread) != Some(count)).collect();
        assert!(woken.is_empty(), "in a second of nothing to do: {woken:?}, before: {before:?}");
        // All of them are awake as soon as there is something.
        for runtime in &runtimes {
            assert_eq!(runtime.run(|| 5), 5);
        }
        std::process::exit(0);
    })
    .expect_success();
}
