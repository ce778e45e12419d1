//! Names to addresses, without keeping the worker.

#![forbid(unsafe_code)]

use std::io;
use std::iter::Cloned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::slice;
use std::vec;

use super::resolve::resolve;

/// What can be turned into addresses to connect or bind to.
///
/// Blocks for a host name, until it is resolved. Addresses, and strings that contain one, are
/// converted at once.
///
/// Like `std::net::ToSocketAddrs`, except: it is a trait of its own, since std's asks the resolver on
/// the calling thread, and would keep a worker and all its tasks waiting for a name server. This one
/// has the resolver called on threads of its own, while the task parks; callers who ask for the same name at the same
/// time share one lookup, and each waits for at most 30 seconds. It is implemented for the
/// same types; what has only std's trait can be given as a slice of its addresses.
///
/// # Cancellation
/// A suspension point, where there is a name to resolve. The lookup goes on without the task.
///
/// # Examples
/// ```
/// use layby::net::ToSocketAddrs;
///
/// let addresses: Vec<_> = "127.0.0.1:80".to_socket_addrs()?.collect();
/// assert_eq!(addresses, [([127, 0, 0, 1], 80).into()]);
/// assert!(("localhost", 80).to_socket_addrs()?.all(|address| address.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which to try them.
    type Iter: Iterator<Item = SocketAddr>;

    /// Converts, or resolves.
    ///
    /// # Errors
    /// `InvalidInput` for a string that is not `host:port`; the resolver's for a name that it does not
    /// know; `TimedOut` if it says nothing for 30 seconds.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Conversions that ask nobody: std's own.
macro_rules! convert {
    ($($from:ty),*) => {$(
        impl ToSocketAddrs for $from {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                std::net::ToSocketAddrs::to_socket_addrs(self)
            }
        }
    )*};
}

convert!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(literal) => Ok(vec![SocketAddr::new(literal, port)].into_iter()),
            Err(_) => Ok(resolve(host, port)?.into_iter()),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(literal) = self.parse() {
            return Ok(vec![literal].into_iter());
        }
        let named = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match named {
            Some((host, port)) => Ok(resolve(host, port)?.into_iter()),
            // An error, without anybody asked.
            None => std::net::ToSocketAddrs::to_socket_addrs(self),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = Cloned<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Tries the addresses in order, and returns the first success or the last failure.
pub(super) fn first_that<A: ToSocketAddrs, T>(
    addresses: A,
    mut attempt: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(&address) {
            Ok(success) => return Ok(success),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(no_addresses))
}

/// std's.
pub(super) fn no_addresses() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(addresses: impl ToSocketAddrs) -> Vec<SocketAddr> {
        addresses.to_socket_addrs().unwrap().collect()
    }

    #[test]
    fn literals_are_what_std_makes_of_them() {
        let v4 = SocketAddr::from(([1, 2, 3, 4], 5));
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 5));
        for same in [all("1.2.3.4:5"), all(("1.2.3.4", 5)), all(v4), all((v4.ip(), 5))] {
            assert_eq!(same, [v4]);
        }
        for same in [all(String::from("[::1]:5")), all((String::from("::1"), 5)), all(v6)] {
            assert_eq!(same, [v6]);
        }
        assert_eq!(all(&[v4, v6][..]), [v4, v6]);
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for bad in ["", "localhost", "localhost:", "localhost:x", "1.2.3.4:65536"] {
            let ours = bad.to_socket_addrs().unwrap_err();
            let theirs = std::net::ToSocketAddrs::to_socket_addrs(bad).unwrap_err();
            assert_eq!(ours.to_string(), theirs.to_string());
            assert_eq!(ours.kind(), theirs.kind());
        }
        let none: &[SocketAddr] = &[];
        let ours = first_that(none, |_| Ok(())).unwrap_err();
        let theirs = std::net::TcpStream::connect(none).unwrap_err();
        assert_eq!(ours.kind(), theirs.kind());
        assert_eq!(ours.to_string(), theirs.to_string());
    }

    #[test]
    fn the_last_failure_counts() {
        let addresses: Vec<_> = (1..=3).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let failed =
            first_that(&addresses[..], |address| Err::<(), _>(io::Error::other(address.port().to_string())));
        assert_eq!(failed.unwrap_err().to_string(), "3");
        let second = first_that(&addresses[..], |address| match address.port() {
            2 => Ok("two"),
            _ => Err(io::ErrorKind::AddrInUse.into()),
        });
        assert_eq!(second.unwrap(), "two");
    }
}
