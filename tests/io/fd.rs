//! `io::Fd`: any descriptor, from tasks on one and on several workers and from plain OS threads.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use layby::go;
use layby::io::Fd;

fn everywhere(body: impl Fn()) {
    let _guard = crate::common::watchdog(60);
    for workers in crate::common::workers() {
        crate::common::on(workers, &body);
    }
    body();
}

fn nonblocking(fd: impl AsFd) -> bool {
    // SAFETY: it takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

fn eventfd() -> File {
    // SAFETY: it takes no pointer.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: just made, so nobody else's.
    unsafe { File::from_raw_fd(fd) }
}

#[test]
fn datagrams_of_std() {
    everywhere(|| {
        let (near, far) = UnixDatagram::pair().unwrap();
        let (near, far) = (Fd::new(near).unwrap(), Fd::new(far).unwrap());
        let sender = go!(move || {
            for number in 0..1000_u32 {
                far.write_with(|socket| socket.send(&number.to_le_bytes())).unwrap();
            }
        });
        for number in 0..1000_u32 {
            let mut buf = [0; 8];
            assert_eq!(near.read_with(|socket| socket.recv(&mut buf)).unwrap(), 4);
            assert_eq!(buf[..4], number.to_le_bytes());
        }
        sender.join().unwrap();
    });
}

#[test]
fn eventfds() {
    everywhere(|| {
        let event = Arc::new(Fd::new(eventfd()).unwrap());
        let ringing = event.clone();
        let ringer = go!(move || (&*ringing).write_all(&3_u64.to_ne_bytes()));
        event.readable().unwrap();
        let mut count = [0; 8];
        (&*event).read_exact(&mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 3);
        ringer.join().unwrap().unwrap();
    });
}

#[test]
fn timerfds() {
    everywhere(|| {
        // SAFETY: it takes no pointer.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) };
        // SAFETY: just made, so nobody else's.
        let mut timer = Fd::new(unsafe { File::from_raw_fd(fd) }).unwrap();
        let value = libc::timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let spec = libc::itimerspec { it_value: value, it_interval: value };
        // SAFETY: the setting is a valid one, and the old one is not asked for.
        assert_eq!(unsafe { libc::timerfd_settime(fd, 0, &spec, std::ptr::null_mut()) }, 0);
        let start = Instant::now();
        let mut fired = 0;
        while fired < 3 {
            let mut count = [0; 8];
            assert_eq!(timer.read(&mut count).unwrap(), 8);
            fired += u64::from_ne_bytes(count);
        }
        assert!(start.elapsed() >= Duration::from_millis(14));
    });
}

/// Guards: a wait for a descriptor keeps the task, not the worker.
#[test]
fn the_worker_goes_on() {
    let _guard = crate::common::watchdog(30);
    crate::common::on(1, || {
        let (mut near, far) = UnixStream::pair().unwrap();
        let reader = go!(move || {
            let mut byte = [0];
            Fd::new(far).unwrap().read_exact(&mut byte).map(|()| byte[0])
        });
        for _ in 0..10 {
            layby::yield_now();
        }
        assert!(!reader.is_finished());
        near.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), b'x');
    });
}

#[test]
fn a_full_socket_is_waited_for() {
    everywhere(|| {
        let (near, mut far) = UnixStream::pair().unwrap();
        let near = Fd::new(near).unwrap();
        let much = vec![7; 4 << 20];
        let writer = go!(move || {
            (&near).write_all(&much).unwrap();
            near.writable().unwrap();
        });
        let mut all = Vec::new();
        Fd::new(&mut far).unwrap().read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 4 << 20);
        writer.join().unwrap();
    });
}

#[test]
fn files_are_refused() {
    everywhere(|| {
        for path in ["/proc/self/exe", "/"] {
            let error = Fd::new(File::open(path).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("unblock") && error.to_string().contains("fs"), "{error}");
        }
    });
}

/// `/dev/zero` never waits, and epoll does not take it: its calls work.
#[test]
fn what_never_waits_needs_no_epoll() {
    everywhere(|| {
        let mut zero = Fd::new(File::open("/dev/zero").unwrap()).unwrap();
        let mut buf = [1; 16];
        zero.read_exact(&mut buf).unwrap();
        assert_eq!(buf, [0; 16]);
        zero.readable().unwrap();
        // A closure that says it would wait does wait, where epoll is what it takes.
        let mut first = true;
        let said = zero.read_with(|_| match std::mem::take(&mut first) {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        });
        if on_task() {
            assert_eq!(said.unwrap_err().kind(), ErrorKind::Unsupported);
        }
    });
}

fn on_task() -> bool {
    // Only a worker can spawn a task that stays with it.
    layby::task::Builder::new().spawn_local(|| ()).is_ok()
}

#[test]
fn the_mode_is_given_back() {
    everywhere(|| {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let (near, far) = (Fd::new(near).unwrap(), Fd::new(far).unwrap());
        assert!(nonblocking(&near) && nonblocking(&far));
        let (near, far) = (near.into_inner(), far.into_inner());
        assert!(!nonblocking(near) && nonblocking(far));
    });
}

/// Guards: a cancelled reader leaves nothing behind, and takes nothing along.
#[test]
fn cancelled_while_it_waits() {
    let _guard = crate::common::watchdog(30);
    for workers in crate::common::workers() {
        crate::common::on(workers, || {
            let (near, far) = UnixDatagram::pair().unwrap();
            let near = Arc::new(Fd::new(near).unwrap());
            let (begun, reading) = (Arc::new(AtomicUsize::new(0)), near.clone());
            let begin = begun.clone();
            let reader = go!(move || reading.read_with(|socket| {
                begin.fetch_add(1, SeqCst);
                socket.recv(&mut [0; 8])
            }));
            crate::common::yield_until(|| begun.load(SeqCst) == 1);
            reader.cancel();
            assert!(reader.join().unwrap_err().is_cancelled());
            far.send(b"kept").unwrap();
            let mut buf = [0; 8];
            assert_eq!(near.read_with(|socket| socket.recv(&mut buf)).unwrap(), 4);
            assert_eq!(Arc::strong_count(&near), 1);
        });
    }
}

#[test]
fn many_readers_of_one_descriptor() {
    const READERS: usize = 20;
    everywhere(|| {
        let (near, far) = UnixDatagram::pair().unwrap();
        let near = Arc::new(Fd::new(near).unwrap());
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let near = near.clone();
                go!(move || near.read_with(|socket| {
                    let mut byte = [0];
                    socket.recv(&mut byte).map(|_| byte[0])
                }))
            })
            .collect();
        let far = Fd::new(far).unwrap();
        for number in 0..READERS as u8 {
            far.write_with(|socket| socket.send(&[number])).unwrap();
        }
        let mut seen: Vec<u8> = readers.into_iter().map(|r| r.join().unwrap().unwrap()).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..READERS as u8));
    });
}

#[test]
fn errors_and_debug_output() {
    let _guard = crate::common::watchdog(30);
    let (near, _far) = UnixStream::pair().unwrap();
    assert!(format!("{:?}", Fd::new(&near).unwrap()).starts_with("Fd"));
    let owned: OwnedFd = near.into();
    let fd = Fd::new(owned).unwrap();
    let said: io::Result<()> = fd.read_with(|_| Err(ErrorKind::ConnectionReset.into()));
    assert_eq!(said.unwrap_err().kind(), ErrorKind::ConnectionReset);
}
