//! `process`, from tasks on one and on several workers and from plain OS threads.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use layby::process::{Command, Stdio};
use layby::{gather, go, testing};

fn everywhere(body: impl Fn()) {
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        common::on(workers, &body);
    }
    body();
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn statuses() {
    everywhere(|| {
        assert!(Command::new("true").status().unwrap().success());
        assert_eq!(sh("exit 7").status().unwrap().code(), Some(7));
        assert_eq!(sh("kill -TERM $$").status().unwrap().signal(), Some(15));
        assert_eq!(Command::new("/no/such/program").spawn().unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn outputs() {
    everywhere(|| {
        let output = sh("echo out; echo err >&2; cat; exit 3").output().unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
        // What was set stays set.
        let output = sh("echo out").stdout(Stdio::null()).output().unwrap();
        assert!(output.stdout.is_empty());
        let mut command = sh("echo again");
        for _ in 0..2 {
            assert_eq!(command.output().unwrap().stdout, b"again\n");
        }
        assert!(format!("{command:?}").contains("\"sh\" \"-c\""));
    });
}

/// Guards: a process that fills one pipe is read, while the other is silent.
#[test]
fn much_on_both_pipes() {
    everywhere(|| {
        let script = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; head -c 9 /dev/zero";
        let output = sh(script).output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_009, 300_000));
    });
}

#[test]
fn through_pipes() {
    everywhere(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let bytes = common::Rng::new(1).bytes(500_000);
        let sent = bytes.clone();
        let writing = go!(move || stdin.write_all(&sent));
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        writing.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        assert!(child.wait().unwrap().success(), "the same again");
        child.kill().unwrap();
        // From one process into the next.
        let mut first = sh("echo hello").stdout(Stdio::piped()).spawn().unwrap();
        let second = Command::new("cat").stdin(first.stdout.take().unwrap()).output().unwrap();
        assert_eq!(second.stdout, b"hello\n");
        first.wait().unwrap();
    });
}

/// Guards: waiting for a process keeps the task, not the worker.
#[test]
fn side_by_side() {
    let _guard = common::watchdog(60);
    common::on(1, || {
        let start = Instant::now();
        let naps = gather((0..8).map(|_| || Command::new("sleep").arg("0.3").status().unwrap().success()));
        assert_eq!(naps, [true; 8]);
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    });
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        layby::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_on_drop_if_asked() {
    everywhere(|| {
        let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
        let process = child.id();
        drop(child);
        wait_until(|| !is_there(process));
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = child.id();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!is_there(process));
    });
}

/// Guards: a cancelled wait leaves the process alone, or takes it along, as was said.
#[test]
fn cancelled_while_it_waits() {
    let _guard = common::watchdog(60);
    for workers in common::workers() {
        common::on(workers, || {
            let (ids, id) = std::sync::mpsc::channel();
            let waiting = go!(move || {
                let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
                ids.send(child.id()).unwrap();
                child.wait().map(drop)
            });
            let mut process = 0;
            wait_until(|| id.try_recv().map(|id| process = id).is_ok());
            assert!(is_there(process));
            waiting.cancel();
            assert!(waiting.join().unwrap_err().is_cancelled());
            wait_until(|| !is_there(process));
        });
    }
}

#[test]
fn in_virtual_time() {
    let _guard = common::watchdog(30);
    testing::run(1, || {
        assert_eq!(sh("sleep 0.05; echo done").output().unwrap().stdout, b"done\n");
    });
}

/// Guards: where no descriptor for a process can be had (here for want of any; before Linux 5.3 always), its end is seen all the
/// same, and the wait keeps the task, not the worker, and can be cancelled.
#[test]
fn without_a_descriptor_of_the_process() {
    let _guard = common::watchdog(60);
    let body = || {
        common::on(1, || {
            let [mut long, mut short] = ["1000", "0.1"]
                .map(|time| Command::new("sleep").arg(time).kill_on_drop(true).spawn().unwrap());
            let others: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
            assert!(std::fs::File::open("/dev/null").is_err());
            let waits = go!(move || {
                let result = layby::timeout(Duration::from_millis(20), || long.wait().map(drop));
                assert!(result.is_err(), "it has ended: {result:?}");
                long.kill().unwrap();
                long.wait().unwrap().signal()
            });
            assert!(short.wait().unwrap().success());
            assert_eq!(waits.join().unwrap(), Some(9));
            drop(others);
        });
    };
    common::in_own_process("without_a_descriptor_of_the_process", body).expect_success();
}
