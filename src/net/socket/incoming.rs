//! Accepting in a loop.

/// The iterator of a listener.
macro_rules! incoming {
    ($listener:ident, $stream:ident) => {
        #[doc = concat!("An iterator over the connections to a [`", stringify!($listener), "`], made by")]
        #[doc = concat!("[`incoming`](", stringify!($listener), "::incoming). It never ends.")]
        ///
        /// Its `next` blocks until somebody connects.
        ///
        /// # Cancellation
        #[doc = concat!("As for [`accept`](", stringify!($listener), "::accept).")]
        #[derive(Debug)]
        #[must_use = "iterators are lazy and do nothing unless consumed"]
        pub struct Incoming<'a> {
            listener: &'a $listener,
        }

        impl<'a> Incoming<'a> {
            pub(super) fn new(listener: &'a $listener) -> Incoming<'a> {
                Incoming { listener }
            }
        }

        impl Iterator for Incoming<'_> {
            type Item = std::io::Result<$stream>;

            #[inline(always)]
            fn next(&mut self) -> Option<std::io::Result<$stream>> {
                Some(self.listener.accept().map(|(stream, _)| stream))
            }
        }

        impl std::iter::FusedIterator for Incoming<'_> {}
    };
}

pub(in crate::net) use incoming;
