//! The threads behind `unblock`: as many as there are closures that block, up to a limit.

use crate::util::report;
use core::ptr::NonNull;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::thread;

/// The most threads there are.
const LIMIT: usize = 512;
/// How long a thread waits for the next job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// A call that waits for a thread.
#[derive(Debug)]
pub(super) struct Job {
    call: NonNull<()>,
    run: unsafe fn(NonNull<()>),
}

// SAFETY: closure and result are `Send`, and the frame they lie in waits for the job.
unsafe impl Send for Job {}

impl Job {
    /// # Safety
    /// `call` stays valid for `run` until the job has been run.
    pub(super) unsafe fn new(call: NonNull<()>, run: unsafe fn(NonNull<()>)) -> Job {
        Job { call, run }
    }

    /// # Safety
    /// Once.
    pub(super) unsafe fn run(&self) {
        // SAFETY: valid by `new`, once by this function's contract.
        unsafe { (self.run)(self.call) };
    }
}

struct State {
    jobs: VecDeque<Job>,
    /// Threads there are, and those of them that wait for a job and were not promised one.
    threads: usize,
    idle: usize,
}

static STATE: Mutex<State> = Mutex::new(State { jobs: VecDeque::new(), threads: 0, idle: 0 });
static WORK: Condvar = Condvar::new();

/// Queues a job, and sees to a thread for it.
///
/// # Errors
/// There is no thread and none can be started: all the jobs that wait come back, for the caller to run.
pub(super) fn submit(job: Job) -> Result<(), VecDeque<Job>> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.jobs.push_back(job);
    if state.idle >= state.jobs.len() {
        drop(state);
        WORK.notify_one();
        return Ok(());
    }
    if state.threads == LIMIT {
        return Ok(());
    }
    state.threads += 1;
    drop(state);
    let started = thread::Builder::new().name("layby-unblock".into()).spawn(work);
    let Err(error) = started else { return Ok(()) };
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        report!(
            "no thread for a blocking call: {error} (raise `ulimit -u`, the cgroup's pids.max, or, for its 2 MiB of \
             addresses, `ulimit -v`)"
        );
    });
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.threads -= 1;
    // While one is left it takes the job; or it fails to start, too, and its starter comes by here.
    if state.threads > 0 || state.jobs.is_empty() {
        return Ok(());
    }
    Err(core::mem::take(&mut state.jobs))
}

/// A pool thread's life.
fn work() {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        while let Some(job) = state.jobs.pop_front() {
            drop(state);
            // SAFETY: taken out of the queue, so once.
            unsafe { job.run() };
            state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        }
        state.idle += 1;
        let waited = WORK.wait_timeout_while(state, IDLE, |state| state.jobs.is_empty());
        let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state = guard;
        state.idle -= 1;
        if timeout.timed_out() && state.jobs.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}
