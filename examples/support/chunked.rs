//! `Transfer-Encoding: chunked` (RFC 9112, section 7.1), decoded as it arrives. It knows no socket.
//!
//! It is stricter than `httparse::parse_chunk_size`, which takes an empty size for 0 and a bare LF
//! inside an extension: two readers that disagree on where a body ends are how requests are smuggled.

/// A line (a size with its extensions, or a trailer) may be this long.
const MAX_LINE: usize = 1024;
/// All trailer lines together.
const MAX_TRAILERS: usize = 8 * 1024;

#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a chunk's size line.
    Size,
    /// Inside a chunk; this many of its bytes, never 0, are to come.
    Data(u64),
    /// Between a chunk's last byte and its line end.
    DataEnd,
    /// Behind the last chunk; so many bytes of trailers have come.
    Trailers(usize),
    Done,
}

/// The bytes are no chunked body.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked { state: State::Size }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Hands the data in `input` to `sink` and returns how many bytes of `input` are done with. The
    /// rest is either the start of a line, to be shown again with more behind it, or, once
    /// `is_done`, no longer part of this body.
    pub(crate) fn decode(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            self.state = match self.state {
                State::Done => return Ok(used),
                State::Data(_) if rest.is_empty() => return Ok(used),
                State::Data(left) => {
                    let here = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    sink(&rest[..here]);
                    used += here;
                    match left - here as u64 {
                        0 => State::DataEnd,
                        left => State::Data(left),
                    }
                }
                before_line => {
                    let Some(line) = line(rest)? else { return Ok(used) };
                    used += line.len() + 2;
                    after_line(before_line, line)?
                }
            };
        }
    }
}

fn after_line(state: State, line: &[u8]) -> Result<State, Malformed> {
    match state {
        State::Size => Ok(match size(line)? {
            0 => State::Trailers(0),
            size => State::Data(size),
        }),
        State::Trailers(_) if line.is_empty() => Ok(State::Done),
        // Nobody here wants trailers; they are only counted, so that they end.
        State::Trailers(seen) if seen + line.len() <= MAX_TRAILERS => {
            Ok(State::Trailers(seen + line.len() + 2))
        }
        State::DataEnd if line.is_empty() => Ok(State::Size),
        _ => Err(Malformed),
    }
}

/// The line at the start of `bytes`, without its CRLF, if all of it is there.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(None) } else { Err(Malformed) };
    };
    let line = window[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let clean = line.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    if clean { Ok(Some(line)) } else { Err(Malformed) }
}

/// The number before a size line's extensions.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(digits);
    if !matches!(extensions.trim_ascii_start(), [] | [b';', ..]) {
        return Err(Malformed);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    u64::from_str_radix(digits, 16).map_err(|_| Malformed) // empty and overflow are errors here
}
