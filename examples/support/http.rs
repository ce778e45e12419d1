//! One HTTP/1 request head: what it asks for, where its body ends, and why it may be refused. It
//! knows no socket.
//!
//! The framing rules are RFC 9112, section 6, in their strict reading. Wherever a proxy in front
//! of us could see another end of the request than we do, the request is refused.

use std::mem::MaybeUninit;

/// Request line and header fields together.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
pub(crate) const MAX_BODY: usize = 1024 * 1024;
const MAX_FIELDS: usize = 64;

/// A status line's code and reason.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Status(pub(crate) &'static str);

pub(crate) const OK: Status = Status("200 OK");
pub(crate) const BAD_REQUEST: Status = Status("400 Bad Request");
pub(crate) const NOT_FOUND: Status = Status("404 Not Found");
pub(crate) const NOT_ALLOWED: Status = Status("405 Method Not Allowed");
pub(crate) const TIMEOUT: Status = Status("408 Request Timeout");
pub(crate) const BODY_TOO_LARGE: Status = Status("413 Content Too Large");
const URI_TOO_LONG: Status = Status("414 URI Too Long");
const EXPECTATION_FAILED: Status = Status("417 Expectation Failed");
const HEAD_TOO_LARGE: Status = Status("431 Request Header Fields Too Large");
const NOT_IMPLEMENTED: Status = Status("501 Not Implemented");
const VERSION: Status = Status("505 HTTP Version Not Supported");

/// How the body's end is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Body {
    /// So many bytes, at most `MAX_BODY`; 0 where there is none.
    Length(usize),
    Chunked,
}

#[derive(Debug)]
pub(crate) struct Request<'b> {
    pub(crate) method: &'b str,
    /// Without the query.
    pub(crate) path: &'b str,
    pub(crate) body: Body,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// The request at the start of `bytes` and the length of its head, if all of the head is there;
/// `Err` is the answer to one that will not be served.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    // Uninitialised, since clearing 2 KiB would take longer than parsing a short request does.
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(too_large(bytes)),
        Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(VERSION),
        Err(_) => return Err(BAD_REQUEST),
    };
    if length > MAX_HEAD {
        return Err(too_large(bytes));
    }
    // A complete head has all three; the defaults only spare us an unwrap.
    let method = head.method.unwrap_or_default();
    let target = head.path.unwrap_or_default();
    let version = head.version.unwrap_or_default();
    let fields = Fields::read(head.headers)?;
    if fields.hosts > 1 || (version == 1 && fields.hosts == 0) {
        return Err(BAD_REQUEST);
    }
    let request = Request {
        method,
        path: path(target),
        body: fields.body(version)?,
        keep_alive: version == 1 && !fields.close,
        expects_continue: version == 1 && fields.expects_continue,
    };
    Ok(Some((request, length)))
}

fn too_large(bytes: &[u8]) -> Status {
    let in_request_line = !bytes[..MAX_HEAD].contains(&b'\n');
    if in_request_line { URI_TOO_LONG } else { HEAD_TOO_LARGE }
}

/// What the header fields that concern the connection say.
#[derive(Default)]
struct Fields {
    hosts: u32,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    expects_continue: bool,
}

impl Fields {
    fn read(fields: &[httparse::Header<'_>]) -> Result<Fields, Status> {
        let mut seen = Fields::default();
        for field in fields {
            let is = |name| field.name.eq_ignore_ascii_case(name);
            let value = field.value.trim_ascii();
            if is("host") {
                seen.hosts += 1;
            } else if is("connection") {
                seen.close |= value
                    .split(|&byte| byte == b',')
                    .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            } else if is("content-length") {
                // Even two equal ones are refused: somebody on the way joined two messages.
                if seen.length.replace(content_length(value)?).is_some() {
                    return Err(BAD_REQUEST);
                }
            } else if is("transfer-encoding") {
                if seen.chunked {
                    return Err(BAD_REQUEST);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(NOT_IMPLEMENTED);
                }
                seen.chunked = true;
            } else if is("expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(EXPECTATION_FAILED);
                }
                seen.expects_continue = true;
            }
        }
        Ok(seen)
    }

    fn body(&self, version: u8) -> Result<Body, Status> {
        match (self.chunked, self.length) {
            // Both at once is the classic smuggling attempt, and HTTP/1.0 knows no chunks.
            (true, Some(_)) => Err(BAD_REQUEST),
            (true, None) if version == 0 => Err(BAD_REQUEST),
            (true, None) => Ok(Body::Chunked),
            (false, length) => match length.unwrap_or(0) {
                length if length > MAX_BODY => Err(BODY_TOO_LARGE),
                length => Ok(Body::Length(length)),
            },
        }
    }
}

/// Digits alone: `parse` would take a sign, and a list of lengths is somebody's mistake or attack.
fn content_length(value: &[u8]) -> Result<usize, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BAD_REQUEST);
    }
    let digits = std::str::from_utf8(value).map_err(|_| BAD_REQUEST)?;
    digits.parse().map_err(|_| BODY_TOO_LARGE) // only overflow is left to fail
}

/// The path of an origin-form (`/x?y`) or absolute-form (`http://host/x?y`) target.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |end| &rest[end..])
        }
        _ => target,
    };
    match path.split('?').next() {
        Some("") | None => "/",
        Some(path) => path,
    }
}
