//! What only Linux has, like `std::os::linux::net`.

#![forbid(unsafe_code)]

use std::io;
use std::os::linux::net::TcpStreamExt as _;

use super::TcpStream;

/// Settings of a [`TcpStream`] that only Linux has.
///
/// Like `std::os::linux::net::TcpStreamExt`, which is sealed, so that it cannot be implemented here.
/// This one is sealed too.
///
/// # Examples
/// ```
/// use layby::net::linux::TcpStreamExt;
/// use layby::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// stream.set_quickack(false)?;
/// assert!(!stream.quickack()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait TcpStreamExt: sealed::Sealed {
    /// Whether what comes is acknowledged at once (`TCP_QUICKACK`) rather than together with an
    /// answer. Linux may change it back by itself.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    fn set_quickack(&self, quickack: bool) -> io::Result<()>;

    /// The value of `TCP_QUICKACK`.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    fn quickack(&self) -> io::Result<bool>;
}

impl TcpStreamExt for TcpStream {
    fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.as_std().set_quickack(quickack)
    }

    fn quickack(&self) -> io::Result<bool> {
        self.as_std().quickack()
    }
}

mod sealed {
    /// Implemented here only, so that methods can be added.
    pub trait Sealed {}

    impl Sealed for super::TcpStream {}
}
