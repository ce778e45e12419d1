//! Streams in memory.

use core::fmt;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;

use super::bells::{Bells, News, end_of};
use super::lane::{Found, Lane, Sent};
use super::link::Link;
use crate::fiber::Reason;
use crate::park;
use crate::sched;
use crate::util::lock::Lock;

/// Two ends of a perfect connection in memory, as by [`Link::new`].
///
/// # Examples
/// ```
/// use layby::{go, testing};
/// use std::io::{Read, Write};
///
/// fn shout(mut stream: impl Read + Write) -> std::io::Result<()> {
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     stream.write_all(text.to_uppercase().as_bytes())
/// }
///
/// testing::run(1, || {
///     let (mut client, server) = testing::stream_pair();
///     go!(move || shout(server));
///     client.write_all(b"hello").unwrap();
///     client.shutdown(std::net::Shutdown::Write).unwrap();
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).unwrap();
///     assert_eq!(answer, "HELLO");
/// });
/// ```
pub fn stream_pair() -> (Stream, Stream) {
    Link::new().stream_pair()
}

/// One end of a connection in memory, for code that is generic over streams.
///
/// As [`net::TcpStream`](crate::net::TcpStream), where it has the same methods: clones are the same end; timeouts fail with `WouldBlock`;
/// every `read` and `write` is a suspension point, from which a cancellation loses no byte; the drop of the last clone closes. Except:
///
/// * Time and chances are those of its [`Link`], in a seeded run virtual and by the seed.
/// * An end that is closed with bytes unread resets the connection: the peer reads what was sent to it, then fails with
///   `ConnectionReset`. A write to an end that is closed, or shut down for reading, fails at once with `BrokenPipe`.
/// * After a reset, what has arrived can be read; then every `read` and `write` fails with `ConnectionReset`.
/// * The addresses are made up.
pub struct Stream(Arc<End>);

/// Closes when it is dropped.
struct End {
    connection: Arc<Connection>,
    /// Which end: 0 or 1.
    side: usize,
    addresses: [SocketAddr; 2],
    settings: Lock<Settings>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nonblocking: bool,
}

struct Connection(Lock<State>);

struct State {
    /// By the side that writes.
    lanes: [Lane; 2],
    bells: [Bells; 2],
}

impl State {
    fn take_all_bells(&mut self) -> [News; 2] {
        self.bells.each_mut().map(Bells::take)
    }

    fn reset(&mut self, at: u64) {
        self.lanes.iter_mut().for_each(|lane| lane.reset(at));
    }
}

pub(super) fn pair(link: &Link, addresses: [SocketAddr; 2]) -> (Stream, Stream) {
    let lanes = [0, 1].map(|direction| Lane::new(link.chances(direction)));
    let connection = Arc::new(Connection(Lock::new(State { lanes, bells: Default::default() })));
    let end = |side| {
        let settings = Lock::default();
        Stream(Arc::new(End { connection: connection.clone(), side, addresses, settings }))
    };
    (end(0), end(1))
}

/// An address for one end of a pair.
pub(super) fn made_up(port: u16) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 1), port).into()
}

impl Stream {
    /// Another handle of the same end.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(Stream(self.0.clone()))
    }

    /// Closes one direction, or both. A `Write` is the end for the peer's reader; after a `Read` the peer's writes fail.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let now = sched::now();
        let mut state = self.0.connection.0.lock();
        if how != Shutdown::Read {
            state.lanes[self.0.side].end(now);
        }
        if how != Shutdown::Write {
            state.lanes[self.0.peer()].stop_reading();
        }
        let news = state.take_all_bells();
        drop(state);
        news.into_iter().for_each(News::tell);
        Ok(())
    }

    /// Breaks the connection, both ways. What is under way is lost.
    ///
    /// # Examples
    /// ```
    /// use layby::testing;
    /// use std::io::{ErrorKind, Read};
    ///
    /// let (here, mut there) = testing::stream_pair();
    /// here.reset();
    /// assert_eq!(there.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// ```
    pub fn reset(&self) {
        let now = sched::now();
        let mut state = self.0.connection.0.lock();
        state.reset(now);
        let news = state.take_all_bells();
        drop(state);
        news.into_iter().for_each(News::tell);
    }

    /// Limits how long a read waits; `None` for as long as it takes.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        check(dur)?;
        self.0.settings.lock().read_timeout = dur;
        Ok(())
    }

    /// Limits how long a write waits; `None` for as long as it takes.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_write_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        check(dur)?;
        self.0.settings.lock().write_timeout = dur;
        Ok(())
    }

    /// What [`set_read_timeout`](Stream::set_read_timeout) has set.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.settings.lock().read_timeout)
    }

    /// What [`set_write_timeout`](Stream::set_write_timeout) has set.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.settings.lock().write_timeout)
    }

    /// With `true`, what would wait fails with `WouldBlock`.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.settings.lock().nonblocking = nonblocking;
        Ok(())
    }

    /// This end's address.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addresses[self.0.side])
    }

    /// The other end's address.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addresses[self.0.peer()])
    }

    /// Reads, and leaves the bytes where they are.
    ///
    /// # Errors
    /// As `read`.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf, true)
    }
}

pub(super) fn check(dur: Option<Duration>) -> io::Result<()> {
    match dur {
        Some(Duration::ZERO) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero would never wait"))
        }
        _ => Ok(()),
    }
}

impl End {
    fn peer(&self) -> usize {
        1 - self.side
    }

    fn read(&self, buf: &mut [u8], peek: bool) -> io::Result<usize> {
        park::spend_budget(1);
        park::refuse_if_due()?;
        let settings = *self.settings.lock();
        let end = end_of(settings.read_timeout);
        loop {
            let now = sched::now();
            let mut state = self.connection.0.lock();
            let due = match state.lanes[self.peer()].read(buf, now, peek)? {
                Found::Bytes(count) => {
                    let news = state.bells[self.peer()].take();
                    drop(state);
                    news.tell();
                    return Ok(count);
                }
                Found::Nothing(due) => due,
            };
            if settings.nonblocking || now >= end {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let bell = state.bells[self.side].add();
            drop(state);
            bell.wait(Reason::Read, due.min(end));
            park::refuse_if_due()?;
        }
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        park::spend_budget(1);
        park::refuse_if_due()?;
        if buf.is_empty() {
            return Ok(0);
        }
        let settings = *self.settings.lock();
        let end = end_of(settings.write_timeout);
        loop {
            let now = sched::now();
            let mut state = self.connection.0.lock();
            let sent = state.lanes[self.side].write(buf, now)?;
            if let Sent::Full = sent {
                if settings.nonblocking || now >= end {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let bell = state.bells[self.side].add();
                drop(state);
                bell.wait(Reason::Write, end);
                park::refuse_if_due()?;
                continue;
            }
            if let Sent::Breaks = sent {
                let worn_out = state.lanes[self.side].is_worn_out();
                state.reset(if worn_out { u64::MAX } else { now });
            }
            let news = state.take_all_bells();
            drop(state);
            news.into_iter().for_each(News::tell);
            return match sent {
                Sent::Bytes(count) => Ok(count),
                Sent::Full | Sent::Breaks => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
    }
}

/// No suspension point: a destructor is none.
impl Drop for End {
    fn drop(&mut self) {
        let now = sched::now();
        let mut state = self.connection.0.lock();
        let unread = state.lanes[self.peer()].is_unread();
        state.lanes[self.peer()].stop_reading();
        match unread {
            true => state.lanes[self.side].reset(u64::MAX),
            false => state.lanes[self.side].end(now),
        }
        let news = state.take_all_bells();
        drop(state);
        news.into_iter().for_each(News::tell);
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf, false)
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf, false)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("local", &self.0.addresses[self.0.side])
            .field("peer", &self.0.addresses[self.0.peer()])
            .finish_non_exhaustive()
    }
}
