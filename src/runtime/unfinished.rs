//! What a shutdown leaves.

use core::fmt;
use std::error::Error;

use crate::sched::Sighting;
use crate::spawn::TaskInfo;

/// Of more tasks than this the message only says how many there are.
const MOST: usize = 16;

/// Why [`Runtime::shutdown`](super::Runtime::shutdown) has failed: tasks that have not ended. They run on, detached.
#[derive(Clone, PartialEq, Eq)]
pub struct Unfinished {
    tasks: Vec<TaskInfo>,
    unlisted: usize,
}

impl Unfinished {
    /// Those that were `seen`, of `count` in all.
    pub(super) fn new(seen: impl IntoIterator<Item = Sighting>, count: usize) -> Unfinished {
        let tasks: Vec<_> = seen.into_iter().map(TaskInfo::new).collect();
        Unfinished { unlisted: count.saturating_sub(tasks.len()), tasks }
    }

    /// The tasks, by worker.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// How many more there were, which could not be listed: because a task of their worker does not let go of the thread (it
    /// may be that very task), or because they have not started.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.tasks.len() + self.unlisted;
        write!(f, "{count} {} not ended", if count == 1 { "task has" } else { "tasks have" })?;
        let mut separator = ": ";
        for task in self.tasks.iter().take(MOST) {
            write!(f, "{separator}{task}")?;
            separator = "; ";
        }
        if self.tasks.len() > MOST {
            write!(f, "{separator}and {} more", self.tasks.len() - MOST)?;
        }
        if self.unlisted > 0 {
            write!(
                f,
                "{separator}{} that cannot be listed (not started, or a task of their worker does not let go of the thread)",
                self.unlisted
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("tasks", &self.tasks).field("unlisted", &self.unlisted).finish()
    }
}

impl Error for Unfinished {}
