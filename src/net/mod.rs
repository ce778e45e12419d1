//! Networking, like `std::net`: the same names, and calls that park the task instead of the thread. Unix sockets are in [`unix`].
//!
//! A program is ported by changing its `use` lines. Whatever has no socket in it *is* std's type, so
//! addresses go back and forth freely.
//!
//! ```
//! use layby::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! layby::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let address = listener.local_addr()?;
//!     let server = layby::go!(move || -> std::io::Result<()> {
//!         let (mut stream, _) = listener.accept()?;
//!         stream.write_all(b"hello")
//!     });
//!     let mut text = String::new();
//!     TcpStream::connect(address)?.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello");
//!     server.join().unwrap()
//! })
//! # }
//! ```
//!
//! Everything here works on a plain OS thread too, which it then blocks.
//!
//! # What a socket's file knows
//!
//! Sockets that layby opens or accepts are non-blocking for the kernel, those made from a descriptor
//! or from std's types stay as they are: all transfers say `MSG_DONTWAIT` themselves. Only a
//! [`TcpListener`] must change the mode, as `accept(2)` has no such flag. Turning a socket into
//! std's type, or into a descriptor, makes it blocking (unless
//! [`set_nonblocking`](TcpStream::set_nonblocking) was the last word), since that is what whoever gets it expects.

//!
//! # What std does not set
//!
//! Options that std has no method for are set through [socket2](https://docs.rs/socket2): on any of these sockets by
//! `SockRef::from(&socket)`; and what must be set before the address is bound, on a `socket2::Socket`, which
//! converts into these types.
//!
//! ```
//! use layby::net::{TcpListener, TcpStream};
//! use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
//! use std::time::Duration;
//!
//! let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
//! socket.set_reuse_port(true)?; // (socket2's feature "all") several listeners on one port: examples/per_worker.rs
//! socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())?;
//! socket.listen(16)?; // so many may wait to be accepted
//! let listener = TcpListener::from(socket);
//!
//! let stream = TcpStream::connect(listener.local_addr()?)?;
//! SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))?;
//! listener.accept()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod addr;
mod convert;
pub mod linux;
mod raw;
mod resolve;
mod serve;
mod socket;
mod tcp;
mod udp;
pub mod unix;

pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

pub use self::addr::ToSocketAddrs;
pub use self::serve::{Listener, Serve, Served, Server, Stopper, serve};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
