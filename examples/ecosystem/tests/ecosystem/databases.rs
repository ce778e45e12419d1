//! SQLite, PostgreSQL and Redis, by their blocking crates; what they have done is checked by their own programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Process, installed, watchdog};
use crate::{Directory, call, free_port, output, program, wait_for};

#[test]
fn sqlite() {
    let _guard = watchdog(60);
    let place = Directory::new();
    let file = place.path().join("counted.db");
    assert_eq!(output(program!("sqlite", &file, "200")), format!("{}\n", 199 * 200 / 2));
    if installed("sqlite3", true) {
        let mut shell = Command::new("sqlite3");
        shell.arg(&file).arg("SELECT count(*), count(DISTINCT task) FROM counted");
        assert_eq!(output(shell), "200|200\n");
    }
}

#[test]
fn redis() {
    let _guard = watchdog(60);
    if !(installed("redis-server", true) && installed("redis-cli", true)) {
        return;
    }
    let place = Directory::new();
    let port = free_port();
    let mut server = call("redis-server", ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    server.arg("--dir").arg(place.path());
    let server = Process::start(server);
    wait_for(port, &server);
    assert_eq!(output(program!("redis", format!("redis://127.0.0.1:{port}/"), "500")), "500\n");
    let ask = |arguments: &[&str]| {
        let mut shell = call("redis-cli", ["-p", &port.to_string()]);
        shell.args(arguments);
        output(shell)
    };
    assert_eq!(ask(&["GET", "layby:count"]), "500\n");
    assert_eq!(ask(&["GET", "layby:task:499"]), "499\n");
}

/// A server of its own, which nobody but this test knows.
struct Postgres {
    process: Option<Process>,
    port: u16,
    _place: Directory,
}

impl Postgres {
    fn start(programs: &Path) -> Postgres {
        let place = Directory::new();
        let port = free_port();
        if is_root() {
            // Who is root may not run it.
            output(call("chown", ["postgres", place.path().to_str().unwrap()]));
        }
        let data = place.path().join("data");
        let mut init = as_postgres(&programs.join("initdb"));
        init.args(["--auth=trust", "--no-sync", "--username=layby", "--pgdata"]).arg(&data);
        output(init);
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "fsync=off", "-c"]);
        server
            .args(["listen_addresses=127.0.0.1", "-c"])
            .arg(format!("unix_socket_directories={}", data.display()));
        let process = Process::start(server);
        wait_for(port, &process);
        let postgres = Postgres { process: Some(process), port, _place: place };
        // It listens before it answers.
        let url = postgres.url();
        while !Process::run(call("psql", ["-c", "SELECT 1", &url])).status.success() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        postgres
    }

    fn url(&self) -> String {
        format!("postgres://layby@127.0.0.1:{}/postgres", self.port)
    }
}

/// Asked to end, it takes its shared memory with it; killed, it would leave that.
impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let _ = Command::new("kill").args(["-INT", &process.id().to_string()]).status();
            process.finish();
        }
    }
}

fn is_root() -> bool {
    output(call("id", ["-u"])).trim() == "0"
}

fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = call("setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
    command.arg(program).current_dir("/");
    command
}

/// Debian keeps the server's programs, version by version, where no PATH leads.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found =
        versions.map(|version| version.path().join("bin")).find(|programs| programs.join("initdb").is_file());
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "PostgreSQL is not installed, and in CI it must be"
    );
    found
}

/// A hundred queries of a tenth of a second each, sixteen at a time: one after the other they would take ten seconds.
#[test]
fn postgres() {
    let _guard = watchdog(100);
    let Some(programs) = programs() else {
        eprintln!("skipped: PostgreSQL is not installed");
        return;
    };
    let server = Postgres::start(&programs);
    let said = output(program!("postgres", server.url(), "100"));
    let (sum, time) = said.trim().strip_suffix(" ms").and_then(|said| said.split_once(" in ")).expect(&said);
    assert_eq!(sum, "4950");
    assert!((700..5000).contains(&time.parse::<u64>().unwrap()), "{said}");
    let sum = "SELECT calls FROM (SELECT sum(xact_commit) >= 100 AS calls FROM pg_stat_database) AS counted";
    assert_eq!(output(call("psql", ["-Atc", sum, &server.url()])), "t\n");
}
