//! Subprocesses. (Several processes that serve one port: `examples/prefork.rs`.)

use layby::gather;
use layby::process::{Command, Stdio};
use std::io::{self, BufRead, BufReader, Write};

fn run_one(program: &str, args: &[&str]) -> io::Result<(String, i32)> {
    let output = Command::new(program).args(args).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((text, output.status.code().unwrap_or(-1)))
}

pub(super) fn run() {
    layby::run(|| -> io::Result<()> {
        let (one, two) = gather!(run_one("echo", &["one"]), run_one("sh", &["-c", "echo two; exit 3"]));
        println!("{:?}", [one?, two?]);
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut stdin = cat.stdin.take().expect("it is piped");
        stdin.write_all(b"through a pipe\n")?;
        drop(stdin);
        let mut line = String::new();
        BufReader::new(cat.stdout.take().expect("it is piped")).read_line(&mut line)?;
        println!("{}", line.trim());
        cat.wait().map(drop)
    })
    .expect("echo, sh and cat");
}
