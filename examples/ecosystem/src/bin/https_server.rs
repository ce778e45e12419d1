//! HTTPS by rustls, and gzip by flate2: `https_server CERTIFICATES KEY [ADDR]`, then
//! `curl --compressed --cacert CA https://localhost:8080/` or `openssl s_client -connect localhost:8080`.
//!
//! Every `GET` is answered with the same text, compressed for those who take it; connections are kept. Both crates are
//! generic over `Read` and `Write` and have never heard of layby: the handshake, the records and the compression run on
//! the task of their connection, which parks where the socket has nothing for it. flate2 wants a larger stack for that:
//! see docs/porting.md.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use layby::go;
use layby::task;
use layby_ecosystem::tls::{self, ServerStream};
use layby_ecosystem::{Error, arguments, listen};

const USAGE: &str = "https_server CERTIFICATES KEY [ADDR]    (PEM files; default 127.0.0.1:8080)";

/// A handshake fits into the default; compressing does not, above all not in a debug build.
const STACK: usize = 1 << 20;

fn main() -> Result<(), Error> {
    let arguments = arguments(2..=3, USAGE)?;
    let config = tls::server_config(&arguments[0], &arguments[1])?;
    layby::run(|| {
        let listener = listen(arguments.get(2).map(String::as_str))?;
        for stream in listener.incoming() {
            let (stream, config) = (stream?, config.clone());
            let task = task::Builder::new().stack_size(STACK);
            go!(task, move || {
                if let Err(error) = tls::accepted(stream, config).and_then(serve) {
                    eprintln!("a connection ended: {error}");
                }
            });
        }
        Ok(())
    })
}

fn serve(stream: ServerStream) -> Result<(), Error> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = request(&mut stream)? {
        let version = stream.get_ref().conn.protocol_version();
        let text = format!("hello by {version:?}\n").repeat(100);
        let encoding = if request.gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let body = if request.gzip { compressed(text.as_bytes())? } else { text.into_bytes() };
        let stream = stream.get_mut();
        write!(stream, "HTTP/1.1 200 OK\r\n{encoding}Content-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.flush()?;
        if request.close {
            break;
        }
    }
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// What matters here of a request. (`examples/http_server` parses in earnest.)
#[derive(Default)]
struct Request {
    gzip: bool,
    close: bool,
}

/// None at the end of the connection.
fn request(stream: &mut BufReader<ServerStream>) -> io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    loop {
        line.clear();
        match stream.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            // Some clients close without the alert that TLS asks for. Here nothing can be cut short by that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some(request));
        }
        request.gzip |= line.starts_with("accept-encoding:") && line.contains("gzip");
        request.close |= line == "connection: close";
    }
}

fn compressed(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}
