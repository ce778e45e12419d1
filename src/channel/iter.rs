//! Iterators over what is received.

#![forbid(unsafe_code)]

use core::fmt;
use core::iter::FusedIterator;

use super::Receiver;

/// Waits for each message: [`Receiver::iter`].
///
/// # Examples
/// ```
/// let (s, r) = layby::channel::unbounded();
/// s.send(1).unwrap();
/// drop(s);
/// assert_eq!(r.iter().next(), Some(1));
/// ```
pub struct Iter<'a, T>(pub(super) &'a Receiver<T>);

/// Takes what is there: [`Receiver::try_iter`].
///
/// # Examples
/// ```
/// let (s, r) = layby::channel::unbounded();
/// s.send(1).unwrap();
/// assert_eq!(r.try_iter().count(), 1);
/// ```
pub struct TryIter<'a, T>(pub(super) &'a Receiver<T>);

/// As [`Iter`], and owns the receiver.
///
/// # Examples
/// ```
/// let (s, r) = layby::channel::unbounded();
/// s.send(1).unwrap();
/// drop(s);
/// assert_eq!(r.into_iter().collect::<Vec<_>>(), [1]);
/// ```
pub struct IntoIter<T>(pub(super) Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
