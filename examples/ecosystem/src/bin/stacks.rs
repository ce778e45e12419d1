//! How much stack the crates need: `stacks CERTIFICATES KEY CA` prints a table, for the build that this is (debug or
//! release); `stacks CERTIFICATES KEY CA WORK BYTES` does one work on a stack of that size.
//!
//! Found out as anybody can: a task that runs over its stack ends the process, with a message that names the task, its
//! size, and what to raise. So each work is done in processes of their own, on stacks of the sizes that bisection tries.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use layby::net::{TcpListener, TcpStream};
use layby::task;
use layby_ecosystem::{Error, arguments, tls, transport};
use tungstenite::Message;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const USAGE: &str = "stacks CERTIFICATES KEY CA [WORK BYTES]";

/// What is done, and on which side of a connection: the other has a stack that never ends.
const WORKS: [&str; 7] = [
    "rustls-server",
    "rustls-client",
    "tungstenite-server",
    "tungstenite-client",
    "ureq",
    "compress",
    "decompress",
];

/// A page.
const STEP: usize = 4096;

fn main() -> Result<(), Error> {
    let arguments = arguments(3..=5, USAGE)?;
    if let [_, _, _, work, bytes] = &arguments[..] {
        let (files, work, bytes) = (Files::new(&arguments), work.clone(), bytes.parse()?);
        return layby::run(|| on_stack(bytes, move || perform(&work, &files)));
    }
    println!("{:<20} KiB of stack, {}", "work", if cfg!(debug_assertions) { "debug" } else { "release" });
    for work in WORKS {
        // Some size that is too small, and one that suffices.
        let (mut small, mut enough) = (4, 512);
        while enough - small > 1 {
            let middle = (small + enough) / 2;
            let mut again = Command::new(std::env::current_exe()?);
            again.args(&arguments).arg(work).arg((middle * STEP).to_string()).stderr(Stdio::null());
            *(if again.status()?.success() { &mut enough } else { &mut small }) = middle;
        }
        println!("{work:<20} {:>4}", enough * STEP / 1024);
    }
    Ok(())
}

/// What the caller has named.
#[derive(Clone)]
struct Files {
    certificates: String,
    key: String,
    authority: String,
}

impl Files {
    fn new(arguments: &[String]) -> Files {
        let [certificates, key, authority] = [0, 1, 2].map(|index| arguments[index].clone());
        Files { certificates, key, authority }
    }
}

fn on_stack<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    task::Builder::new().stack_size(bytes).spawn(work).expect("a stack").join().expect("no panic")
}

/// On the caller's stack. The other side of a connection has more than it needs.
fn perform(work: &str, files: &Files) -> Result<(), Error> {
    match work {
        "rustls-server" => with_peer(tls_server, files, tls_client),
        "rustls-client" => with_peer(tls_client, files, tls_server),
        "tungstenite-server" => with_peer(websocket_server, files, websocket_client),
        "tungstenite-client" => with_peer(websocket_client, files, websocket_server),
        "ureq" => ureq(files),
        "compress" => compressed().map(drop),
        "decompress" => {
            let bytes = on_stack(4 << 20, compressed)?;
            std::io::copy(&mut GzDecoder::new(&bytes[..]), &mut std::io::sink())?;
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

type Side = fn(TcpStream, &Files) -> Result<(), Error>;

fn with_peer(side: Side, files: &Files, other: Side) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let (peer, files_too) = (listener.accept()?.0, files.clone());
    let peer = task::Builder::new().stack_size(4 << 20).spawn(move || other(peer, &files_too))?;
    side(stream, files)?;
    peer.join()?
}

fn tls_server(stream: TcpStream, files: &Files) -> Result<(), Error> {
    let mut stream = tls::accepted(stream, tls::server_config(&files.certificates, &files.key)?)?;
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(b"hello")?;
    Ok(stream.flush()?)
}

fn tls_client(stream: TcpStream, files: &Files) -> Result<(), Error> {
    let mut stream = tls::over(stream, "localhost", tls::client_config(&files.authority)?)?;
    stream.write_all(b"hello")?;
    stream.flush()?;
    Ok(stream.read_exact(&mut [0; 5])?)
}

fn websocket_server(stream: TcpStream, _: &Files) -> Result<(), Error> {
    let mut socket = tungstenite::accept(stream).map_err(|error| error.to_string())?;
    let message = socket.read()?;
    Ok(socket.send(message)?)
}

fn websocket_client(stream: TcpStream, _: &Files) -> Result<(), Error> {
    let (mut socket, _) =
        tungstenite::client("ws://localhost/", stream).map_err(|error| error.to_string())?;
    socket.send(Message::text("hello".repeat(10_000)))?;
    socket.read()?;
    Ok(())
}

/// Over TLS, and compressed.
fn ureq(files: &Files) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://localhost:{}/", listener.local_addr()?.port());
    let config = tls::server_config(&files.certificates, &files.key)?;
    let server = task::Builder::new().stack_size(4 << 20).spawn(move || -> Result<(), Error> {
        let mut stream = tls::accepted(listener.accept()?.0, config)?;
        let _ = stream.read(&mut [0; 4096])?;
        let body = compressed()?;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
        Ok(stream.flush()?)
    })?;
    let authority = Certificate::from_pem(&std::fs::read(&files.authority)?)?;
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&[authority]));
    let agent = transport::agent(ureq::Agent::config_builder().tls_config(tls.build()).build());
    agent.get(url).call()?.body_mut().read_to_vec()?;
    server.join()?
}

fn compressed() -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    (0..10_000).try_for_each(|number| write!(encoder, "{number} "))?;
    Ok(encoder.finish()?)
}
