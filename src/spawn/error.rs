//! Why a join has no result.

use core::any::Any;
use core::fmt;
use std::error::Error;

use super::cell::Failure;
use super::id::TaskId;
use crate::fiber::Header;
use crate::sched;

/// Why [`JoinHandle::join`](super::JoinHandle::join) has no result: the task panicked, or was cancelled.
///
/// Unlike the boxed payload that `std::thread::JoinHandle::join` fails with, this is an
/// [`Error`]; [`into_panic`](JoinError::into_panic), or `Box::<dyn Any + Send>::from`, is the payload.
///
/// # Examples
/// ```
/// # std::panic::set_hook(Box::new(|_| {}));
/// let error = layby::spawn(|| panic!("oh no")).join().unwrap_err();
/// assert!(error.is_panic());
/// assert_eq!(error.downcast_ref(), Some(&"oh no"));
/// assert!(error.to_string().contains("oh no"));
/// ```
pub struct JoinError {
    id: u64,
    name: Option<Box<str>>,
    kind: Kind,
}

enum Kind {
    Cancelled,
    Panic(Payload),
}

/// A payload that can be shared: what is not `Sync` in it is reached by value alone.
struct Payload(Box<dyn Any + Send>);

// SAFETY: a `&Payload` gives a reference only to a `Sync` type (`downcast_ref` asks for it, and the strings
// that `message` looks for are).
unsafe impl Sync for Payload {}

impl JoinError {
    /// That the running task has panicked: it has caught the payload itself.
    pub(crate) fn of_running(payload: Box<dyn Any + Send>) -> JoinError {
        let (_, task) = sched::current().expect("a task runs");
        JoinError::new(task, Failure::Panic(payload))
    }

    pub(crate) fn new(task: &Header, failure: Failure) -> JoinError {
        let kind = match failure {
            Failure::Cancelled => Kind::Cancelled,
            Failure::Panic(payload) => Kind::Panic(Payload(payload)),
        };
        JoinError { id: task.id, name: task.name.clone(), kind }
    }

    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.kind, Kind::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.kind, Kind::Panic(_))
    }

    /// The payload of the panic, as `std::thread::JoinHandle::join` fails with.
    ///
    /// # Panics
    /// If the task was cancelled, and so has none.
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.kind {
            Kind::Panic(payload) => payload.0,
            Kind::Cancelled => panic!("into_panic on the error of a cancelled task: {self}"),
        }
    }

    /// The payload of the panic, if it is a `T`. `None` for a cancelled task.
    pub fn downcast_ref<T: Any + Sync>(&self) -> Option<&T> {
        match &self.kind {
            Kind::Panic(payload) => payload.0.downcast_ref(),
            Kind::Cancelled => None,
        }
    }

    fn message(&self) -> Option<&str> {
        let string = self.downcast_ref::<String>().map(String::as_str);
        string.or_else(|| self.downcast_ref::<&'static str>().copied())
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "task '{name}'")?,
            None => write!(f, "task {}", self.id)?,
        }
        match (&self.kind, self.message()) {
            (Kind::Cancelled, _) => f.write_str(" was cancelled"),
            (Kind::Panic(_), Some(message)) => write!(f, " panicked: {message}"),
            (Kind::Panic(_), None) => f.write_str(" panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("JoinError");
        debug.field("task", &TaskId::from_number(self.id));
        if let Some(name) = &self.name {
            debug.field("name", name);
        }
        match self.kind {
            Kind::Cancelled => debug.field("kind", &format_args!("Cancelled")),
            Kind::Panic(_) => debug.field("panic", &self.message().unwrap_or("Box<dyn Any>")),
        };
        debug.finish()
    }
}

impl Error for JoinError {}

/// The payload of a panic; for a cancelled task, the error itself.
impl From<JoinError> for Box<dyn Any + Send> {
    fn from(error: JoinError) -> Box<dyn Any + Send> {
        match error.kind {
            Kind::Panic(payload) => payload.0,
            Kind::Cancelled => Box::new(error),
        }
    }
}
