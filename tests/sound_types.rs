//! What may go to another thread. (What may not is in docs/soundness.md, as examples that do not compile.)

use std::cell::Cell;
use std::panic::{RefUnwindSafe, UnwindSafe};

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
