//! A list of a worker's tasks on stderr: who they are, where they come from, why they wait.

use core::fmt;

use super::worker::Worker;
use crate::fiber::{Header, Reason, Run};
use crate::util::report;

/// Of more tasks than this on one worker, the rest is only counted.
const MOST: usize = 1000;

impl Worker {
    /// Every task that has started here and has not ended, in a line each.
    pub(super) fn list_tasks(&self) {
        let mut count = 0;
        self.each_started(|task| {
            count += 1;
            if count <= MOST {
                // SAFETY: it occupies a stack of this worker, so it is alive.
                let task = unsafe { task.as_ref() };
                report!("  {}", describe(task));
            }
        });
        if count > MOST {
            report!("  and {} more on worker {}", count - MOST, self.index);
        }
    }
}

/// A started task in a line. On its worker.
pub(super) fn describe(task: &Header) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        write!(f, "task {task}")?;
        if task.name.is_some() {
            write!(f, " (#{})", task.id)?;
        }
        write!(f, ", spawned at {}", task.spawned_at)?;
        match task.run.get() {
            Run::Parked => {
                write!(f, ": waits in {}", Reason::from_number(task.reason.get()).text())
            }
            Run::Queued => f.write_str(": ready"),
            Run::Running => f.write_str(": running"),
            Run::Done => f.write_str(": has ended"),
        }?;
        if task.state.is_cancelled() { f.write_str(", cancelled") } else { Ok(()) }
    })
}
