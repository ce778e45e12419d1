//! HTTP by ureq, WebSockets by tungstenite, archives by tar and flate2, against others' clients and servers.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use crate::common::{Process, Rng, installed, watchdog};
use crate::{Certificates, Directory, call, everything, free_port, output, program, wait_for};

/// Files of OpenSSL's and of Python's small servers; what is not there; nobody there.
#[test]
fn downloads_from_others() {
    let _guard = watchdog(60);
    if !(installed("openssl", true) && installed("python3", true)) {
        return;
    }
    let files = Directory::new();
    fs::write(files.path().join("large"), Rng::new(7).bytes(3_000_000)).unwrap();
    let certificates = Certificates::new();

    let [plain, secure, nobody] = [(); 3].map(|()| free_port());
    let mut server = call("python3", ["-m", "http.server", "--bind", "127.0.0.1", &plain.to_string()]);
    server.current_dir(files.path());
    let plain_server = Process::start(server);
    let mut server = call("openssl", ["s_server", "-quiet", "-WWW", "-accept", &secure.to_string()]);
    server
        .arg("-cert")
        .arg(certificates.certificate())
        .arg("-key")
        .arg(certificates.key())
        .current_dir(files.path());
    let secure_server = Process::start(server);
    wait_for(plain, &plain_server);
    wait_for(secure, &secure_server);

    let urls = [
        format!("http://localhost:{plain}/large"),
        format!("http://localhost:{plain}/missing"),
        format!("https://localhost:{secure}/large"),
        format!("http://localhost:{nobody}/"),
        format!("http://localhost:{plain}/large"),
    ];
    let mut client = program!("download", "--ca", certificates.authority());
    client.args(&urls);
    let finished = Process::run(client);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{finished:?}");
    for (line, url) in [(0, 0), (2, 2), (4, 4)] {
        assert_eq!(lines[line], format!("200 3000000 {}", urls[url]));
    }
    assert!(lines[1].starts_with("404 "), "{lines:?}");
    assert!(lines[3].starts_with("failed ") && lines[3].contains("refused"), "{lines:?}");
    assert!(!finished.status.success());
}

/// Python's client, which shares no line with ours: texts, and bytes of every length that has a form of its own.
const PYTHON: &str = "
import sys, websocket
socket = websocket.create_connection(sys.argv[1], timeout=30)
for text in ['hello', 'Grüße', 'x' * 125, 'x' * 126, 'x' * 70000]:
    socket.send(text)
    assert socket.recv() == text
for length in [0, 1, 125, 126, 65535, 65536, 1000000]:
    data = bytes(i % 251 for i in range(length))
    socket.send_binary(data)
    assert socket.recv() == data
socket.ping('are you there')
opcode, data = socket.recv_data(control_frame=True)
assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b'are you there')
socket.close()
print('done')
";

/// The one that Debian's packages are for.
const SYSTEMS_PYTHON: &str = "/usr/bin/python3";

#[test]
fn websockets() {
    let _guard = watchdog(60);
    let server = Process::start(program!("websocket", "serve", "127.0.0.1:0"));
    let url = format!("ws://{}/", server.address());
    let texts: Vec<String> = (0..100).map(|number| format!("text {number}")).collect();
    let mut client = program!("websocket", "ask", &url);
    client.args(&texts);
    assert_eq!(output(client).lines().collect::<Vec<_>>(), texts);
    // Not a WebSocket at all: that connection ends, the server goes on.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    everything(stream);
    if installed(SYSTEMS_PYTHON, true) && python_has("websocket") {
        assert_eq!(output(call(SYSTEMS_PYTHON, ["-c", PYTHON, &url])), "done\n");
    }
    assert!(server.status().is_none());
}

fn python_has(module: &str) -> bool {
    let has = Process::run(call(SYSTEMS_PYTHON, ["-c", &format!("import {module}")])).status.success();
    assert!(
        has || std::env::var_os("CI").is_none(),
        "Python's {module} is not installed, and in CI it must be"
    );
    has
}

#[test]
fn archives() {
    let _guard = watchdog(60);
    if !(installed("curl", true) && installed("tar", true)) {
        return;
    }
    let (files, copy) = (Directory::new(), Directory::new());
    let large = Rng::new(3).bytes(5_000_000);
    fs::create_dir_all(files.path().join("deep/er")).unwrap();
    fs::write(files.path().join("large"), &large).unwrap();
    fs::write(files.path().join("deep/er/empty"), "").unwrap();
    fs::write(files.path().join("deep/small"), "small").unwrap();

    let server = Process::start(program!("archive", files.path(), "127.0.0.1:0"));
    let url = format!("http://{}/", server.address());
    let (archive, target) = (copy.path().join("all.tar.gz"), copy.path().join("all"));
    fs::create_dir(&target).unwrap();
    let mut client = call("curl", ["-sS", "--max-time", "30", &url, "-o"]);
    client.arg(&archive);
    output(client);
    let mut tar = call("tar", ["xzf"]);
    tar.arg(&archive).arg("-C").arg(&target);
    output(tar);
    assert!(fs::read(target.join("large")).unwrap() == large);
    assert_eq!(fs::read(target.join("deep/er/empty")).unwrap(), b"");
    assert_eq!(fs::read(target.join("deep/small")).unwrap(), b"small");
}
