//! Task-locals: `LocalKey`, and the macro that makes one.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::error::Error;
use std::thread;

use crate::fiber::{self, Header, Locals, Lookup};
use crate::park::Open;
use crate::sched;

/// A value for each task: made by [`task_local!`](crate::task_local), and reached by [`with`](LocalKey::with).
///
/// Like [`std::thread::LocalKey`], except that the values are the tasks': each is initialised on its task's
/// first use, stays where that task is, so need not be `Send`, and is dropped at the task's end.
///
/// * A thread that is no task has values of its own, as in std. The root task of [`run`](crate::run) is a task:
///   what the calling thread has set is not seen inside. An [`unblock`](crate::unblock) closure sees those of the
///   pool thread that it happens to run on. The tasks of a [`gather!`](crate::gather!) each have their own.
/// * Waiting inside of `with` is fine.
///
/// # Destruction
/// When the task's closure has returned or unwound, the values are dropped on the task's stack, from the newest
/// to the oldest, before `join` returns. (So is the result of a task that nobody can join any more, before them. One whose handle
/// is dropped just then is dropped after them, and would find fresh ones.) Their destructors may wait: no cancellation
/// reaches them. They may use other task-locals: those that were not initialised yet are, and dropped then in
/// turn; those that were dropped already, or are being dropped, give an [`AccessError`]. Values
/// without a destructor can be reached to the end.
///
/// A destructor that panics is reported on stderr, and the others run (std ends the process there).
///
/// # Cost
/// A task that uses none pays for none. The first use allocates a table of 8 bytes for each key that the program has
/// used so far, at most; each value is an allocation.
///
/// # Examples
/// ```
/// use std::cell::Cell;
///
/// layby::task_local! {
///     static REQUEST: Cell<u32> = const { Cell::new(0) };
/// }
///
/// layby::run(|| {
///     let tasks: Vec<_> = (1..=3)
///         .map(|n| {
///             layby::go!(move || {
///                 REQUEST.set(n);
///                 layby::yield_now(); // the others set theirs
///                 REQUEST.get()
///             })
///         })
///         .collect();
///     let seen: Vec<u32> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
///     assert_eq!(seen, [1, 2, 3]);
///     assert_eq!(REQUEST.get(), 0);
/// });
/// ```
///
/// # Inheritance
/// A task begins with none of its spawner's values, unless a key is declared with `#[inherit]`: then it begins with clones of
/// the values that its spawner has when it spawns it, as Python's context variables. The type must be `Clone` and `Send`. `clone` runs on
/// the spawner's stack. What either sets later the other does not see. Only tasks bequeath, not other threads; and
/// the threads of [`unblock`](crate::unblock) do not inherit.
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// layby::task_local! {
///     /// For whom this task, and whatever it has spawned, works.
///     #[inherit]
///     static REQUEST: Cell<u32> = const { Cell::new(0) };
///     #[inherit]
///     static USER: RefCell<String> = RefCell::default();
/// }
///
/// layby::run(|| {
///     REQUEST.set(17);
///     USER.set("ann".into());
///     let task = layby::go!(|| {
///         REQUEST.set(REQUEST.get() + 1); // its own
///         layby::go!(|| format!("{} for {}", REQUEST.get(), USER.take())).join().unwrap()
///     });
///     assert_eq!(task.join().unwrap(), "18 for ann");
///     assert_eq!(REQUEST.get(), 17);
/// });
/// ```
/// ```compile_fail
/// layby::task_local! {
///     #[inherit]
///     static SHARED: std::rc::Rc<u32> = std::rc::Rc::new(1); // not Send
/// }
/// ```
///
/// A reference does not leave `with`:
/// ```compile_fail
/// layby::task_local! {
///     static NAME: String = String::from("layby");
/// }
/// let name: &'static str = NAME.with(|name| name.as_str());
/// ```
pub struct LocalKey<T: 'static> {
    /// What a thread that is no task uses.
    threads: &'static thread::LocalKey<T>,
    tasks: fiber::Key<T>,
    initial: fn() -> T,
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Why [`LocalKey::try_with`] has no value: it was dropped already, or is being dropped.
///
/// Like [`std::thread::AccessError`], which only std can make.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessError;

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt("already destroyed", f)
    }
}

impl Error for AccessError {}

impl From<thread::AccessError> for AccessError {
    fn from(_: thread::AccessError) -> AccessError {
        AccessError
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn destroyed(error: AccessError) -> ! {
    panic!("cannot access a task-local value during or after its destruction: {error:?}")
}

/// What `task_local!` is made of.
#[doc(hidden)]
pub const fn local_key<T: 'static>(threads: &'static thread::LocalKey<T>, initial: fn() -> T) -> LocalKey<T> {
    LocalKey { threads, tasks: fiber::Key::new(), initial }
}

/// As [`local_key`], of one that is inherited.
#[doc(hidden)]
pub const fn inherited_key<T>(threads: &'static thread::LocalKey<T>, initial: fn() -> T) -> LocalKey<T>
where
    T: Clone + Send + 'static,
{
    LocalKey { threads, tasks: fiber::Key::inherited(), initial }
}

/// What a task that the caller spawns begins with.
#[inline(always)]
pub(super) fn inherited() -> Locals {
    match sched::current() {
        Some((_, task)) if task.locals.has_heirlooms() => copies(task),
        _ => Locals::new(),
    }
}

/// Copies of those values of the running task that are inherited.
#[cold]
#[inline(never)]
fn copies(task: &Header) -> Locals {
    // As for any reference to a value.
    let _open = Open::new();
    let copies = Unfinished(Locals::new());
    let mut from = 0;
    while let Some((heirloom, next)) = task.locals.heirloom(from) {
        // SAFETY: the running task's own, on its stack. A value is replaced only by the initialiser that was at work when it was
        // stored, and that does not end in here.
        copies.0.inherit(unsafe { heirloom.copy() });
        from = next;
    }
    copies.finish()
}

/// Dropped, because a `clone` has panicked, it drops what there is.
struct Unfinished(Locals);

impl Unfinished {
    fn finish(mut self) -> Locals {
        core::mem::replace(&mut self.0, Locals::new())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // SAFETY: nobody has had a reference to any.
        while unsafe { self.0.take_newest() }.is_some() {}
        // SAFETY: as above; none is left to take.
        unsafe { self.0.clear() };
    }
}

impl<T: 'static> LocalKey<T> {
    /// Calls `f` with a reference to the caller's value, which is initialised first if it has not been yet.
    ///
    /// Like [`std::thread::LocalKey::with`]. If the initialiser itself initialises the key, its value replaces
    /// that one, which is dropped. If it panics, the next use tries again.
    ///
    /// # Panics
    /// In and after the value's destructor; see [`try_with`](LocalKey::try_with). With the panic of `f`, or of
    /// the initialiser.
    ///
    /// # Examples
    /// ```
    /// layby::task_local! {
    ///     static NAME: String = layby::task::current().name().unwrap_or("nobody").to_owned();
    /// }
    ///
    /// let task = layby::task::Builder::new().name("ann".to_owned());
    /// let task = task.spawn(|| NAME.with(|name| name.len())).unwrap();
    /// assert_eq!(task.join().unwrap(), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.try_with(f).unwrap_or_else(|error| destroyed(error))
    }

    /// As [`with`](LocalKey::with), but does not panic where the value is gone.
    ///
    /// # Errors
    /// The value's destructor runs or has run. `f` was dropped.
    ///
    /// # Panics
    /// With the panic of `f`, or of the initialiser.
    ///
    /// # Examples
    /// ```
    /// struct Last;
    ///
    /// impl Drop for Last {
    ///     fn drop(&mut self) {
    ///         assert!(LAST.try_with(|_| ()).is_err());
    ///     }
    /// }
    ///
    /// layby::task_local! {
    ///     static LAST: Last = const { Last };
    /// }
    ///
    /// let task = layby::spawn(|| assert!(LAST.try_with(|_| ()).is_ok()));
    /// task.join().unwrap();
    /// ```
    #[inline]
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        // The value is this task's: whoever holds the reference must not go on in another.
        let _open = Open::new();
        match sched::current() {
            Some((_, task)) => Ok(f(self.of(task, self.initial)?)),
            None => Ok(self.threads.try_with(f)?),
        }
    }

    /// The task's value, which `initial` makes if there is none.
    ///
    /// For callers that are on the task's stack and return before its end.
    #[inline]
    fn of<'a>(&self, task: &'a Header, initial: impl FnOnce() -> T) -> Result<&'a T, AccessError> {
        match task.locals.get(&self.tasks) {
            Lookup::Value(value) => Ok(value),
            Lookup::Absent => Ok(self.initialize(task, initial)),
            Lookup::Destroyed => Err(AccessError),
        }
    }

    #[cold]
    #[inline(never)]
    fn initialize<'a>(&self, task: &'a Header, initial: impl FnOnce() -> T) -> &'a T {
        let value = initial();
        // SAFETY: there was no value before `initial`, and each use of one that was made within has ended with it.
        let recursive = unsafe { task.locals.put(&self.tasks, value) };
        // As in std, after the new one has taken its place; its destructor may use that.
        drop(recursive);
        match task.locals.get(&self.tasks) {
            Lookup::Value(value) => value,
            Lookup::Absent | Lookup::Destroyed => unreachable!("values go at the task's end"),
        }
    }

    /// As `with` for a value that is there. If there is none, `value` becomes it, with no call of the key's own
    /// initialiser; `f` gets what was not used.
    #[track_caller]
    fn put_or(&'static self, task: &Header, value: T, f: impl FnOnce(&T, T)) {
        let mut value = Some(value);
        let initial = || value.take().expect("a value is initialised once");
        let there = self.of(task, initial).unwrap_or_else(|error| destroyed(error));
        if let Some(value) = value {
            f(there, value);
        }
    }
}

/// Like the same methods of [`std::thread::LocalKey`].
impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the caller's value. If it was not initialised, this does it; the key's initialiser does not run.
    ///
    /// # Panics
    /// In and after the value's destructor.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// layby::task_local! {
    ///     static LIMIT: Cell<u32> = panic!("set it first");
    /// }
    ///
    /// LIMIT.set(3);
    /// assert_eq!(LIMIT.get(), 3);
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        match sched::current() {
            Some((_, task)) => {
                self.put_or(task, Cell::new(value), |cell, value| cell.set(value.into_inner()))
            }
            None => self.threads.set(value),
        }
    }

    /// A copy of the caller's value.
    ///
    /// # Panics
    /// As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// layby::task_local! {
    ///     static LIMIT: Cell<u32> = const { Cell::new(10) };
    /// }
    ///
    /// assert_eq!(LIMIT.get(), 10);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the caller's value and leaves [`Default::default()`].
    ///
    /// # Panics
    /// As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// layby::task_local! {
    ///     static NEXT: Cell<Option<u32>> = const { Cell::new(Some(1)) };
    /// }
    ///
    /// assert_eq!(NEXT.take(), Some(1));
    /// assert_eq!(NEXT.take(), None);
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the caller's value, and returns the one before.
    ///
    /// # Panics
    /// As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    ///
    /// layby::task_local! {
    ///     static LEVEL: Cell<u32> = const { Cell::new(1) };
    /// }
    ///
    /// assert_eq!(LEVEL.replace(2), 1);
    /// assert_eq!(LEVEL.get(), 2);
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// Like the same methods of [`std::thread::LocalKey`].
impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with the caller's value, borrowed.
    ///
    /// # Panics
    /// If it is mutably borrowed. As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    ///
    /// layby::task_local! {
    ///     static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// }
    ///
    /// assert!(LOG.with_borrow(|log| log.is_empty()));
    /// ```
    #[track_caller]
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the caller's value, mutably borrowed.
    ///
    /// # Panics
    /// If it is borrowed. As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    ///
    /// layby::task_local! {
    ///     static LOG: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    /// }
    ///
    /// LOG.with_borrow_mut(|log| log.push("begun"));
    /// assert_eq!(LOG.with_borrow(|log| log.len()), 1);
    /// ```
    #[track_caller]
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the caller's value. If it was not initialised, this does it; the key's initialiser does not run.
    ///
    /// # Panics
    /// If it is borrowed. In and after the value's destructor.
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    ///
    /// layby::task_local! {
    ///     static WORDS: RefCell<Vec<&'static str>> = panic!("set it first");
    /// }
    ///
    /// WORDS.set(vec!["lay", "by"]);
    /// assert_eq!(WORDS.with_borrow(|words| words.concat()), "layby");
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        match sched::current() {
            Some((_, task)) => {
                self.put_or(task, RefCell::new(value), |cell, value| *cell.borrow_mut() = value.into_inner());
            }
            None => self.threads.set(value),
        }
    }

    /// Takes the caller's value and leaves [`Default::default()`].
    ///
    /// # Panics
    /// If it is borrowed. As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    ///
    /// layby::task_local! {
    ///     static WORDS: RefCell<Vec<&'static str>> = RefCell::new(vec!["lay", "by"]);
    /// }
    ///
    /// assert_eq!(WORDS.take(), ["lay", "by"]);
    /// assert!(WORDS.take().is_empty());
    /// ```
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the caller's value, and returns the one before.
    ///
    /// # Panics
    /// If it is borrowed. As [`with`](LocalKey::with).
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    ///
    /// layby::task_local! {
    ///     static NAME: RefCell<String> = const { RefCell::new(String::new()) };
    /// }
    ///
    /// assert_eq!(NAME.replace("ann".to_owned()), "");
    /// assert_eq!(NAME.take(), "ann");
    /// ```
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

/// Declares task-locals: statics of type [`LocalKey`], with a value for each task.
///
/// Like [`std::thread_local!`], in its syntax too: any number of `static`s, public or not, with attributes, of which
/// the initialiser runs on a task's first use, or is a constant (`const { … }`). Under std's name,
/// for code to be ported: `use layby::thread::thread_local;`, which takes the place of the one in the prelude.
///
/// Each key is a `static` (std's is a `const`). One with the attribute `#[inherit]`, before all others but documentation, passes its
/// values on to the tasks that a task spawns: see [`LocalKey`].
///
/// # Examples
/// ```
/// use std::cell::{Cell, RefCell};
///
/// layby::task_local! {
///     /// How deep this task is.
///     static DEPTH: Cell<u32> = const { Cell::new(1) };
///
///     pub static LOG: RefCell<Vec<String>> = RefCell::new(vec![]);
/// }
///
/// layby::run(|| {
///     DEPTH.set(DEPTH.get() + 1);
///     LOG.with_borrow_mut(|log| log.push(format!("at {}", DEPTH.get())));
///     assert_eq!(layby::go!(|| DEPTH.get()).join().unwrap(), 1); // its own
///     assert_eq!(LOG.take(), ["at 2"]);
/// });
/// ```
///
/// Porting by `use`:
/// ```
/// use layby::thread::{self, thread_local};
/// use std::cell::Cell;
///
/// thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
///
/// COUNT.set(1);
/// thread::spawn(|| assert_eq!(COUNT.get(), 0)).join().unwrap();
/// assert_eq!(COUNT.get(), 1);
/// ```
///
/// A constant has to be one:
/// ```compile_fail
/// layby::task_local! {
///     static NAME: String = const { "layby".to_string() };
/// }
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    (
        $(#[doc = $doc:expr])* #[inherit] $(#[$attribute:meta])*
        $visibility:vis static $name:ident : $type:ty = const $initial:block $(; $($rest:tt)*)?
    ) => {
        $(#[doc = $doc])* $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = {
            const __LAYBY_INITIAL: $type = $initial;
            ::std::thread_local! {
                static __LAYBY_THREADS: $type = const { __LAYBY_INITIAL };
            }
            $crate::__private::inherited_key(&__LAYBY_THREADS, || __LAYBY_INITIAL)
        };
        $($crate::task_local! { $($rest)* })?
    };
    (
        $(#[doc = $doc:expr])* #[inherit] $(#[$attribute:meta])*
        $visibility:vis static $name:ident : $type:ty = $initial:expr $(; $($rest:tt)*)?
    ) => {
        $(#[doc = $doc])* $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = {
            fn __layby_initial() -> $type {
                $initial
            }
            ::std::thread_local! {
                static __LAYBY_THREADS: $type = __layby_initial();
            }
            $crate::__private::inherited_key(&__LAYBY_THREADS, __layby_initial)
        };
        $($crate::task_local! { $($rest)* })?
    };
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident : $type:ty = const $initial:block
        $(; $($rest:tt)*)?
    ) => {
        $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = {
            const __LAYBY_INITIAL: $type = $initial;
            ::std::thread_local! {
                static __LAYBY_THREADS: $type = const { __LAYBY_INITIAL };
            }
            $crate::__private::local_key(&__LAYBY_THREADS, || __LAYBY_INITIAL)
        };
        $($crate::task_local! { $($rest)* })?
    };
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident : $type:ty = $initial:expr
        $(; $($rest:tt)*)?
    ) => {
        $(#[$attribute])*
        $visibility static $name: $crate::task::LocalKey<$type> = {
            fn __layby_initial() -> $type {
                $initial
            }
            ::std::thread_local! {
                static __LAYBY_THREADS: $type = __layby_initial();
            }
            $crate::__private::local_key(&__LAYBY_THREADS, __layby_initial)
        };
        $($crate::task_local! { $($rest)* })?
    };
}
pub use task_local;
