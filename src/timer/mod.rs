//! Deadlines: a hierarchical timing wheel, one per worker.
//!
//! A task that sleeps, or waits with a timeout, has an [`Entry`] in its own stack frame and links it
//! into the [`Wheel`] of its worker. Linking, unlinking and expiry allocate nothing and lock nothing:
//! wheel and entries belong to one OS thread. The wheel knows no scheduler and reads no clock. The
//! worker tells it the time, takes what has expired, and asks when to come back:
//!
//! ```text
//! loop {
//!     wheel.advance(now);                                  // sorts out what is due
//!     while let Some(owner) = wheel.pop_expired() { .. }   // one at a time, already unlinked
//!     sleep until wheel.next_deadline()                    // None: nothing will ever be due
//! }
//! ```
//!
//! # Ticks
//!
//! Time is counted in ticks of 2^12 ns (4.1 µs). A deadline is rounded *up* to a tick, a time that
//! is passed to `advance` is rounded down, so an entry never fires early, and in an `advance` at any
//! time from the end of its tick on it fires: at most one tick late.
//!
//! The tick is fine because it is the wrong place to save wake-ups. On a virtual machine a wake-up
//! costs 20 µs of CPU and comes 25 to 30 µs late. With a tick of 2^16 ns, waking at each, the 100,000
//! sleepers of a second took 15,000 wake-ups, 2.5 to 4 µs of CPU each, and were 60 µs late in the
//! middle: the wake-up's own lateness comes on top of the rounding. With a fine tick, whatever
//! has come due while the worker was being woken is taken along, so a worker that keeps its timer
//! wake-ups 130 µs apart (and is on time when they are rare) has 6,000 of them, 1.8 µs of CPU a
//! sleeper, and a median lateness of 90 µs; 100 µs apart 7,400, 2.2 µs, and 73 µs. Spacing them is the
//! worker's business. Below 2^12 ns lateness no longer improves, and a sleep of a second would
//! need one level, so one cascade, more.
//!
//! # Levels and slots
//!
//! A tick number has 52 bits (64 less the 12 within a tick), read as nine digits of base 64. Level
//! `l` has a slot for each value of digit `l`. An entry lies on the level of the *highest digit in
//! which its tick differs from the current tick*, in the slot of its own digit there:
//!
//! ```text
//! digit        8 .. 3   2    1    0        a slot spans     a level reaches
//! now          0 .. 0   0    5   62
//!
//! due at       0 .. 0   0    5   63   ->  level 0, slot 63      4.1 µs        262   µs
//! due at       0 .. 0   0    6    0   ->  level 1, slot  6    262   µs         16.8 ms
//! due at       0 .. 0   1    9   17   ->  level 2, slot  1     16.8 ms          1.07 s
//!                                         level 3               1.07 s         68.7 s
//!                                         level 4              68.7 s          73   min
//!                                         level 5              73   min         3.3 days
//!                                         level 6               3.3 days      208   days
//!                                         level 7             208   days       36.5 years
//!                                         level 8              36.5 years     584   years
//!
//!            slot 0                        the current digit                    slot 63
//! level 1    [  ][  ][  ][  ][  ]          [ 5]          [ 6][ 7]      ...      [  ]
//!             always empty: passed          always empty   |   occupied: 0b..1100_0000 (u64)
//!                                                          v
//!                                          head -> Entry <-> Entry <-> Entry <- tail
//! ```
//!
//! Two things follow, and all the rest from them. Occupied slots are to the *right* of the current
//! digit, so slot indices never wrap. And whatever is on a level is due before everything on the
//! levels above. So the first slot of the lowest occupied level holds what is due first; two
//! `trailing_zeros` find it, and however long the gap before it, `advance` jumps over it.
//!
//! When the current tick enters a slot above level 0, its entries *cascade*: they share one more
//! digit with the current tick, and move to lower levels. An entry cascades at most eight times,
//! however far its deadline. Each slot knows the earliest tick that was put into it, so
//! `next_deadline` names that tick and not the beginning of the slot: a lone sleeper of an hour
//! costs one wake-up, not one for each level. Removing the earliest of several entries leaves that
//! figure stale, which costs one early wake-up at most: the cascade then renews it.
//!
//! # Rejected
//!
//! - *A binary heap*: O(log n) with a cache miss a step, and removal needs each entry's index kept;
//!   most timeouts are removed, not fired.
//! - *Slots by distance* (the classic wheel with wrapping indices): an entry that lies on a high level
//!   can be due before one on a low level, so finding the earliest means looking at every level.
//! - *A tick-by-tick hand*: an idle hour is 880 million ticks.
//! - *A callback from `advance`*: it could insert and remove in the middle of the work. Handing out
//!   one owner at a time leaves the wheel consistent between any two calls.

mod entry;
mod wheel;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub(crate) use entry::Entry;
pub(crate) use wheel::Wheel;
