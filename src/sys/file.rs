//! Open files: what kind they are, and which mode they are in.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads what is there, up to the buffer's length. Blocks if the open file is in blocking mode and empty.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of one buffer, which is borrowed exclusively.
    let done = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    // Negative is the only value that does not fit.
    usize::try_from(done).map_err(|_| io::Error::last_os_error())
}

/// Turns `O_NONBLOCK` on or off, and tells what it was. It belongs to the open file, and so to all of its descriptors.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<bool> {
    // SAFETY: it takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    let was = flags & libc::O_NONBLOCK != 0;
    if was != on {
        // SAFETY: it takes no pointer.
        let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags ^ libc::O_NONBLOCK) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(was)
}

/// Whether it is of a kind that is always ready for `poll(2)` and refused by epoll: a regular file, a directory, a
/// disk. Its calls take as long as the disk does.
pub(crate) fn is_of_disk(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: there is room for what it writes.
    if unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fstat` succeeded, so it is filled in.
    let stat = unsafe { stat.assume_init() };
    Ok(matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK))
}

/// Whether `error` says that the descriptor is closed.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn kinds() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(!is_of_disk(reader.as_fd()).unwrap());
        assert!(is_of_disk(File::open("/proc/self/exe").unwrap().as_fd()).unwrap());
        assert!(is_of_disk(File::open("/").unwrap().as_fd()).unwrap());
        assert!(!is_of_disk(File::open("/dev/null").unwrap().as_fd()).unwrap());
    }

    #[test]
    fn the_mode_is_changed_and_told() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(!set_nonblocking(reader.as_fd(), true).unwrap());
        assert!(set_nonblocking(reader.as_fd(), true).unwrap());
        assert_eq!(read(reader.as_fd(), &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(set_nonblocking(reader.as_fd(), false).unwrap());
        assert!(!set_nonblocking(reader.as_fd(), false).unwrap());
    }
}
