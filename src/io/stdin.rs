//! Standard input.
//!
//! Descriptor 0 stays in the mode that it is in. A read is made only when `poll(2)` says, under the lock of the
//! buffer, that it will not wait; readers of this process cannot come between. The lock is never held
//! over a wait: a line is taken out of the buffer whole, or stays there.
//!
//! Of several tasks that wait for a line, all are woken by new input, and look into the buffer first; the reactor
//! is told "drained" only by a task that has found no line there. A plain thread waits in `ppoll(2)`, which does not
//! report what another has read meanwhile, so it looks again now and then.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::descriptor::{Descriptor, Patience, Transfer};
use crate::blocking::unblock;
use crate::park;
use crate::reactor::Direction;
use crate::sys::file;
use crate::sys::poll::{is_ready, would_block};

/// How much a read asks for.
const PIECE: usize = 8 << 10;
/// How often a thread looks whether another has read its line.
const LOOK: Duration = Duration::from_millis(50);

/// Standard input of this process. One buffer serves all handles.
///
/// Blocks in all its methods until there is input: the task parks, whatever standard input is.
///
/// Like [`std::io::Stdin`], except:
/// * It has no `lock`. A line that [`read_line`](Stdin::read_line) returns is always whole; for `BufRead`, put it
///   into a [`BufReader`](std::io::BufReader).
/// * Its buffer is not std's: use one of the two.
/// * Descriptor 0 is never made non-blocking, as other processes share it. If one of them takes the input between our look and
///   our read, the read keeps the worker until there is more.
///
/// # Cancellation
/// A task that is cancelled while it waits has taken nothing: the begin of a line stays for the next reader.
///
/// # Examples
/// See [`stdin`].
#[derive(Debug)]
pub struct Stdin {
    shared: &'static Shared,
}

#[derive(Debug)]
struct Shared {
    descriptor: Descriptor<io::Stdin>,
    /// A file on a disk: always ready, yet the read may take its time.
    of_disk: bool,
    buffer: Mutex<Buffer>,
}

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    /// So many are known to hold no end of a line.
    searched: usize,
}

/// Standard input.
///
/// # Examples
/// ```no_run
/// layby::run(|| {
///     let mut line = String::new();
///     layby::io::stdin().read_line(&mut line)?;
///     println!("hello, {}", line.trim());
///     for line in layby::io::stdin().lines() {
///         println!("{}", line?.to_uppercase());
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let stdin = io::stdin();
        Shared {
            of_disk: file::is_of_disk(stdin.as_fd()).unwrap_or(false),
            descriptor: Descriptor::new(stdin),
            buffer: Mutex::new(Buffer { bytes: Vec::new(), searched: 0 }),
        }
    });
    Stdin { shared }
}

impl Buffer {
    /// The next line with its end, if it is here.
    fn line(&mut self) -> Option<Vec<u8>> {
        let from = self.searched;
        match self.bytes[from..].iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                self.searched = 0;
                let rest = self.bytes.split_off(from + at + 1);
                Some(std::mem::replace(&mut self.bytes, rest))
            }
            None => {
                self.searched = self.bytes.len();
                None
            }
        }
    }

    /// At most so many bytes as there is room for.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let length = buf.len().min(self.bytes.len());
        buf[..length].copy_from_slice(&self.bytes[..length]);
        self.bytes.drain(..length);
        self.searched = 0;
        length
    }

    /// All that is left, at the end.
    fn rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Reads more. Zero at the end.
    fn fill(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let length = self.bytes.len();
        self.bytes.resize(length + PIECE, 0);
        // Closed at the start, standard input is empty, says std.
        let result = match file::read(fd, &mut self.bytes[length..]) {
            Err(error) if file::is_closed(&error) => Ok(0),
            result => result,
        };
        self.bytes.truncate(length + result.as_ref().unwrap_or(&0));
        result
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until `take` finds in the buffer what it wants; it is told whether the input is at its end.
    fn until<R>(&self, mut take: impl FnMut(&mut Buffer, bool) -> Option<R> + Send) -> io::Result<R>
    where
        R: Send,
    {
        if self.of_disk {
            let fd = self.descriptor.get().as_fd();
            return unblock(|| self.look(fd, &mut take, true));
        }
        let patience = if park::on_task() { Patience::Endless } else { Patience::Within(LOOK, would_block) };
        loop {
            let look = |fd: BorrowedFd<'_>| self.look(fd, &mut take, false);
            match self.descriptor.perform(Direction::Read, patience, look, |_| Transfer::Full) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Into the buffer, and to the descriptor for as long as that has something, which it `always` may.
    fn look<R>(
        &self,
        fd: BorrowedFd<'_>,
        take: &mut impl FnMut(&mut Buffer, bool) -> Option<R>,
        always: bool,
    ) -> io::Result<R> {
        let mut buffer = self.buffer();
        loop {
            if let Some(taken) = take(&mut buffer, false) {
                return Ok(taken);
            }
            let ready = always || is_ready(fd, Direction::Read).or_else(closed_is_ready)?;
            if !ready {
                return Err(would_block());
            }
            if buffer.fill(fd)? == 0
                && let Some(taken) = take(&mut buffer, true)
            {
                return Ok(taken);
            }
        }
    }
}

fn closed_is_ready(error: io::Error) -> io::Result<bool> {
    if file::is_closed(&error) { Ok(true) } else { Err(error) }
}

impl Stdin {
    /// Appends the next line to `buf`, with its end, and tells its length. Zero: the input is at its end.
    ///
    /// Blocks until the line is there, or the end.
    ///
    /// # Errors
    /// Those of `read(2)`; `InvalidData` for a line that is not UTF-8, which is then gone.
    ///
    /// # Examples
    /// See [`stdin`].
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        let line = self.shared.until(|buffer, end| match buffer.line() {
            None if end => Some(buffer.rest()),
            line => line,
        })?;
        let text = str::from_utf8(&line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))?;
        buf.push_str(text);
        Ok(line.len())
    }

    /// The lines to come, without their ends.
    ///
    /// # Examples
    /// See [`stdin`].
    pub fn lines(self) -> Lines {
        Lines { stdin: self }
    }
}

/// Blocks until there is input, or its end.
impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.shared.until(|buffer, end| match buffer.take(buf) {
            0 if !end => None,
            length => Some(length),
        })
    }
}

/// Blocks until there is input, or its end.
impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.descriptor.get().as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// The lines of standard input, made by [`Stdin::lines`].
///
/// Its `next` blocks until there is a line, or the end.
///
/// # Cancellation
/// As for [`Stdin`].
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Lines {
    stdin: Stdin,
}

impl Iterator for Lines {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<io::Result<String>> {
        let mut line = String::new();
        match self.stdin.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.ends_with('\n') {
                    line.pop();
                    if line.ends_with('\r') {
                        line.pop();
                    }
                }
                Some(Ok(line))
            }
            Err(error) => Some(Err(error)),
        }
    }
}
