// All of std's TCP that is stable in Rust 1.95, as one function that compiles. Included as `cases.rs` is.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::linux::TcpStreamExt;
use super::net::{Incoming, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};

/// Every stable method and trait, with std's very signature. It is compiled; nothing is called.
#[expect(deprecated, reason = "two of the methods are, and are here all the same")]
pub(super) fn compiles() {
    type Stream = TcpStream;
    type Listener = TcpListener;
    type Unit = io::Result<()>;

    let _: fn(&'static str) -> io::Result<Stream> = Stream::connect::<&'static str>;
    let _: fn(&SocketAddr, Duration) -> io::Result<Stream> = Stream::connect_timeout;
    let _: fn(&Stream) -> io::Result<SocketAddr> = Stream::peer_addr;
    let _: fn(&Stream) -> io::Result<SocketAddr> = Stream::local_addr;
    let _: fn(&Stream, Shutdown) -> Unit = Stream::shutdown;
    let _: fn(&Stream) -> io::Result<Stream> = Stream::try_clone;
    let _: fn(&Stream, Option<Duration>) -> Unit = Stream::set_read_timeout;
    let _: fn(&Stream, Option<Duration>) -> Unit = Stream::set_write_timeout;
    let _: fn(&Stream) -> io::Result<Option<Duration>> = Stream::read_timeout;
    let _: fn(&Stream) -> io::Result<Option<Duration>> = Stream::write_timeout;
    let _: fn(&Stream, &mut [u8]) -> io::Result<usize> = Stream::peek;
    let _: fn(&Stream, bool) -> Unit = Stream::set_nodelay;
    let _: fn(&Stream) -> io::Result<bool> = Stream::nodelay;
    let _: fn(&Stream, u32) -> Unit = Stream::set_ttl;
    let _: fn(&Stream) -> io::Result<u32> = Stream::ttl;
    let _: fn(&Stream) -> io::Result<Option<io::Error>> = Stream::take_error;
    let _: fn(&Stream, bool) -> Unit = Stream::set_nonblocking;
    let _: fn(&Stream, bool) -> Unit = <Stream as TcpStreamExt>::set_quickack;
    let _: fn(&Stream) -> io::Result<bool> = <Stream as TcpStreamExt>::quickack;

    let _: fn(&'static str) -> io::Result<Listener> = Listener::bind::<&'static str>;
    let _: fn(&Listener) -> io::Result<SocketAddr> = Listener::local_addr;
    let _: fn(&Listener) -> io::Result<Listener> = Listener::try_clone;
    let _: fn(&Listener) -> io::Result<(Stream, SocketAddr)> = Listener::accept;
    let _: fn(&Listener) -> Incoming<'_> = Listener::incoming;
    let _: fn(&Listener, u32) -> Unit = Listener::set_ttl;
    let _: fn(&Listener) -> io::Result<u32> = Listener::ttl;
    let _: fn(&Listener, bool) -> Unit = Listener::set_only_v6;
    let _: fn(&Listener) -> io::Result<bool> = Listener::only_v6;
    let _: fn(&Listener) -> io::Result<Option<io::Error>> = Listener::take_error;
    let _: fn(&Listener, bool) -> Unit = Listener::set_nonblocking;

    fn auto<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug>() {}
    fn descriptor<T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd> + 'static>() {}
    fn transfer<T: Read + Write>() {}
    fn iterator<'a, T: FusedIterator<Item = io::Result<TcpStream>> + 'a>() {}
    auto::<Stream>();
    auto::<Listener>();
    auto::<Incoming<'static>>();
    descriptor::<Stream>();
    descriptor::<Listener>();
    transfer::<Stream>();
    transfer::<&'static Stream>();
    iterator::<'_, Incoming<'_>>();

    fn addresses<T: ToSocketAddrs + ?Sized>() {}
    addresses::<str>();
    addresses::<String>();
    addresses::<&&str>();
    addresses::<(&str, u16)>();
    addresses::<(String, u16)>();
    addresses::<SocketAddr>();
    addresses::<std::net::SocketAddrV4>();
    addresses::<std::net::SocketAddrV6>();
    addresses::<(std::net::IpAddr, u16)>();
    addresses::<(std::net::Ipv4Addr, u16)>();
    addresses::<(std::net::Ipv6Addr, u16)>();
    addresses::<&[SocketAddr]>();
    addresses::<&&[SocketAddr]>();
}
