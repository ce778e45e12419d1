//! `examples/dump` as a real process, which gets stuck and is asked why.

use crate::common::{Process, example, watchdog, workers};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// A server's client, and the name of the task that serves it.
fn client(server: &Process) -> (BufReader<TcpStream>, String) {
    let stream = TcpStream::connect(server.address()).unwrap();
    let name = format!("client {}", stream.local_addr().unwrap());
    (BufReader::new(stream), name)
}

fn say(client: &mut BufReader<TcpStream>, line: &str) {
    client.get_mut().write_all(line.as_bytes()).unwrap();
}

/// The text of the next dump.
fn ask(server: &Process) -> String {
    let before = server.stderr().len();
    let status = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
    assert!(status.expect("kill").success());
    loop {
        assert!(server.status().is_none(), "it has ended: {}", server.stderr());
        let text = server.stderr()[before..].to_owned();
        // The dump is one write, and ends with a frame of some task.
        if text.contains(" tasks: ") && text.ends_with("\n\n") {
            return text;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_stuck_server_says_why_and_goes_on() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let mut command = example("dump");
        command.arg("127.0.0.1:0").env("LAYBY_WORKERS", n.to_string()).env("LOOK_MS", "100");
        let server = Process::start(command);
        let ((mut left, left_name), (mut right, right_name)) = (client(&server), client(&server));
        say(&mut left, "move 1 2\n");
        say(&mut right, "move 2 1\n");
        let text = loop {
            let text = ask(&server);
            if text.contains("these tasks wait for each other:") {
                break text;
            }
        };
        assert!(text.starts_with("layby: SIGQUIT: 3 tasks: 3 waiting\n"), "{text}");
        for (one, other) in [(&left_name, &right_name), (&right_name, &left_name)] {
            let circle = text.lines().find(|line| line.starts_with(&format!("  task '{one}' (#")));
            let circle = circle.unwrap_or_else(|| panic!("{one} is not in {text}"));
            assert!(
                circle.contains(&format!(" waits in lock of a Mutex, held by task '{other}' (#")),
                "{text}"
            );
        }
        assert!(
            text.contains(&format!(": waits in accept on TcpListener {}, fd ", server.address())),
            "{text}"
        );
        assert!(text.contains("move_coin") && text.contains(" at examples/dump.rs:"), "{text}");
        // Others are served, now as before.
        let (mut other, _) = client(&server);
        say(&mut other, "move 3 4\n");
        let mut answer = String::new();
        other.read_line(&mut answer).unwrap();
        assert_eq!(answer, "moved: -1 and 1\n");
        assert!(ask(&server).contains("these tasks wait for each other:"));
    }
}
