//! How a file is opened.

#![forbid(unsafe_code)]

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{File, blocking};

/// How a file is opened.
///
/// Like [`std::fs::OpenOptions`], except: [`open`](OpenOptions::open) parks the task; `mode` and `custom_flags` are methods,
/// not an extension trait's.
///
/// # Examples
/// ```
/// use layby::fs::OpenOptions;
/// use std::io::Write;
///
/// # let path = std::env::temp_dir().join(format!("layby-options-{}", std::process::id()));
/// let mut log = OpenOptions::new().append(true).create(true).open(&path)?;
/// writeln!(log, "one line more")?;
/// # layby::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions(std::fs::OpenOptions);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident($arg:ident: $type:ty);)*) => {$(
        $(#[$doc])*
        ///
        /// # Examples
        /// See [`OpenOptions`].
        pub fn $name(&mut self, $arg: $type) -> &mut OpenOptions {
            self.0.$name($arg);
            self
        }
    )*};
}

impl OpenOptions {
    /// None of them.
    ///
    /// # Examples
    /// See [`OpenOptions`].
    #[must_use]
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    flags! {
        /// To be read.
        read(read: bool);
        /// To be written.
        write(write: bool);
        /// To be written at its end alone.
        append(append: bool);
        /// To be emptied first.
        truncate(truncate: bool);
        /// To be made if it is not there.
        create(create: bool);
        /// To be made, and an error if it is there.
        create_new(create_new: bool);
        /// The permissions of a file that is made.
        mode(mode: u32);
        /// Further flags of `open(2)`.
        custom_flags(flags: i32);
    }

    /// Opens the file at that path.
    ///
    /// Blocks until it is open: see [`fs`](super). (Opening a FIFO waits for its other end, on a thread of the pool.)
    ///
    /// # Errors
    /// Those of [`std::fs::OpenOptions::open`].
    ///
    /// # Examples
    /// See [`OpenOptions`].
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref();
        blocking(|| self.0.open(path)).map(File::from)
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(options: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions(options)
    }
}
