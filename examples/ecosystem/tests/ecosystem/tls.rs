//! rustls on both ends, against OpenSSL and curl.

use std::fmt::Write as _;

use crate::common::{Process, installed, watchdog};
use crate::{Certificates, call, fed, free_port, https_server, output, program, wait_for};

/// Both versions of TLS, by the programs that everybody has.
#[test]
fn the_server_speaks_with_openssl_and_curl() {
    let _guard = watchdog(60);
    if !(installed("openssl", true) && installed("curl", true)) {
        return;
    }
    let certificates = Certificates::new();
    let (_server, address) = https_server(&certificates);
    let ca = certificates.authority();
    for (flag, version) in [("-tls1_2", "TLSv1_2"), ("-tls1_3", "TLSv1_3")] {
        let mut client = call(
            "openssl",
            ["s_client", "-quiet", "-verify_return_error", flag, "-verify_hostname", "localhost"],
        );
        client.arg("-CAfile").arg(&ca).args(["-connect", &address.to_string()]);
        let said = fed(client, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(
            said.stdout.contains(&format!("hello by Some({version})")),
            "{}\n{}",
            said.stdout,
            said.stderr
        );
    }
    let url = format!("https://localhost:{}/", address.port());
    let mut client =
        call("curl", ["-sS", "--max-time", "30", "--compressed", "--http1.1", "-D", "-", "--cacert"]);
    client.arg(&ca).args([&url, &url]); // the second on the same connection
    let said = output(client);
    assert_eq!(said.matches("hello by Some(TLSv1_3)\n").count(), 200, "{said}");
    assert_eq!(said.matches("Content-Encoding: gzip").count(), 2, "{said}");
    // An authority that is not the server's.
    let mut client = call("curl", ["-sS", "--max-time", "30", "--cacert"]);
    let others = Certificates::new();
    client.arg(others.authority()).arg(&url);
    assert!(!Process::run(client).status.success());
}

/// `s_server -rev` sends every line back, reversed.
#[test]
fn the_client_speaks_with_openssl() {
    let _guard = watchdog(60);
    if !installed("openssl", true) {
        return;
    }
    let certificates = Certificates::new();
    let port = free_port();
    let mut server =
        call("openssl", ["s_server", "-quiet", "-rev", "-accept", &port.to_string(), "-naccept", "2"]);
    server.arg("-cert").arg(certificates.certificate()).arg("-key").arg(certificates.key());
    let server = Process::start(server);
    wait_for(port, &server); // the first of the two
    let mut input = String::new();
    let mut expected = String::new();
    for line in 0..500 {
        let text = format!("line {line} of some");
        let _ = writeln!(input, "{text}");
        let _ = writeln!(expected, "{}", text.chars().rev().collect::<String>());
    }
    let _ = writeln!(input, "CLOSE"); // `s_server -rev` ends then
    let client = program!("tls_client", certificates.authority(), format!("localhost:{port}"));
    let said = fed(client, &input);
    said.expect_success();
    assert_eq!(said.stdout, expected);
}

/// A hundred connections at once, in one process, of our own client.
#[test]
fn a_hundred_downloads_at_once() {
    let _guard = watchdog(60);
    if !installed("openssl", true) {
        return;
    }
    let certificates = Certificates::new();
    let (_server, address) = https_server(&certificates);
    let url = format!("https://localhost:{}/", address.port());
    let mut client = program!("download", "--ca", certificates.authority());
    client.args(vec![&url; 100]);
    let said = output(client);
    let length = "hello by Some(TLSv1_3)\n".len() * 100;
    assert_eq!(said, format!("200 {length} {url}\n").repeat(100));
}
