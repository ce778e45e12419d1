//! A task as somebody else sees it.

use core::fmt;
use core::panic::Location;

use super::id::TaskId;
use crate::sched::Sighting;

/// What was known of a task when it was looked at: who it is, where it was spawned, what it waited for.
///
/// Its `Display` says all of that in a line.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskInfo(Sighting);

impl TaskInfo {
    pub(crate) fn new(seen: Sighting) -> TaskInfo {
        TaskInfo(seen)
    }

    /// Its id.
    pub fn id(&self) -> TaskId {
        TaskId::from_number(self.0.id)
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.0.spawned_at
    }

    /// What it waited for, in words; `None`: it was ready, or ran.
    pub fn waits_in(&self) -> Option<&'static str> {
        self.0.waits_in()
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskInfo")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("spawned_at", &format_args!("{}", self.spawned_at()))
            .field("waits_in", &self.waits_in())
            .finish()
    }
}
