//! `net::unix`, from tasks on one and on several workers and from plain OS threads.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use layby::go;
use layby::net::Shutdown;
use layby::net::unix::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};

fn everywhere(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        crate::common::on(workers, &body);
    }
    body();
}

/// A path that nobody else has, gone with this.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("layby-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
        Place(std::env::temp_dir().join(name))
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Every stable method and trait of Rust 1.95, with std's very signature. It is compiled; nothing is called.
#[test]
fn surface() {
    type S = UnixStream;
    type L = UnixListener;
    type D = UnixDatagram;
    type Unit = io::Result<()>;
    type Limit = Option<Duration>;
    let _: fn(&'static str) -> io::Result<S> = S::connect::<&'static str>;
    let _: fn(&SocketAddr) -> io::Result<S> = S::connect_addr;
    let _: fn() -> io::Result<(S, S)> = S::pair;
    let _: fn(&S, Shutdown) -> Unit = S::shutdown;
    let _: fn(&'static str) -> io::Result<L> = L::bind::<&'static str>;
    let _: fn(&SocketAddr) -> io::Result<L> = L::bind_addr;
    let _: fn(&L) -> io::Result<(S, SocketAddr)> = L::accept;
    let _: fn(&L) -> Incoming<'_> = L::incoming;
    let _: fn(&L) -> io::Result<L> = L::try_clone;
    let _: fn(&L) -> io::Result<SocketAddr> = L::local_addr;
    let _: fn(&L, bool) -> Unit = L::set_nonblocking;
    let _: fn(&L) -> io::Result<Option<io::Error>> = L::take_error;
    let _: fn(&'static str) -> io::Result<D> = D::bind::<&'static str>;
    let _: fn(&SocketAddr) -> io::Result<D> = D::bind_addr;
    let _: fn() -> io::Result<D> = D::unbound;
    let _: fn() -> io::Result<(D, D)> = D::pair;
    let _: fn(&D, &'static str) -> Unit = D::connect::<&'static str>;
    let _: fn(&D, &SocketAddr) -> Unit = D::connect_addr;
    type Received = io::Result<(usize, SocketAddr)>;
    let _: fn(&D, &mut [u8]) -> Received = D::recv_from;
    let _: fn(&D, &mut [u8]) -> io::Result<usize> = D::recv;
    let _: fn(&D, &[u8], &'static str) -> io::Result<usize> = D::send_to::<&'static str>;
    let _: fn(&D, &[u8], &SocketAddr) -> io::Result<usize> = D::send_to_addr;
    let _: fn(&D, &[u8]) -> io::Result<usize> = D::send;
    let _: fn(&D, Shutdown) -> Unit = D::shutdown;
    macro_rules! both {
        ($($t:ident),*) => {$(
            let _: fn(&$t) -> io::Result<$t> = $t::try_clone;
            let _: fn(&$t) -> io::Result<SocketAddr> = $t::local_addr;
            let _: fn(&$t) -> io::Result<SocketAddr> = $t::peer_addr;
            let _: fn(&$t, Limit) -> Unit = $t::set_read_timeout;
            let _: fn(&$t, Limit) -> Unit = $t::set_write_timeout;
            let _: fn(&$t) -> io::Result<Limit> = $t::read_timeout;
            let _: fn(&$t) -> io::Result<Limit> = $t::write_timeout;
            let _: fn(&$t, bool) -> Unit = $t::set_nonblocking;
            let _: fn(&$t) -> io::Result<Option<io::Error>> = $t::take_error;
        )*};
    }
    both!(S, D);
    fn traits<T>()
    where
        T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + std::fmt::Debug + 'static,
        T: AsFd + AsRawFd + FromRawFd + IntoRawFd + From<OwnedFd> + Into<OwnedFd>,
    {
    }
    traits::<S>();
    traits::<L>();
    traits::<D>();
    fn transfer<T: Read + Write>() {}
    transfer::<S>();
    transfer::<&'static S>();
    fn incoming<'a, T: IntoIterator<Item = io::Result<S>, IntoIter = Incoming<'a>>>() {}
    incoming::<&'static L>();
}

#[test]
fn echoes() {
    everywhere(|| {
        let place = Place::new();
        let listener = UnixListener::bind(&place).unwrap();
        let server = go!(move || {
            for stream in listener.incoming().take(3) {
                let stream = stream.unwrap();
                go!(move || layby::io::copy(&mut &stream, &mut &stream).unwrap());
            }
        });
        for _ in 0..3 {
            let mut stream = UnixStream::connect(&place).unwrap();
            assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(place.as_ref()));
            for round in 0..100_u32 {
                stream.write_all(&round.to_le_bytes()).unwrap();
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).unwrap();
                assert_eq!(u32::from_le_bytes(buf), round);
            }
        }
        server.join().unwrap();
    });
}

#[test]
fn pairs_and_ends() {
    everywhere(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        assert!(near.local_addr().unwrap().is_unnamed() && near.peer_addr().unwrap().is_unnamed());
        let bytes = crate::common::Rng::new(9).bytes(2 << 20);
        let sent = bytes.clone();
        let writer = go!(move || {
            near.write_all(&sent).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            near.read(&mut [0; 8]).unwrap()
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        drop(far);
        assert_eq!(writer.join().unwrap(), 0);
        let (mut near, far) = UnixStream::pair().unwrap();
        drop(far);
        assert_eq!(kind(near.write(b"x")), ErrorKind::BrokenPipe);
        let std = std::os::unix::net::UnixStream::from(near.try_clone().unwrap());
        assert_eq!(kind(near.write(b"")), kind((&std).write(b"")));
    });
}

#[test]
fn vectored_and_cloned() {
    everywhere(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        assert_eq!(near.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap(), 4);
        let (mut one, mut two) = ([0; 3], [0; 3]);
        let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(far.try_clone().unwrap().read_vectored(&mut parts).unwrap(), 4);
        assert_eq!((&one, &two), (b"abc", b"d\0\0"));
        far.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(kind((&far).read(&mut [0; 8])), ErrorKind::WouldBlock);
        far.set_nonblocking(true).unwrap();
        let std = std::os::unix::net::UnixStream::from(far);
        assert_eq!(kind((&std).read(&mut [0; 8])), ErrorKind::WouldBlock);
        let debug = format!("{std:?}");
        assert_eq!(format!("{:?}", UnixStream::from(std)), debug);
    });
}

/// Guards: bytes that came with a descriptor end a read early. That short read is no sign that nothing is left.
#[test]
fn a_read_that_a_descriptor_cuts_short() {
    everywhere(|| {
        let (mut near, far) = UnixStream::pair().unwrap();
        let reader = go!(move || {
            let (mut far, mut got) = (far, Vec::new());
            let mut buf = [0; 64];
            while got.len() < 8 {
                let length = far.read(&mut buf).unwrap();
                got.extend_from_slice(&buf[..length]);
            }
            got
        });
        for _ in 0..20 {
            layby::yield_now();
        }
        send_with_descriptor(&near, b"with");
        near.write_all(b"then").unwrap();
        assert_eq!(reader.join().unwrap(), b"withthen");
    });
}

fn send_with_descriptor(socket: &UnixStream, bytes: &[u8]) {
    #[repr(C, align(8))]
    struct Control([u8; 24]);
    let mut control = Control([0; 24]);
    let length = size_of::<libc::cmsghdr>() + size_of::<i32>();
    let header =
        libc::cmsghdr { cmsg_len: length, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: there is room for a header, aligned as it wants to be.
    unsafe { control.0.as_mut_ptr().cast::<libc::cmsghdr>().write(header) };
    control.0[size_of::<libc::cmsghdr>()..length].copy_from_slice(&socket.as_raw_fd().to_ne_bytes());
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: zero is a valid value of all its fields.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the message points to one buffer and one control message, both alive.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    assert_eq!(sent, bytes.len() as isize);
}

#[test]
fn abstract_addresses() {
    everywhere(|| {
        let name = format!("layby {:?}", Place::new().0);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        let client = UnixStream::connect_addr(&address).unwrap();
        let (_, from) = listener.accept().unwrap();
        assert!(from.is_unnamed());
        drop(client);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    });
}

#[test]
fn errors_are_stds() {
    everywhere(|| {
        use std::os::unix::net as theirs;
        let place = Place::new();
        let listener = UnixListener::bind(&place).unwrap();
        let same = |ours: io::Error, theirs: io::Error| {
            assert_eq!((ours.kind(), ours.to_string()), (theirs.kind(), theirs.to_string()));
        };
        let long = "x".repeat(200);
        for path in [Path::new("/nowhere/at/all"), Path::new("with\0zero"), Path::new(&long)] {
            same(UnixStream::connect(path).unwrap_err(), theirs::UnixStream::connect(path).unwrap_err());
            same(UnixListener::bind(path).unwrap_err(), theirs::UnixListener::bind(path).unwrap_err());
        }
        same(UnixListener::bind(&place).unwrap_err(), theirs::UnixListener::bind(&place).unwrap_err());
        drop(listener);
        assert_eq!(kind(UnixStream::connect(&place)), ErrorKind::ConnectionRefused);
    });
}

/// Guards: of a listener whose queue is full no readiness tells.
#[test]
fn more_connections_than_may_wait() {
    everywhere(|| {
        let name = format!("layby {:?}", Place::new().0);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let bound = socket2::SockAddr::unix(format!("\0{name}")).unwrap();
        socket.bind(&bound).unwrap();
        socket.listen(1).unwrap();
        let listener = UnixListener::from(socket);
        let clients: Vec<_> = (0..8_u8)
            .map(|number| {
                let address = address.clone();
                go!(move || UnixStream::connect_addr(&address).unwrap().write_all(&[number]).unwrap())
            })
            .collect();
        let given_up = {
            let address = address.clone();
            go!(move || UnixStream::connect_addr(&address).map(drop))
        };
        for _ in 0..20 {
            layby::yield_now();
        }
        given_up.cancel();
        let gone = given_up.join();
        assert!(gone.is_ok() || gone.unwrap_err().is_cancelled());
        let mut seen = Vec::new();
        while seen.len() < 8 {
            listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..8));
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn datagrams() {
    everywhere(|| {
        let (here, there) = (Place::new(), Place::new());
        let (one, two) = (UnixDatagram::bind(&here).unwrap(), UnixDatagram::bind(&there).unwrap());
        assert_eq!(one.send_to(b"hello", &there).unwrap(), 5);
        let mut buf = [0; 8];
        let (length, from) = two.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..length], from.as_pathname()), (&b"hello"[..], Some(here.as_ref())));
        two.connect_addr(&from).unwrap();
        assert_eq!(two.peer_addr().unwrap().as_pathname(), Some(here.as_ref()));
        assert_eq!(two.send(b"").unwrap(), 0);
        assert_eq!(one.recv(&mut buf).unwrap(), 0);
        assert_eq!(kind(one.send_to(b"x", "/nowhere/at/all")), ErrorKind::NotFound);
        assert_eq!(kind(one.send(b"x")), ErrorKind::NotConnected);
        drop(one);
        assert_eq!(kind(two.send(b"x")), ErrorKind::ConnectionRefused);
    });
}

/// Guards: a receiver that is full is waited for, with a connection and without one.
#[test]
fn nothing_is_dropped_on_the_way() {
    everywhere(|| {
        let name = format!("layby {:?}", Place::new().0);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        let to_address = address.clone();
        let unconnected = go!(move || {
            let socket = UnixDatagram::unbound().unwrap();
            for _ in 0..300 {
                socket.send_to_addr(b"x", &to_address).unwrap();
            }
        });
        let connected = go!(move || {
            let socket = UnixDatagram::unbound().unwrap();
            socket.connect_addr(&address).unwrap();
            for _ in 0..300 {
                socket.send(b"y").unwrap();
            }
        });
        let mut seen = [0; 256];
        for _ in 0..600 {
            let mut byte = [0];
            receiver.recv(&mut byte).unwrap();
            seen[usize::from(byte[0])] += 1;
        }
        assert_eq!((seen[usize::from(b'x')], seen[usize::from(b'y')]), (300, 300));
        unconnected.join().unwrap();
        connected.join().unwrap();
    });
}

#[test]
fn a_full_receiver_times_out() {
    everywhere(|| {
        let name = format!("layby {:?}", Place::new().0);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _receiver = UnixDatagram::bind_addr(&address).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let error = loop {
            if let Err(error) = socket.send_to_addr(b"x", &address) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        socket.set_nonblocking(true).unwrap();
        assert_eq!(kind(socket.send_to_addr(b"x", &address)), ErrorKind::WouldBlock);
    });
}

/// Guards: a cancelled accept or read leaves nothing behind, and loses nothing.
#[test]
fn cancelled_while_it_waits() {
    let _guard = crate::common::watchdog(30);
    for workers in crate::common::workers() {
        crate::common::on(workers, || {
            let place = Place::new();
            let listener = Arc::new(UnixListener::bind(&place).unwrap());
            let accepting = listener.clone();
            let acceptor = go!(move || accepting.accept().map(drop));
            let (near, mut far) = UnixStream::pair().unwrap();
            let near = Arc::new(near);
            let reading = near.clone();
            let reader = go!(move || (&*reading).read(&mut [0; 8]));
            for _ in 0..20 {
                layby::yield_now();
            }
            acceptor.cancel();
            reader.cancel();
            assert!(acceptor.join().unwrap_err().is_cancelled());
            assert!(reader.join().unwrap_err().is_cancelled());
            let _client = UnixStream::connect(&place).unwrap();
            listener.accept().unwrap();
            far.write_all(b"x").unwrap();
            assert_eq!((&*near).read(&mut [0; 8]).unwrap(), 1);
        });
    }
}
