//! Asking the system's resolver, on threads of its own.
//!
//! A lookup can take as long as a name server that does not answer. So lookups have a pool to themselves, where they
//! keep no file operation waiting, and whoever waits for one does so for at most [`LIMIT`], and can be cancelled: the
//! lookup goes on without him.
//!
//! Who asks for a name that is being looked up joins that lookup. Nothing is kept once it has ended: how long an answer
//! is good for is the system's affair (and its cache's, where it has one).

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::blocking::{self, Pool};
use crate::park::{self, Deadline, Reason};
use crate::sync::{Button, Doorbell};

/// How long a caller waits.
const LIMIT: Duration = Duration::from_secs(30);

/// At most so many lookups at once; further ones wait their turn.
static POOL: Pool = Pool::new("layby-resolve", 32);

/// The lookups under way, by name.
static LOOKUPS: Mutex<Option<HashMap<String, Arc<Lookup>>>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Lookup {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    waiting: Vec<Button>,
}

/// What `io::Error` cannot be: for several.
type Answer = Result<Vec<SocketAddr>, (io::ErrorKind, String)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The addresses of a host, with that port.
///
/// Blocks until the resolver has answered. A suspension point.
///
/// # Errors
/// The resolver's; `TimedOut` after [`LIMIT`].
pub(super) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    resolve_by(host, port, LIMIT, |host| (host, 0).to_socket_addrs().map(Iterator::collect))
}

fn resolve_by(
    host: &str,
    port: u16,
    limit: Duration,
    ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    park::checkpoint();
    park::refuse_if_due()?;
    let mut doorbell = Doorbell::new();
    let lookup = join(host, doorbell.button(), ask);
    let waiting = blocking::Waiting::new();
    let answered = wait(&mut doorbell, limit)?;
    drop(waiting);
    if !answered {
        forget(host, &lookup);
        let text = format!("the resolver has not answered for {host:?} within {limit:?}");
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    }
    let answer = lock(&lookup.state).answer.clone().expect("who rings has an answer");
    let mut addresses = answer.map_err(|(kind, text)| io::Error::new(kind, text))?;
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

/// Waits for the ring; false if the time is over. Where nothing can unwind a cancellation does not end a wait, so it is cut into slices.
fn wait(doorbell: &mut Doorbell, limit: Duration) -> io::Result<bool> {
    const SLICE: Duration = Duration::from_millis(50);
    let end = Deadline::after(limit);
    if cfg!(panic = "unwind") {
        return Ok(doorbell.wait_until(Reason::Resolve, end));
    }
    while !end.is_past() {
        if doorbell.wait_until(Reason::Resolve, end.min(Deadline::after(SLICE))) {
            return Ok(true);
        }
        park::refuse_if_due()?;
    }
    Ok(false)
}

/// The lookup of that name that is under way, or a new one. It will press `button`.
fn join(
    host: &str,
    button: Button,
    ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Arc<Lookup> {
    let mut lookups = lock(&LOOKUPS);
    let lookups = lookups.get_or_insert_default();
    if let Some(lookup) = lookups.get(host) {
        // It has no answer yet: who gives it takes it out first.
        lock(&lookup.state).waiting.push(button);
        return Arc::clone(lookup);
    }
    let lookup = Arc::new(Lookup::default());
    lock(&lookup.state).waiting.push(button);
    lookups.insert(host.to_owned(), Arc::clone(&lookup));
    let (host, asked) = (host.to_owned(), Arc::clone(&lookup));
    POOL.run(move || {
        let answer = ask(&host).map_err(|error| (error.kind(), error.to_string()));
        forget(&host, &asked);
        let mut state = lock(&asked.state);
        state.answer = Some(answer);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(Button::ring);
    });
    lookup
}

/// From here on, who asks for that name begins anew.
fn forget(host: &str, lookup: &Arc<Lookup>) {
    let mut lookups = lock(&LOOKUPS);
    let lookups = lookups.get_or_insert_default();
    if lookups.get(host).is_some_and(|other| Arc::ptr_eq(other, lookup)) {
        lookups.remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::thread;

    /// Guards: ten callers of one name ask once; an answer is not kept.
    #[test]
    fn callers_share_a_lookup() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let (go, wait) = mpsc::channel();
        let ask = move |_: &str| {
            ASKED.fetch_add(1, SeqCst);
            wait.recv().unwrap();
            Ok(vec![SocketAddr::from(([1, 2, 3, 4], 0))])
        };
        let never = |_: &str| panic!("there is a lookup under way");
        let first = thread::spawn(|| resolve_by("shared.test", 1, LIMIT, ask).unwrap());
        while ASKED.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let others: Vec<_> = (2..10)
            .map(|port| thread::spawn(move || resolve_by("shared.test", port, LIMIT, never)))
            .collect();
        let waiting = || {
            let lookups = lock(&LOOKUPS);
            let lookup = lookups.as_ref().unwrap().get("shared.test").unwrap();
            lock(&lookup.state).waiting.len()
        };
        while waiting() < 9 {
            thread::yield_now();
        }
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), ["1.2.3.4:1".parse().unwrap()]);
        for (other, port) in others.into_iter().zip(2..) {
            assert_eq!(other.join().unwrap().unwrap(), [SocketAddr::from(([1, 2, 3, 4], port))]);
        }
        let again = resolve_by("shared.test", 5, LIMIT, |_| Err(io::Error::other("again"))).unwrap_err();
        assert_eq!((again.kind(), again.to_string()), (io::ErrorKind::Other, "again".to_owned()));
        assert_eq!(ASKED.load(SeqCst), 1);
    }
    /// Guards: nobody waits longer than the limit; who asks after that does not join the lookup that hangs, and its
    /// answer, when it comes at last, goes to nobody.
    #[test]
    fn a_resolver_that_hangs() {
        let body = || {
            let (go, wait) = mpsc::channel::<()>();
            let (ended, end) = mpsc::channel::<()>();
            let hangs = move |_: &str| {
                let _ = wait.recv();
                drop(ended);
                Ok(vec![SocketAddr::from(([1, 1, 1, 1], 0))])
            };
            let limit = Duration::from_millis(30);
            let error = resolve_by("hangs.test", 1, limit, hangs).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let text = "the resolver has not answered for \"hangs.test\" within 30ms";
            assert_eq!(error.to_string(), text);
            let answer = |_: &str| Ok(vec![SocketAddr::from(([2, 2, 2, 2], 0))]);
            let found = || resolve_by("hangs.test", 7, LIMIT, answer).unwrap();
            assert_eq!(found(), ["2.2.2.2:7".parse().unwrap()]);
            drop(go);
            assert!(crate::unblock(move || end.recv()).is_err());
            assert_eq!(found(), ["2.2.2.2:7".parse().unwrap()]);
        };
        body();
        crate::Builder::new().workers(1).run(body);
    }
}
