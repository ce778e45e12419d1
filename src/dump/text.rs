//! The dump for people.

#![forbid(unsafe_code)]

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;

use super::TaskDump;
use super::cycles::{holder_of, needed_by};
use super::details::Holder;
use super::record::{RunState, TaskRecord, WorkerState};

/// Of more tasks at one place than this, the rest is counted.
const MOST: usize = 20;

/// A task's name and id: `task 'db' (#17)`, `task #17`.
pub(super) struct Who<'a> {
    pub(super) id: u64,
    pub(super) name: Option<&'a str>,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "task '{name}' (#{})", self.id),
            None => write!(f, "task #{}", self.id),
        }
    }
}

/// How long something took, in two or three digits.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{}.{} s", seconds, self.0.subsec_millis() / 100),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

/// All but the backtrace, in a line.
pub(super) struct Line<'a> {
    pub(super) task: &'a TaskRecord,
    /// Who holds the lock that it waits for.
    pub(super) holder: Option<Who<'a>>,
    pub(super) parent: Option<Who<'a>>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = self.task;
        write!(f, "{}, spawned at {}", task.who(), task.spawned_at)?;
        match (&self.parent, task.parent) {
            (Some(parent), _) => write!(f, " by {parent}")?,
            (None, Some(parent)) => write!(f, " by task #{parent}")?,
            (None, None) => {}
        }
        match task.run {
            RunState::Waits => self.waits(f)?,
            RunState::Ready => f.write_str(": ready")?,
            RunState::Running => f.write_str(": running")?,
            RunState::Unstarted => f.write_str(": has not started")?,
        }
        if let Some(since) = task.since {
            write!(f, ", for {}", Span(since))?;
        }
        if let Some(left) = task.left {
            write!(f, ", {} left", Span(left))?;
        }
        if let Some(timeout) = task.timeout {
            write!(f, "; timeout in {}", Span(timeout))?;
        }
        let marks =
            [(task.cancelled, "cancelled"), (task.shielded, "shielded"), (task.unwinding, "unwinding")];
        for (_, mark) in marks.iter().filter(|(on, _)| *on) {
            write!(f, "; {mark}")?;
        }
        if let Some((used, size)) = task.stack {
            write!(f, "; stack {}.{} of {} KiB", used / 1024, used % 1024 * 10 / 1024, size / 1024)?;
        }
        Ok(())
    }
}

impl Line<'_> {
    fn waits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": waits in {}", self.task.words())?;
        match (&self.holder, self.task.details.lock.map(|lock| lock.holder)) {
            (Some(holder), _) => write!(f, ", held by {holder}"),
            (None, Some(Holder::Thread)) => f.write_str(", held by a thread that is no task"),
            (None, Some(Holder::Readers(1))) => f.write_str(", held by a reader"),
            (None, Some(Holder::Readers(readers))) => write!(f, ", held by {readers} readers"),
            (None, Some(Holder::Task(_))) => f.write_str(", held by a task that is not known"),
            (None, Some(Holder::Nobody) | None) => Ok(()),
        }
    }
}

impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary(f)?;
        self.circles(f)?;
        let mut groups: Vec<Vec<&TaskRecord>> = Vec::new();
        let mut known = HashMap::new();
        for task in &self.tasks {
            let index = *known.entry((task.run.text(), task.stack_number)).or_insert(groups.len());
            if index == groups.len() {
                groups.push(Vec::new());
            }
            groups[index].push(task);
        }
        groups.iter().try_for_each(|group| self.group(f, group))
    }
}

impl TaskDump {
    /// `12 tasks: 10 wait, 1 runs, 1 has not started`, and which workers did not answer.
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |run| self.tasks.iter().filter(|task| task.run == run).count();
        let all = self.tasks.len() + self.unlisted;
        write!(f, "{all} {}", if all == 1 { "task" } else { "tasks" })?;
        let mut separator = ": ";
        for (number, what) in [
            (count(RunState::Waits), "waiting"),
            (count(RunState::Ready), "ready"),
            (count(RunState::Running), "running"),
            (count(RunState::Unstarted), "not started"),
            (self.unlisted, "not listed"),
        ] {
            if number > 0 {
                write!(f, "{separator}{number} {what}")?;
                separator = ", ";
            }
        }
        writeln!(f)?;
        for (number, runtime) in self.runtimes.iter().enumerate() {
            for (index, state) in runtime.workers.iter().enumerate() {
                let what = match state {
                    WorkerState::Answered => continue,
                    WorkerState::Busy => "its tasks are shown as they look from outside",
                    WorkerState::Hidden => "its tasks could not be looked at",
                };
                write!(f, "worker {}-{index} does not answer, kept busy by ", runtime.name)?;
                match self.running_on(number, index) {
                    Some(task) => writeln!(f, "{}: {what}", task.who())?,
                    None => writeln!(f, "one of its tasks: {what}")?,
                }
            }
        }
        Ok(())
    }

    fn running_on(&self, runtime: usize, worker: usize) -> Option<&TaskRecord> {
        let here = |task: &&TaskRecord| (task.runtime, task.worker) == (runtime, worker);
        self.tasks.iter().filter(here).find(|task| task.run == RunState::Running)
    }

    fn circles(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for circle in &self.cycles {
            writeln!(f, "\nthese tasks wait for each other:")?;
            for (place, id) in circle.iter().enumerate() {
                let next = circle[(place + 1) % circle.len()];
                let Some(task) = self.task(*id) else { continue };
                let link = if task.details.lock.is_some() { "held by" } else { "that is" };
                writeln!(f, "  {} waits in {}, {link} {}", task.who(), task.words(), self.who(next))?;
            }
        }
        Ok(())
    }

    fn group(&self, f: &mut fmt::Formatter<'_>, group: &[&TaskRecord]) -> fmt::Result {
        writeln!(f)?;
        for task in group.iter().take(MOST) {
            writeln!(f, "{}", self.line(task))?;
        }
        if group.len() > MOST {
            writeln!(f, "and {} more {}", group.len() - MOST, self.alike(group[0]))?;
        }
        let stack = group[0].stack_number.and_then(|number| self.stacks.get(number));
        for frame in stack.map_or(&[][..], |stack| stack.frames()) {
            writeln!(f, "    {frame}")?;
        }
        Ok(())
    }

    /// What the members of a group have in common.
    fn alike(&self, task: &TaskRecord) -> &'static str {
        match task.run {
            RunState::Unstarted => "that have not started",
            _ if task.stack_number.is_some() => "at the same place",
            RunState::Ready => "that are ready",
            _ => "like these",
        }
    }

    pub(super) fn line<'a>(&'a self, task: &'a TaskRecord) -> Line<'a> {
        let holder = holder_of(task, &self.tasks).map(|id| self.who(id));
        Line { task, holder, parent: task.parent.map(|id| self.who(id)) }
    }

    fn who(&self, id: u64) -> Who<'_> {
        Who { id, name: self.task(id).and_then(|task| task.name.as_deref()) }
    }

    /// For JSON: whom the task waits for.
    pub(super) fn needed_by(&self, task: &TaskRecord) -> Vec<u64> {
        needed_by(task, &self.tasks)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let span = |ms| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(span(0), "0 ms");
        assert_eq!(span(999), "999 ms");
        assert_eq!(span(1290), "1.2 s");
        assert_eq!(span(61_000), "1 min 1 s");
        assert_eq!(span(7_260_000), "2 h 1 min");
    }
}
