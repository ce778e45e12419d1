//! From a reader to a writer.

use std::io::{self, ErrorKind, Read, Write};

use crate::park;

/// The buffer's length to begin with, and where it stops to grow.
const FIRST: usize = 16 << 10;
const LAST: usize = 256 << 10;

/// Copies all that comes from `reader` to `writer`, and tells how many bytes that were.
///
/// Blocks where the reader or the writer does.
///
/// Like [`std::io::copy`], except: the buffer is on the heap, and grows to 256 KiB for a reader that fills it, so
/// that a fast connection needs few calls and a task's stack stays small. A copy between any reader and any writer yields
/// to the worker's other tasks now and then.
///
/// # Cancellation
/// A suspension point with every piece. What was read and not yet written by then is lost, as it is with an error
/// of the writer.
///
/// # Errors
/// The reader's and the writer's, except `Interrupted`, after which it goes on.
///
/// # Examples
/// An echo server's whole work:
/// ```
/// use layby::{go, io, net::{Shutdown, TcpListener, TcpStream}};
/// use std::io::{Read, Write};
///
/// layby::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let mut near = TcpStream::connect(listener.local_addr()?)?;
///     let (far, _) = listener.accept()?;
///     let echo = go!(move || io::copy(&mut &far, &mut &far));
///     near.write_all(b"hello")?;
///     near.shutdown(Shutdown::Write)?;
///     let mut text = String::new();
///     near.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     assert_eq!(echo.join().unwrap()?, 5);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buffer = vec![0; FIRST];
    let mut copied = 0;
    loop {
        // Neither side need be layby's.
        park::spend_budget(1);
        park::refuse_if_due()?;
        let length = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..length])?;
        copied += length as u64;
        if length == buffer.len() && length < LAST {
            buffer.resize(2 * length, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_all_of_it() {
        for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, LAST * 3 + 7] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut copy_of_it = Vec::new();
            assert_eq!(copy(&mut &bytes[..], &mut copy_of_it).unwrap(), length as u64);
            assert!(copy_of_it == bytes);
        }
    }

    #[test]
    fn goes_on_after_a_signal_and_ends_with_an_error() {
        struct Odd(u32);
        impl Read for Odd {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 | 3 => Err(ErrorKind::Interrupted.into()),
                    2 => Ok(buf.len()),
                    _ => Err(ErrorKind::ConnectionReset.into()),
                }
            }
        }
        let mut sink = Vec::new();
        assert_eq!(copy(&mut Odd(0), &mut sink).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(sink.len(), FIRST);
        assert_eq!(
            copy(&mut &b"x"[..], &mut io::Cursor::new(&mut [][..])).unwrap_err().kind(),
            ErrorKind::WriteZero
        );
    }
}
