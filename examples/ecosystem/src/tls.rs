//! rustls over layby's sockets: nothing but the two configurations, read from PEM files.

use std::sync::Arc;

use layby::net::{TcpStream, ToSocketAddrs};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::Error;

/// A server's end of a connection.
pub type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// A client's end of a connection.
pub type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// For a server that shows this chain of certificates.
///
/// # Errors
/// For files that cannot be read, and for a key that is not the certificate's.
pub fn server_config(chain: &str, key: &str) -> Result<Arc<ServerConfig>, Error> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(Arc::new(config))
}

/// For a client that trusts the authorities in that file.
///
/// # Errors
/// For a file that cannot be read.
pub fn client_config(authorities: &str) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The handshake is made by the first read or write, in the task that does it.
///
/// # Errors
/// As [`ServerConnection::new`].
pub fn accepted(stream: TcpStream, config: Arc<ServerConfig>) -> Result<ServerStream, Error> {
    Ok(StreamOwned::new(ServerConnection::new(config)?, stream))
}

/// Connects; the handshake is made by the first read or write.
///
/// # Errors
/// Those of [`TcpStream::connect`], and for what is no name.
pub fn connect(
    address: impl ToSocketAddrs,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<ClientStream, Error> {
    over(TcpStream::connect(address)?, name, config)
}

/// As [`connect`], over a connection that stands.
///
/// # Errors
/// For what is no name.
pub fn over(stream: TcpStream, name: &str, config: Arc<ClientConfig>) -> Result<ClientStream, Error> {
    let connection = ClientConnection::new(config, ServerName::try_from(name.to_owned())?)?;
    Ok(StreamOwned::new(connection, stream))
}
