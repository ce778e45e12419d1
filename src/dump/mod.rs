//! What a dump says, and how: the tasks as their workers saw them, for people and for tools.
//!
//! Here is only the data and its forms: text, JSON, symbols for addresses, cycles of tasks that wait for each other. How it is
//! collected from running workers is in `sched::dump`, what a waiting task adds in `park::dump`.

mod cycles;
mod details;
mod json;
mod record;
mod symbols;
mod text;
mod trace;

use core::fmt;
use std::collections::{HashMap, HashSet};

use self::symbols::{Resolved, resolve};

pub(crate) use self::details::{Details, Holder, LockAt};
pub(crate) use self::record::{RunState, WorkerState};
pub use self::record::{TaskRecord as DumpedTask, TaskState};
pub(crate) use self::trace::trace;

/// What one worker has said, or somebody else of one that could not.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) tasks: Vec<DumpedTask>,
    /// Tasks that have not started, and are not among `tasks`.
    pub(crate) unlisted: usize,
    stacks: Vec<Box<[usize]>>,
    known: HashMap<Box<[usize]>, usize>,
}

impl Part {
    pub(crate) fn of_unlisted(unlisted: usize) -> Part {
        Part { unlisted, ..Part::default() }
    }

    /// The number of that backtrace, which many tasks may have.
    pub(crate) fn backtrace(&mut self, addresses: &[usize]) -> Option<usize> {
        if addresses.is_empty() {
            return None;
        }
        if let Some(&number) = self.known.get(addresses) {
            return Some(number);
        }
        self.stacks.push(addresses.into());
        self.known.insert(addresses.into(), self.stacks.len() - 1);
        Some(self.stacks.len() - 1)
    }
}

/// A runtime, as far as a dump names it.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeSeen {
    pub(crate) name: String,
    pub(crate) workers: Vec<WorkerState>,
}

/// All tasks of a runtime, or of all of the process, at one moment: what each is doing, where, and why it waits.
///
/// Made by [`dump`](crate::runtime::dump). Its `Display` is for people: tasks that wait at the same place are shown together, with their
/// backtrace once. [`to_json`](TaskDump::to_json) is for tools.
#[derive(Clone, Default)]
pub struct TaskDump {
    runtimes: Vec<RuntimeSeen>,
    tasks: Vec<DumpedTask>,
    unlisted: usize,
    stacks: Vec<Resolved>,
    cycles: Vec<Vec<u64>>,
}

impl fmt::Debug for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskDump")
            .field("tasks", &self.tasks)
            .field("unlisted", &self.unlisted)
            .finish_non_exhaustive()
    }
}

impl TaskDump {
    /// Adds a runtime, of which each worker has said its part.
    pub(crate) fn add(&mut self, name: &str, parts: Vec<(WorkerState, Part)>) {
        let runtime = self.runtimes.len();
        let workers = parts.iter().map(|(state, _)| *state).collect();
        self.runtimes.push(RuntimeSeen { name: name.into(), workers });
        for (worker, (_, mut part)) in parts.into_iter().enumerate() {
            let first = self.stacks.len();
            self.stacks.extend(part.stacks.drain(..).map(Resolved::new));
            self.unlisted += part.unlisted;
            self.tasks.extend(part.tasks.into_iter().map(|mut task| {
                (task.runtime, task.worker) = (runtime, worker);
                task.stack_number = task.stack_number.map(|number| first + number);
                task
            }));
        }
    }

    /// Gives the addresses their names, which takes its time, and sees who waits for whom.
    pub(crate) fn finish(mut self) -> TaskDump {
        // Of several workers the same one may have come more than once; and one that was being moved while it was looked at.
        let mut ids = HashSet::new();
        self.tasks.retain(|task| ids.insert(task.id));
        self.tasks.sort_by_key(|task| task.id);
        resolve(&mut self.stacks);
        self.merge_stacks();
        self.cycles = cycles::find(&self.tasks);
        self
    }

    /// One number for one backtrace, from whichever worker it came.
    fn merge_stacks(&mut self) {
        let mut known: HashMap<&[usize], usize> = HashMap::new();
        let first: Vec<usize> = self
            .stacks
            .iter()
            .enumerate()
            .map(|(number, stack)| *known.entry(stack.addresses()).or_insert(number))
            .collect();
        for task in &mut self.tasks {
            task.stack_number = task.stack_number.map(|number| first[number]);
        }
    }

    /// The tasks, in the order of their ids.
    ///
    /// Those that have not started are among them up to a thousand of each worker; see [`unlisted`](TaskDump::unlisted).
    pub fn tasks(&self) -> &[DumpedTask] {
        &self.tasks
    }

    /// How many further tasks there are that are not listed: they have not started; or their worker did not answer, and could not be
    /// looked at.
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// Where that task waits, innermost call first, a line each: `function at file:line:column`. Empty if it has no backtrace: it has not
    /// started, runs, or its worker is kept busy.
    ///
    /// Without the runtime's own frames, but for the call that the task waits in.
    pub fn backtrace(&self, task: &DumpedTask) -> impl Iterator<Item = String> {
        let stack = task.stack_number.and_then(|number| self.stacks.get(number));
        stack.into_iter().flat_map(|stack| stack.frames().iter().map(ToString::to_string))
    }

    /// Tasks that wait for each other in a circle, so for ever: by their ids, each waits for the next, and the last for the first.
    pub fn cycles(&self) -> &[Vec<u64>] {
        &self.cycles
    }

    /// As JSON, in one line.
    ///
    /// ```text
    /// { "pid": 1234,
    ///   "runtimes": [{ "name": "layby-worker", "workers": ["answered", "busy" | "hidden"] }],
    ///   "tasks": [{
    ///     "id": 17, "name": "db" | null, "runtime": 0, "worker": 0,
    ///     "state": "waits" | "ready" | "running" | "unstarted",
    ///     "reason": "lock" | null, "waits_in": "the lock of a Mutex" | null, "held_by": [9],
    ///     "since_ms": 1200 | null, "left_ms": 300 | null, "timeout_ms": 3000 | null,
    ///     "spawned_at": { "file": "src/main.rs", "line": 12, "column": 9 },
    ///     "parent": 1 | null, "scoped": true, "cancelled": false, "shielded": false, "unwinding": false,
    ///     "stack": { "used": 2400, "size": 262144 } | null, "backtrace": 0 | null }],
    ///   "unlisted": 0,
    ///   "backtraces": [[{ "function": "main::work", "file": "src/main.rs" | null, "line": 14 | null, "column": 5 | null,
    ///                     "address": "0x55d0c0a1" }]],
    ///   "cycles": [[17, 9]] }
    /// ```
    /// `left_ms` is what the wait itself has left, `timeout_ms` the timeout around it that is the first to pass. `backtrace` is an index into
    /// `backtraces`.
    pub fn to_json(&self) -> String {
        json::of(self)
    }

    fn task(&self, id: u64) -> Option<&DumpedTask> {
        self.tasks.binary_search_by_key(&id, |task| task.id).ok().map(|index| &self.tasks[index])
    }
}
