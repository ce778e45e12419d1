//! Happy eyeballs (RFC 8305): `cargo run --release --example race [--stagger MS] HOST:PORT...`
//!
//! Connects to all addresses of the given hosts, one after the other, but waits for each no longer than a head start of 250 ms
//! before the next one is tried beside it. The first connection wins, the other attempts are cancelled, and nothing of them is
//! left.
#![forbid(unsafe_code)]

use layby::net::TcpStream;
use layby::sync::{Event, Mutex};
use layby::{sleep, timeout, unblock};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: race [--stagger MS] HOST:PORT...    (default 250 ms)";

fn main() -> ExitCode {
    let (stagger, hosts) = match arguments(std::env::args().skip(1)) {
        Some(arguments) => arguments,
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let mut out = io::stdout();
    let outcome = layby::run(|| {
        let addresses = match resolve(&hosts) {
            Ok(addresses) => addresses,
            Err(message) => return Err(vec![message]),
        };
        connect(&addresses, stagger)
            .map_err(|errors| errors.iter().map(|(at, error)| format!("{at}: {error}")).collect())
    });
    // Who has closed stdout does not want to know.
    let _ = match &outcome {
        Ok((address, _stream)) => writeln!(out, "connected to {address} after {:.0?}", start.elapsed()),
        Err(messages) => writeln!(out, "{}", messages.join("\n")),
    };
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut args: impl Iterator<Item = String>) -> Option<(Duration, Vec<String>)> {
    let mut stagger = 250;
    let mut hosts = Vec::new();
    while let Some(arg) = args.next() {
        match &*arg {
            "--stagger" => stagger = args.next()?.parse().ok()?,
            option if option.starts_with('-') => return None,
            _ => hosts.push(arg),
        }
    }
    (!hosts.is_empty()).then_some((Duration::from_millis(stagger), hosts))
}

/// All addresses in the order of the hosts, those of each by turns of both families: where one family does not work at
/// all, the other is tried second.
fn resolve(hosts: &[String]) -> Result<Vec<SocketAddr>, String> {
    let mut all = Vec::new();
    for host in hosts {
        let name = host.clone();
        let found = unblock(move || name.to_socket_addrs().map(Vec::from_iter));
        let found = found.map_err(|error| format!("{host}: {error}"))?;
        let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
        let (first, second): (Vec<_>, Vec<_>) = found.iter().partition(|at| at.is_ipv6() == first_is_v6);
        let (mut first, mut second) = (first.into_iter().copied(), second.into_iter().copied());
        loop {
            let pair = [first.next(), second.next()];
            if pair == [None; 2] {
                break;
            }
            all.extend(pair.into_iter().flatten());
        }
    }
    Ok(all)
}

type Errors = Vec<(SocketAddr, io::Error)>;

/// The first connection that is there; or why there is none, of each address.
fn connect(addresses: &[SocketAddr], stagger: Duration) -> Result<(SocketAddr, TcpStream), Errors> {
    if addresses.is_empty() {
        return Err(Vec::new());
    }
    let errors = Mutex::new(Vec::new());
    let begun = Vec::from_iter(addresses.iter().map(|_| Event::new()));
    let failed = Vec::from_iter(addresses.iter().map(|_| Event::new()));
    let attempts = addresses.iter().enumerate().map(|(n, &address)| {
        let (begun, failed, errors) = (&begun, &failed, &errors);
        move || {
            if let Some(before) = n.checked_sub(1) {
                begun[before].wait();
                // Its head start; less, if it has failed.
                let _ = timeout(stagger, || failed[before].wait());
            }
            begun[n].set();
            match TcpStream::connect(address) {
                Ok(stream) => Some((address, stream)),
                Err(error) => {
                    failed[n].set();
                    let mut errors = errors.lock().expect("nobody panics");
                    errors.push((address, error));
                    let all = errors.len() == addresses.len();
                    drop(errors);
                    if !all {
                        // A failure does not win: this waits to be cancelled by who does.
                        sleep(Duration::MAX);
                    }
                    None
                }
            }
        }
    });
    layby::race(attempts).ok_or_else(|| errors.into_inner().expect("nobody panics"))
}
