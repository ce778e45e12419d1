//! `examples/http_server` started, requests for it, and a client that sends raw bytes and reads
//! answers one by one.

#![allow(dead_code)] // two tests take a part each

use super::common::{Process, example};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

pub(crate) const MAX_HEAD: usize = 16 * 1024;
pub(crate) const MAX_BODY: usize = 1024 * 1024;

pub(crate) fn server(workers: usize) -> Process {
    Process::start(server_command(workers))
}

pub(crate) fn server_command(workers: usize) -> Command {
    let mut command = example("http_server");
    command.arg("127.0.0.1:0").env("LAYBY_WORKERS", workers.to_string());
    command
}

/// A server that loses its patience soon: 300 ms between requests, 600 ms for one.
pub(crate) fn impatient_server(workers: usize) -> Process {
    let mut command = server_command(workers);
    command.env("HTTP_IDLE_MS", "300").env("HTTP_REQUEST_MS", "600");
    Process::start(command)
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub(crate) fn chunked_post(chunks: &[&[u8]]) -> Vec<u8> {
    let mut request = b"POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        write!(request, "{:x};name=value\r\n", chunk.len()).unwrap();
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\nTrailer: ignored\r\n\r\n");
    request
}

#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of the field with this lower-case name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).unwrap(); // each piece that a test sends is a packet of its own
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream: BufReader::with_capacity(1024, stream) }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.receive()
    }

    pub(crate) fn receive(&mut self) -> Answer {
        let mut answer = self.receive_head();
        let length = answer.field("content-length").expect("a Content-Length").parse().unwrap();
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body).expect("the whole body");
        answer
    }

    /// An answer that has no body.
    pub(crate) fn receive_head(&mut self) -> Answer {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a line of the answer");
            match line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line: {line:?} after {lines:?}")) {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|code| code.parse().ok()).expect("a status line");
        let field = |line: &String| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Answer { status, fields: lines[1..].iter().map(field).collect(), body: Vec::new() }
    }

    /// The server closes the connection properly, and says nothing more before.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}
