//! What is done to a path.

#![forbid(unsafe_code)]

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::blocking;

/// A function of std's, on the pool.
macro_rules! on_pool {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $param:ident),*) -> $result:ty, $std:path;)*) => {$(
        $(#[$doc])*
        ///
        /// Blocks until it is done: see [`fs`](super).
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($std), "`].")]
        ///
        /// # Examples
        /// See [`fs`](super).
        pub fn $name<$($param: AsRef<Path>),*>($($arg: $param),*) -> io::Result<$result> {
            $(let $arg = $arg.as_ref();)*
            blocking(|| $std($($arg),*))
        }
    )*};
}

on_pool! {
    /// The absolute path, without links. Like [`std::fs::canonicalize`].
    canonicalize(path: P) -> PathBuf, fs::canonicalize;
    /// Copies a file's contents and permissions, and tells its length. Like [`std::fs::copy`].
    copy(from: P, to: Q) -> u64, fs::copy;
    /// Makes a directory. Like [`std::fs::create_dir`].
    create_dir(path: P) -> (), fs::create_dir;
    /// Makes a directory, and those above it that are missing. Like [`std::fs::create_dir_all`].
    create_dir_all(path: P) -> (), fs::create_dir_all;
    /// Whether there is something at that path. Like [`std::fs::exists`].
    exists(path: P) -> bool, fs::exists;
    /// Gives a file a second name. Like [`std::fs::hard_link`].
    hard_link(original: P, link: Q) -> (), fs::hard_link;
    /// What the system knows of a file. Follows links. Like [`std::fs::metadata`].
    metadata(path: P) -> Metadata, fs::metadata;
    /// A file's whole content. Like [`std::fs::read`].
    read(path: P) -> Vec<u8>, fs::read;
    /// Where a symbolic link leads. Like [`std::fs::read_link`].
    read_link(path: P) -> PathBuf, fs::read_link;
    /// A file's whole content, as text. Like [`std::fs::read_to_string`].
    read_to_string(path: P) -> String, fs::read_to_string;
    /// Removes an empty directory. Like [`std::fs::remove_dir`].
    remove_dir(path: P) -> (), fs::remove_dir;
    /// Removes a directory and all that is in it. Like [`std::fs::remove_dir_all`].
    remove_dir_all(path: P) -> (), fs::remove_dir_all;
    /// Removes a file. Like [`std::fs::remove_file`].
    remove_file(path: P) -> (), fs::remove_file;
    /// Gives a file another name, instead of the one that has it. Like [`std::fs::rename`].
    rename(from: P, to: Q) -> (), fs::rename;
    /// Makes a symbolic link. Like [`std::os::unix::fs::symlink`].
    symlink(original: P, link: Q) -> (), std::os::unix::fs::symlink;
    /// What the system knows of a file, or of a link itself. Like [`std::fs::symlink_metadata`].
    symlink_metadata(path: P) -> Metadata, fs::symlink_metadata;
}

/// Says who may read, write and execute a file. Like [`std::fs::set_permissions`].
///
/// Blocks until it is done: see [`fs`](super).
///
/// # Errors
/// Those of [`std::fs::set_permissions`].
///
/// # Examples
/// As for [`File::set_permissions`](super::File::set_permissions).
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| fs::set_permissions(path, perm))
}

/// Writes a whole file, instead of the one that is there. Like [`std::fs::write`].
///
/// Blocks until it is done: see [`fs`](super).
///
/// # Errors
/// Those of [`std::fs::write`].
///
/// # Examples
/// ```
/// # let path = std::env::temp_dir().join(format!("layby-write-{}", std::process::id()));
/// layby::fs::write(&path, "hello")?;
/// assert_eq!(layby::fs::read_to_string(&path)?, "hello");
/// # layby::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    blocking(|| fs::write(path, contents))
}
