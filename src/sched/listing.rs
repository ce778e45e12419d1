//! What a worker can say of its tasks: who they are, where they come from, why they wait.

use core::fmt;
use core::panic::Location;

use super::worker::Worker;
use crate::fiber::{Header, Reason, Run};

/// A started task, as its worker saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) id: u64,
    pub(crate) name: Option<Box<str>>,
    pub(crate) spawned_at: &'static Location<'static>,
    run: Run,
    reason: Reason,
    cancelled: bool,
}

impl Sighting {
    /// On the task's worker.
    pub(super) fn of(task: &Header) -> Sighting {
        Sighting {
            id: task.id,
            name: task.name.clone(),
            spawned_at: task.spawned_at,
            run: task.run.get(),
            reason: Reason::from_number(task.reason.get()),
            cancelled: task.state.is_cancelled(),
        }
    }

    /// What it waited for, if it did.
    pub(crate) fn waits_in(&self) -> Option<&'static str> {
        (self.run == Run::Parked).then(|| self.reason.text())
    }
}

/// In a line.
impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "task '{name}' (#{})", self.id)?,
            None => write!(f, "task #{}", self.id)?,
        }
        write!(f, ", spawned at {}: ", self.spawned_at)?;
        match self.run {
            Run::Parked => write!(f, "waits in {}", self.reason.text()),
            Run::Queued => f.write_str("ready"),
            Run::Running => f.write_str("running"),
            Run::Done => f.write_str("has ended"),
        }?;
        if self.cancelled { f.write_str(", cancelled") } else { Ok(()) }
    }
}

impl Worker {
    /// Every task that has started here and has not ended.
    pub(super) fn sightings(&self) -> Vec<Sighting> {
        let mut seen = Vec::new();
        self.each_started(|task| {
            // SAFETY: it occupies a stack of this worker, so it is alive.
            seen.push(Sighting::of(unsafe { task.as_ref() }));
        });
        seen
    }
}
