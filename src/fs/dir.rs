//! Directories.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, DirEntryExt as _};
use std::path::{Path, PathBuf};

use super::blocking;
use crate::blocking::unblock;
use crate::park;

/// So many entries come with one hop to the pool.
const BATCH: usize = 64;

/// The entries of a directory, in no particular order.
///
/// Blocks until it is open. Like [`std::fs::read_dir`], except for [`ReadDir`].
///
/// # Errors
/// Those of [`std::fs::read_dir`].
///
/// # Examples
/// ```
/// let mut names = Vec::new();
/// for entry in layby::fs::read_dir("src")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.contains(&"lib.rs".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let entries = blocking(|| std::fs::read_dir(path))?;
    Ok(ReadDir { entries: Some(entries), batch: VecDeque::new() })
}

/// The entries of a directory, made by [`read_dir`].
///
/// Its `next` blocks now and then: like [`std::fs::ReadDir`], except that it reads some entries ahead, so that not each of them
/// is a call on the pool.
///
/// # Cancellation
/// As for all of [`fs`](super#cancellation).
#[derive(Debug)]
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct ReadDir {
    /// None at the end.
    entries: Option<std::fs::ReadDir>,
    batch: VecDeque<io::Result<DirEntry>>,
}

impl ReadDir {
    fn fill(&mut self) {
        // Before anything is taken out of its place.
        park::checkpoint();
        if let Err(error) = park::refuse_if_due() {
            return self.batch.push_back(Err(error));
        }
        let Some(mut entries) = self.entries.take() else { return };
        let batch = &mut self.batch;
        self.entries = unblock(move || {
            batch.extend(entries.by_ref().take(BATCH).map(|entry| entry.map(DirEntry::new)));
            (batch.len() == BATCH).then_some(entries)
        });
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() {
            self.fill();
        }
        self.batch.pop_front()
    }
}

/// An entry of a directory.
///
/// Like [`std::fs::DirEntry`], except: [`metadata`](DirEntry::metadata) parks the task.
///
/// # Examples
/// ```
/// for entry in layby::fs::read_dir("src")? {
///     let entry = entry?;
///     assert_eq!(entry.metadata()?.is_dir(), entry.file_type()?.is_dir());
///     assert!(entry.path().starts_with("src"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DirEntry {
    entry: std::fs::DirEntry,
    /// As the directory says; None where that failed.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// On a thread of the pool: some file systems have to be asked for the type.
    fn new(entry: std::fs::DirEntry) -> DirEntry {
        DirEntry { file_type: entry.file_type().ok(), entry }
    }

    /// The directory's path, with the name.
    ///
    /// # Examples
    /// See [`DirEntry`].
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name alone.
    ///
    /// # Examples
    /// See [`read_dir`].
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// The number of its inode.
    ///
    /// # Examples
    /// As for [`file_name`](DirEntry::file_name).
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.entry.ino()
    }

    /// What the system knows of it. Does not follow links.
    ///
    /// Blocks until it is known.
    ///
    /// # Errors
    /// Those of [`std::fs::DirEntry::metadata`].
    ///
    /// # Examples
    /// See [`DirEntry`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.entry.metadata())
    }

    /// Whether it is a file, a directory, a link. It came with the entry.
    ///
    /// # Errors
    /// Those of [`std::fs::DirEntry::file_type`].
    ///
    /// # Examples
    /// See [`DirEntry`].
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => blocking(|| self.entry.file_type()),
        }
    }
}

/// As std's: the path.
impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}

/// How a directory is made.
///
/// Like [`std::fs::DirBuilder`], except: [`create`](DirBuilder::create) parks the task; `mode` is a method, not an
/// extension trait's.
///
/// # Examples
/// ```
/// use layby::fs::{self, DirBuilder};
///
/// # let root = std::env::temp_dir().join(format!("layby-dirs-{}", std::process::id()));
/// DirBuilder::new().recursive(true).mode(0o700).create(root.join("a/b"))?;
/// assert!(fs::metadata(root.join("a/b"))?.is_dir());
/// # fs::remove_dir_all(&root)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirBuilder(std::fs::DirBuilder);

impl DirBuilder {
    /// One directory, which everybody may use.
    ///
    /// # Examples
    /// See [`DirBuilder`].
    #[must_use]
    pub fn new() -> DirBuilder {
        DirBuilder(std::fs::DirBuilder::new())
    }

    /// Whether those above it are made, too, and it is no error if it is there.
    ///
    /// # Examples
    /// See [`DirBuilder`].
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.0.recursive(recursive);
        self
    }

    /// The permissions.
    ///
    /// # Examples
    /// See [`DirBuilder`].
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.0.mode(mode);
        self
    }

    /// Makes the directory.
    ///
    /// Blocks until it is made.
    ///
    /// # Errors
    /// Those of [`std::fs::DirBuilder::create`].
    ///
    /// # Examples
    /// See [`DirBuilder`].
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref();
        blocking(|| self.0.create(path))
    }
}

impl Default for DirBuilder {
    fn default() -> DirBuilder {
        DirBuilder::new()
    }
}
