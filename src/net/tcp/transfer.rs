//! Reading from a stream and writing to it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use super::TcpStream;
use crate::io::descriptor::{Patience, Transfer};
use crate::reactor::Direction;
use crate::sys::socket::{self, MAX_BUFFERS, Receive};

impl TcpStream {
    /// Nothing is written at once, even where there is no room.
    #[inline]
    fn write_patience(&self, asked: usize) -> Patience {
        if asked == 0 { Patience::None } else { self.options().write_patience() }
    }

    /// `readv(2)` and `writev(2)`, which std calls, return at once when their buffers are empty together;
    /// they ask the socket nothing, be it at its end. `recvmsg(2)` would wait, `sendmsg(2)` would fail.
    #[cold]
    fn transfer_nothing(&self, direction: Direction) -> io::Result<usize> {
        self.socket.perform(direction, Patience::None, |_| Ok(0), |_| Transfer::Full)
    }
}

/// Blocks until there is something to read, or the end of the stream.
impl Read for &TcpStream {
    #[inline(always)]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.socket.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive(fd, buf, Receive::Take),
            |&done| Transfer::of(done, asked),
        )
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().take(MAX_BUFFERS).map(|buf| buf.len()).sum();
        if asked == 0 {
            return self.transfer_nothing(Direction::Read);
        }
        self.socket.perform(
            Direction::Read,
            self.options().read_patience(),
            |fd| socket::receive_vectored(fd, bufs),
            |&done| Transfer::of(done, asked),
        )
    }
}

/// Blocks until there is room for at least one byte.
impl Write for &TcpStream {
    #[inline(always)]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.socket.perform(
            Direction::Write,
            self.write_patience(asked),
            |fd| socket::send(fd, buf),
            |&done| Transfer::of(done, asked),
        )
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().take(MAX_BUFFERS).map(|buf| buf.len()).sum();
        if asked == 0 {
            return self.transfer_nothing(Direction::Write);
        }
        self.socket.perform(
            Direction::Write,
            self.options().write_patience(),
            |fd| socket::send_vectored(fd, bufs),
            |&done| Transfer::of(done, asked),
        )
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blocks until there is something to read, or the end of the stream.
impl Read for TcpStream {
    #[inline(always)]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// Blocks until there is room for at least one byte.
impl Write for TcpStream {
    #[inline(always)]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
