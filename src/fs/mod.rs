//! Files and directories, like `std::fs`, on the threads of the blocking pool.
//!
//! The kernel takes files for ready at all times, and lets the caller wait for the disk. So each call here runs on a thread of the
//! pool behind [`unblock`], while the task parks. It uses the caller's own buffers: nothing
//! is copied on the way.
//!
//! ```
//! use layby::fs::{self, File};
//! use std::io::{Read, Write};
//!
//! # fn main() -> std::io::Result<()> {
//! # let dir = std::env::temp_dir().join(format!("layby-fs-{}", std::process::id()));
//! layby::run(|| {
//!     fs::create_dir_all(&dir)?;
//!     let path = dir.join("greeting");
//!     File::create(&path)?.write_all(b"hello")?;
//!     fs::copy(&path, dir.join("copy"))?;
//!     let mut text = String::new();
//!     File::open(dir.join("copy"))?.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello");
//!     assert_eq!(fs::read_dir(&dir)?.count(), 2);
//!     assert_eq!(fs::metadata(&path)?.len(), 5);
//!     fs::remove_dir_all(&dir)
//! })
//! # }
//! ```
//!
//! A hop to the pool and back costs some tens of microseconds. For many small reads or writes put a
//! [`BufReader`](std::io::BufReader) or [`BufWriter`](std::io::BufWriter) around the file; for work that is all files, put
//! the whole of it into one `unblock`, with std's own types.
//!
//! On a plain OS thread the calls simply run there.
//!
//! # Cancellation
//! Each call is a suspension point before it begins. Once begun it is not abandoned: its result is returned, and the
//! cancellation delivered at the task's next suspension point.

mod dir;
mod file;
mod functions;
mod open_options;
mod raw;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

pub use self::dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use self::file::File;
pub use self::functions::{
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write,
};
pub use self::open_options::OpenOptions;

use std::io;

use crate::blocking::unblock;
use crate::park;

/// Where each call goes through: a suspension point, then the pool.
fn blocking<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    park::checkpoint();
    park::refuse_if_due()?;
    unblock(f)
}
