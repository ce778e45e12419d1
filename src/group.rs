//! `Group`: a set of tasks whose results come in the order in which they are done.

#![forbid(unsafe_code)]

use core::fmt;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::park::{Mask, Reason};
use crate::spawn::{JoinError, JoinHandle, Task, spawn};
use crate::sync::{Button, Doorbell};

/// A set of tasks, whose results come in the order in which they end.
///
/// The tasks borrow nothing and need not be joined; [`scope`](crate::scope()) is for those that borrow. As an [`Iterator`] it
/// gives the results. Dropping it cancels the tasks, and does not wait for them.
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
        Group { tasks: Vec::new(), free: Vec::new(), len: 0, bell: Doorbell::new(), sender, ended }
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
        let number = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() - 1
        });
        // Sent whatever becomes of the closure, so the number is taken from here on.
        let ending = Ending { number, sender: self.sender.clone(), button: self.bell.button() };
        let handle = spawn(move || {
            let _ending = ending;
            f()
        });
        let task = handle.task();
        self.tasks[number] = Some(handle);
        self.len += 1;
        task
    }

    /// How many tasks there are whose results have not been taken.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels all that have not ended. Their results, which say so, are still to be had.
    pub fn cancel_all(&self) {
        self.tasks.iter().flatten().for_each(JoinHandle::cancel);
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
        let task = loop {
            if self.is_empty() {
                return None;
            }
            self.bell.wait(Reason::Group);
            let number = self.ended.recv().expect("each ring has a number, and a sender is here");
            self.free.push(number);
            if let Some(task) = self.tasks[number].take() {
                self.len -= 1;
                break task;
            }
        };
        // Its closure has ended, so this is short. Cut short, the result would be lost.
        let mask = Mask::new();
        let result = task.join();
        drop(mask);
        Some(result)
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
