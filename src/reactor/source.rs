//! What a descriptor carries: the reactors that know it.

use std::io;
use std::iter;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};

use mio::unix::SourceFd;

use super::{Key, Reactor, Shared};

/// The registrations of one open descriptor, at most one for each reactor.
///
/// Most descriptors are used on one worker: that one's registration is found by an acquire load and
/// a comparison. The workers that come later (all of them, for a shared listener) are in a chain that
/// only grows, so that reading it takes no lock.
#[derive(Debug)]
pub(crate) struct Source {
    first: OnceLock<Registered>,
}

#[derive(Debug)]
struct Registered {
    /// Kept alive by this: it owns a duplicate of the epoll descriptor, so the registration can be
    /// undone when the worker is long gone, and no later reactor can have the same address.
    reactor: Arc<Shared>,
    key: Key,
    next: OnceLock<Box<Registered>>,
}

impl Source {
    /// A descriptor that no reactor knows.
    pub(crate) const fn new() -> Source {
        Source { first: OnceLock::new() }
    }

    /// The registration with this reactor, if there is one.
    #[inline]
    pub(crate) fn registered(&self, reactor: &Reactor) -> Option<Key> {
        let with = |entry: &&Registered| Arc::ptr_eq(&entry.reactor, &reactor.shared);
        self.entries().find(with).map(|entry| entry.key)
    }

    fn entries(&self) -> impl Iterator<Item = &Registered> {
        iter::successors(self.first.get(), |entry| entry.next.get().map(Box::as_ref))
    }

    /// The registration with this reactor, made at the first call. Must be given the same open
    /// descriptor each time.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`: no room for more watches, or a descriptor that cannot be waited for
    /// (`EPERM`: a regular file). `EEXIST` tells that another `Source` has registered this descriptor.
    pub(crate) fn key(&self, reactor: &Reactor, fd: RawFd) -> io::Result<Key> {
        if let Some(key) = self.registered(reactor) {
            return Ok(key);
        }
        // Only its own worker registers with a reactor, so nobody else can do this one's meanwhile;
        // other workers may append theirs at the same time.
        let key = reactor.register(fd)?;
        let entry = Registered { reactor: Arc::clone(&reactor.shared), key, next: OnceLock::new() };
        if let Err(entry) = self.first.set(entry) {
            let mut entry = Box::new(entry);
            for last in self.entries() {
                match last.next.set(entry) {
                    Ok(()) => break,
                    Err(back) => entry = back,
                }
            }
        }
        Ok(key)
    }

    /// Undoes every registration. For any thread; to be called before the descriptor is closed or
    /// given away, while nobody waits for it.
    ///
    /// Closing alone would not do: the kernel drops a registration with the last descriptor of the
    /// *open file*, and a clone of ours, or a child's, may live on. Its events would go on coming.
    pub(crate) fn deregister(&mut self, fd: RawFd) {
        let mut next = self.first.take();
        while let Some(mut entry) = next {
            // This fails if the descriptor was closed behind our back. Then there may be events
            // still, which the slot's next generation turns away.
            let _ = entry.reactor.registry.deregister(&mut SourceFd(&fd));
            entry.reactor.give_back(entry.key);
            next = entry.next.take().map(|entry| *entry);
        }
    }
}
