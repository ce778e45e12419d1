//! ureq over layby's sockets: its `Resolver`, `Connector` and `Transport`. The rest of it (HTTP, TLS, gzip, the pool
//! of connections) stays as it is.
//!
//! ureq's own deadlines become [`layby::timeout`]s around the one call that waits: that costs no system call, where std's
//! `set_read_timeout` costs one for each change.

use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Weak};

use layby::net::{TcpStream, ToSocketAddrs as _};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, ShutdownHandle,
    Transport,
};
use ureq::{Agent, Error};

/// An agent whose calls park the task.
#[must_use]
pub fn agent(config: Config) -> Agent {
    Agent::with_parts(config, LaybyConnector.chain(RustlsConnector::default()), LaybyResolver)
}

/// What waits for the network, at most as long as ureq allows.
fn within<T>(limit: NextTimeout, wait: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    match limit.not_zero() {
        None => Ok(wait()?),
        Some(time) => Ok(layby::timeout(*time, wait).map_err(|_| Error::Timeout(limit.reason))??),
    }
}

/// Names are resolved by layby, off the worker.
#[derive(Debug)]
pub struct LaybyResolver;

impl Resolver for LaybyResolver {
    fn resolve(&self, uri: &Uri, config: &Config, limit: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let name = uri.scheme().zip(uri.authority());
        let name = name.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        let name = name.ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let found = within(limit, || name.to_socket_addrs())?;
        let mut addresses = self.empty();
        let family = config.ip_family();
        family.keep_wanted(found).take(16).for_each(|address| addresses.push(address)); // it has room for so many
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Opens connections; where an earlier link of ureq's chain has one already, leaves that alone.
#[derive(Debug)]
pub struct LaybyConnector;

impl Connector<()> for LaybyConnector {
    type Out = LaybyTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<LaybyTransport>, Error> {
        let stream = within(details.timeout, || TcpStream::connect(&details.addrs[..]))?;
        stream.set_nodelay(details.config.no_delay())?;
        let stream = Arc::new(Stream(stream));
        (details.register_shutdown)(Arc::downgrade(&stream) as Weak<dyn ShutdownHandle>)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(LaybyTransport { stream, buffers }))
    }
}

#[derive(Debug)]
struct Stream(TcpStream);

/// `Agent::shutdown`, from another task.
impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// One connection.
pub struct LaybyTransport {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

impl Transport for LaybyTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        let output = &self.buffers.output()[..amount];
        within(limit, || (&self.stream.0).write_all(output))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let length = within(limit, || (&self.stream.0).read(input))?;
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    /// Open, and nothing has come that nobody asked for.
    fn is_open(&mut self) -> bool {
        let stream = &self.stream.0;
        let peek = || {
            stream.set_nonblocking(true)?;
            let peeked = stream.peek(&mut [0]);
            stream.set_nonblocking(false)?;
            peeked
        };
        peek().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl std::fmt::Debug for LaybyTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaybyTransport").field("stream", &self.stream.0).finish_non_exhaustive()
    }
}
