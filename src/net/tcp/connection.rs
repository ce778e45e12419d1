//! The socket of a stream, and how it is closed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::super::options::Options;
use crate::blocking::unblock;

/// One handle of a connection, with the settings that its clones share.
#[derive(Debug)]
pub(super) struct Connection {
    /// None only while it is being dropped, or given away.
    stream: Option<std::net::TcpStream>,
    options: Arc<Options>,
}

impl Connection {
    pub(super) fn new(stream: std::net::TcpStream, options: Arc<Options>) -> Connection {
        Connection { stream: Some(stream), options }
    }

    #[inline]
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    #[inline]
    pub(super) fn as_std(&self) -> &std::net::TcpStream {
        self.stream.as_ref().expect("it is there for as long as the connection")
    }

    pub(super) fn into_std(mut self) -> std::net::TcpStream {
        self.stream.take().expect("it is there for as long as the connection")
    }

    pub(super) fn try_clone(&self) -> io::Result<Connection> {
        Ok(Connection::new(self.as_std().try_clone()?, Arc::clone(&self.options)))
    }
}

impl AsFd for Connection {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.as_std().as_fd()
    }
}

impl Drop for Connection {
    /// The kernel lets `close(2)` wait where `SO_LINGER` is set, whatever mode the socket is in.
    fn drop(&mut self) {
        if self.options.lingers() {
            close_elsewhere(self.stream.take());
        }
    }
}

#[cold]
fn close_elsewhere(stream: Option<std::net::TcpStream>) {
    unblock(|| drop(stream));
}
