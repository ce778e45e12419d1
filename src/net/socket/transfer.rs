//! Receiving and sending.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use socket2::SockAddr;

use super::{Socket, StdSocket};
use crate::io::descriptor::{Patience, Transfer};
use crate::reactor::Direction;
use crate::sys::poll::{is_ready, would_block};
use crate::sys::socket::{self, MAX_BUFFERS, Receive};

impl<S: StdSocket> Socket<S> {
    /// Connects a stream.
    #[inline(always)]
    pub(in crate::net) fn connect(&self, address: &SockAddr, patience: Patience) -> io::Result<()> {
        let connect = |fd: BorrowedFd<'_>| socket::connect(fd, address);
        self.descriptor.perform(Direction::Write, patience, connect, |()| Transfer::Full)
    }

    /// How long a write that no timeout applies to waits.
    pub(in crate::net) fn write_patience(&self) -> Patience {
        self.options().write_patience()
    }

    /// Waits until the socket's own buffer has room.
    pub(in crate::net) fn wait_for_room(&self) -> io::Result<()> {
        let look = |fd: BorrowedFd<'_>| {
            if is_ready(fd, Direction::Write)? { Ok(()) } else { Err(would_block()) }
        };
        self.descriptor.perform(Direction::Write, self.write_patience(), look, |()| Transfer::Full)
    }

    #[inline(always)]
    pub(in crate::net) fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.descriptor.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive(fd, buf, Receive::Take),
            |&done| read_transfer::<S>(done, asked),
        )
    }

    #[inline]
    pub(in crate::net) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.descriptor.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive(fd, buf, Receive::Peek),
            // It has emptied nothing.
            |_| Transfer::Full,
        )
    }

    /// A datagram, and whose it is.
    #[inline(always)]
    pub(in crate::net) fn receive_from(&self, buf: &mut [u8], how: Receive) -> io::Result<(usize, SockAddr)> {
        self.descriptor.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive_from(fd, buf, how),
            |_| Transfer::Full,
        )
    }

    #[inline]
    pub(in crate::net) fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().take(MAX_BUFFERS).map(|buf| buf.len()).sum();
        if asked == 0 {
            return self.transfer_nothing(Direction::Read);
        }
        self.descriptor.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive_vectored(fd, bufs),
            |&done| read_transfer::<S>(done, asked),
        )
    }

    /// Bytes into a stream. Nothing is written at once, even where there is no room.
    #[inline(always)]
    pub(in crate::net) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let asked = buf.len();
        let patience = if asked == 0 { Patience::None } else { self.write_patience() };
        self.descriptor.perform(
            Direction::Write,
            patience,
            |fd| socket::send(fd, buf),
            |&done| Transfer::of(done, asked),
        )
    }

    #[inline]
    pub(in crate::net) fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().take(MAX_BUFFERS).map(|buf| buf.len()).sum();
        if asked == 0 {
            return self.transfer_nothing(Direction::Write);
        }
        self.descriptor.perform(
            Direction::Write,
            self.write_patience(),
            |fd| socket::send_vectored(fd, bufs),
            |&done| Transfer::of(done, asked),
        )
    }

    /// A datagram, which may be empty, to whom the socket is connected.
    #[inline(always)]
    pub(in crate::net) fn send_datagram(&self, buf: &[u8]) -> io::Result<usize> {
        self.descriptor.perform(
            Direction::Write,
            self.write_patience(),
            |fd| socket::send(fd, buf),
            |_| Transfer::Full,
        )
    }

    /// A datagram to that address, for kinds of sockets where the sender's buffer is all there is to wait for.
    #[inline(always)]
    pub(in crate::net) fn send_datagram_to(&self, buf: &[u8], address: &SockAddr) -> io::Result<usize> {
        self.descriptor.perform(
            Direction::Write,
            self.write_patience(),
            |fd| socket::send_to(fd, buf, address),
            |_| Transfer::Full,
        )
    }

    /// `readv(2)` and `writev(2)`, which std calls, return at once when their buffers are empty together;
    /// they ask the socket nothing, be it at its end. `recvmsg(2)` would wait, `sendmsg(2)` would fail.
    #[cold]
    fn transfer_nothing(&self, direction: Direction) -> io::Result<usize> {
        self.descriptor.perform(direction, Patience::None, |_| Ok(0), |_| Transfer::Full)
    }
}

#[inline]
fn read_transfer<S: StdSocket>(done: usize, asked: usize) -> Transfer {
    if S::SHORT_READ_DRAINS { Transfer::of(done, asked) } else { Transfer::Full }
}

/// `Read` and `Write` for a stream, and for references to it.
macro_rules! stream_transfers {
    ($stream:ty) => {
        /// Blocks until there is something to read, or the end of the stream.
        impl std::io::Read for &$stream {
            #[inline(always)]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.socket.receive(buf)
            }

            #[inline]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.socket.receive_vectored(bufs)
            }
        }

        /// Blocks until there is room for at least one byte.
        impl std::io::Write for &$stream {
            #[inline(always)]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.socket.send(buf)
            }

            #[inline]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.socket.send_vectored(bufs)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        /// Blocks until there is something to read, or the end of the stream.
        impl std::io::Read for $stream {
            #[inline(always)]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.socket.receive(buf)
            }

            #[inline]
            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.socket.receive_vectored(bufs)
            }
        }

        /// Blocks until there is room for at least one byte.
        impl std::io::Write for $stream {
            #[inline(always)]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.socket.send(buf)
            }

            #[inline]
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.socket.send_vectored(bufs)
            }

            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}

pub(in crate::net) use stream_transfers;
