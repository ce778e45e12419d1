//! What the runtime says on stderr.
//!
//! Not `eprintln!`: that panics where stderr is closed, and the runtime speaks from places that must
//! not unwind.

/// One line on stderr, as `eprintln!`, but a line that cannot be written is dropped.
macro_rules! report {
    ($($argument:tt)*) => {{
        use ::std::io::Write as _;
        let line = format!("layby: {}\n", format_args!($($argument)*));
        // One write, so that lines of several threads stay whole. If it fails, nobody is left to be told.
        let _ = ::std::io::stderr().write_all(line.as_bytes());
    }};
}

pub(crate) use report;
