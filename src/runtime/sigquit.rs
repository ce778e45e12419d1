//! A dump on SIGQUIT.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::thread;

use signal_hook::consts::SIGQUIT;
use signal_hook::low_level::pipe;

use super::dump::dump;
use crate::sched;
use crate::sys::status;

/// From now on SIGQUIT (Ctrl-\ in a terminal, `kill -QUIT PID`) prints a [`dump`] to stderr, and the process goes on.
///
/// Without this it ends the process. Calling it again changes nothing. It starts a thread, which waits for the signal and makes the dump, so it works
/// even if every worker is kept busy. Other handlers of the same signal are called as well.
///
/// # Errors
/// No thread, or no descriptor, was left.
///
/// # Examples
/// ```no_run
/// # fn serve() {}
/// fn main() -> std::io::Result<()> {
///     layby::runtime::dump_on_sigquit()?;
///     layby::run(serve);
///     Ok(())
/// }
/// ```
pub fn dump_on_sigquit() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(|poison| poison.into_inner());
    if *installed {
        return Ok(());
    }
    let (mut signals, handler) = UnixStream::pair()?;
    let answer = move || {
        // For `deadlock`: it is none of those that could wake a task.
        let _own = sched::PoolThread::new();
        let mut byte = [0];
        while signals.read_exact(&mut byte).is_ok() {
            // With an empty line after it.
            let text = format!("layby: SIGQUIT: {}\n", dump());
            // If stderr cannot be written to, nobody is left to be told.
            let _ = io::stderr().write_all(text.as_bytes());
        }
    };
    thread::Builder::new().name("layby-sigquit".into()).spawn(answer)?;
    pipe::register(SIGQUIT, handler)?;
    status::wakes_nobody(SIGQUIT);
    *installed = true;
    Ok(())
}
