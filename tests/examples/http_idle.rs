//! `examples/http_server` with ten thousand connections that rest, while others work. `ci/idle.sh` runs it, in release.

use crate::http_client;

use crate::common::{Process, descriptors, installed, watchdog};
use http_client::{Client, get, server_command};
use std::process::Command;

const IDLE: usize = 10_000;
/// What a connection that rests costs the server: the top pages of its stack, its buffer, its socket's bookkeeping.
const KIB_PER_CONNECTION: usize = 16;
/// What the hundred connections of a run of `wrk` may add, at any time, and once more when there was a run before.
const KIB_FOR_WORK: usize = 2048;
const KIB_FOR_MORE_WORK: usize = 512;

/// A figure of the process in KiB: `VmRSS` is what is resident, `VmHWM` the most that ever was.
fn memory(server: &Process, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn work(server: &Process) -> String {
    let mut wrk = Command::new("wrk");
    wrk.args(["-c100", "-t2", "-d3"]).arg(format!("http://{}/", server.address()));
    let report = Process::run(wrk).stdout;
    assert!(report.contains("Requests/sec"), "{report}");
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    report.lines().find(|line| line.contains("requests in")).unwrap().trim().to_owned()
}

#[test]
#[ignore = "ci/idle.sh runs it: it needs wrk, 10,200 descriptors in each of two processes, and ten seconds"]
fn ten_thousand_rest_while_a_hundred_work() {
    let _watchdog = watchdog(60);
    assert!(installed("wrk", true), "wrk is what works here");
    let needed = IDLE as u64 + 200;
    assert!(
        descriptors(needed),
        "{IDLE} connections need {needed} descriptors in this process and in the server: raise the hard limit \
         (`ulimit -Hn`, /etc/security/limits.conf, LimitNOFILE= of systemd, --ulimit of docker)"
    );
    for workers in [1, 2] {
        // From the stock limit the server raises its own.
        let real = server_command(workers);
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -Sn 1024 && exec \"$0\" \"$@\""])
            .arg(real.get_program())
            .args(real.get_args());
        command.env("LAYBY_WORKERS", workers.to_string()).env("HTTP_IDLE_MS", "600000");
        let server = Process::start(command);
        let address = server.address();
        let empty = memory(&server, "VmRSS");
        let request = get("/");
        let connect = |_| {
            let mut client = Client::connect(address);
            assert_eq!(client.ask(request.as_bytes()).status, 200);
            client
        };
        let mut resting: Vec<Client> = (0..IDLE).map(connect).collect();
        let before = memory(&server, "VmRSS");
        let each = (before - empty) / IDLE;
        println!(
            "{workers} workers: {empty} KiB at first, {before} KiB with {IDLE} at rest ({each} KiB each)"
        );
        assert!(each <= KIB_PER_CONNECTION, "{each} KiB for a connection at rest");

        let report = work(&server);
        let (during, after) = (memory(&server, "VmHWM"), memory(&server, "VmRSS"));
        println!("  {report}: {during} KiB at most, {after} KiB after");
        assert!(
            during <= before + KIB_FOR_WORK,
            "{before} KiB before the work, {during} KiB in the midst of it"
        );
        let report = work(&server);
        let (during, later) = (memory(&server, "VmHWM"), memory(&server, "VmRSS"));
        println!("  {report}: {during} KiB at most, {later} KiB after");
        assert!(later <= after + KIB_FOR_MORE_WORK, "{after} KiB after some work, {later} KiB after more");

        // Each of them is still there, and served.
        for client in &mut resting {
            assert_eq!(client.ask(request.as_bytes()).status, 200);
        }
        drop(resting);
        assert_eq!(Client::connect(address).ask(request.as_bytes()).status, 200);
        assert_eq!(server.stderr(), "");
    }
}
