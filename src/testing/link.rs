//! What a connection in memory is like: how slow, how choppy, how lossy.

use core::ops::Range;
use core::time::Duration;

use super::datagram::{self, Datagrams};
use super::stream::{self, Stream};
use crate::sched;
use crate::util::rng::Rng;

/// How a connection in memory behaves: what a network does to bytes, by a seed.
///
/// A new one is perfect: nothing is late, split or lost. In a seeded run all chances are the run's; elsewhere they are random, or by
/// [`seed`](Link::seed), and time is real.
///
/// # Examples
/// ```
/// use layby::testing::{self, Link};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let slow = Link::new().latency(Duration::from_millis(20)..Duration::from_millis(80)).chunk(1..5);
/// testing::run(1, || {
///     let (mut here, mut there) = slow.stream_pair();
///     layby::go!(move || here.write_all(b"in many small pieces"));
///     let mut text = String::new();
///     there.read_to_string(&mut text).unwrap(); // takes no real time
///     assert_eq!(text, "in many small pieces");
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "it describes a connection, and makes none"]
pub struct Link {
    latency: Range<Duration>,
    chunk: Option<Range<usize>>,
    loss: f64,
    duplication: f64,
    pub(super) reset_after: Option<u64>,
    pub(super) capacity: usize,
    seed: Option<u64>,
}

impl Link {
    /// A perfect link, whose buffers take 64 KiB each way.
    pub const fn new() -> Link {
        Link {
            latency: Duration::ZERO..Duration::ZERO,
            chunk: None,
            loss: 0.0,
            duplication: 0.0,
            reset_after: None,
            capacity: 64 * 1024,
            seed: None,
        }
    }

    /// How long what is sent is under way. Bytes of a stream stay in order; datagrams overtake each other. If the range is
    /// empty, it is always its start.
    pub const fn latency(mut self, latency: Range<Duration>) -> Link {
        self.latency = latency;
        self
    }

    /// How many bytes a single `read` or `write` of a stream takes at most, drawn anew for each. If the range is empty, it is always its start.
    ///
    /// # Panics
    /// If the range starts at 0.
    pub const fn chunk(mut self, bytes: Range<usize>) -> Link {
        assert!(bytes.start > 0, "a read or write of no bytes gets nowhere");
        self.chunk = Some(bytes);
        self
    }

    /// How likely it is that something is lost. Of a datagram pair: each datagram. A stream cannot lose bytes and go on: each `write` may find the
    /// connection reset, after a part of its bytes; those that are under way then are lost.
    ///
    /// # Panics
    /// If it is not in `0.0..=1.0`.
    pub const fn loss(mut self, chance: f64) -> Link {
        assert!(chance >= 0.0 && chance <= 1.0, "a chance is from 0 to 1");
        self.loss = chance;
        self
    }

    /// How likely it is that a datagram arrives twice.
    ///
    /// # Panics
    /// If it is not in `0.0..=1.0`.
    pub const fn duplication(mut self, chance: f64) -> Link {
        assert!(chance >= 0.0 && chance <= 1.0, "a chance is from 0 to 1");
        self.duplication = chance;
        self
    }

    /// A stream is reset when so many bytes were written in one direction; these arrive.
    pub const fn reset_after(mut self, bytes: u64) -> Link {
        self.reset_after = Some(bytes);
        self
    }

    /// How many bytes may be under way or unread in one direction. A stream's writer waits for room; a datagram for which there is none is
    /// lost.
    ///
    /// # Panics
    /// If it is 0.
    pub const fn capacity(mut self, bytes: usize) -> Link {
        assert!(bytes > 0, "nothing fits into no bytes");
        self.capacity = bytes;
        self
    }

    /// What the chances go by, of each connection alike. Else: in a seeded run by its seed, elsewhere at random.
    pub const fn seed(mut self, seed: u64) -> Link {
        self.seed = Some(seed);
        self
    }

    /// Two ends of a new connection.
    pub fn stream_pair(&self) -> (Stream, Stream) {
        stream::pair(self, [stream::made_up(1), stream::made_up(2)])
    }

    /// Two ends between which datagrams go.
    ///
    /// # Examples
    /// ```
    /// use layby::testing::{self, Link};
    ///
    /// testing::run(3, || {
    ///     let (here, there) = Link::new().loss(0.5).datagram_pair();
    ///     for number in 0..100 {
    ///         here.send(&[number]).unwrap();
    ///     }
    ///     drop(here);
    ///     let arrived = std::iter::from_fn(|| there.recv(&mut [0]).ok()).count();
    ///     assert!((20..80).contains(&arrived), "{arrived}");
    /// });
    /// ```
    pub fn datagram_pair(&self) -> (Datagrams, Datagrams) {
        datagram::pair(self)
    }

    /// The chances of one direction of a new connection.
    pub(super) fn chances(&self, direction: u64) -> Chances {
        let seed = match (self.seed, sched::sim()) {
            (Some(seed), _) => Rng::new(seed ^ direction << 63).next(),
            (None, Some(sim)) => sim.random(),
            (None, None) => fastrand(),
        };
        Chances { link: self.clone(), rng: Rng::new(seed) }
    }
}

/// A number that nobody can foresee.
fn fastrand() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl Default for Link {
    fn default() -> Link {
        Link::new()
    }
}

/// What befalls one direction.
#[derive(Debug)]
pub(super) struct Chances {
    pub(super) link: Link,
    rng: Rng,
}

impl Chances {
    /// In nanoseconds.
    pub(super) fn latency(&self) -> u64 {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2);
        self.within(nanos(self.link.latency.start), nanos(self.link.latency.end))
    }

    /// How many of `wanted` bytes go at once; at least one if that is.
    pub(super) fn chunk(&self, wanted: usize) -> usize {
        match &self.link.chunk {
            None => wanted,
            Some(chunk) => wanted.min(self.within(chunk.start as u64, chunk.end as u64) as usize),
        }
    }

    /// Whether this one is lost.
    pub(super) fn loses(&self) -> bool {
        self.happens(self.link.loss)
    }

    /// Whether this one comes twice.
    pub(super) fn duplicates(&self) -> bool {
        self.happens(self.link.duplication)
    }

    /// Some part of `bytes`.
    pub(super) fn part(&self, bytes: usize) -> usize {
        self.within(0, bytes as u64 + 1) as usize
    }

    fn happens(&self, chance: f64) -> bool {
        // 53 bits are what an f64 is exact in.
        chance > 0.0 && ((self.rng.next() >> 11) as f64) < chance * (1u64 << 53) as f64
    }

    fn within(&self, start: u64, end: u64) -> u64 {
        if end <= start + 1 { start } else { start + self.rng.below(end - start) }
    }
}
