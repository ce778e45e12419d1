//! Unix sockets, like `std::os::unix::net`: between processes of one host, by a path, an abstract name, or as a pair.
//!
//! Addresses are std's; abstract ones are made by its `std::os::linux::net::SocketAddrExt`.
//!
//! ```
//! use layby::{go, net::unix::UnixStream};
//! use std::io::{Read, Write};
//!
//! layby::run(|| {
//!     let (mut near, mut far) = UnixStream::pair()?;
//!     let writer = go!(move || far.write_all(b"hello"));
//!     let mut text = String::new();
//!     near.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello");
//!     writer.join().unwrap()
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod addr;
mod datagram;
mod listener;
mod stream;

pub use std::os::unix::net::SocketAddr;

pub use self::datagram::UnixDatagram;
pub use self::listener::{Incoming, UnixListener};
pub use self::stream::UnixStream;
