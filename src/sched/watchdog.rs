//! The watchdog: a thread that looks, now and then, which task each worker runs, and says which ones keep theirs too long.
//!
//! Nothing preempts a task, so a task that computes, or blocks its thread outside of layby, keeps all others of its worker
//! waiting. It does not know that; the watchdog says it, with the task's name and the place of its spawn.
//!
//! # How it looks
//! Every quarter of the limit it asks each worker for the number of the slice that it runs ([`pulse`](super::pulse)). The same
//! number at two looks: the task has not let go in between. So a report is never wrong about "for longer than"; a slice that is longer
//! than the limit by a quarter is reported for sure. It is reported again at twice the time, at four times, and so on, and once
//! more when it is over. What the thread does meanwhile is asked of the kernel at the time of a report.
//!
//! # It sleeps when there is nothing to see
//! An idle runtime wakes never, a watched one neither. When all workers have slept since its last look, the watchdog
//! goes to sleep without a deadline, and the first worker that wakes up rings:
//! ```text
//!   the watchdog                           a worker
//!   D1  asleep = true                      A1  sleep = AWAKE (S5 of `remote`)
//!   D2  fence(SeqCst)                      A2  fence(SeqCst)
//!   D3  all workers SLEEPING? else D5      A3  asleep? else done
//!   D4  park                               A4  swap(false); the winner unparks
//!   D5  asleep = false
//! ```
//! Of the two fences one is first: either the watchdog sees in D3 that the worker is awake, or the worker sees
//! in A3 that it sleeps. A worker that wakes up often finds it awake, and pays a fence.
//!
//! # Its life
//! One for each runtime, started after the workers and joined with them; it ends when the runtime does (EXITING). For the search
//! for deadlocks it is one of layby's own threads: it never wakes a task.
//!
//! It is in this layer since the default runtime, which the first `go!` starts, has one too where the environment says so.

use core::sync::atomic::{AtomicBool, Ordering, fence};
use core::time::Duration;
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

use super::deadlock::PoolThread;
use super::pulse::{Identity, Slice};
use super::remote::Remote;
use super::shared::{Phase, Shared};
use crate::sys::clock;
use crate::sys::thread::{Doing, WaitKind, doing};
use crate::util::report;

/// The limit in debug mode, if none is set: asyncio's.
pub(super) const DEFAULT_LIMIT: Duration = Duration::from_millis(100);
/// The least limit there is. What is shorter than the time slices of the kernel says more of the machine than of the task.
pub(super) const LEAST_LIMIT: Duration = Duration::from_millis(1);
/// Looks for each limit.
const LOOKS: u32 = 4;

/// What a runtime that is watched has for its workers to ring.
#[derive(Debug)]
pub(super) struct Bell {
    limit: Duration,
    asleep: AtomicBool,
    watchdog: OnceLock<Thread>,
}

impl Bell {
    pub(super) fn new(limit: Duration) -> Bell {
        Bell { limit, asleep: AtomicBool::new(false), watchdog: OnceLock::new() }
    }

    /// A2 to A4: a worker has woken up.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence. Acquire pairs with the Release in `sleep`.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Acquire) {
            self.wake();
        }
    }

    /// Where the watchdog is. Said by who starts it, and by itself, since either may need it first.
    pub(super) fn set_watchdog(&self, thread: &Thread) {
        let _ = self.watchdog.set(thread.clone());
    }

    /// Ends its sleep, or its wait for the next look.
    pub(super) fn wake(&self) {
        // It is there before the watchdog first sleeps, and before the runtime can end.
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.unpark();
        }
    }

    /// D1 to D5. None of `remotes` has run anything since the last look.
    fn sleep(&self, remotes: &[&'static Remote]) {
        // Release pairs with the Acquire in `ring`: who sees it finds the thread. The rest is ordered by the fence.
        self.asleep.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        while remotes.iter().all(|remote| remote.is_sleeping()) && self.asleep.load(Ordering::Relaxed) {
            thread::park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// The thread's life.
pub(super) fn watch(shared: &Arc<Shared>) {
    let _counted = PoolThread::new();
    let Some(bell) = &shared.watchdog else { return };
    bell.set_watchdog(&thread::current());
    let mut watched: Vec<Watched> = (0..).zip(&shared.remotes).map(Watched::new).collect();
    loop {
        // Acquire, in there: before the last look.
        let over = shared.phase() == Phase::Exiting;
        let mut quiet = true;
        for worker in &mut watched {
            worker.look(bell.limit);
            quiet &= worker.was_quiet();
        }
        if over {
            return;
        }
        if quiet {
            bell.sleep(&shared.remotes);
        } else {
            thread::park_timeout(bell.limit / LOOKS);
        }
    }
}

/// What the watchdog knows of one worker.
struct Watched {
    index: usize,
    remote: &'static Remote,
    /// It slept at the last look, and at the one before.
    slept: (bool, bool),
    incident: Option<Incident>,
}

/// A slice that was seen running.
struct Incident {
    slice: Slice,
    /// When it was first seen, on the monotonic clock, and how long the processor had been the thread's by then.
    since: u64,
    cpu: Option<u64>,
    /// For how long it may go on before it is reported (again).
    patience: u64,
    /// Whose it is, once that was reported.
    reported: Option<Identity>,
}

impl Watched {
    fn new((index, remote): (usize, &&'static Remote)) -> Watched {
        Watched { index, remote, slept: (false, false), incident: None }
    }

    /// Whether nothing happened between the last two looks, as far as can be seen.
    fn was_quiet(&self) -> bool {
        self.slept == (true, true)
    }

    fn look(&mut self, limit: Duration) {
        self.slept = (self.remote.is_sleeping(), self.slept.0);
        // Before the look, so that what is seen has lasted until then at least.
        let now = clock::now_ns();
        let slice = self.remote.showing.slice();
        match (&mut self.incident, slice) {
            (Some(incident), Some(slice)) if incident.slice == slice => {
                let lasted = now.saturating_sub(incident.since);
                if lasted >= incident.patience {
                    incident.report(self.index, self.remote, lasted);
                }
            }
            (incident, slice) => {
                if let Some(Incident { reported: Some(task), since, .. }) = incident.take() {
                    let lasted = Lasted(now.saturating_sub(since));
                    report!("{task}, has let go of worker {} after {lasted}", self.index);
                }
                *incident = slice.map(|slice| Incident {
                    slice,
                    cpu: clock::cpu_ns(slice.thread),
                    // After the look, so that it has begun by then.
                    since: clock::now_ns(),
                    patience: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
                    reported: None,
                });
            }
        }
    }
}

impl Incident {
    fn report(&mut self, index: usize, remote: &Remote, lasted: u64) {
        // What it does first: it may stop doing it.
        let doing = doing(self.slice.thread);
        let cpu =
            self.cpu.zip(clock::cpu_ns(self.slice.thread)).map(|(before, now)| now.saturating_sub(before));
        let Some(task) = remote.showing.running(self.slice) else { return };
        // Relaxed: for a message.
        let others = remote.counts.started.load(crate::util::atomic::Ordering::Relaxed).saturating_sub(1);
        let others = match others {
            0 => String::new(),
            1 => String::from("; 1 other task lives there"),
            _ => format!("; {others} other tasks live there"),
        };
        report!(
            "{task}, has kept worker {index} for {}: {}{others}",
            Lasted(lasted),
            what(doing, lasted, cpu)
        );
        self.reported = Some(task);
        self.patience = lasted.saturating_mul(2).max(self.patience.saturating_mul(2));
    }
}

/// A time, in milliseconds or seconds.
struct Lasted(u64);

impl core::fmt::Display for Lasted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 / 1_000_000 {
            ms @ ..1000 => write!(f, "{ms} ms"),
            ms => write!(f, "{}.{} s", ms / 1000, ms % 1000 / 100),
        }
    }
}

/// What the thread does, and what to do about it.
fn what(doing: Option<Doing>, lasted: u64, cpu: Option<u64>) -> String {
    let wait = match doing {
        Some(Doing::Waits(wait)) => wait,
        Some(Doing::Stopped) => return String::from("its thread is stopped, by a signal or a debugger"),
        Some(Doing::Runs) | None => {
            return match cpu {
                Some(cpu) if cpu < lasted / 2 => format!(
                    "it runs, but had the processor for only {} of that: it blocks outside of layby, or the machine is busy",
                    Lasted(cpu)
                ),
                _ => String::from("it computes; call `yield_now` now and then, or give it to `unblock`"),
            };
        }
    };
    let place = wait.place.as_deref().unwrap_or("the kernel");
    let advice = match wait.kind {
        WaitKind::Lock => "a std lock, channel or join on a worker; use layby's, or `unblock`",
        WaitKind::Sleep => "a sleep of the whole thread; use `layby::sleep`",
        WaitKind::Descriptor => "a blocking call on a worker; use layby's net, io or process, or `unblock`",
        WaitKind::Child => "a wait for a process; use `layby::process`, or `unblock`",
        WaitKind::Other => "a blocking call on a worker; use `unblock`",
    };
    format!("blocked in {place}: {advice}")
}
