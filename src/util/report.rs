//! What the runtime says on stderr.
//!
//! Not `eprintln!`: that panics where stderr is closed, and the runtime speaks from places that must
//! not unwind.

/// One line on stderr, as `eprintln!`, but a line that cannot be written is dropped.
macro_rules! report {
    ($($argument:tt)*) => {{
        use ::std::io::Write as _;
        // Nobody is left to be told.
        let _ = writeln!(::std::io::stderr(), "layby: {}", format_args!($($argument)*));
    }};
}

pub(crate) use report;
