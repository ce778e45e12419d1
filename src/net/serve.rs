//! `serve`: a task for each connection, a limit, and a graceful end.

#![forbid(unsafe_code)]

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{TcpListener, TcpStream, unix};
use crate::group::Group;
use crate::scope::scope;
use crate::sleep::sleep;
use crate::spawn::{Builder, JoinError, JoinHandle, spawn};
use crate::sync::{Event, OwnedPermit, Semaphore};
use crate::sys::socket;
use crate::timeout::timeout;

/// How long nobody is accepted after an `accept` that has failed; doubled each time it fails again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_secs(1);

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TcpListener {}
    impl Sealed for super::unix::UnixListener {}
}

/// What [`serve`] accepts connections from: a [`TcpListener`] or a [`UnixListener`](unix::UnixListener).
pub trait Listener: sealed::Sealed + Send + 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// Whose it is.
    type Address: Send + 'static;
    /// As the listener's own method of that name.
    ///
    /// # Errors
    /// As there.
    fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = super::SocketAddr;
    fn accept(&self) -> io::Result<(TcpStream, super::SocketAddr)> {
        TcpListener::accept(self)
    }
}

impl Listener for unix::UnixListener {
    type Stream = unix::UnixStream;
    type Address = unix::SocketAddr;
    fn accept(&self) -> io::Result<(unix::UnixStream, unix::SocketAddr)> {
        unix::UnixListener::accept(self)
    }
}

/// Serves a listener's connections, each in a task that runs `handler`, until the [`Server`] is stopped.
///
/// Nothing waits here: a task accepts. A panic of a handler ends its connection, and is counted. What it returns is dropped, so
/// it should deal with its errors itself. Where `accept` fails for want of descriptors or memory, or because of the network, it is tried again after a pause
/// (of 5 ms at first, up to 1 s). For a limit and a grace period: [`Serve`].
///
/// asyncio's `start_server`.
///
/// # Panics
/// As [`task::spawn`](crate::task::spawn()).
///
/// # Examples
/// ```
/// use layby::net::{TcpListener, TcpStream, serve};
/// use std::io::{BufRead, BufReader, Read, Write};
///
/// layby::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let server = serve(listener, |stream, _peer| {
///         for line in BufReader::new(&stream).lines() {
///             writeln!(&stream, "you said: {}", line?)?;
///         }
///         Ok::<(), std::io::Error>(())
///     });
///
///     let mut client = TcpStream::connect(address)?;
///     client.write_all(b"hello\n")?;
///     client.shutdown(std::net::Shutdown::Write)?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer)?;
///     assert_eq!(answer, "you said: hello\n");
///
///     server.stop();
///     let served = server.join()?;
///     assert_eq!((served.accepted, served.panicked), (1, 0));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn serve<L, H, R>(listener: L, handler: H) -> Server
where
    L: Listener,
    H: Fn(L::Stream, L::Address) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    Serve::new().start(listener, handler)
}

/// Settings for a [`Server`].
///
/// # Examples
/// ```
/// use layby::net::{Serve, unix::{UnixListener, UnixStream}};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// # let path = std::env::temp_dir().join(format!("layby-serve-{}", std::process::id()));
/// let server = Serve::new()
///     .connections(100) // at once; others wait to be accepted
///     .grace(Duration::from_secs(10))
///     .start(UnixListener::bind(&path)?, |mut stream, _| stream.write_all(b"welcome"));
///
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "welcome");
/// server.stop();
/// server.join()?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "this serves nothing until it is started"]
pub struct Serve {
    connections: Option<usize>,
    grace: Option<Duration>,
    task: Builder,
}

impl Serve {
    /// No limit; the end waits for each connection as long as that takes.
    pub fn new() -> Serve {
        Serve::default()
    }

    /// How many connections are served at once, at most. Others wait in the listener's queue.
    ///
    /// # Panics
    /// For zero.
    #[track_caller]
    pub fn connections(mut self, limit: usize) -> Serve {
        assert!(limit > 0, "a server of no connections at once");
        self.connections = Some(limit);
        self
    }

    /// How long the connections that are there when the server is stopped may take to end. Those that have not ended by then are cancelled.
    pub fn grace(mut self, grace: Duration) -> Serve {
        self.grace = Some(grace);
        self
    }

    /// With what settings the connections' tasks are made.
    pub fn task(mut self, builder: Builder) -> Serve {
        self.task = builder;
        self
    }

    /// As [`serve`].
    ///
    /// # Panics
    /// As there.
    pub fn start<L, H, R>(self, listener: L, handler: H) -> Server
    where
        L: Listener,
        H: Fn(L::Stream, L::Address) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let control = Arc::new(Control { stop: Event::new(), connections: AtomicUsize::new(0) });
        let serving = control.clone();
        let task = spawn(move || self.serve(&serving, listener, Arc::new(handler)));
        Server { task, stopper: Stopper(control) }
    }

    /// What the server's task does.
    fn serve<L, H, R>(&self, control: &Arc<Control>, listener: L, handler: Arc<H>) -> io::Result<Served>
    where
        L: Listener,
        H: Fn(L::Stream, L::Address) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let mut connections = Group::new();
        let mut served = Served::default();
        let failed = scope(|s| {
            let accepting = s.spawn(|| {
                let _stop = StopOnDrop(control);
                self.accept_all(control, listener, &handler, &mut connections, &mut served)
            });
            control.stop.wait();
            accepting.cancel();
            match accepting.join() {
                Ok(error) => Some(error),
                Err(error) if error.is_cancelled() => None,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        });
        // The listener is closed.
        let grace = self.grace.unwrap_or(Duration::MAX);
        let all = || connections.by_ref().for_each(|ended| served.count(&ended));
        if timeout(grace, all).is_err() {
            connections.cancel_all();
            connections.for_each(|ended| served.count(&ended));
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(served),
        }
    }

    /// Accepts until it is cancelled, or the listener is of no use any more.
    fn accept_all<L, H, R>(
        &self,
        control: &Arc<Control>,
        listener: L,
        handler: &Arc<H>,
        connections: &mut Group<()>,
        served: &mut Served,
    ) -> io::Error
    where
        L: Listener,
        H: Fn(L::Stream, L::Address) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let limit = self.connections.map(|limit| Arc::new(Semaphore::new(limit)));
        let permit = || limit.clone()?.acquire_owned(1).ok();
        let mut pause = FIRST_PAUSE;
        let mut place = permit();
        loop {
            let failure = match listener.accept() {
                Ok((stream, address)) => {
                    served.accepted += 1;
                    let (handler, connected) = (handler.clone(), Connected::new(control, place.take()));
                    let serve = move || {
                        let _connected = connected;
                        handler(stream, address);
                    };
                    let spawned = connections.spawn_with(self.task.clone(), serve);
                    while let Some(ended) = connections.try_next() {
                        served.count(&ended);
                    }
                    place = permit();
                    spawned.err()
                }
                Err(error) if socket::is_passing(&error) => Some(error),
                Err(error) => return error,
            };
            match failure {
                None => pause = FIRST_PAUSE,
                Some(_) => {
                    sleep(pause);
                    pause = LAST_PAUSE.min(pause * 2);
                }
            }
        }
    }
}

/// A server that runs in a task: the right to stop it, and to wait for its end.
///
/// Dropping it lets the server run on.
pub struct Server {
    task: JoinHandle<io::Result<Served>>,
    stopper: Stopper,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

impl Server {
    /// Ends it gracefully: nobody is accepted any more, and the listener is closed; the connections have the grace period to end.
    /// Does not wait.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// Something to stop it by from elsewhere, for as long as it runs.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// How many connections are being served.
    pub fn connections(&self) -> usize {
        self.stopper.0.connections.load(Relaxed)
    }

    /// Waits until the server has ended: all its connections, too.
    ///
    /// # Cancellation
    /// A suspension point. The server runs on.
    ///
    /// # Errors
    /// That of an `accept` that cannot succeed any more, or that the server was cancelled with its runtime.
    pub fn join(self) -> io::Result<Served> {
        self.task.join().map_err(io::Error::other)?
    }
}

/// Stops a [`Server`].
#[derive(Clone)]
pub struct Stopper(Arc<Control>);

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("stopping", &self.is_stopping()).finish()
    }
}

impl Stopper {
    /// As [`Server::stop`].
    pub fn stop(&self) {
        self.0.stop.set();
    }

    /// Whether the server is being stopped, or has ended: for handlers of connections that may rest, before they wait for the next request.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_set()
    }

    /// Waits until the server is being stopped.
    ///
    /// # Cancellation
    /// A suspension point.
    pub fn wait(&self) {
        self.0.stop.wait();
    }
}

/// What a [`Server`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// How many connections were accepted.
    pub accepted: u64,
    /// How many of them ended with a panic of the handler.
    pub panicked: u64,
    /// How many of them were cancelled at the end of the grace period.
    pub cancelled: u64,
}

impl Served {
    fn count(&mut self, ended: &Result<(), JoinError>) {
        if let Err(error) = ended {
            self.panicked += u64::from(error.is_panic());
            self.cancelled += u64::from(error.is_cancelled());
        }
    }
}

struct Control {
    stop: Event,
    /// How many connections there are. Relaxed: only to be looked at.
    connections: AtomicUsize,
}

struct StopOnDrop<'a>(&'a Control);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop.set();
    }
}

/// A connection, counted while it lives.
struct Connected {
    control: Arc<Control>,
    _place: Option<OwnedPermit>,
}

impl Connected {
    fn new(control: &Arc<Control>, place: Option<OwnedPermit>) -> Connected {
        control.connections.fetch_add(1, Relaxed);
        Connected { control: control.clone(), _place: place }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.control.connections.fetch_sub(1, Relaxed);
    }
}
