//! One task in a dump.

#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use core::time::Duration;

use super::details::Details;
use super::text::{Line, Who};
use crate::fiber::Reason;

/// A task, as its worker saw it. Its `Display` says all but the backtrace, in a line.
#[derive(Clone)]
pub struct TaskRecord {
    pub(crate) id: u64,
    pub(crate) name: Option<Box<str>>,
    pub(crate) runtime: usize,
    pub(crate) worker: usize,
    pub(crate) run: RunState,
    pub(crate) reason: Reason,
    pub(crate) details: Details,
    /// How long it has waited.
    pub(crate) since: Option<Duration>,
    /// What the wait's own deadline leaves.
    pub(crate) left: Option<Duration>,
    /// What the timeouts around it leave.
    pub(crate) timeout: Option<Duration>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) parent: Option<u64>,
    pub(crate) structured: bool,
    pub(crate) cancelled: bool,
    pub(crate) shielded: bool,
    pub(crate) unwinding: bool,
    /// Used, and in all; in bytes.
    pub(crate) stack: Option<(usize, usize)>,
    pub(crate) stack_number: Option<usize>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    Unstarted,
    Ready,
    Running,
    Waits,
}

impl RunState {
    pub(crate) fn text(self) -> &'static str {
        match self {
            RunState::Unstarted => "unstarted",
            RunState::Ready => "ready",
            RunState::Running => "running",
            RunState::Waits => "waits",
        }
    }
}

/// What a task was doing when it was dumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It has not started.
    Unstarted,
    /// It could run, and waits for its worker.
    Ready,
    /// It runs.
    Running,
    /// It waits.
    Waits,
}

/// How a worker took the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerState {
    /// It has answered itself.
    Answered,
    /// A task kept it from answering; its tasks were looked at from outside.
    Busy,
    /// As above, and they could not be looked at.
    Hidden,
}

impl WorkerState {
    pub(crate) fn text(self) -> &'static str {
        match self {
            WorkerState::Answered => "answered",
            WorkerState::Busy => "busy",
            WorkerState::Hidden => "hidden",
        }
    }
}

impl TaskRecord {
    /// A task of which nothing more is known.
    pub(crate) fn new(id: u64, spawned_at: &'static Location<'static>, run: RunState) -> TaskRecord {
        TaskRecord {
            id,
            name: None,
            runtime: 0,
            worker: 0,
            run,
            reason: Reason::Yield,
            details: Details::default(),
            since: None,
            left: None,
            timeout: None,
            spawned_at,
            parent: None,
            structured: false,
            cancelled: false,
            shielded: false,
            unwinding: false,
            stack: None,
            stack_number: None,
        }
    }

    /// Its id, as a number: that of its [`TaskId`](crate::task::TaskId).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it was doing.
    pub fn state(&self) -> TaskState {
        match self.run {
            RunState::Unstarted => TaskState::Unstarted,
            RunState::Ready => TaskState::Ready,
            RunState::Running => TaskState::Running,
            RunState::Waits => TaskState::Waits,
        }
    }

    /// What it waits for, in words; `None`: it does not wait.
    pub fn waits_in(&self) -> Option<&str> {
        (self.run == RunState::Waits).then(|| self.words())
    }

    /// How long it has waited, give or take some milliseconds; `None`: it does not wait.
    pub fn waits_since(&self) -> Option<Duration> {
        self.since
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The id of the task that has spawned it; `None`: a thread that is no task.
    pub fn parent(&self) -> Option<u64> {
        self.parent
    }

    /// Whether it was cancelled, and has not ended yet.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// How many bytes of its stack are in use, and how many there are.
    pub fn stack(&self) -> Option<(usize, usize)> {
        self.stack
    }

    /// The details, or else what every such wait has in common.
    pub(super) fn words(&self) -> &str {
        match self.details.text.as_str() {
            "" => self.reason.text(),
            text => text,
        }
    }
}

impl fmt::Display for TaskRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line { task: self, holder: None, parent: None }.fmt(f)
    }
}

impl fmt::Debug for TaskRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpedTask")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("state", &self.state())
            .field("waits_in", &self.waits_in())
            .field("spawned_at", &format_args!("{}", self.spawned_at))
            .finish_non_exhaustive()
    }
}

impl TaskRecord {
    pub(super) fn who(&self) -> Who<'_> {
        Who { id: self.id, name: self.name.as_deref() }
    }
}
