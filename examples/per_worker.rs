//! One listener for each worker: `cargo run --release --example per_worker [ADDR]`, then `nc 127.0.0.1 8080`.
//!
//! Each thread is a runtime of one worker, with a listener of its own on the same port (`SO_REUSEPORT`), and the kernel deals
//! the connections out. No connection changes hands, and since a client's task stays on its worker, all of a
//! worker's clients may share what is not `Send`, here a counter in an `Rc`. The price: a worker that is busy
//! keeps its clients waiting while another has nothing to do.
#![forbid(unsafe_code)]

use layby::net::{SocketAddr, TcpListener, TcpStream};
use layby::{Builder, task};
use socket2::{Domain, Socket, Type};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Write};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let addr = addr.parse().map_err(io::Error::other)?;
    // A thousand clients fit into few systems' default of 1,024 descriptors.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let first = listen(addr)?;
    let local = first.local_addr()?; // with a port, where 0 was asked for
    let workers = thread::available_parallelism()?.get().max(2);
    let mut listeners = vec![first];
    for _ in 1..workers {
        listeners.push(listen(local)?);
    }
    println!("listening on {local}");
    thread::scope(|s| {
        for (number, listener) in listeners.into_iter().enumerate() {
            s.spawn(move || Builder::new().workers(1).run(|| serve(number, &listener)));
        }
    });
    Ok(())
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?; // std has no such setting
    socket.bind(&addr.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn serve(worker: usize, listener: &TcpListener) {
    let clients = Rc::new(Cell::new(0));
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                clients.set(clients.get() + 1);
                let clients = clients.clone();
                task::spawn_local(move || answer(&stream, worker, &clients));
            }
            Err(error) => {
                eprintln!("cannot accept for now: {error}");
                layby::sleep(Duration::from_millis(50)); // others may close theirs meanwhile
            }
        }
    }
}

/// Each line comes back, with the worker's number and how many clients it has had.
fn answer(mut stream: &TcpStream, worker: usize, clients: &Cell<u32>) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        writeln!(stream, "worker {worker}, client {}: {line}", clients.get())?;
    }
    Ok(())
}
