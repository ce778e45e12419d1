//! Needs no scheduler: the tests play the worker. An owner is just a number.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::{self, NonNull};
use std::thread;
use std::time::{Duration, Instant};

use super::Direction::{Read as R, Write as W};
use super::{FdWait, Key, Reactor, Source};
use crate::sys::{clock, timerfd::TimerFd};

/// What `poll` waits at most where an event must come; the tests do not depend on its length.
const LONG: Option<Duration> = Some(Duration::from_secs(20));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn owner(number: usize) -> NonNull<()> {
    NonNull::new(ptr::without_provenance_mut(number)).unwrap()
}

fn ready(reactor: &Reactor) -> Vec<usize> {
    std::iter::from_fn(|| reactor.pop_ready()).map(|owner| owner.addr().get()).collect()
}

fn enqueue(reactor: &Reactor, key: Key, direction: super::Direction, node: &FdWait) {
    // SAFETY: each test's nodes are fresh or unlinked, and outlive their being linked: `Drop` checks.
    unsafe { reactor.enqueue(key, direction, NonNull::from(node)) }
}

fn remove(reactor: &Reactor, node: &FdWait) -> bool {
    // SAFETY: a reference is valid, and there is one reactor in the tests that call this.
    unsafe { reactor.remove(NonNull::from(node)) }
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    (near, far)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

fn blocks<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Waits for an event in this direction, by way of a waiter; returns all owners that were woken.
fn await_event(reactor: &Reactor, key: Key, direction: super::Direction) -> Vec<usize> {
    let node = FdWait::new(owner(99));
    enqueue(reactor, key, direction, &node);
    let start = Instant::now();
    while node.is_linked() {
        reactor.poll(LONG).unwrap();
        if start.elapsed() > LONG.unwrap() {
            assert!(!remove(reactor, &node), "no event: an edge was lost");
        }
    }
    ready(reactor)
}

#[test]
fn registration_reports_what_is_there_already() {
    let reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    far.write_all(b"early").unwrap();
    let mut source = Source::new();
    assert_eq!(source.registered(&reactor), None);
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    assert_eq!(source.registered(&reactor), Some(key));
    assert_eq!(source.key(&reactor, near.as_raw_fd()).unwrap(), key);
    assert!(!reactor.may_be_ready(key, R), "not before epoll has said so");
    let (reader, writer) = (FdWait::new(owner(1)), FdWait::new(owner(2)));
    enqueue(&reactor, key, R, &reader);
    enqueue(&reactor, key, W, &writer);
    reactor.poll(LONG).unwrap();
    assert_eq!(ready(&reactor), [1, 2]);
    assert!(reactor.may_be_ready(key, R) && reactor.may_be_ready(key, W));
    source.deregister(near.as_raw_fd());
    assert_eq!(source.registered(&reactor), None);
}

#[test]
fn an_edge_wakes_every_waiter_of_its_direction_in_order() {
    let reactor = Reactor::new().unwrap();
    let (mut near, mut far) = pair();
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    reactor.poll(LONG).unwrap();
    assert!(reactor.may_be_ready(key, W) && !reactor.may_be_ready(key, R));
    let nodes: Vec<_> = (1..=5).map(|number| FdWait::new(owner(number))).collect();
    nodes.iter().for_each(|node| enqueue(&reactor, key, R, node));
    let writer = FdWait::new(owner(9));
    enqueue(&reactor, key, W, &writer);
    assert!(remove(&reactor, &nodes[2]), "was linked: withdrawn");
    assert!(!remove(&reactor, &nodes[2]), "only once");
    assert!(reactor.has_waiters());
    reactor.poll(NOW).unwrap();
    assert_eq!(ready(&reactor), []);

    far.write_all(b"x").unwrap();
    reactor.poll(LONG).unwrap();
    assert!(!remove(&reactor, &nodes[0]), "claimed by the event");
    // An event on a unix socket may report both directions, as its state is both.
    let woken = ready(&reactor);
    assert_eq!(woken[..4], [1, 2, 4, 5]);
    if remove(&reactor, &writer) {
        assert_eq!(woken.len(), 4);
    }
    assert!(!reactor.has_waiters());

    // Drained, then a new edge.
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
    blocks(near.read(&mut [0; 8]));
    reactor.mark_drained(key, R);
    assert!(!reactor.may_be_ready(key, R));
    far.write_all(b"y").unwrap();
    await_event(&reactor, key, R);
}

#[test]
fn removing_keeps_the_list_whole() {
    let reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    let nodes: Vec<_> = (1..=6).map(|number| FdWait::new(owner(number))).collect();
    nodes.iter().for_each(|node| enqueue(&reactor, key, R, node));
    for gone in [0, 5, 2, 3] {
        assert!(remove(&reactor, &nodes[gone]));
    }
    enqueue(&reactor, key, R, &nodes[2]);
    far.write_all(b"x").unwrap();
    assert_eq!(await_event(&reactor, key, R), [2, 5, 3, 99]);
    assert!(!reactor.has_waiters());
}

/// Guards: a short read clears READY; if the FIN's edge came with the data, waiting would be for ever.
#[test]
fn short_read_with_fin_in_the_same_edge_is_tried_again() {
    let reactor = Reactor::new().unwrap();
    let (mut near, mut far) = tcp_pair();
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    far.write_all(b"last words").unwrap();
    drop(far);
    // Both must have arrived before the one poll.
    await_rdhup(&near);
    await_event(&reactor, key, R);
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 10);
    reactor.mark_short(key, R);
    assert!(reactor.may_be_ready(key, R), "the end is known, so the call must be tried");
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 0);
}

/// Waits until the kernel has the peer's FIN, on an epoll of its own.
fn await_rdhup(stream: &TcpStream) {
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(4);
    let fd = stream.as_raw_fd();
    poll.registry().register(&mut mio::unix::SourceFd(&fd), mio::Token(0), mio::Interest::READABLE).unwrap();
    loop {
        poll.poll(&mut events, LONG).unwrap();
        if events.iter().any(mio::event::Event::is_read_closed) {
            return;
        }
    }
}

#[test]
fn short_read_without_fin_is_known_not_ready() {
    let reactor = Reactor::new().unwrap();
    let (mut near, mut far) = tcp_pair();
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    far.write_all(b"more follows").unwrap();
    await_event(&reactor, key, R);
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 12);
    reactor.mark_short(key, R);
    assert!(!reactor.may_be_ready(key, R));
    // The end comes later: an edge of its own.
    far.shutdown(Shutdown::Write).unwrap();
    await_event(&reactor, key, R);
    assert!(reactor.may_be_ready(key, R));
}

/// Guards: a read stops short before urgent data, with more behind it and no further edge.
#[test]
fn urgent_data_keeps_the_reader_trying() {
    let reactor = Reactor::new().unwrap();
    let (mut near, far) = tcp_pair();
    let far = socket2::Socket::from(far);
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    far.send(b"before").unwrap();
    far.send_out_of_band(b"!").unwrap();
    far.send(b"after").unwrap();
    let mut got = Vec::new();
    let mut buf = [0; 64];
    while got.len() < 11 {
        if !reactor.may_be_ready(key, R) {
            await_event(&reactor, key, R);
        }
        match near.read(&mut buf) {
            Ok(n) => {
                got.extend_from_slice(&buf[..n]);
                reactor.mark_short(key, R);
            }
            Err(_) => reactor.mark_drained(key, R),
        }
    }
    assert_eq!(got, b"beforeafter");
}

#[test]
fn a_peer_reset_is_ready_both_ways() {
    let reactor = Reactor::new().unwrap();
    let (mut near, far) = tcp_pair();
    let source = Source::new();
    let key = source.key(&reactor, near.as_raw_fd()).unwrap();
    reactor.poll(LONG).unwrap();
    socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
    await_event(&reactor, key, R);
    reactor.mark_short(key, R);
    reactor.mark_short(key, W);
    assert!(reactor.may_be_ready(key, R) && reactor.may_be_ready(key, W));
    let error = near.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_pipe_hangs_up() {
    let reactor = Reactor::new().unwrap();
    let (reader, writer) = io::pipe().unwrap();
    let source = Source::new();
    let key = source.key(&reactor, reader.as_raw_fd()).unwrap();
    reactor.poll(NOW).unwrap();
    assert!(!reactor.may_be_ready(key, R));
    drop(writer);
    await_event(&reactor, key, R);
    reactor.mark_short(key, R);
    assert!(reactor.may_be_ready(key, R));
}

#[test]
fn slots_are_reused_and_former_events_ignored() {
    let reactor = Reactor::new().unwrap();
    let (near, mut far) = pair();
    // A duplicate keeps the open file, hence the registration, when the descriptor is closed
    // before (wrongly) it is deregistered.
    let duplicate = near.try_clone().unwrap();
    let mut source = Source::new();
    let fd = near.as_raw_fd();
    let old = source.key(&reactor, fd).unwrap();
    drop(near);
    source.deregister(fd);

    let (other, mut other_far) = pair();
    let other_source = Source::new();
    let new = other_source.key(&reactor, other.as_raw_fd()).unwrap();
    assert_eq!(new.slot(), old.slot(), "the slot was given back and taken");
    assert_ne!(new, old);
    reactor.poll(LONG).unwrap();
    reactor.mark_drained(new, R);

    let node = FdWait::new(owner(1));
    enqueue(&reactor, new, R, &node);
    far.write_all(b"for the former").unwrap();
    reactor.poll(LONG).unwrap();
    assert!(!reactor.may_be_ready(new, R));
    assert_eq!(ready(&reactor), []);
    other_far.write_all(b"x").unwrap();
    while node.is_linked() {
        reactor.poll(LONG).unwrap();
    }
    assert_eq!(ready(&reactor), [1]);
    drop(duplicate);
}

#[test]
fn deregistering_from_another_thread_and_after_the_reactor() {
    let reactor = Reactor::new().unwrap();
    let (near, far) = pair();
    let mut source = Source::new();
    let first = source.key(&reactor, near.as_raw_fd()).unwrap();
    let (near, source) = thread::spawn(move || {
        source.deregister(near.as_raw_fd());
        (near, source)
    })
    .join()
    .unwrap();
    assert!(reactor.has_registrations(), "not noticed yet");
    let second = source.key(&reactor, near.as_raw_fd()).expect("the kernel has forgotten the first");
    assert_eq!(second.slot(), first.slot());

    let other_source = Source::new();
    other_source.key(&reactor, far.as_raw_fd()).unwrap();
    drop(reactor);
    for (mut source, fd) in [(source, near.as_raw_fd()), (other_source, far.as_raw_fd())] {
        source.deregister(fd);
        source.deregister(fd);
    }
}

#[test]
fn one_source_in_several_reactors() {
    let (near, mut far) = pair();
    let mut source = Source::new();
    let reactors: Vec<_> = (0..3).map(|_| Reactor::new().unwrap()).collect();
    let keys: Vec<_> =
        reactors.iter().map(|reactor| source.key(reactor, near.as_raw_fd()).unwrap()).collect();
    for (reactor, key) in reactors.iter().zip(&keys) {
        assert_eq!(source.registered(reactor), Some(*key));
        reactor.poll(LONG).unwrap();
        assert!(!reactor.may_be_ready(*key, R));
    }
    far.write_all(b"x").unwrap();
    for (reactor, key) in reactors.iter().zip(&keys) {
        await_event(reactor, *key, R);
        assert!(reactor.may_be_ready(*key, R));
    }
    source.deregister(near.as_raw_fd());
    assert!(reactors.iter().all(|reactor| source.registered(reactor).is_none()));
}

#[test]
fn what_cannot_be_watched_is_an_error() {
    let reactor = Reactor::new().unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let source = Source::new();
    assert!(source.key(&reactor, file.as_raw_fd()).is_err());
    assert!(!reactor.has_registrations());
    let (near, _far) = pair();
    source.key(&reactor, near.as_raw_fd()).unwrap();
    let twice = Source::new().key(&reactor, near.as_raw_fd()).unwrap_err();
    assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn the_waker_ends_a_poll_and_nothing_else() {
    let reactor = Reactor::new().unwrap();
    let waker = reactor.waker().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| waker.wake().unwrap());
        reactor.poll(None).unwrap();
    });
    assert_eq!(ready(&reactor), []);
}

/// Guards: the timer is never read, and must end a poll each time all the same.
#[test]
fn the_timer_ends_every_poll() {
    let reactor = Reactor::new().unwrap();
    let timer = TimerFd::new().unwrap();
    reactor.watch_timer(timer.as_raw_fd()).unwrap();
    for _ in 0..3 {
        timer.arm_at(clock::now_ns() + 100_000).unwrap();
        reactor.poll(None).unwrap();
        assert_eq!(ready(&reactor), []);
    }
}
