//! A process that was started.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::output::read_both;
use super::{ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use crate::blocking;
use crate::io::Fd;
use crate::park;
use crate::sleep::sleep;
use crate::sys::pidfd;

/// A process that was started by [`Command::spawn`](super::Command::spawn).
///
/// Like [`std::process::Child`], except:
/// * Waiting parks the task: on Linux 5.3 and newer until a descriptor of the process (a pidfd) tells of its end, before that by
///   looking every some milliseconds.
/// * Its pipes are layby's, and park too.
/// * Dropped before its end was seen, it kills the process if [`kill_on_drop`](super::Command::kill_on_drop)
///   was set, and sees to it that no zombie is left.
///
/// # Examples
/// ```
/// use layby::process::Command;
///
/// layby::run(|| {
///     let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn()?;
///     drop(child);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    /// None only while it is being dropped.
    child: Option<std::process::Child>,
    kill_on_drop: bool,
    ended: Option<ExitStatus>,
    /// What the process reads, if that was `piped`.
    pub stdin: Option<ChildStdin>,
    /// What the process writes, if that was `piped`.
    pub stdout: Option<ChildStdout>,
    /// What the process writes as errors, if that was `piped`.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, kill_on_drop: bool) -> Child {
        Child {
            stdin: child.stdin.take().map(|pipe| OwnedFd::from(pipe).into()),
            stdout: child.stdout.take().map(|pipe| OwnedFd::from(pipe).into()),
            stderr: child.stderr.take().map(|pipe| OwnedFd::from(pipe).into()),
            child: Some(child),
            kill_on_drop,
            ended: None,
        }
    }

    fn as_std(&self) -> &std::process::Child {
        self.child.as_ref().expect("it is there until the drop")
    }

    fn as_std_mut(&mut self) -> &mut std::process::Child {
        self.child.as_mut().expect("it is there until the drop")
    }

    /// The number of the process.
    ///
    /// # Examples
    /// As for [`wait`](Child::wait).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.as_std().id()
    }

    /// Ends the process, by `SIGKILL`. Success for one that was seen to have ended.
    ///
    /// # Errors
    /// Those of `kill(2)`.
    ///
    /// # Examples
    /// See [`wait`](Child::wait).
    pub fn kill(&mut self) -> io::Result<()> {
        self.as_std_mut().kill()
    }

    /// Closes the process's standard input, and waits for its end.
    ///
    /// Blocks until then; later calls return the same at once.
    ///
    /// # Cancellation
    /// A suspension point. The process goes on; it can be waited for again.
    ///
    /// # Errors
    /// Those of `waitid(2)`.
    ///
    /// # Examples
    /// ```
    /// use layby::process::Command;
    /// use std::os::unix::process::ExitStatusExt;
    ///
    /// layby::run(|| {
    ///     let mut child = Command::new("sleep").arg("1000").spawn()?;
    ///     assert!(child.try_wait()?.is_none());
    ///     child.kill()?;
    ///     assert_eq!(child.wait()?.signal(), Some(9));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        park::checkpoint();
        park::refuse_if_due()?;
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        match pidfd::open(self.id()) {
            Ok(fd) => self.wait_for(&Fd::adopt(fd)),
            Err(_) => self.wait_by_looking(),
        }
    }

    fn wait_for(&mut self, ended: &Fd<OwnedFd>) -> io::Result<ExitStatus> {
        loop {
            ended.readable()?;
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
        }
    }

    /// For want of a descriptor: the system is too old, or out of them.
    #[cold]
    fn wait_by_looking(&mut self) -> io::Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            sleep(pause);
            park::refuse_if_due()?;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// How the process has ended, if it has. Does not wait.
    ///
    /// # Errors
    /// Those of `waitid(2)`.
    ///
    /// # Examples
    /// See [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.as_std_mut().try_wait()?;
        }
        Ok(self.ended)
    }

    /// Closes the process's standard input, reads what it writes into pipes, and waits for its end.
    ///
    /// Blocks until then.
    ///
    /// # Cancellation
    /// A suspension point. The child is dropped then.
    ///
    /// # Errors
    /// Those of `read(2)` and `waitid(2)`.
    ///
    /// # Examples
    /// ```
    /// use layby::process::{Command, Stdio};
    ///
    /// layby::run(|| {
    ///     let child = Command::new("ls").arg("/").stdout(Stdio::piped()).spawn()?;
    ///     let output = child.wait_with_output()?;
    ///     assert!(output.status.success() && !output.stdout.is_empty());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let [stdout, stderr] = read_both([self.stdout.take(), self.stderr.take()])?;
        let status = self.wait()?;
        Ok(Output { status, stdout, stderr })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kill_on_drop && !matches!(self.try_wait(), Ok(Some(_))) {
            let _ = self.kill();
            if let Some(mut child) = self.child.take() {
                // It ends soon, but not at once, and is a zombie until somebody has waited for it.
                blocking::run_detached(move || drop(child.wait()));
            }
        }
    }
}
