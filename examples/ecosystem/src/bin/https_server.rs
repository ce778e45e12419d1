//! HTTPS by rustls, and gzip by flate2: `https_server CERTIFICATES KEY [ADDR]`, then
//! `curl --compressed --cacert CA https://localhost:8080/` or `openssl s_client -connect localhost:8080`.
//!
//! Every `GET` is answered with the same text, compressed for those who take it; connections are kept. Both crates are
//! generic over `Read` and `Write` and have never heard of layby: the handshake, the records and the compression run on
//! the task of their connection, which parks where the socket has nothing for it.

#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use layby::go;
use layby_ecosystem::tls::{self, ServerStream};
use layby_ecosystem::{Error, arguments, listen};

const USAGE: &str = "https_server CERTIFICATES KEY [ADDR]    (PEM files; default 127.0.0.1:8080)";

fn main() -> Result<(), Error> {
    let arguments = arguments(2..=3, USAGE)?;
    let config = tls::server_config(&arguments[0], &arguments[1])?;
    layby::run(|| {
        let listener = listen(arguments.get(2).map(String::as_str), "https://")?;
        for stream in listener.incoming() {
            let (stream, config) = (stream?, config.clone());
            go!(move || {
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
    while let Some(gzip) = request(&mut stream)? {
        let connection = &stream.get_ref().conn;
        let text = format!("hello by {:?}\n", connection.protocol_version()).repeat(100);
        let stream = stream.get_mut();
        let encoding = if gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let body = if gzip { compressed(text.as_bytes())? } else { text.into_bytes() };
        write!(stream, "HTTP/1.1 200 OK\r\n{encoding}Content-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&body)?;
        stream.flush()?;
    }
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// Reads a head; whether gzip is welcome; none at the end of the connection. (`examples/http_server` parses in earnest.)
fn request(stream: &mut BufReader<ServerStream>) -> io::Result<Option<bool>> {
    let mut gzip = false;
    let mut line = String::new();
    loop {
        line.clear();
        if end_of(stream.read_line(&mut line))? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some(gzip));
        }
        gzip |= line.starts_with("accept-encoding:") && line.contains("gzip");
    }
}

/// Some clients close without the alert that TLS asks for. Here nothing can be cut short by that.
fn end_of(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

fn compressed(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}
