//! Accepting in a loop.

use std::io;
use std::iter::FusedIterator;

use super::{TcpListener, TcpStream};

/// An iterator over the connections to a [`TcpListener`], made by
/// [`incoming`](TcpListener::incoming). It never ends.
///
/// Its `next` blocks until somebody connects.
///
/// # Cancellation
/// As for [`accept`](TcpListener::accept).
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(listener: &'a TcpListener) -> Incoming<'a> {
        Incoming { listener }
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    #[inline(always)]
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
