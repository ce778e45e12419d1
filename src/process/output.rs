//! Reading two pipes at once, so that a process which fills one while the other is waited for does not stand still.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use crate::io::PipeReader;
use crate::io::descriptor::{Descriptor, Patience, Transfer};
use crate::reactor::Direction;
use crate::sys::epoll::Epoll;
use crate::sys::file;
use crate::sys::poll::would_block;

/// How much is read before others may run.
const PIECE: usize = 64 << 10;

struct Pipe {
    /// None at its end; closed, it leaves the epoll.
    file: Option<std::fs::File>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(reader: Option<PipeReader>) -> io::Result<Pipe> {
        let file = reader.map(|reader| std::fs::File::from(OwnedFd::from(reader)));
        if let Some(file) = &file {
            file::set_nonblocking(file.as_fd(), true)?;
        }
        Ok(Pipe { file, bytes: Vec::new() })
    }

    /// Reads what is there. False: nothing is.
    fn read(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        match file.take(PIECE as u64).read_to_end(&mut self.bytes) {
            Ok(PIECE) => Ok(true),
            Ok(_) => {
                self.file = None;
                Ok(true)
            }
            // What was read by then is in there.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Reads both until their ends. Waits; a suspension point.
pub(super) fn read_both(readers: [Option<PipeReader>; 2]) -> io::Result<[Vec<u8>; 2]> {
    let [one, other] = readers;
    let mut pipes = [Pipe::new(one)?, Pipe::new(other)?];
    let epoll = Descriptor::new(Epoll::new()?);
    for file in pipes.iter().filter_map(|pipe| pipe.file.as_ref()) {
        epoll.get().add(file.as_fd(), Direction::Read)?;
    }
    while pipes.iter().any(|pipe| pipe.file.is_some()) {
        let read = |pipes: &mut [Pipe; 2]| {
            let [one, other] = pipes;
            // Both, whatever the first says.
            if one.read()? | other.read()? { Ok(()) } else { Err(would_block()) }
        };
        epoll.perform(Direction::Read, Patience::Endless, |_| read(&mut pipes), |()| Transfer::Full)?;
    }
    Ok(pipes.map(|pipe| pipe.bytes))
}
