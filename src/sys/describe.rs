//! What a descriptor is, in words.

use std::fmt::Write;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::{SockAddr, SockRef, Type};

/// What a wait for that descriptor is: `read on TcpStream 127.0.0.1:5000 to 127.0.0.1:80, fd 12`. A few system calls.
pub(crate) fn describe_fd(fd: RawFd, read: bool) -> String {
    let verb = if read { "read" } else { "write" };
    let mut text = match socket(fd, verb) {
        Some(text) => text,
        None => match std::fs::read_link(format!("/proc/self/fd/{fd}")) {
            Ok(target) => format!("{verb} on {}", target.display()),
            Err(_) => format!("{verb} on a descriptor"),
        },
    };
    let _ = write!(text, ", fd {fd}");
    text
}

/// `None`: it is none.
fn socket(fd: RawFd, verb: &str) -> Option<String> {
    // SAFETY: a task waits for it, so it is open; it is only asked for what the kernel knows of it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let socket = SockRef::from(&borrowed);
    let kind = socket.r#type().ok()?;
    let local = socket.local_addr().ok()?;
    let (family, stream) = (if local.is_unix() { "Unix" } else { "Tcp" }, kind == Type::STREAM);
    let mut text = match stream {
        true if listens(fd) => format!("accept on {family}Listener"),
        true => format!("{verb} on {family}Stream"),
        false if local.is_unix() => format!("{verb} on UnixDatagram"),
        false if kind == Type::DGRAM => format!("{verb} on UdpSocket"),
        false => format!("{verb} on a socket"),
    };
    if let Some(local) = address(&local) {
        let _ = write!(text, " {local}");
    }
    if let Some(peer) = socket.peer_addr().ok().as_ref().and_then(address) {
        let _ = write!(text, " to {peer}");
    }
    Some(text)
}

fn address(address: &SockAddr) -> Option<String> {
    match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => Some(address.to_string()),
        (None, Some(path)) => Some(path.display().to_string()),
        (None, None) => None,
    }
}

fn listens(fd: RawFd) -> bool {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointers are those of two locals, of the size that the second one says.
    let done = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, (&raw mut value).cast(), &raw mut length)
    };
    done == 0 && value != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_kind_of_socket_has_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, fd) = (listener.local_addr().unwrap(), listener.as_raw_fd());
        assert_eq!(describe_fd(fd, true), format!("accept on TcpListener {at}, fd {fd}"));
        let stream = TcpStream::connect(at).unwrap();
        let (own, fd) = (stream.local_addr().unwrap(), stream.as_raw_fd());
        assert_eq!(describe_fd(fd, false), format!("write on TcpStream {own} to {at}, fd {fd}"));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (own, fd) = (udp.local_addr().unwrap(), udp.as_raw_fd());
        assert_eq!(describe_fd(fd, true), format!("read on UdpSocket {own}, fd {fd}"));
        let (unix, _other) = UnixStream::pair().unwrap();
        let fd = unix.as_raw_fd();
        assert_eq!(describe_fd(fd, true), format!("read on UnixStream, fd {fd}"));
        let (pipe, _writer) = std::io::pipe().unwrap();
        let fd = pipe.as_raw_fd();
        assert!(describe_fd(fd, true).starts_with("read on pipe:["));
    }
}
