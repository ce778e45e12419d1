//! What is to be started, and how.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs};

use super::{Child, ExitStatus, Output, Stdio};
use crate::blocking::unblock;

/// A process to be started.
///
/// Like [`std::process::Command`], except:
/// * [`spawn`](Command::spawn), [`status`](Command::status) and [`output`](Command::output) park the task; the new process is
///   started by a thread of the blocking pool (so it must not ask for a signal at the end of its parent *thread*).
/// * [`kill_on_drop`](Command::kill_on_drop).
/// * It converts from std's; [`as_std_mut`](Command::as_std_mut) leads to settings that are missing here, such as
///   `pre_exec`.
///
/// # Examples
/// ```
/// use layby::process::Command;
///
/// layby::run(|| {
///     let output = Command::new("echo").arg("hello").output()?;
///     assert_eq!(output.stdout, b"hello\n");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    command: std::process::Command,
    kill_on_drop: bool,
    /// Which of the three were set: `output` chooses for the others.
    set: [bool; 3],
}

impl Command {
    /// A process of that program, with no arguments.
    ///
    /// # Examples
    /// See [`Command`].
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        std::process::Command::new(program).into()
    }

    /// One more argument.
    ///
    /// # Examples
    /// See [`Command`].
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    ///
    /// # Examples
    /// See [`process`](super).
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(args);
        self
    }

    /// Its name for itself, where that is not the program's.
    ///
    /// # Examples
    /// As for [`arg`](Command::arg).
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.command.arg0(arg);
        self
    }

    /// Sets a variable of its environment, which is this process's otherwise.
    ///
    /// # Examples
    /// ```
    /// use layby::process::Command;
    ///
    /// let mut command = Command::new("sh");
    /// let output = command.args(["-c", "echo $WORD"]).env("WORD", "hello").output()?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, key: K, val: V) -> &mut Command {
        self.command.env(key, val);
        self
    }

    /// Sets several variables of its environment.
    ///
    /// # Examples
    /// As for [`env`](Command::env).
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(vars);
        self
    }

    /// Leaves a variable out of its environment.
    ///
    /// # Examples
    /// As for [`env`](Command::env).
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.command.env_remove(key);
        self
    }

    /// Leaves its environment empty.
    ///
    /// # Examples
    /// As for [`env`](Command::env).
    pub fn env_clear(&mut self) -> &mut Command {
        self.command.env_clear();
        self
    }

    /// The directory that it starts in; this process's otherwise.
    ///
    /// # Examples
    /// ```
    /// let output = layby::process::Command::new("pwd").current_dir("/").output()?;
    /// assert_eq!(output.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.command.current_dir(dir);
        self
    }

    /// Its standard input: this process's otherwise, or nothing for [`output`](Command::output).
    ///
    /// # Examples
    /// See [`process`](super).
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.command.stdin(cfg);
        self.set[0] = true;
        self
    }

    /// Its standard output: this process's otherwise, or collected for [`output`](Command::output).
    ///
    /// # Examples
    /// See [`process`](super).
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.command.stdout(cfg);
        self.set[1] = true;
        self
    }

    /// Its standard error: this process's otherwise, or collected for [`output`](Command::output).
    ///
    /// # Examples
    /// As for [`stdout`](Command::stdout).
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.command.stderr(cfg);
        self.set[2] = true;
        self
    }

    /// The user that it runs as.
    ///
    /// # Examples
    /// As for [`arg`](Command::arg).
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.command.uid(id);
        self
    }

    /// The group that it runs as.
    ///
    /// # Examples
    /// As for [`arg`](Command::arg).
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.command.gid(id);
        self
    }

    /// The process group that it joins; a new one for 0, so that a Ctrl-C does not reach it.
    ///
    /// # Examples
    /// As for [`arg`](Command::arg).
    pub fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.command.process_group(pgroup);
        self
    }

    /// Whether dropping the [`Child`] before its end was seen kills it; it does not otherwise, as in std. With this a
    /// cancelled task leaves no process behind.
    ///
    /// # Examples
    /// See [`Child`].
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the process.
    ///
    /// Blocks until it has started, or failed to.
    ///
    /// # Cancellation
    /// A suspension point before it is started. After that, the child is returned.
    ///
    /// # Errors
    /// Those of `fork(2)` and `execve(2)`, such as `NotFound`.
    ///
    /// # Examples
    /// See [`process`](super).
    pub fn spawn(&mut self) -> io::Result<Child> {
        crate::park::checkpoint();
        crate::park::refuse_if_due()?;
        let child = unblock(|| self.command.spawn())?;
        Ok(Child::new(child, self.kill_on_drop))
    }

    /// Starts the process, and waits for its end.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn).
    ///
    /// # Examples
    /// ```
    /// assert!(layby::process::Command::new("true").status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts the process, waits for its end, and collects what it has written.
    ///
    /// # Errors
    /// Those of [`spawn`](Command::spawn).
    ///
    /// # Examples
    /// See [`Command`].
    pub fn output(&mut self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = self.set;
        if !stdin {
            self.command.stdin(Stdio::null());
        }
        if !stdout {
            self.command.stdout(Stdio::piped());
        }
        if !stderr {
            self.command.stderr(Stdio::piped());
        }
        let child = self.spawn();
        // For a later `spawn`, what was not set is not.
        if !stdin {
            self.command.stdin(Stdio::inherit());
        }
        if !stdout {
            self.command.stdout(Stdio::inherit());
        }
        if !stderr {
            self.command.stderr(Stdio::inherit());
        }
        child?.wait_with_output()
    }

    /// Replaces this process by that one, and returns only if that fails.
    ///
    /// # Examples
    /// As for [`std::os::unix::process::CommandExt::exec`].
    pub fn exec(&mut self) -> io::Error {
        self.command.exec()
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.command.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.command.get_args()
    }

    /// The variables that were set or left out.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.command.get_envs()
    }

    /// The directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.command.get_current_dir()
    }

    /// std's, for what is set there alone. (Standard streams are to be set here.)
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.command
    }
}

/// Standard streams that were set are not known to be: [`output`](Command::output) chooses its own.
impl From<std::process::Command> for Command {
    fn from(command: std::process::Command) -> Command {
        Command { command, kill_on_drop: false, set: [false; 3] }
    }
}

/// As std's: the command line.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.command.fmt(f)
    }
}
