//! The programs of this package as real processes, against the real thing: OpenSSL, curl, a WebSocket client of
//! Python's, tar, and servers of PostgreSQL and Redis that the tests start for themselves.
//!
//! Where one of these is not installed, its test is skipped and says so; in CI that is a failure.

#[path = "../../../../tests/common/mod.rs"]
mod common;

mod databases;
mod stacks;
mod tls;
mod web;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::{Finished, Process};

/// A directory that is removed with all that is in it.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("layby-ecosystem-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a directory for the test");
        Directory(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One of this package's programs, in no environment of layby's.
macro_rules! program {
    ($name:literal, $($argument:expr),* $(,)?) => {{
        let mut command = std::process::Command::new(env!(concat!("CARGO_BIN_EXE_", $name)));
        command.env_remove("LAYBY_WORKERS").env_remove("LAYBY_STACK_SIZE");
        $(command.arg($argument);)*
        command
    }};
}
pub(crate) use program;

/// A program that speaks for itself: what it prints, or a failure with what it says.
#[track_caller]
fn output(command: Command) -> String {
    Process::run(command).expect_success().stdout.clone()
}

/// Any program, with these arguments.
fn call<S: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// With that input, and a limit of time: what it prints.
#[track_caller]
fn fed(mut command: Command, input: &str) -> Finished {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its output");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Finished { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A port that was free a moment ago, for servers that cannot choose one.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}

/// Until somebody listens there; the test's watchdog is the limit.
fn wait_for(port: u16, server: &Process) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(server.status().is_none(), "the server has ended: {}", server.stderr());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A certificate for `localhost`, and the authority that has signed it, by OpenSSL.
struct Certificates {
    directory: Directory,
}

impl Certificates {
    fn new() -> Certificates {
        let made = Certificates { directory: Directory::new() };
        let (authority, key) = (made.authority(), made.path("ca.key"));
        let new = [
            "req",
            "-x509",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-days",
            "2",
        ];
        let files = |certificate: &Path, key: &Path| {
            ["-out".into(), certificate.to_owned(), "-keyout".into(), key.to_owned()]
        };
        let mut ca = call("openssl", new);
        output({
            ca.args(files(&authority, &key)).args(["-subj", "/CN=layby's tests"]);
            ca
        });
        let mut leaf = call("openssl", new);
        output({
            leaf.args(files(&made.path("cert.pem"), &made.path("key.pem")))
                .args(["-subj", "/CN=localhost", "-CA"])
                .arg(&authority)
                .arg("-CAkey")
                .arg(&key)
                .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"]);
            leaf
        });
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.path("key.pem")
    }
}

fn https_server(certificates: &Certificates) -> (Process, SocketAddr) {
    let server = Process::start(program!(
        "https_server",
        certificates.certificate(),
        certificates.key(),
        "127.0.0.1:0"
    ));
    let address = server.address();
    (server, address)
}

/// All that comes from there until the end.
fn everything(mut stream: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the rest of the stream");
    bytes
}
