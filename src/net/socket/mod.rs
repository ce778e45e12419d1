//! What the sockets of all kinds share: the public types are a thin layer around these.
//!
//! | | is in |
//! |---|---|
//! | [`Socket`]: connections and datagrams, their settings and transfers | `TcpStream`, `UdpSocket`, `UnixStream`, `UnixDatagram` |
//! | [`Listening`]: what accepts | `TcpListener`, `UnixListener` |

#![forbid(unsafe_code)]

mod handle;
mod incoming;
mod listening;
mod options;
mod settings;
mod std_socket;
mod transfer;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use self::handle::Handle;
pub(super) use self::incoming::incoming;
pub(super) use self::listening::Listening;
use self::options::Options;
pub(super) use self::options::zero_duration;
pub(super) use self::settings::settings;
pub(super) use self::std_socket::{StdListener, StdSocket};
pub(super) use self::transfer::stream_transfers;
use crate::io::descriptor::Descriptor;
use crate::sys::socket;

/// A socket of std's that tasks can wait for, with the settings that its clones share.
#[derive(Debug)]
pub(super) struct Socket<S: StdSocket> {
    descriptor: Descriptor<Handle<S>>,
}

impl<S: StdSocket> Socket<S> {
    /// One that nobody has set anything on.
    pub(super) fn new(socket: S) -> Socket<S> {
        Socket { descriptor: Descriptor::new(Handle::new(socket, Arc::new(Options::new()))) }
    }

    /// One with a past.
    pub(super) fn from_std(socket: S) -> Socket<S> {
        let options = Options::new();
        // These fail where the descriptor is no socket; then each call says so.
        options.set_read_limit(socket.read_timeout().unwrap_or(None));
        options.set_write_limit(socket.write_timeout().unwrap_or(None));
        options.set_linger(socket::linger(socket.as_fd()).unwrap_or(None));
        Socket { descriptor: Descriptor::new(Handle::new(socket, Arc::new(options))) }
    }

    pub(super) fn into_std(self) -> S {
        let nonblocking = self.options().nonblocking();
        let socket = self.descriptor.into_inner().into_std();
        // Cannot fail on an open descriptor; the kernel knows the other settings already.
        let _ = socket.set_nonblocking(nonblocking);
        socket
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket<S>> {
        Ok(Socket { descriptor: Descriptor::new(self.descriptor.get().try_clone()?) })
    }

    #[inline]
    pub(super) fn as_std(&self) -> &S {
        self.descriptor.get().as_std()
    }

    #[inline]
    fn options(&self) -> &Options {
        self.descriptor.get().options()
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.options().set_nonblocking(nonblocking);
    }

    pub(super) fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        // The kernel's own copy does not matter to calls that never block. It is what std's type
        // finds after a conversion, and checks the value.
        self.as_std().set_read_timeout(limit)?;
        self.options().set_read_limit(limit);
        Ok(())
    }

    pub(super) fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.as_std().set_write_timeout(limit)?;
        self.options().set_write_limit(limit);
        Ok(())
    }

    pub(super) fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(self.as_std().as_fd(), linger)?;
        self.options().set_linger(linger);
        Ok(())
    }
}
