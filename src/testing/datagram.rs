//! Datagrams in memory.

use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use super::bells::{Bells, end_of};
use super::link::{Chances, Link};
use crate::fiber::Reason;
use crate::park;
use crate::sched;
use crate::util::lock::Lock;

/// One end of a pair between which datagrams go: as two connected [`UdpSocket`](crate::net::UdpSocket)s.
///
/// Made by [`Link::datagram_pair`]. Some are lost, come twice, or overtake each other, as the [`Link`] says. `recv` is a suspension
/// point. A clone is the same end.
#[derive(Clone)]
pub struct Datagrams(Arc<End>);

struct End {
    connection: Arc<[Lock<Lane>; 2]>,
    side: usize,
    settings: Lock<Settings>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    read_timeout: Option<Duration>,
    nonblocking: bool,
}

/// What goes to one end.
struct Lane {
    /// By the time of arrival, then in the order of sending.
    under_way: BinaryHeap<Reverse<(u64, u64, Vec<u8>)>>,
    bytes: usize,
    sent: u64,
    closed: bool,
    chances: Chances,
    bells: Bells,
}

pub(super) fn pair(link: &Link) -> (Datagrams, Datagrams) {
    let lanes = [0, 1].map(|direction| {
        Lock::new(Lane {
            under_way: BinaryHeap::new(),
            bytes: 0,
            sent: 0,
            closed: false,
            chances: link.chances(direction),
            bells: Bells::default(),
        })
    });
    let connection = Arc::new(lanes);
    let end =
        |side| Datagrams(Arc::new(End { connection: connection.clone(), side, settings: Lock::default() }));
    (end(0), end(1))
}

impl Lane {
    fn send(&mut self, datagram: &[u8], now: u64) {
        if self.chances.loses() {
            return;
        }
        let copies = if self.chances.duplicates() { 2 } else { 1 };
        for _ in 0..copies {
            // A datagram of no bytes takes room, too.
            if self.bytes + datagram.len() >= self.chances.link.capacity {
                return;
            }
            self.bytes += datagram.len() + 1;
            self.sent += 1;
            let due = now.saturating_add(self.chances.latency());
            self.under_way.push(Reverse((due, self.sent, datagram.to_vec())));
        }
    }

    /// The first that has arrived by `now`; or when there is one.
    fn recv(&mut self, now: u64) -> Result<Vec<u8>, u64> {
        match self.under_way.peek() {
            None => Err(u64::MAX),
            Some(Reverse((due, ..))) if *due > now => Err(*due),
            Some(_) => {
                let Reverse((_, _, datagram)) = self.under_way.pop().expect("just seen");
                self.bytes -= datagram.len() + 1;
                Ok(datagram)
            }
        }
    }
}

impl Datagrams {
    /// Sends a datagram. Never waits: what is lost is lost.
    ///
    /// # Errors
    /// `ConnectionRefused` if the other end is gone.
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        let now = sched::now();
        let mut lane = self.0.connection[1 - self.0.side].lock();
        if lane.closed {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        lane.send(datagram, now);
        let news = lane.bells.take();
        drop(lane);
        news.tell();
        Ok(datagram.len())
    }

    /// Waits for a datagram; what does not fit into `buf` is cut off.
    ///
    /// # Cancellation
    /// A suspension point. No datagram is lost by it.
    ///
    /// # Errors
    /// `WouldBlock` if there was none in time. `ConnectionRefused` if the other end is gone, and all that it has sent was read.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        park::spend_budget(1);
        park::refuse_if_due()?;
        let settings = *self.0.settings.lock();
        let end = end_of(settings.read_timeout);
        loop {
            let now = sched::now();
            let theirs = self.0.connection[1 - self.0.side].lock().closed;
            let mut lane = self.0.connection[self.0.side].lock();
            let due = match lane.recv(now) {
                Ok(datagram) => {
                    let count = datagram.len().min(buf.len());
                    buf[..count].copy_from_slice(&datagram[..count]);
                    return Ok(count);
                }
                Err(u64::MAX) if theirs => return Err(io::ErrorKind::ConnectionRefused.into()),
                Err(due) => due,
            };
            if settings.nonblocking || now >= end {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let bell = lane.bells.add();
            drop(lane);
            bell.wait(Reason::Read, due.min(end));
            park::refuse_if_due()?;
        }
    }

    /// Limits how long [`recv`](Datagrams::recv) waits; `None` for as long as it takes.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> io::Result<()> {
        super::stream::check(dur)?;
        self.0.settings.lock().read_timeout = dur;
        Ok(())
    }

    /// With `true`, what would wait fails with `WouldBlock`.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.settings.lock().nonblocking = nonblocking;
        Ok(())
    }
}

/// No suspension point: a destructor is none.
impl Drop for End {
    fn drop(&mut self) {
        self.connection[self.side].lock().closed = true;
        let news = self.connection[1 - self.side].lock().bells.take();
        news.tell();
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("side", &self.0.side).finish_non_exhaustive()
    }
}
