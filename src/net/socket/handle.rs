//! One handle of a socket, and how it is closed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::{Options, StdSocket};
use crate::blocking::unblock;

/// One handle of a socket, with the settings that its clones share.
#[derive(Debug)]
pub(super) struct Handle<S: StdSocket> {
    /// None only while it is being dropped, or given away.
    socket: Option<S>,
    options: Arc<Options>,
}

impl<S: StdSocket> Handle<S> {
    pub(super) fn new(socket: S, options: Arc<Options>) -> Handle<S> {
        Handle { socket: Some(socket), options }
    }

    #[inline]
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    #[inline]
    pub(super) fn as_std(&self) -> &S {
        self.socket.as_ref().expect("it is there for as long as the handle")
    }

    pub(super) fn into_std(mut self) -> S {
        self.socket.take().expect("it is there for as long as the handle")
    }

    pub(super) fn try_clone(&self) -> io::Result<Handle<S>> {
        Ok(Handle::new(self.as_std().try_clone()?, Arc::clone(&self.options)))
    }
}

impl<S: StdSocket> AsFd for Handle<S> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.as_std().as_fd()
    }
}

impl<S: StdSocket> Drop for Handle<S> {
    /// The kernel lets `close(2)` wait where `SO_LINGER` is set, whatever mode the socket is in.
    fn drop(&mut self) {
        if self.options.lingers() {
            close_elsewhere(self.socket.take());
        }
    }
}

#[cold]
fn close_elsewhere<S: StdSocket>(socket: Option<S>) {
    unblock(|| drop(socket));
}
