//! The one unsafe trait of files: making them from a bare descriptor number.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::File;

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: the caller gives us the descriptor, which is open and nobody else's.
        File::from(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
