//! One direction of a stream in memory.
//!
//! ```text
//!   writer ──▶ [ bytes, due at 12 ms ] [ bytes, due at 15 ms ] [ end ] ──▶ reader
//! ```
//!
//! The bytes lie there in order, each piece with the time from which the reader can have it. Times never go down along the lane.
//! Behind them is what the reader gets last: nothing yet, the end, or the news that the connection was reset.

use core::cmp;
use std::collections::VecDeque;
use std::io;

use super::link::Chances;

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    pieces: VecDeque<Piece>,
    /// How many bytes the pieces have.
    bytes: usize,
    written: u64,
    /// When the last thing that was sent arrives.
    last_due: u64,
    close: Close,
    /// The reader takes nothing more.
    deaf: bool,
    chances: Chances,
}

#[derive(Debug)]
struct Piece {
    due: u64,
    bytes: Vec<u8>,
    taken: usize,
}

/// What is behind the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Open,
    /// The end, for the reader at that time.
    End(u64),
    Reset,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Found {
    /// So many bytes; 0: the end.
    Bytes(usize),
    /// Nothing before that time; `u64::MAX`: nothing was sent.
    Nothing(u64),
}

/// What a writer finds.
#[derive(Debug)]
pub(super) enum Sent {
    Bytes(usize),
    /// There is no room.
    Full,
    /// The connection breaks in this moment, both ways, and loses what is under way.
    Breaks,
}

impl Lane {
    pub(super) fn new(chances: Chances) -> Lane {
        Lane {
            pieces: VecDeque::new(),
            bytes: 0,
            written: 0,
            last_due: 0,
            close: Close::Open,
            deaf: false,
            chances,
        }
    }

    /// Takes what has arrived by `now`. With `peek`, it stays there as well.
    ///
    /// # Errors
    /// `ConnectionReset`, behind the last byte.
    pub(super) fn read(&mut self, buf: &mut [u8], now: u64, peek: bool) -> io::Result<Found> {
        if self.deaf || buf.is_empty() {
            return Ok(Found::Bytes(0));
        }
        let Some(first) = self.pieces.front() else {
            return match self.close {
                Close::Open => Ok(Found::Nothing(u64::MAX)),
                Close::End(due) if due > now => Ok(Found::Nothing(due)),
                Close::End(_) => Ok(Found::Bytes(0)),
                Close::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            };
        };
        if first.due > now {
            return Ok(Found::Nothing(first.due));
        }
        let wanted = self.chances.chunk(buf.len());
        let mut count = 0;
        for piece in self.pieces.iter_mut().take_while(|piece| piece.due <= now) {
            let bytes = &piece.bytes[piece.taken..];
            let part = cmp::min(bytes.len(), wanted - count);
            buf[count..count + part].copy_from_slice(&bytes[..part]);
            count += part;
            if !peek {
                piece.taken += part;
            }
        }
        if !peek {
            self.bytes -= count;
            while self.pieces.front().is_some_and(|piece| piece.taken == piece.bytes.len()) {
                self.pieces.pop_front();
            }
        }
        Ok(Found::Bytes(count))
    }

    /// Sends some of `buf`, which is not empty.
    ///
    /// # Errors
    /// `BrokenPipe` after the end, or if the reader takes nothing more; `ConnectionReset`.
    pub(super) fn write(&mut self, buf: &[u8], now: u64) -> io::Result<Sent> {
        match self.close {
            Close::Open if !self.deaf => {}
            Close::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Close::Open | Close::End(_) => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        let left = self.chances.link.reset_after.map_or(u64::MAX, |limit| limit.saturating_sub(self.written));
        if left == 0 {
            return Ok(Sent::Breaks);
        }
        let room = self.chances.link.capacity.saturating_sub(self.bytes);
        if room == 0 {
            return Ok(Sent::Full);
        }
        let most = buf.len().min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.chances.chunk(most);
        let breaks = self.chances.loses();
        let count = if breaks { self.chances.part(count) } else { count };
        self.send(&buf[..count], now);
        Ok(if breaks { Sent::Breaks } else { Sent::Bytes(count) })
    }

    fn send(&mut self, bytes: &[u8], now: u64) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        self.written += bytes.len() as u64;
        let due = self.arrival(now);
        match self.pieces.back_mut() {
            Some(last) if last.due == due => last.bytes.extend_from_slice(bytes),
            _ => self.pieces.push_back(Piece { due, bytes: bytes.to_vec(), taken: 0 }),
        }
    }

    fn arrival(&mut self, now: u64) -> u64 {
        self.last_due = self.last_due.max(now.saturating_add(self.chances.latency()));
        self.last_due
    }

    /// The writer sends no more.
    pub(super) fn end(&mut self, now: u64) {
        if self.close == Close::Open {
            self.close = Close::End(self.arrival(now));
        }
    }

    /// The reader takes no more.
    pub(super) fn stop_reading(&mut self) {
        self.deaf = true;
        self.pieces.clear();
        self.bytes = 0;
    }

    /// The connection is reset. What is under way is lost if `at` is the present; with `u64::MAX`, it arrives.
    pub(super) fn reset(&mut self, at: u64) {
        // An end that has arrived is not taken back.
        if matches!(self.close, Close::End(due) if due <= at) && at != u64::MAX {
            return;
        }
        self.close = Close::Reset;
        while self.pieces.back().is_some_and(|piece| piece.due > at) {
            let lost = self.pieces.pop_back().expect("just seen");
            self.bytes -= lost.bytes.len() - lost.taken;
        }
    }

    /// Whether there is something that nobody has read.
    pub(super) fn is_unread(&self) -> bool {
        self.bytes > 0
    }

    /// Whether it breaks because so much was written.
    pub(super) fn is_worn_out(&self) -> bool {
        self.chances.link.reset_after.is_some_and(|limit| self.written >= limit)
    }
}
