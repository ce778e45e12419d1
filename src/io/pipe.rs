//! Anonymous pipes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use super::Fd;
use super::descriptor::Transfer;
use crate::reactor::Direction;

/// Makes an anonymous pipe: what is written to one end is read at the other, also by another process.
///
/// Like [`std::io::pipe`], except for [the ends](PipeReader).
///
/// # Errors
/// Those of `pipe2(2)`: no more descriptors.
///
/// # Examples
/// ```
/// use layby::{go, io};
/// use std::io::{Read, Write};
///
/// layby::run(|| {
///     let (mut reader, mut writer) = io::pipe()?;
///     let writing = go!(move || writer.write_all(b"through the pipe"));
///     let mut text = String::new();
///     reader.read_to_string(&mut text)?;
///     assert_eq!(text, "through the pipe");
///     writing.join().unwrap()
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// The end of a [`pipe`] that is read from.
///
/// Like [`std::io::PipeReader`], except:
/// * On a task, a blocking call keeps neither the OS thread nor the other tasks.
/// * It converts from and into std's. The open file is non-blocking for as long as it is layby's, and blocks again where it
///   becomes std's, a descriptor, or a child's `Stdio`.
///
/// # Cancellation
/// A task that is cancelled in a read unwinds before bytes are taken, or not at all.
///
/// # Examples
/// See [`pipe`].
pub struct PipeReader(Fd<io::PipeReader>);

/// The end of a [`pipe`] that is written to.
///
/// Like [`std::io::PipeWriter`], except: as for [`PipeReader`].
///
/// # Cancellation
/// A task that is cancelled in a write unwinds before bytes are sent, or not at all.
///
/// # Examples
/// See [`pipe`].
pub struct PipeWriter(Fd<io::PipeWriter>);

macro_rules! ends {
    ($($end:ident),*) => {$(
        impl $end {
            /// Another handle of the same end.
            ///
            /// # Errors
            /// Those of `dup(2)`: no more descriptors.
            ///
            /// # Examples
            /// ```
            /// let (reader, writer) = layby::io::pipe()?;
            /// let (_reader, _writer) = (reader.try_clone()?, writer.try_clone()?);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn try_clone(&self) -> io::Result<$end> {
                let clone = $end::from(self.0.get_ref().try_clone()?);
                // Either may be given away, which makes the open file blocking for both.
                self.0.ask_first();
                clone.0.ask_first();
                Ok(clone)
            }
        }

        /// The open file becomes non-blocking.
        impl From<io::$end> for $end {
            fn from(end: io::$end) -> $end {
                $end(Fd::adopt(end))
            }
        }

        /// The open file blocks.
        impl From<$end> for io::$end {
            fn from(end: $end) -> io::$end {
                let end = end.0.into_inner();
                if end.as_raw_fd() > 2 {
                    // Cannot fail on an open descriptor.
                    let _ = crate::sys::file::set_nonblocking(end.as_fd(), false);
                }
                end
            }
        }

        /// Does not check that it is a pipe.
        impl From<OwnedFd> for $end {
            fn from(fd: OwnedFd) -> $end {
                io::$end::from(fd).into()
            }
        }

        /// The open file blocks.
        impl From<$end> for OwnedFd {
            fn from(end: $end) -> OwnedFd {
                io::$end::from(end).into()
            }
        }

        /// The open file blocks.
        impl From<$end> for Stdio {
            fn from(end: $end) -> Stdio {
                io::$end::from(end).into()
            }
        }

        /// The open file blocks.
        impl IntoRawFd for $end {
            fn into_raw_fd(self) -> RawFd {
                io::$end::from(self).into_raw_fd()
            }
        }

        impl FromRawFd for $end {
            unsafe fn from_raw_fd(fd: RawFd) -> $end {
                // SAFETY: the caller gives us the descriptor, which is open and nobody else's.
                $end::from(unsafe { OwnedFd::from_raw_fd(fd) })
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        /// As std's.
        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.get_ref().fmt(f)
            }
        }
    )*};
}

ends!(PipeReader, PipeWriter);

/// Blocks until there is something to read, or no writer any more.
impl Read for &PipeReader {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.0.transfer(Direction::Read, |mut end| end.read(buf), |&done| Transfer::of(done, asked))
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_with(|mut end| end.read_vectored(bufs))
    }
}

/// Blocks until there is something to read, or no writer any more.
impl Read for PipeReader {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    #[inline]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// Blocks until there is room. What is no longer than `PIPE_BUF` (4,096 bytes) is written as a whole.
impl Write for &PipeWriter {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.0.transfer(Direction::Write, |mut end| end.write(buf), |&done| Transfer::of(done, asked))
    }

    #[inline]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_with(|mut end| end.write_vectored(bufs))
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blocks until there is room.
impl Write for PipeWriter {
    #[inline]
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
