//! Standard input, as a process of its own sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use layby::go;
use layby::io::stdin;

/// The calling test again, in a process with that standard input.
fn child(test: &str, input: Stdio) -> Child {
    crate::common::alone(test).stdin(input).stdout(Stdio::piped()).spawn().unwrap()
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

fn blocks() -> bool {
    // SAFETY: it takes no pointer.
    unsafe { libc::fcntl(0, libc::F_GETFL) & libc::O_NONBLOCK == 0 }
}

#[test]
fn lines_from_a_pipe() {
    let _guard = crate::common::watchdog(30);
    if crate::common::is_child() {
        crate::common::on(1, || {
            let others = go!(|| layby::sleep(std::time::Duration::from_millis(1)));
            let mut line = String::new();
            assert_eq!(stdin().read_line(&mut line).unwrap(), 4);
            assert_eq!(line, "one\n");
            assert!(blocks(), "the mode is shared with other processes");
            others.join().unwrap();
            println!("<{}>", stdin().lines().map(Result::unwrap).collect::<Vec<_>>().join("|"));
            assert_eq!(stdin().read(&mut [0; 8]).unwrap(), 0);
        });
        return;
    }
    let mut child = child("lines_from_a_pipe", Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    for piece in ["on", "e\ntw", "o\r\n\nlast"] {
        input.write_all(piece.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(input);
    assert!(said(child).contains("<two||last>"));
}

/// Guards: lines that came in one piece reach all who wait for one, tasks and threads.
#[test]
fn a_line_for_each() {
    let _guard = crate::common::watchdog(30);
    const READERS: usize = 8;
    if crate::common::is_child() {
        static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let read = || {
            let mut line = String::new();
            stdin().read_line(&mut line).unwrap();
            SEEN.lock().unwrap().push(line.trim().to_owned());
        };
        crate::common::on(2, || {
            let cancelled = go!(|| stdin().read_line(&mut String::new()).unwrap());
            let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(read)).collect();
            let tasks: Vec<_> = (2..READERS).map(|_| go!(read)).collect();
            cancelled.cancel();
            assert!(cancelled.join().unwrap_err().is_cancelled());
            println!("ready");
            tasks.into_iter().for_each(|task| task.join().unwrap());
            layby::unblock(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
        });
        let mut seen = SEEN.lock().unwrap();
        seen.sort();
        println!("<{}>", seen.join(","));
        return;
    }
    let mut child = child("a_line_for_each", Stdio::piped());
    let mut out = [0; 1];
    let mut text = String::new();
    while !text.contains("ready") {
        child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
        text.push(out[0].into());
    }
    child.stdin.take().unwrap().write_all(b"a\nb\nc\nd\ne\nf\ng\nh\n").unwrap();
    assert!(said(child).contains("<a,b,c,d,e,f,g,h>"));
}

#[test]
fn files_and_nothing() {
    let _guard = crate::common::watchdog(30);
    if crate::common::is_child() {
        crate::common::on(1, || {
            let mut text = String::new();
            stdin().read_to_string(&mut text).unwrap();
            println!("<{}>", text.lines().next().unwrap_or("nothing"));
        });
        return;
    }
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    assert!(said(child("files_and_nothing", file.into())).contains("<[package]>"));
    assert!(said(child("files_and_nothing", Stdio::null())).contains("<nothing>"));
}
