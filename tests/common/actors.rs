//! Actors that are tasks, or OS threads, or some of each.

use std::cell::Cell;
use std::thread;

/// What the next actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tasks,
    Threads,
    /// By turns.
    Mixed,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Tasks, Kind::Threads, Kind::Mixed];

/// Starts actors of a kind.
#[derive(Debug)]
pub(crate) struct Actors(Kind, Cell<usize>);

/// A started one.
pub(crate) enum Actor<T> {
    Task(layby::JoinHandle<T>),
    Thread(thread::JoinHandle<T>),
}

impl Actors {
    pub(crate) fn new(kind: Kind) -> Actors {
        Actors(kind, Cell::new(0))
    }

    pub(crate) fn start<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Actor<T> {
        let turn = self.1.replace(self.1.get() + 1);
        if self.0 == Kind::Tasks || self.0 == Kind::Mixed && turn.is_multiple_of(2) {
            Actor::Task(layby::spawn(f))
        } else {
            Actor::Thread(thread::spawn(f))
        }
    }
}

impl<T> Actor<T> {
    #[track_caller]
    pub(crate) fn join(self) -> T {
        match self {
            Actor::Task(task) => task.join().expect("a task that ends well"),
            // Not `join`: that would block the worker which the thread may wait for.
            Actor::Thread(thread) => {
                while !thread.is_finished() {
                    layby::yield_now();
                }
                thread.join().expect("a thread that ends well")
            }
        }
    }
}

/// `f` with every kind of actors, on every number of workers.
pub(crate) fn everywhere(f: impl Fn(&Actors) + Send + Sync) {
    for workers in super::workers() {
        for kind in KINDS {
            super::on(workers, || f(&Actors::new(kind)));
        }
    }
}
