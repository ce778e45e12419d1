//! Addresses, between std and socket2.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use socket2::SockAddr;

/// As the kernel takes it.
pub(super) fn for_kernel(address: &SocketAddr) -> io::Result<SockAddr> {
    match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        (None, Some(name)) => SockAddr::unix(OsStr::from_bytes(&[&[0], name].concat())),
        (None, None) => SockAddr::unix(""),
    }
}

/// That of a path. std's errors, for one that is too long, or has a zero inside.
pub(super) fn of_path(path: &Path) -> io::Result<SockAddr> {
    for_kernel(&SocketAddr::from_pathname(path)?)
}

/// As the kernel gives it.
pub(super) fn from_kernel(address: &SockAddr) -> SocketAddr {
    let named = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path),
        (None, Some(name)) => SocketAddr::from_abstract_name(name),
        (None, None) => SocketAddr::from_pathname(""),
    };
    // One that std cannot make, of 108 bytes without an end, cannot be connected to through std either.
    named.unwrap_or_else(|_| SocketAddr::from_pathname("").expect("that of an unnamed socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let path = SocketAddr::from_pathname("/tmp/socket").unwrap();
        assert_eq!(from_kernel(&for_kernel(&path).unwrap()).as_pathname(), path.as_pathname());
        for name in [&b"name"[..], b"with\0zeros\0", b""] {
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let back = from_kernel(&for_kernel(&address).unwrap());
            assert_eq!(back.as_abstract_name(), Some(name));
        }
        let unnamed = SocketAddr::from_pathname("").unwrap();
        assert!(from_kernel(&for_kernel(&unnamed).unwrap()).is_unnamed());
        let too_long = of_path(Path::new(&"x".repeat(200))).unwrap_err();
        assert_eq!(too_long.kind(), io::ErrorKind::InvalidInput);
    }
}
