//! One HTTP/1.1 answer as bytes. It knows no socket.

use crate::http::Status;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends an answer; `fields` are whole lines of further header fields.
pub(crate) fn write_answer(
    out: &mut Vec<u8>,
    status: Status,
    fields: &str,
    body: &[u8],
    head_only: bool,
    date: &str,
) {
    let head = [
        "HTTP/1.1 ",
        status.0,
        "\r\nDate: ",
        date,
        // Plain text even for an echo: a browser must not run what somebody made it post.
        "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n",
        fields,
    ];
    for part in head {
        out.extend_from_slice(part.as_bytes());
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len()); // a Vec takes it all
    if !head_only {
        out.extend_from_slice(body);
    }
}

/// The text of the Date field, written anew once a second.
#[derive(Default)]
pub(crate) struct Date {
    second: u64,
    text: String,
}

impl Date {
    pub(crate) fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = httpdate::fmt_http_date(now);
        }
        &self.text
    }
}
