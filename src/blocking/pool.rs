//! Threads for what blocks: as many as there are closures that do, up to a limit.

use crate::sched;
use crate::util::report;
use core::ptr::NonNull;
use core::time::Duration;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;

/// How long a thread waits for the next job before it ends.
const IDLE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(10) };

/// A call that waits for a thread.
#[derive(Debug)]
pub(super) struct Job {
    call: NonNull<()>,
    run: unsafe fn(NonNull<()>),
}

// SAFETY: closure and result are `Send`, and the frame they lie in waits for the job, or they are on the heap.
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

/// A set of threads. There is one for `unblock`; who must not keep that one waiting has another.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Of its threads.
    name: &'static str,
    /// The most threads there are.
    limit: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads there are, and those of them that wait for a job and were not promised one.
    threads: usize,
    idle: usize,
}

impl Pool {
    /// Without a thread, so far.
    pub(crate) const fn new(name: &'static str, limit: usize) -> Pool {
        let state = State { jobs: VecDeque::new(), threads: 0, idle: 0 };
        Pool { name, limit, state: Mutex::new(state), work: Condvar::new() }
    }

    /// Runs `f` on one of the threads; nobody waits for it. A panic of `f` is the panic hook's affair alone.
    pub(crate) fn run<F: FnOnce() + Send + 'static>(&'static self, f: F) {
        let call = NonNull::from(Box::leak(Box::new(f))).cast();
        // SAFETY: leaked, so it stays until the job takes it back.
        let job = unsafe { Job::new(call, run_boxed::<F>) };
        if let Err(jobs) = self.submit(job) {
            for job in jobs {
                // SAFETY: it was in the queue, so it was not run, and is run once here.
                unsafe { job.run() };
            }
        }
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.lock().threads
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job, and sees to a thread for it.
    ///
    /// # Errors
    /// There is no thread and none can be started: all the jobs that wait come back, for the caller to run.
    pub(super) fn submit(&'static self, job: Job) -> Result<(), VecDeque<Job>> {
        sched::begin_job();
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            drop(state);
            self.work.notify_one();
            return Ok(());
        }
        if state.threads == self.limit {
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let started = thread::Builder::new().name(self.name.into()).spawn(|| self.work());
        let Err(error) = started else { return Ok(()) };
        static WARNED: Once = Once::new();
        WARNED.call_once(|| {
            report!(
                "no thread for a blocking call: {error} (raise `ulimit -u`, the cgroup's pids.max, or, for its 2 MiB of \
                 addresses, `ulimit -v`)"
            );
        });
        let mut state = self.lock();
        state.threads -= 1;
        // While one is left it takes the job; or it fails to start, too, and its starter comes by here.
        if state.threads > 0 || state.jobs.is_empty() {
            return Ok(());
        }
        let jobs = core::mem::take(&mut state.jobs);
        jobs.iter().for_each(|_| sched::end_job());
        Err(jobs)
    }

    /// A pool thread's life.
    fn work(&self) {
        // Until the thread's own locals are destroyed: that is the program's code again.
        let _counted = sched::PoolThread::new();
        let mut state = self.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                drop(state);
                // SAFETY: taken out of the queue, so once.
                unsafe { job.run() };
                sched::end_job();
                state = self.lock();
            }
            state.idle += 1;
            let waited = self.work.wait_timeout_while(state, IDLE, |state| state.jobs.is_empty());
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// # Safety
/// `call` is a leaked `Box<F>`; once.
unsafe fn run_boxed<F: FnOnce()>(call: NonNull<()>) {
    // SAFETY: leaked by `Pool::run`, and taken back once.
    let call = unsafe { Box::from_raw(call.cast::<F>().as_ptr()) };
    // A thread of the pool goes on to the next job.
    let _ = catch_unwind(AssertUnwindSafe(call));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::time::Instant;

    static POOL: Pool = Pool::new("layby-test", 16);

    /// A job that meets the others at `barrier`.
    fn meeting(barrier: &'static Barrier) -> Job {
        unsafe fn meet(barrier: NonNull<()>) {
            // SAFETY: the test's, which it has leaked.
            unsafe { barrier.cast::<Barrier>().as_ref() }.wait();
        }
        // SAFETY: `barrier` is there for ever.
        unsafe { Job::new(NonNull::from(barrier).cast(), meet) }
    }

    fn counts() -> (usize, usize) {
        let state = POOL.lock();
        (state.threads, state.idle)
    }

    fn all_idle() -> bool {
        let state = POOL.lock();
        state.jobs.is_empty() && state.threads == state.idle
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", counts());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// As many threads as jobs, which take the next ones as well, and end when nothing has come for long.
    #[test]
    fn threads_are_used_again_and_end_when_idle() {
        for _ in 0..2 {
            let start = Instant::now();
            for _ in 0..3 {
                let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(8)));
                (0..8).for_each(|_| POOL.submit(meeting(barrier)).unwrap());
                // Some may have ended meanwhile, on a busy machine.
                wait_until(all_idle);
                assert!(counts().0 <= 8);
            }
            wait_until(|| counts() == (0, 0));
            assert!(start.elapsed() >= IDLE);
        }
    }
}
