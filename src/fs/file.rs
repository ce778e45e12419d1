//! An open file.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::SystemTime;

use super::{OpenOptions, blocking};

/// An open file.
///
/// Each call blocks until the disk has done it: the task parks meanwhile, see [`fs`](super).
///
/// Like [`std::fs::File`], except:
/// * On a task, a call keeps neither the worker nor the other tasks.
/// * It converts from and into std's. `Arc<File>` does not read and write, `&File` does.
/// * Dropping it closes it on the spot, which on network file systems can take its time.
///
/// # Cancellation
/// As for all of [`fs`](super#cancellation): a call that has begun returns its result. A [`lock`](File::lock) that waits for
/// another process is such a call.
///
/// # Examples
/// ```
/// use layby::fs::File;
/// use std::io::{Read, Seek, SeekFrom, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("layby-file-{}", std::process::id()));
/// layby::run(|| {
///     let mut file = File::options().read(true).write(true).create(true).open(&path)?;
///     file.write_all(b"hello, world")?;
///     file.sync_all()?;
///     file.seek(SeekFrom::Start(7))?;
///     let mut text = String::new();
///     file.read_to_string(&mut text)?;
///     assert_eq!(text, "world");
///     layby::fs::remove_file(&path)
/// })
/// # }
/// ```
pub struct File(std::fs::File);

impl File {
    /// Opens a file to be read.
    ///
    /// # Errors
    /// Those of [`std::fs::File::open`].
    ///
    /// # Examples
    /// ```
    /// use std::io::Read;
    ///
    /// let mut text = String::new();
    /// layby::fs::File::open("Cargo.toml")?.read_to_string(&mut text)?;
    /// assert!(text.contains("[package]"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to be written, empty, and makes it if it is not there.
    ///
    /// # Errors
    /// Those of [`std::fs::File::create`].
    ///
    /// # Examples
    /// See [`fs`](super).
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, to be read and written.
    ///
    /// # Errors
    /// `AlreadyExists`; those of [`std::fs::File::create_new`].
    ///
    /// # Examples
    /// As for [`create`](File::create).
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Other ways to open a file.
    ///
    /// # Examples
    /// See [`File`].
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until all that was written is on the disk, with the file's metadata.
    ///
    /// # Errors
    /// Those of `fsync(2)`.
    ///
    /// # Examples
    /// See [`File`].
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.0.sync_all())
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// Those of `fdatasync(2)`.
    ///
    /// # Examples
    /// As for [`sync_all`](File::sync_all).
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.0.sync_data())
    }

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`.
    ///
    /// # Examples
    /// As for [`sync_all`](File::sync_all).
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        blocking(|| self.0.set_len(size))
    }

    /// Locks the file for this handle alone. Advisory: it keeps only those away who lock, too.
    ///
    /// Blocks while another has a lock, on a thread of the pool; not cancellable once begun.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    ///
    /// # Examples
    /// As for [`try_lock`](File::try_lock).
    pub fn lock(&self) -> io::Result<()> {
        blocking(|| self.0.lock())
    }

    /// Locks the file for this handle and others who share. The rest is as for [`lock`](File::lock).
    ///
    /// # Errors
    /// Those of `flock(2)`.
    ///
    /// # Examples
    /// As for [`try_lock`](File::try_lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        blocking(|| self.0.lock_shared())
    }

    /// As [`lock`](File::lock), without waiting for others.
    ///
    /// # Errors
    /// `WouldBlock` if another has a lock; those of `flock(2)`.
    ///
    /// # Examples
    /// ```
    /// use layby::fs::{self, File};
    ///
    /// # let path = std::env::temp_dir().join(format!("layby-lock-{}", std::process::id()));
    /// let (file, other) = (File::create(&path)?, File::create(&path)?);
    /// file.try_lock()?;
    /// assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
    /// file.unlock()?;
    /// other.lock()?;
    /// # fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        blocking(|| Ok(self.0.try_lock())).unwrap_or_else(|error| Err(TryLockError::Error(error)))
    }

    /// As [`lock_shared`](File::lock_shared), without waiting for others.
    ///
    /// # Errors
    /// As for [`try_lock`](File::try_lock).
    ///
    /// # Examples
    /// As for [`try_lock`](File::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        blocking(|| Ok(self.0.try_lock_shared())).unwrap_or_else(|error| Err(TryLockError::Error(error)))
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    ///
    /// # Examples
    /// As for [`try_lock`](File::try_lock).
    pub fn unlock(&self) -> io::Result<()> {
        blocking(|| self.0.unlock())
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    ///
    /// # Examples
    /// ```
    /// assert!(layby::fs::File::open("Cargo.toml")?.metadata()?.is_file());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.0.metadata())
    }

    /// Another handle of the same open file: same position, same lock.
    ///
    /// # Errors
    /// Those of `dup(2)`: no more descriptors.
    ///
    /// # Examples
    /// As for [`metadata`](File::metadata).
    pub fn try_clone(&self) -> io::Result<File> {
        self.0.try_clone().map(File)
    }

    /// Says who may read, write and execute the file.
    ///
    /// # Errors
    /// Those of `fchmod(2)`.
    ///
    /// # Examples
    /// ```
    /// use layby::fs::{self, File};
    ///
    /// # let path = std::env::temp_dir().join(format!("layby-permissions-{}", std::process::id()));
    /// let file = File::create(&path)?;
    /// let mut permissions = file.metadata()?.permissions();
    /// permissions.set_readonly(true);
    /// file.set_permissions(permissions)?;
    /// assert!(fs::metadata(&path)?.permissions().readonly());
    /// # fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        blocking(|| self.0.set_permissions(perm))
    }

    /// Sets when the file was used and changed.
    ///
    /// # Errors
    /// Those of `futimens(2)`.
    ///
    /// # Examples
    /// As for [`set_permissions`](File::set_permissions).
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        blocking(|| self.0.set_times(times))
    }

    /// Sets when the file was changed.
    ///
    /// # Errors
    /// Those of `futimens(2)`.
    ///
    /// # Examples
    /// As for [`set_permissions`](File::set_permissions).
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        blocking(|| self.0.set_modified(time))
    }
}

/// `Read`, `Write` and `Seek`, for what is or leads to a file.
macro_rules! transfers {
    ($($type:ty),*) => {$(
        /// Blocks until it is read. What is read as a whole is one call on the pool.
        impl Read for $type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                blocking(|| (&self.0).read(buf))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                blocking(|| (&self.0).read_vectored(bufs))
            }

            fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                blocking(|| (&self.0).read_exact(buf))
            }

            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
                blocking(|| (&self.0).read_to_end(buf))
            }

            fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
                blocking(|| (&self.0).read_to_string(buf))
            }
        }

        /// Blocks until it is written. What is written as a whole is one call on the pool.
        impl Write for $type {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                blocking(|| (&self.0).write(buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                blocking(|| (&self.0).write_vectored(bufs))
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                blocking(|| (&self.0).write_all(buf))
            }

            /// There is nothing that was kept back.
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Seek for $type {
            fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
                blocking(|| (&self.0).seek(pos))
            }
        }
    )*};
}

transfers!(File, &File);

/// Blocks until it is read or written, as std's.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.0.write_at(buf, offset))
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File(file)
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.0
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File(fd.into())
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.0.into()
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        file.0.into()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// As std's: the descriptor, the path, and how it was opened.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
