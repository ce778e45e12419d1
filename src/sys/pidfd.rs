//! A descriptor for a process: readable when that has ended.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// That of a child which has not been waited for, so that its number is nobody else's.
///
/// # Errors
/// Those of `pidfd_open(2)`: `ENOSYS` before Linux 5.3; no more descriptors.
pub(crate) fn open(process: u32) -> io::Result<OwnedFd> {
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    // SAFETY: it takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor, so nobody else owns it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
