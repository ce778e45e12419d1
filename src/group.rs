//! `Group`: a set of tasks whose results come in the order in which they are done.

#![forbid(unsafe_code)]

use core::{fmt, mem};
use std::collections::VecDeque;
use std::io;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::park::{Mask, Reason};
use crate::spawn::{Builder, JoinError, JoinHandle, Task, failed_to_spawn};
use crate::sync::{Button, Doorbell};

/// A set of tasks, whose results come in the order in which they end.
///
/// The tasks borrow nothing and need not be joined; [`scope`](crate::scope()) is for those that borrow. As an [`Iterator`] it
/// gives the results. Dropping it cancels the tasks, and does not wait for them.
///
/// | asyncio | here |
/// |---|---|
/// | `as_completed(aws)` | [`as_completed(closures)`](as_completed): a `Group`, which is an iterator |
/// | `wait(tasks, return_when=FIRST_COMPLETED)` | [`group.wait_until(\|_\| true)`](Group::wait_until) |
/// | `wait(tasks, return_when=FIRST_EXCEPTION)` | `group.wait_until(Result::is_err)`; the group keeps those that are pending |
/// | `wait(tasks, return_when=ALL_COMPLETED)` | [`group.join_all()`](Group::join_all) |
/// | `wait(tasks, timeout=…)` | `timeout(…, \|\| group.next())`: what has not come by then, comes later |
/// | `wait_for(task, …)`, for a task that was spawned elsewhere | `go!(group, move \|\| handle.join())` |
///
/// # Examples
/// ```
/// use layby::{go, sleep, task::Group};
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let mut group = Group::new();
///     for seconds in [3, 1, 2] {
///         go!(group, move || {
///             sleep(Duration::from_secs(seconds));
///             seconds
///         });
///     }
///     let order: Vec<u64> = group.map(Result::unwrap).collect();
///     assert_eq!(order, [1, 2, 3]);
/// });
/// ```
pub struct Group<T> {
    /// By number; `None`: the number is free, or its task could not be spawned, and its end is not known yet.
    tasks: Vec<Option<JoinHandle<T>>>,
    free: Vec<usize>,
    /// How many places of `tasks` are taken.
    len: usize,
    /// Rings when a number was sent.
    bell: Doorbell,
    sender: Sender<usize>,
    ended: Receiver<usize>,
    /// How many numbers were taken without their rings, which are still to be waited for.
    silent: usize,
    /// Results that a [`wait_until`](Group::wait_until) had taken when it was cut short.
    kept: VecDeque<Result<T, JoinError>>,
}

impl<T> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> Default for Group<T> {
    fn default() -> Group<T> {
        Group::new()
    }
}

/// Says that a task is about to end: dropped with its closure.
struct Ending {
    number: usize,
    sender: Sender<usize>,
    button: Button,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // If the group is gone nobody wants to know.
        let _ = self.sender.send(self.number);
        self.button.ring();
    }
}

impl<T> Group<T> {
    /// A group of no tasks.
    pub fn new() -> Group<T> {
        let (sender, ended) = unbounded();
        Group {
            tasks: Vec::new(),
            free: Vec::new(),
            len: 0,
            bell: Doorbell::new(),
            sender,
            ended,
            silent: 0,
            kept: VecDeque::new(),
        }
    }

    /// Spawns a task in the group. As [`task::spawn`](crate::task::spawn()).
    ///
    /// # Panics
    /// As there; the group goes on without it.
    #[track_caller]
    pub fn spawn<F>(&mut self, f: F) -> Task
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new(), f).unwrap_or_else(|error| failed_to_spawn(error))
    }

    /// As [`spawn`](Group::spawn), with a name or a stack size.
    ///
    /// # Errors
    /// As [`task::Builder::spawn`](crate::task::Builder::spawn); the group goes on without it.
    #[track_caller]
    pub fn spawn_with<F>(&mut self, builder: Builder, f: F) -> io::Result<Task>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let number = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        });
        // Sent whatever becomes of the closure, so the number is taken from here on.
        let ending = Ending { number, sender: self.sender.clone(), button: self.bell.button() };
        let handle = builder.spawn(move || {
            let _ending = ending;
            f()
        })?;
        let task = handle.task();
        self.tasks[number] = Some(handle);
        self.len += 1;
        Ok(task)
    }

    /// How many tasks there are whose results have not been taken.
    pub fn len(&self) -> usize {
        self.len + self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels all that have not ended. Their results, which say so, are still to be had.
    pub fn cancel_all(&self) {
        self.tasks.iter().flatten().for_each(JoinHandle::cancel);
    }

    /// The result of a task that has ended, if there is one. Does not wait for one.
    ///
    /// # Examples
    /// ```
    /// use layby::{go, task::Group, yield_now};
    ///
    /// layby::testing::run(1, || {
    ///     let mut group = Group::new();
    ///     go!(group, || 42);
    ///     assert!(group.try_next().is_none());
    ///     while group.try_next().is_none() {
    ///         yield_now();
    ///     }
    ///     assert!(group.is_empty());
    /// });
    /// ```
    pub fn try_next(&mut self) -> Option<Result<T, JoinError>> {
        if let Some(result) = self.kept.pop_front() {
            return Some(result);
        }
        loop {
            let number = self.ended.try_recv().ok()?;
            // The ring of that number, or of another one that was sent as well; at the latest, it is about to come.
            self.silent += 1;
            if let Some(result) = self.take(number) {
                return Some(result);
            }
        }
    }

    /// Takes results as they come, until `enough` says so of one. Returns that one, those before it, and what is there by
    /// then without waiting, in the order in which they ended. Fewer if there are no more tasks. The others go on.
    ///
    /// asyncio's `wait`, with its `return_when`: see [`Group`].
    ///
    /// # Cancellation
    /// A suspension point, as long as it has to wait. No result is lost: the next call returns what this one had.
    ///
    /// # Examples
    /// ```
    /// use layby::{go, sleep, task::Group};
    /// use std::time::Duration;
    ///
    /// layby::testing::run(1, || {
    ///     let mut group = Group::new();
    ///     for seconds in 1..=4u64 {
    ///         go!(group, move || {
    ///             sleep(Duration::from_secs(seconds));
    ///             if seconds == 3 { Err("three") } else { Ok(seconds) }
    ///         });
    ///     }
    ///     let first = group.wait_until(|_| true);
    ///     assert_eq!(first.len(), 1);
    ///     // A panic, a cancelled one, or an error of its own:
    ///     let done = group.wait_until(|result| !matches!(result, Ok(Ok(_))));
    ///     assert_eq!(done.len(), 2);
    ///     assert_eq!(group.len(), 1);
    /// });
    /// ```
    pub fn wait_until<F>(&mut self, mut enough: F) -> Vec<Result<T, JoinError>>
    where
        F: FnMut(&Result<T, JoinError>) -> bool,
    {
        let mut taken = Taken { results: VecDeque::new(), group: self };
        while let Some(result) = taken.group.next() {
            let last = enough(taken.push(result));
            if last {
                while let Some(result) = taken.group.try_next() {
                    taken.push(result);
                }
                break;
            }
        }
        mem::take(&mut taken.results).into()
    }

    /// The result of the task with that number, which has ended or is about to. `None`: it could not be spawned.
    fn take(&mut self, number: usize) -> Option<Result<T, JoinError>> {
        self.free.push(number);
        let task = self.tasks[number].take()?;
        self.len -= 1;
        // Its closure has ended, so this is short. Cut short, the result would be lost.
        let mask = Mask::new();
        let result = task.join();
        drop(mask);
        Some(result)
    }

    /// Waits for all of them, and returns their results in the order in which they ended.
    ///
    /// # Cancellation
    /// A suspension point, as long as it has to wait. Cancelled, it drops the group, which cancels the tasks.
    pub fn join_all(self) -> Vec<Result<T, JoinError>> {
        self.collect()
    }
}

/// # Cancellation
/// `next` is a suspension point. No result is lost.
impl<T> Iterator for Group<T> {
    type Item = Result<T, JoinError>;

    /// Waits until one more task has ended, and returns its result; `None` if there is none left.
    fn next(&mut self) -> Option<Result<T, JoinError>> {
        if let Some(result) = self.kept.pop_front() {
            return Some(result);
        }
        loop {
            if self.is_empty() {
                return None;
            }
            self.bell.wait(Reason::Group);
            if self.silent > 0 {
                // `try_next` has taken the number without it.
                self.silent -= 1;
                continue;
            }
            let number = self.ended.recv().expect("each ring has a number, and a sender is here");
            if let Some(result) = self.take(number) {
                return Some(result);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<T> Drop for Group<T> {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

/// What [`Group::wait_until`] has taken. Cut short, it is given back.
struct Taken<'a, T> {
    results: VecDeque<Result<T, JoinError>>,
    group: &'a mut Group<T>,
}

impl<T> Taken<'_, T> {
    fn push(&mut self, result: Result<T, JoinError>) -> &Result<T, JoinError> {
        self.results.push_back(result);
        &self.results[self.results.len() - 1]
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        while let Some(result) = self.results.pop_back() {
            self.group.kept.push_front(result);
        }
    }
}

/// Runs closures concurrently, each in a task, and gives their results as they come: an iterator, which is a [`Group`].
///
/// asyncio's `as_completed`. Nothing waits here. Dropping the iterator cancels those that have not ended.
///
/// # Panics
/// As [`task::spawn`](crate::task::spawn()).
///
/// # Examples
/// ```
/// use layby::{sleep, task::as_completed};
/// use std::time::Duration;
///
/// layby::testing::run(1, || {
///     let tasks = [3, 1, 2].map(|n| move || {
///         sleep(Duration::from_secs(n));
///         n
///     });
///     let order: Vec<u64> = as_completed(tasks).map(Result::unwrap).collect();
///     assert_eq!(order, [1, 2, 3]);
/// });
/// ```
#[track_caller]
pub fn as_completed<I, F, T>(closures: I) -> Group<T>
where
    I: IntoIterator<Item = F>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut group = Group::new();
    for closure in closures {
        group.spawn(closure);
    }
    group
}
