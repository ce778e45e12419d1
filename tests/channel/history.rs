//! Small random histories of one channel, held against what a queue may do: some order of the operations, which keeps
//! to their times, must give every result that was seen.

use crate::common::{Kind, Rng, on, watchdog, workers};
use layby::channel::{Receiver, Sender, bounded, unbounded};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// `try_send`, and whether it went.
    Sent(u32, bool),
    /// `try_recv`, and what it got.
    Received(Option<u32>),
}

/// An operation, and when it began and ended, by a common counter.
#[derive(Clone, Copy, Debug)]
struct Event {
    begin: usize,
    end: usize,
    what: What,
}

fn act(actor: u32, seed: u64, clock: &AtomicUsize, s: &Sender<u32>, r: &Receiver<u32>) -> Vec<Event> {
    let mut rng = Rng::new(seed * 8 + u64::from(actor));
    (0..4)
        .map(|i| {
            let begin = clock.fetch_add(1, SeqCst);
            let what = if rng.below(2) == 0 {
                let message = actor * 10 + i;
                What::Sent(message, s.try_send(message).is_ok())
            } else {
                What::Received(r.try_recv().ok())
            };
            let end = clock.fetch_add(1, SeqCst);
            if rng.below(3) == 0 {
                layby::yield_now();
            }
            Event { begin, end, what }
        })
        .collect()
}

/// Whether there is such an order, of those that are not in `done`.
fn explained(
    events: &[Event],
    done: u32,
    queue: &VecDeque<u32>,
    capacity: usize,
    failed: &mut HashSet<(u32, Vec<u32>)>,
) -> bool {
    let left = || (0..events.len()).filter(|i| done & 1 << i == 0);
    let Some(first_end) = left().map(|i| events[i].end).min() else { return true };
    if !failed.insert((done, queue.iter().copied().collect())) {
        return false;
    }
    left().filter(|i| events[*i].begin < first_end).any(|i| {
        let mut queue = queue.clone();
        let allowed = match events[i].what {
            What::Sent(message, true) => {
                queue.push_back(message);
                queue.len() <= capacity
            }
            What::Sent(_, false) => queue.len() == capacity,
            What::Received(got) => queue.pop_front() == got,
        };
        allowed && explained(events, done | 1 << i, &queue, capacity, failed)
    })
}

#[test]
fn every_history_is_that_of_a_queue() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            for seed in 0..90 {
                let capacity = [1, 2, usize::MAX][seed as usize % 3];
                let (s, r) = if capacity == usize::MAX { unbounded() } else { bounded(capacity) };
                let clock = Arc::new(AtomicUsize::new(0));
                let actors = crate::common::Actors::new(
                    [Kind::Threads, Kind::Mixed, Kind::Tasks][seed as usize / 3 % 3],
                );
                let running: Vec<_> = (0..4)
                    .map(|actor| {
                        let (clock, s, r) = (clock.clone(), s.clone(), r.clone());
                        actors.start(move || act(actor, seed, &clock, &s, &r))
                    })
                    .collect();
                let events: Vec<Event> = running.into_iter().flat_map(crate::common::Actor::join).collect();
                let explained = explained(&events, 0, &VecDeque::new(), capacity, &mut HashSet::new());
                assert!(explained, "seed {seed}, capacity {capacity}: {events:#?}");
            }
        });
    }
}
