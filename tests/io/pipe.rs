//! `io::pipe` and `io::copy`, from tasks on one and on several workers and from plain OS threads.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::{Command, Stdio};

use layby::go;
use layby::io::{PipeReader, PipeWriter, copy, pipe};
use layby::net::{Shutdown, TcpListener, TcpStream};

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

#[test]
fn much_through_a_pipe() {
    everywhere(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = crate::common::Rng::new(3).bytes(1 << 20);
        let copy_of_it = bytes.clone();
        let writing = go!(move || writer.write_all(&copy_of_it));
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        writing.join().unwrap().unwrap();
    });
}

/// Guards: a short read says that the pipe is empty; what is written after it must wake the reader.
#[test]
fn byte_by_byte() {
    everywhere(|| {
        let (there, mut ping) = pipe().unwrap();
        let (mut back, pong) = pipe().unwrap();
        let echo = go!(move || copy(&mut &there, &mut &pong));
        for number in 0..500_u32 {
            ping.write_all(&number.to_le_bytes()).unwrap();
            let mut buf = [0; 16];
            let mut length = 0;
            while length < 4 {
                length += back.read(&mut buf[length..]).unwrap();
            }
            assert_eq!(buf[..4], number.to_le_bytes());
        }
        drop(ping);
        assert_eq!(echo.join().unwrap().unwrap(), 2000);
    });
}

#[test]
fn ends_and_breaks() {
    everywhere(|| {
        let (mut reader, writer) = pipe().unwrap();
        let closing = go!(move || drop(writer));
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        closing.join().unwrap();

        let (reader, mut writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);

        // A full one, whose reader leaves.
        let (reader, mut writer) = pipe().unwrap();
        let writing = go!(move || writer.write_all(&vec![0; 1 << 20]));
        (&reader).read_exact(&mut [0; 100]).unwrap();
        drop(reader);
        assert_eq!(writing.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn clones_and_vectors() {
    everywhere(|| {
        let (reader, writer) = pipe().unwrap();
        let (mut again, mut also) = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
        drop(writer);
        assert_eq!(also.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).unwrap(), 4);
        let (mut one, mut two) = ([0; 3], [0; 3]);
        let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(again.read_vectored(&mut parts).unwrap(), 4);
        assert_eq!((&one, &two), (b"abc", b"d\0\0"));
        let reading = go!(move || io::read_to_string(again));
        also.write_all(b"text").unwrap();
        also.flush().unwrap();
        drop(also);
        assert_eq!(reading.join().unwrap().unwrap(), "text");
        drop(reader);
    });
}

#[test]
fn conversions_set_the_mode() {
    everywhere(|| {
        let (reader, writer) = pipe().unwrap();
        assert!(nonblocking(&reader) && nonblocking(&writer));
        let reader = io::PipeReader::from(reader);
        assert!(!nonblocking(&reader));
        let debug = format!("{reader:?}");
        let reader = PipeReader::from(reader);
        assert!(nonblocking(&reader));
        assert_eq!(format!("{reader:?}"), debug);
        let owned = OwnedFd::from(reader);
        assert!(!nonblocking(&owned));
        let raw = writer.into_raw_fd();
        // SAFETY: just given away, so open and nobody's.
        let mut writer = unsafe { PipeWriter::from_raw_fd(raw) };
        assert!(nonblocking(&writer) && writer.as_raw_fd() == raw);
        writer.write_all(b"x").unwrap();
        let mut reader = PipeReader::from(owned);
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "x");
    });
}

/// A child gets ends that block, as every program expects; a clone that we keep must not block the worker then.
#[test]
fn a_childs_ends() {
    everywhere(|| {
        let (mut from, stdout) = pipe().unwrap();
        let (stdin, mut to) = pipe().unwrap();
        let kept = from.try_clone().unwrap();
        let mut cat = Command::new("cat").stdin(stdin).stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
        assert!(kept.as_raw_fd() > 2);
        to.write_all(b"meow").unwrap();
        let mut buf = [0; 4];
        from.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"meow");
        let blocking = io::PipeReader::from(kept);
        assert!(!nonblocking(&from));
        let reading = go!(move || from.read(&mut [0; 8]));
        for _ in 0..5 {
            layby::yield_now();
        }
        drop(to);
        assert_eq!(reading.join().unwrap().unwrap(), 0);
        drop(blocking);
        assert!(layby::unblock(|| cat.wait()).unwrap().success());
    });
}

#[test]
fn a_cancelled_reader_takes_nothing() {
    let _guard = crate::common::watchdog(30);
    for workers in crate::common::workers() {
        crate::common::on(workers, || {
            let (reader, mut writer) = pipe().unwrap();
            let kept = reader.try_clone().unwrap();
            let waiting = go!(move || (&reader).read(&mut [0; 8]).unwrap());
            for _ in 0..20 {
                layby::yield_now();
            }
            waiting.cancel();
            assert!(waiting.join().unwrap_err().is_cancelled());
            writer.write_all(b"kept").unwrap();
            drop(writer);
            assert_eq!(io::read_to_string(kept).unwrap(), "kept");
        });
    }
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Through a proxy: two copies and four sockets.
#[test]
fn copies_between_sockets() {
    everywhere(|| {
        let (client, front) = connected();
        let (back, server) = connected();
        let upstream = go!(move || {
            let copied = copy(&mut &front, &mut &back).unwrap();
            back.shutdown(Shutdown::Write).unwrap();
            copied
        });
        let bytes = crate::common::Rng::new(5).bytes(3 << 20);
        let sent = bytes.clone();
        let sending = go!(move || {
            (&client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = Vec::new();
        (&server).read_to_end(&mut all).unwrap();
        assert!(all == bytes);
        assert_eq!(upstream.join().unwrap(), 3 << 20);
        sending.join().unwrap();
    });
}

/// Guards: a copy whose sides never wait is a suspension point, and lets others run.
#[test]
fn an_endless_copy_is_cancelled() {
    let _guard = crate::common::watchdog(30);
    crate::common::on(1, || {
        let endless = go!(|| copy(&mut io::repeat(1), &mut io::sink()));
        for _ in 0..5 {
            layby::yield_now();
        }
        endless.cancel();
        assert!(endless.join().unwrap_err().is_cancelled());
    });
}
