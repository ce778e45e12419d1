//! Small random histories of two channels, held against what queues may do: for each channel some order of the operations, which
//! keeps to their times, must give every result that was seen. (Linearizability is local: each channel can be looked at alone.)

use crate::common::{Actor, Actors, Kind, Rng, on, watchdog, workers};
use layby::channel::{
    Receiver, RecvTimeoutError, Select, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded,
    unbounded,
};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

const EACH: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// `send`, in whichever form, and that it went.
    Sent(u32),
    /// A select takes a place for its send first, and fills it when it is completed.
    Promised(u32),
    Filled(u32),
    /// Or finds that the last receiver has left, before or after it was promised one.
    GivenUp(u32),
    /// There was no room at some time.
    Full,
    /// There was no receiver.
    Refused,
    Received(u32),
    /// There was no message at some time.
    Empty,
    /// There was no message, and no sender.
    NoMore,
    /// One sender, or receiver, less.
    SenderLeft,
    ReceiverLeft,
}
use What::{
    Empty, Filled, Full, GivenUp, NoMore, Promised, Received, ReceiverLeft, Refused, SenderLeft, Sent,
};

/// An operation on that channel, and when it began and ended, by a common counter.
#[derive(Clone, Copy, Debug)]
struct Event {
    channel: usize,
    begin: usize,
    end: usize,
    what: What,
}

struct Log {
    clock: Arc<AtomicUsize>,
    events: Vec<Event>,
}

impl Log {
    fn note(&mut self, operation: impl FnOnce() -> Vec<(usize, What)>) {
        let begin = self.clock.fetch_add(1, SeqCst);
        let what = operation();
        let end = self.clock.fetch_add(1, SeqCst);
        self.events.extend(what.into_iter().map(|(channel, what)| Event { channel, begin, end, what }));
    }
}

/// Some microseconds, often none.
fn limit(rng: &mut Rng) -> Duration {
    Duration::from_micros([0, 5, 30][rng.below(3)])
}

/// Only on channel 0 it waits without a limit, so that there is always somebody who does not.
fn send(s: &[Sender<u32>; 2], message: u32, rng: &mut Rng) -> Vec<(usize, What)> {
    let i = rng.below(2);
    let what = match rng.below(5) {
        0 if i == 0 => s[i].send(message).map_or(Refused, |()| Sent(message)),
        0 | 1 => match s[i].try_send(message) {
            Ok(()) => Sent(message),
            Err(TrySendError::Full(_)) => Full,
            Err(TrySendError::Disconnected(_)) => Refused,
        },
        2 => match s[i].send_timeout(message, limit(rng)) {
            Ok(()) => Sent(message),
            Err(SendTimeoutError::Timeout(_)) => Full,
            Err(SendTimeoutError::Disconnected(_)) => Refused,
        },
        form => {
            let mut select = Select::new();
            for s in s {
                select.send(s);
            }
            let operation = if form == 3 { Ok(select.select()) } else { select.select_timeout(limit(rng)) };
            let Ok(operation) = operation else { return vec![(0, Full), (1, Full)] };
            let i = operation.index();
            if rng.below(2) == 0 {
                layby::yield_now(); // promised, not done
            }
            return match operation.send(&s[i], message) {
                Ok(()) => vec![(i, Promised(message)), (i, Filled(message))],
                Err(_) => vec![(i, Promised(message)), (i, GivenUp(message))],
            };
        }
    };
    vec![(i, what)]
}

fn receive(r: &[Receiver<u32>; 2], rng: &mut Rng) -> Vec<(usize, What)> {
    let i = rng.below(2);
    let what = match rng.below(5) {
        0 if i == 0 => r[i].recv().map_or(NoMore, Received),
        0 | 1 => match r[i].try_recv() {
            Ok(message) => Received(message),
            Err(TryRecvError::Empty) => Empty,
            Err(TryRecvError::Disconnected) => NoMore,
        },
        2 => match r[i].recv_timeout(limit(rng)) {
            Ok(message) => Received(message),
            Err(RecvTimeoutError::Timeout) => Empty,
            Err(RecvTimeoutError::Disconnected) => NoMore,
        },
        form => {
            let mut select = Select::new();
            for r in r {
                select.recv(r);
            }
            let operation = if form == 3 { Ok(select.select()) } else { select.select_timeout(limit(rng)) };
            let Ok(operation) = operation else { return vec![(0, Empty), (1, Empty)] };
            let i = operation.index();
            return vec![(i, operation.recv(&r[i]).map_or(NoMore, Received))];
        }
    };
    vec![(i, what)]
}

/// Two that send and two that receive.
fn history(actors: &Actors, seed: u64, capacities: [usize; 2]) -> Vec<Event> {
    let channels = capacities.map(|capacity| match capacity {
        usize::MAX => unbounded(),
        capacity => bounded(capacity),
    });
    let clock = Arc::new(AtomicUsize::new(0));
    // Each has the handles of its side alone, and nobody else has any when the first begins: who leaves is on record.
    let [a, b] = &channels;
    let handles = [0, 1, 2, 3].map(|actor: u32| {
        let s = (actor < 2).then(|| [a.0.clone(), b.0.clone()]);
        let r = (actor >= 2).then(|| [a.1.clone(), b.1.clone()]);
        (actor, s, r)
    });
    drop(channels);
    let running: Vec<Actor<Vec<Event>>> = handles
        .into_iter()
        .map(|(actor, mut s, mut r)| {
            let mut log = Log { clock: clock.clone(), events: Vec::new() };
            actors.start(move || {
                let mut rng = Rng::new(seed * 8 + u64::from(actor));
                for i in 0..EACH as u32 {
                    if let Some(s) = &s {
                        log.note(|| send(s, actor * 10 + i, &mut rng));
                    } else if let Some(r) = &r {
                        log.note(|| receive(r, &mut rng));
                    }
                    if rng.below(3) == 0 {
                        layby::yield_now();
                    }
                }
                let left = if s.is_some() { SenderLeft } else { ReceiverLeft };
                log.note(|| {
                    drop((s.take(), r.take()));
                    vec![(0, left), (1, left)]
                });
                log.events
            })
        })
        .collect();
    running.into_iter().flat_map(Actor::join).collect()
}

/// A channel, as far as an order has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// Of the events.
    done: u64,
    queue: VecDeque<u32>,
    promised: Vec<u32>,
    senders_left: u32,
    receivers_left: u32,
}

impl State {
    /// Whether that can be next.
    fn step(&mut self, what: What, capacity: usize) -> bool {
        let room = self.queue.len() + self.promised.len() < capacity;
        let (no_senders, no_receivers) = (self.senders_left == 2, self.receivers_left == 2);
        match what {
            Sent(message) => {
                self.queue.push_back(message);
                room && !no_receivers
            }
            Promised(_) if no_receivers => true,
            Promised(message) => {
                self.promised.push(message);
                room
            }
            GivenUp(message) => {
                self.promised.retain(|promised| *promised != message);
                no_receivers
            }
            Filled(message) => {
                let place = self.promised.iter().position(|promised| *promised == message);
                place.map(|place| self.promised.remove(place)).is_some() && {
                    self.queue.push_back(message);
                    !no_receivers
                }
            }
            // (Without capacity, somebody may be about to come.)
            Full => (!room || capacity == 0) && !no_receivers,
            Refused => no_receivers,
            Received(message) => self.queue.pop_front() == Some(message),
            Empty => self.queue.is_empty() && !no_senders,
            NoMore => self.queue.is_empty() && no_senders,
            SenderLeft => {
                self.senders_left += 1;
                true
            }
            ReceiverLeft => {
                self.receivers_left += 1;
                if self.receivers_left == 2 {
                    self.queue.clear();
                }
                true
            }
        }
    }
}

/// Whether there is such an order, from a state that was not tried `before`.
fn explained(events: &[Event], state: &State, capacity: usize, before: &mut HashSet<State>) -> bool {
    let left = || (0..events.len()).filter(|i| state.done & 1 << i == 0);
    let Some(first_end) = left().map(|i| events[i].end).min() else { return true };
    if !before.insert(state.clone()) {
        return false;
    }
    let next = || left().filter(|i| events[*i].begin < first_end);
    let mut alone = next().filter_map(|i| {
        let mut after = State { done: state.done | 1 << i, ..state.clone() };
        after.step(events[i].what, capacity).then_some(after)
    });
    if alone.any(|after| explained(events, &after, capacity, before)) {
        return true;
    }
    // From hand to hand: nothing lies in between, so it needs no place.
    next().any(|i| {
        let (Sent(message) | Promised(message)) = events[i].what else { return false };
        let taken = |j: &usize| events[*j].what == Received(message);
        let Some(j) = next().find(taken).filter(|_| state.queue.is_empty() && state.receivers_left < 2)
        else {
            return false;
        };
        // A select's hand-over is one event here, though noted as two.
        let filled = left().find(|k| events[*k].what == Filled(message)).map_or(0, |k| 1 << k);
        let after = State { done: state.done | 1 << i | 1 << j | filled, ..state.clone() };
        explained(events, &after, capacity, before)
    })
}

fn check(actors: &Actors, seed: u64) {
    const CAPACITIES: [usize; 4] = [0, 1, 2, usize::MAX];
    let capacities = [CAPACITIES[seed as usize % 4], CAPACITIES[seed as usize / 4 % 4]];
    let events = history(actors, seed, capacities);
    for (channel, capacity) in capacities.into_iter().enumerate() {
        let events: Vec<Event> = events.iter().copied().filter(|event| event.channel == channel).collect();
        let explained = explained(&events, &State::default(), capacity, &mut HashSet::new());
        assert!(explained, "seed {seed}, capacity {capacity}: {events:#?}");
    }
}

#[test]
fn every_history_is_that_of_a_queue() {
    let _watchdog = watchdog(60);
    for n in workers() {
        on(n, || {
            for seed in 0..96 {
                check(&Actors::new([Kind::Threads, Kind::Mixed, Kind::Tasks][seed as usize % 3]), seed);
            }
        });
    }
}

#[test]
fn so_is_every_seeded_one() {
    let _watchdog = watchdog(60);
    for seed in 0..160 {
        layby::testing::run(seed, || check(&Actors::new(Kind::Tasks), seed));
    }
}
