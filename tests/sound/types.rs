//! What may go to another thread. (What may not is in docs/soundness.md, as examples that do not compile.)

use layby::channel::{self, Receiver, Select, SelectedOperation, Sender};
use layby::sync::{
    Barrier, Condvar, Event, LazyLock, Mutex, MutexGuard, Once, OnceLock, OwnedPermit, Permit, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Semaphore, WaitGroup,
};
use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

#[test]
fn handles_go_where_their_results_may() {
    send::<layby::JoinHandle<u8>>();
    sync::<layby::JoinHandle<u8>>();
    // A result that only one thread at a time may use: the handle gives it away once.
    send::<layby::JoinHandle<Cell<u8>>>();
    sync::<layby::JoinHandle<Cell<u8>>>();
    send::<layby::task::Task>();
    sync::<layby::task::Task>();
    send::<layby::JoinError>();
    sync::<layby::JoinError>();
    send::<layby::Runtime>();
    sync::<layby::Runtime>();
    send::<layby::Builder>();
    sync::<layby::Builder>();
    send::<layby::task::Builder>();
    send::<layby::time::Instant>();
    sync::<layby::task::LocalKey<Cell<*const u8>>>();
}

#[test]
fn sockets_are_shared_as_those_of_std_are() {
    send::<layby::net::TcpStream>();
    sync::<layby::net::TcpStream>();
    unwind_safe::<layby::net::TcpStream>();
    send::<layby::net::TcpListener>();
    sync::<layby::net::TcpListener>();
    unwind_safe::<layby::net::TcpListener>();
}

/// Does not compile if the type is that.
macro_rules! is_not {
    ($($type:ty: $what:path),+ $(,)?) => {$({
        trait Either<A> {
            fn one() {}
        }
        struct Other;
        impl<T: ?Sized> Either<()> for T {}
        impl<T: ?Sized + $what> Either<Other> for T {}
        <$type as Either<_>>::one();
    })+};
}

macro_rules! is_all {
    ($($type:ty),+ $(,)?) => {$(
        send::<$type>();
        sync::<$type>();
        unwind_safe::<$type>();
    )+};
}

type Local = Rc<u8>;
/// `Sync`, and not `Send`.
type Here = std::sync::MutexGuard<'static, u8>;

#[test]
fn locks_are_what_those_of_std_are() {
    is_all!(Mutex<Cell<u8>>, RwLock<u8>, Once, OnceLock<u8>, LazyLock<u8>, Condvar, Barrier);
    is_all!(Semaphore, Permit<'static>, OwnedPermit, Event, WaitGroup);
    is_not!(Mutex<Local>: Send, Mutex<Local>: Sync, Mutex<Here>: Sync);
    is_not!(RwLock<Local>: Send, RwLock<Cell<u8>>: Sync, RwLock<Here>: Sync);
    is_not!(OnceLock<Local>: Send, OnceLock<Cell<u8>>: Sync, OnceLock<Here>: Sync);
    is_not!(LazyLock<u8, Local>: Send, LazyLock<u8, Local>: Sync);
    is_not!(LazyLock<Cell<u8>>: Sync, LazyLock<Here>: Sync);

    sync::<MutexGuard<'static, u8>>();
    sync::<RwLockReadGuard<'static, u8>>();
    sync::<RwLockWriteGuard<'static, u8>>();
    is_not!(MutexGuard<'static, u8>: Send, MutexGuard<'static, Cell<u8>>: Sync);
    is_not!(RwLockReadGuard<'static, u8>: Send, RwLockReadGuard<'static, Cell<u8>>: Sync);
    is_not!(RwLockWriteGuard<'static, u8>: Send, RwLockWriteGuard<'static, Cell<u8>>: Sync);
}

#[test]
fn channels_are_what_those_of_crossbeam_are() {
    is_all!(Sender<Cell<u8>>, Receiver<Cell<u8>>);
    is_not!(Sender<Local>: Send, Sender<Local>: Sync, Sender<Here>: Send);
    is_not!(Receiver<Local>: Send, Receiver<Local>: Sync, Receiver<Here>: Send);
    is_not!(channel::IntoIter<Local>: Send, channel::Iter<'static, Local>: Send, channel::TryIter<'static, Local>: Send);
    send::<Select<'static>>();
    sync::<Select<'static>>();
    is_not!(SelectedOperation<'static>: Send, SelectedOperation<'static>: Sync);
}
