//! Any descriptor that can be waited for.
//!
//! # The mode of the open file
//! A call on a descriptor returns instead of waiting if the open file has `O_NONBLOCK`. That flag is shared by all who have the
//! file open, also by other processes where it was inherited. So there are two ways:
//!
//! * The flag is set when the `Fd` is made, and taken back by `into_inner` if it was not set before. The usual one.
//! * For descriptors 0 to 2, which a shell and its other children share, and where the flag cannot be set, `poll(2)`
//!   is asked before each call, and says whether it would wait. If somebody else takes what is there in between, the
//!   call waits after all, and the worker with it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::descriptor::{Descriptor, Patience, Transfer, not_pollable};
use crate::reactor::Direction;
use crate::sys::file;
use crate::sys::poll::{is_ready, would_block};

/// Any descriptor that the system can wait for: pipes, terminals, eventfds, timerfds, inotify, sockets of other crates.
///
/// Blocks in [`read_with`](Fd::read_with), [`write_with`](Fd::write_with), [`readable`](Fd::readable),
/// [`writable`](Fd::writable), and in `Read` and `Write` where `T` has them: the task parks, and a plain OS thread waits
/// in the kernel.
///
/// It makes the open file non-blocking (`O_NONBLOCK`), for all who share it; [`into_inner`](Fd::into_inner) takes that
/// back, dropping does not. Descriptors 0 to 2 are left in their mode, since the processes around share it; then each call is
/// preceded by a `poll(2)`.
///
/// # Cancellation
/// A task that is cancelled while it waits leaves nothing behind. What the closure has returned is returned, and the
/// cancellation delivered at the task's next suspension point.
///
/// # Examples
/// An eventfd, timerfd or inotify of another crate works like this std socket:
/// ```
/// use layby::{go, io::Fd};
/// use std::os::unix::net::UnixDatagram;
///
/// layby::run(|| {
///     let (near, far) = UnixDatagram::pair()?;
///     let (near, far) = (Fd::new(near)?, Fd::new(far)?);
///     let sender = go!(move || far.write_with(|socket| socket.send(b"hello")));
///     let mut buf = [0; 8];
///     let length = near.read_with(|socket| socket.recv(&mut buf))?;
///     assert_eq!(&buf[..length], b"hello");
///     sender.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fd<T: AsFd> {
    descriptor: Descriptor<T>,
    /// The open file may be in blocking mode. Relaxed: it orders nothing.
    ask_first: AtomicBool,
    /// Whether it was in blocking mode before.
    was_blocking: bool,
}

impl<T: AsFd> Fd<T> {
    /// Makes `inner`'s calls wait for the task's turn.
    ///
    /// # Errors
    /// `Unsupported` for what the system takes for ready at all times, such as a regular file: that is for
    /// [`fs`](crate::fs), or for [`unblock`](crate::unblock). Those of `fstat(2)`, such as for a closed descriptor.
    ///
    /// # Examples
    /// ```
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let error = layby::io::Fd::new(file).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    /// assert!(error.to_string().contains("unblock"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(inner: T) -> io::Result<Fd<T>> {
        if file::is_of_disk(inner.as_fd())? {
            return Err(not_pollable());
        }
        Ok(Fd::adopt(inner))
    }

    /// Without a look at the kind.
    pub(crate) fn adopt(inner: T) -> Fd<T> {
        let fd = inner.as_fd();
        let was = if fd.as_raw_fd() <= 2 { None } else { file::set_nonblocking(fd, true).ok() };
        Fd {
            ask_first: AtomicBool::new(was.is_none()),
            was_blocking: was == Some(false),
            descriptor: Descriptor::new(inner),
        }
    }

    /// From here on the open file may come to be in blocking mode.
    pub(crate) fn ask_first(&self) {
        self.ask_first.store(true, Relaxed);
    }

    /// Calls `f` until it returns something else than `WouldBlock`, and waits until there is something to read in between.
    ///
    /// Blocks for as long as `f` says `WouldBlock` and there is nothing. `f` must not wait, and must say `WouldBlock`
    /// only of this descriptor; on `Interrupted` it is called again.
    ///
    /// # Errors
    /// Those of `f`; `Unsupported` if the system cannot wait for such a descriptor.
    ///
    /// # Examples
    /// See [`Fd`].
    #[inline(always)]
    pub fn read_with<R>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.transfer(Direction::Read, f, |_| Transfer::Full)
    }

    /// Calls `f` until it returns something else than `WouldBlock`, and waits until there is room to write in between.
    ///
    /// Blocks for as long as `f` says `WouldBlock` and there is none. The rest is as for
    /// [`read_with`](Fd::read_with).
    ///
    /// # Errors
    /// As for [`read_with`](Fd::read_with).
    ///
    /// # Examples
    /// See [`Fd`].
    #[inline(always)]
    pub fn write_with<R>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.transfer(Direction::Write, f, |_| Transfer::Full)
    }

    /// As [`read_with`](Fd::read_with), where `f` needs the whole of `T` for itself. It must leave there the same open
    /// descriptor.
    ///
    /// # Errors
    /// As for [`read_with`](Fd::read_with).
    ///
    /// # Examples
    /// ```
    /// use layby::io::Fd;
    /// use std::io::{Read, Write};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let mut reader = Fd::new(reader)?;
    /// writer.write_all(b"x")?;
    /// let mut byte = [0];
    /// reader.read_with_mut(|pipe| pipe.read_exact(&mut byte))?;
    /// assert_eq!(&byte, b"x");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline(always)]
    pub fn read_with_mut<R>(&mut self, f: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        self.transfer_mut(Direction::Read, f)
    }

    /// As [`write_with`](Fd::write_with), where `f` needs the whole of `T` for itself. It must leave there the same
    /// open descriptor.
    ///
    /// # Errors
    /// As for [`read_with`](Fd::read_with).
    ///
    /// # Examples
    /// As for [`read_with_mut`](Fd::read_with_mut).
    #[inline(always)]
    pub fn write_with_mut<R>(&mut self, f: impl FnMut(&mut T) -> io::Result<R>) -> io::Result<R> {
        self.transfer_mut(Direction::Write, f)
    }

    /// Waits until there is something to read: data, an end, an error, a connection to accept, a timer that has fired.
    ///
    /// Another task may have taken it by the time of the next call; [`read_with`](Fd::read_with) then waits on.
    ///
    /// # Errors
    /// `Unsupported` if the system cannot wait for such a descriptor.
    ///
    /// # Examples
    /// ```
    /// use layby::{go, io::Fd};
    /// use std::io::Write;
    ///
    /// layby::run(|| {
    ///     let (reader, mut writer) = std::io::pipe()?;
    ///     let reader = Fd::new(reader)?;
    ///     let writing = go!(move || writer.write_all(b"x"));
    ///     reader.readable()?;
    ///     writing.join().unwrap()
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline(always)]
    pub fn readable(&self) -> io::Result<()> {
        self.ready(Direction::Read)
    }

    /// Waits until there is room to write, or an end or an error to learn of.
    ///
    /// # Errors
    /// As for [`readable`](Fd::readable).
    ///
    /// # Examples
    /// ```
    /// let (_reader, writer) = std::io::pipe()?;
    /// layby::io::Fd::new(writer)?.writable()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline(always)]
    pub fn writable(&self) -> io::Result<()> {
        self.ready(Direction::Write)
    }

    #[inline(always)]
    fn ready(&self, direction: Direction) -> io::Result<()> {
        self.descriptor.perform(direction, Patience::Endless, |fd| ask(fd, direction), |()| Transfer::Full)
    }

    #[inline(always)]
    pub(crate) fn transfer<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
        transfer: impl Fn(&R) -> Transfer,
    ) -> io::Result<R> {
        let inner = self.descriptor.get();
        let operation = |fd: BorrowedFd<'_>| {
            if self.ask_first.load(Relaxed) {
                ask(fd, direction)?;
            }
            f(inner)
        };
        self.descriptor.perform(direction, Patience::Endless, operation, transfer)
    }

    #[inline(always)]
    fn transfer_mut<R>(
        &mut self,
        direction: Direction,
        mut f: impl FnMut(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let ask_first = &self.ask_first;
        let operation = |inner: &mut T| {
            if ask_first.load(Relaxed) {
                ask(inner.as_fd(), direction)?;
            }
            f(inner)
        };
        self.descriptor.perform_mut(direction, Patience::Endless, operation, |_| Transfer::Full)
    }

    /// What it was made from.
    pub fn get_ref(&self) -> &T {
        self.descriptor.get()
    }

    /// What it was made from. It must go on being the same open descriptor: with another one in its place, calls that
    /// have to wait wait for the wrong one.
    pub fn get_mut(&mut self) -> &mut T {
        self.descriptor.get_mut()
    }

    /// What it was made from, in the mode that it had then.
    ///
    /// # Examples
    /// ```
    /// use layby::io::Fd;
    /// use std::io::Read;
    ///
    /// let (reader, writer) = std::io::pipe()?;
    /// let mut reader = Fd::new(reader)?.into_inner();
    /// drop(writer);
    /// assert_eq!(reader.read(&mut [0; 8])?, 0); // waits, were there no end
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        let inner = self.descriptor.into_inner();
        if self.was_blocking {
            // Cannot fail on an open descriptor.
            let _ = file::set_nonblocking(inner.as_fd(), false);
        }
        inner
    }
}

/// `WouldBlock` if it would.
fn ask(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    if is_ready(fd, direction)? { Ok(()) } else { Err(would_block()) }
}

impl<T: AsFd> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd> AsRawFd for Fd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Blocks until there is something to read, or the end.
impl<T: AsFd + Read> Read for Fd<T> {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with_mut(|inner| inner.read(buf))
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_with_mut(|inner| inner.read_vectored(bufs))
    }
}

/// Blocks until there is room for at least one byte.
impl<T: AsFd + Write> Write for Fd<T> {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with_mut(|inner| inner.write(buf))
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with_mut(|inner| inner.write_vectored(bufs))
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        self.write_with_mut(|inner| inner.flush())
    }
}

/// Blocks until there is something to read, or the end.
impl<T: AsFd> Read for &Fd<T>
where
    for<'a> &'a T: Read,
{
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(|mut inner| inner.read(buf))
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_with(|mut inner| inner.read_vectored(bufs))
    }
}

/// Blocks until there is room for at least one byte.
impl<T: AsFd> Write for &Fd<T>
where
    for<'a> &'a T: Write,
{
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|mut inner| inner.write(buf))
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|mut inner| inner.write_vectored(bufs))
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        self.write_with(|mut inner| inner.flush())
    }
}
