//! What both servers do before they talk to anybody: find their address, announce it, accept.

use layby::net::{TcpListener, TcpStream};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Listens where the command line says, or on 127.0.0.1:8080, and says so on stdout (which tells
/// the port where 0 was asked for). `Err` is the code to exit with; the reason is on stderr then.
pub(crate) fn listen(usage: &str, scheme: &str) -> Result<TcpListener, ExitCode> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    if addr == "-h" || addr == "--help" {
        println!("{usage}");
        return Err(ExitCode::SUCCESS);
    }
    if addr.starts_with('-') || args.next().is_some() {
        eprintln!("{usage}");
        return Err(ExitCode::from(2));
    }
    // A thousand clients fit into few systems' default of 1,024 descriptors. What cannot be raised
    // is no error: `Clients` waits until some are free.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let bound = TcpListener::bind(&*addr).and_then(|listener| {
        let local = listener.local_addr()?;
        Ok((listener, local))
    });
    match bound {
        Ok((listener, local)) => {
            // Who started the server may have closed its stdout; that harms no client.
            let _ = writeln!(io::stdout(), "listening on {scheme}{local}");
            Ok(listener)
        }
        Err(error) => {
            eprintln!("cannot listen on {addr:?}: {error}\n{usage}");
            Err(ExitCode::from(2))
        }
    }
}

/// The listener's connections, one after the other, without end.
pub(crate) struct Clients<'a> {
    listener: &'a TcpListener,
    complained: Option<Instant>,
}

pub(crate) fn clients(listener: &TcpListener) -> Clients<'_> {
    Clients { listener, complained: None }
}

impl Iterator for Clients<'_> {
    type Item = TcpStream;

    fn next(&mut self) -> Option<TcpStream> {
        loop {
            let error = match self.listener.accept() {
                Ok((stream, _)) => return Some(stream),
                Err(error) => error,
            };
            match error.kind() {
                // The client went away while it queued.
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => continue,
                // Out of descriptors or memory, mostly. The connection stays in the kernel's queue, so
                // trying again at once would spin; a pause lets other tasks close theirs.
                _ => {
                    let quiet = Duration::from_secs(5);
                    if self.complained.is_none_or(|at| at.elapsed() > quiet) {
                        self.complained = Some(Instant::now());
                        eprintln!("cannot accept for now: {error}");
                    }
                    layby::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}
