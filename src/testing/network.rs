//! Listeners in memory, and who connects to them.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::link::{Chances, Link};
use super::stream::{self, Stream};
use crate::channel::{self, Receiver, Sender};
use crate::park::{self, Deadline};
use crate::util::lock::Lock;

/// A network in memory: listeners by address, and connections to them that behave as its [`Link`] says.
///
/// A clone is the same network.
///
/// # Examples
/// ```
/// use layby::testing::{self, Link, Network};
/// use layby::go;
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// testing::run(1, || {
///     let link = Link::new().latency(Duration::from_millis(1)..Duration::from_millis(9));
///     let network = Network::new(link);
///     let listener = network.listen(([10, 0, 0, 1], 80)).unwrap();
///     go!(move || {
///         for stream in listener.incoming() {
///             go!(move || stream.unwrap().write_all(b"hello"));
///         }
///     });
///     for _ in 0..10 {
///         let mut text = String::new();
///         network.connect(([10, 0, 0, 1], 80)).unwrap().read_to_string(&mut text).unwrap();
///         assert_eq!(text, "hello");
///     }
/// });
/// ```
#[derive(Clone)]
pub struct Network(Arc<Lock<State>>);

struct State {
    link: Link,
    chances: Chances,
    /// Never iterated over.
    listeners: HashMap<SocketAddr, Sender<Stream>>,
    next_port: u16,
}

/// Accepts the connections to an address of a [`Network`]. Dropped, it accepts no more.
pub struct Listener {
    network: Network,
    addr: SocketAddr,
    streams: Receiver<Stream>,
}

/// The connections of a [`Listener`], without end.
#[derive(Debug)]
pub struct Incoming<'a>(&'a Listener);

/// The first port of those that are made up.
const FIRST_PORT: u16 = 49_152;

impl Network {
    /// A network without listeners.
    pub fn new(link: Link) -> Network {
        let chances = link.chances(0);
        let state = State { link, chances, listeners: HashMap::new(), next_port: FIRST_PORT };
        Network(Arc::new(Lock::new(state)))
    }

    /// Takes the connections to `addr`. Port 0: to one that is free.
    ///
    /// # Errors
    /// `AddrInUse` if there is a listener.
    pub fn listen(&self, addr: impl Into<SocketAddr>) -> io::Result<Listener> {
        let mut addr = addr.into();
        let (sender, streams) = channel::unbounded();
        let mut state = self.0.lock();
        if addr.port() == 0 {
            addr.set_port(state.free_port());
        }
        if state.listeners.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        state.listeners.insert(addr, sender);
        Ok(Listener { network: self.clone(), addr, streams })
    }

    /// Connects to the listener of `addr`. Takes the time there and back.
    ///
    /// # Cancellation
    /// A suspension point.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens there.
    pub fn connect(&self, addr: impl Into<SocketAddr>) -> io::Result<Stream> {
        let addr = addr.into();
        park::checkpoint();
        park::refuse_if_due()?;
        let there_and_back = {
            let state = self.0.lock();
            state.chances.latency().saturating_add(state.chances.latency())
        };
        if there_and_back > 0 {
            park::sleep_until(Deadline::after(Duration::from_nanos(there_and_back)));
            park::refuse_if_due()?;
        }
        let mut state = self.0.lock();
        let Some(listener) = state.listeners.get(&addr).cloned() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let local = (Ipv4Addr::new(192, 0, 2, 1), state.free_port()).into();
        let link = state.link.clone();
        drop(state);
        let (here, there) = stream::pair(&link, [local, addr]);
        match listener.try_send(there) {
            Ok(()) => Ok(here),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

impl State {
    fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        port
    }
}

impl Listener {
    /// Waits for a connection: it, and the address of the other end.
    ///
    /// # Cancellation
    /// A suspension point. No connection is lost by it.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        // The network has a sender as long as this has not dropped it.
        let stream = self.streams.recv().map_err(io::Error::other)?;
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    /// The connections, one after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None; it is the signature of a socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<Stream>;

    fn next(&mut self) -> Option<io::Result<Stream>> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let sender = self.network.0.lock().listeners.remove(&self.addr);
        // Not under the lock.
        drop(sender);
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("addr", &self.addr).finish_non_exhaustive()
    }
}
