//! Why there is no stack, and what to do about it.

use std::error::Error;
use std::{fmt, io};

/// What ran out. Travels inside an [`io::Error`].
#[derive(Debug)]
pub(super) struct Exhausted {
    what: What,
    /// Bytes of the stack that was asked for.
    size: usize,
    /// The system's answer, if the system was asked.
    source: Option<io::Error>,
}

/// The things that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Larger than any address space.
    Size,
    /// Addresses, or what the system reports alike: `ulimit -v` and `ulimit -d` in bytes, if they are set,
    /// and whether guards take mappings, too.
    Addresses { limit: Option<usize>, data: Option<usize>, mappings: bool },
    /// Mappings, of which the kernel grants a process `limit`.
    Mappings { limit: usize },
    /// Memory of the kernel's own.
    PageTables,
}

impl Exhausted {
    /// The error to return: of kind `OutOfMemory`, or `InvalidInput` where no setting would help.
    pub(super) fn error(what: What, size: usize, source: Option<io::Error>) -> io::Error {
        let kind = match what {
            What::Size => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::OutOfMemory,
        };
        io::Error::new(kind, Exhausted { what, size, source })
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size;
        match self.what {
            What::Size => write!(f, "a stack of {size} bytes does not fit any address space"),
            What::Addresses { limit, data, mappings } => {
                write!(f, "no address space for a stack of {size} bytes: raise ")?;
                let set =
                    [("v", limit), ("d", data)].into_iter().filter_map(|(flag, limit)| Some((flag, limit?)));
                let mut or = "";
                for (flag, bytes) in set {
                    write!(f, "{or}`ulimit -{flag}` (now {} KiB)", bytes / 1024)?;
                    or = " or ";
                }
                if or.is_empty() {
                    // Neither is set, so which limit it was is a guess.
                    return f.write_str(
                        "`ulimit -v`, vm.max_map_count, or vm.overcommit_ratio where vm.overcommit_memory is 2",
                    );
                }
                if mappings { f.write_str(", or vm.max_map_count") } else { Ok(()) }
            }
            What::Mappings { limit } => write!(
                f,
                "no memory mapping left to guard a stack of {size} bytes: raise \
                 vm.max_map_count (now {limit}; a stack takes two; from Linux 6.13 on, none)"
            ),
            What::PageTables => write!(
                f,
                "the kernel has no memory for the page table of a stack of {size} bytes: raise \
                 the memory limit (cgroup memory.max) or run fewer tasks"
            ),
        }
    }
}

impl Error for Exhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}
