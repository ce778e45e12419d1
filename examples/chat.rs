//! A chat room over TCP. One task is the room, and owns who is in it; it selects among newcomers, lines, and a
//! ticker. Each guest has two tasks, one that reads and one that writes.
//!
//!     cargo run --release --example chat -- 127.0.0.1:7000
//!     nc 127.0.0.1 7000          # in as many terminals as you like; the first line is your name

use layby::channel::{Receiver, Sender, TrySendError, bounded, select, tick};
use layby::go;
use layby::net::{TcpListener, TcpStream};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Lines that a guest may be behind. One who reads more slowly is shown out: a room waits for nobody.
const BEHIND: usize = 100;
const LONGEST_LINE: u64 = 1_000;

enum Event {
    Came { guest: usize, name: String, lines: Sender<Arc<str>> },
    Said { guest: usize, line: String },
    Left { guest: usize },
}

struct Guest {
    name: String,
    lines: Sender<Arc<str>>,
}

/// The room. It ends when nobody can send it events any more.
fn room(events: Receiver<Event>, every: Duration) {
    let mut guests: BTreeMap<usize, Guest> = BTreeMap::new();
    let ticker = tick(every);
    loop {
        select! {
            recv(events) -> event => match event {
                Ok(Event::Came { guest, name, lines }) => {
                    tell(&mut guests, &format!("* {name} has come"));
                    let names: Vec<_> = guests.values().map(|guest| guest.name.as_str()).collect();
                    let _ = lines.try_send(format!("* here: {}", names.join(", ")).into());
                    guests.insert(guest, Guest { name, lines });
                }
                Ok(Event::Said { guest, line }) => {
                    if let Some(Guest { name, .. }) = guests.get(&guest) {
                        let line = format!("{name}: {line}");
                        tell(&mut guests, &line);
                    }
                }
                Ok(Event::Left { guest }) => {
                    if let Some(Guest { name, .. }) = guests.remove(&guest) {
                        tell(&mut guests, &format!("* {name} has left"));
                    }
                }
                Err(_) => return,
            },
            recv(ticker) -> _ => {
                let count = guests.len();
                tell(&mut guests, &format!("* {count} are here"));
            }
        }
    }
}

/// To all; who is too far behind is out.
fn tell(guests: &mut BTreeMap<usize, Guest>, line: &str) {
    let line: Arc<str> = line.into();
    guests.retain(|_, guest| !matches!(guest.lines.try_send(line.clone()), Err(TrySendError::Full(_))));
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.take(LONGEST_LINE).read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_owned())
}

/// Reads what one guest says.
fn guest(number: usize, stream: TcpStream, events: Sender<Event>) {
    let Ok(writing) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let Some(name) = read_line(&mut reader).filter(|name| !name.is_empty()) else { return };
    let (lines, to_write) = bounded(BEHIND);
    go!(move || write(writing, to_write));
    if events.send(Event::Came { guest: number, name, lines }).is_err() {
        return;
    }
    while let Some(line) = read_line(&mut reader) {
        if events.send(Event::Said { guest: number, line }).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Left { guest: number });
}

/// Writes what the room says, until the room drops the guest.
fn write(mut stream: TcpStream, lines: Receiver<Arc<str>>) {
    for line in lines {
        if writeln!(stream, "{line}").is_err() {
            break;
        }
    }
    // So that the reading task ends as well.
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7000".into());
    let every = arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(60.0);
    layby::run(|| {
        let listener = TcpListener::bind(&address).unwrap_or_else(|error| {
            eprintln!("cannot listen on {address}: {error}");
            std::process::exit(1);
        });
        println!("listening on {}", listener.local_addr().expect("the address of a listener"));
        let (events, to_room) = bounded(BEHIND);
        go!(move || room(to_room, Duration::from_secs_f64(every)));
        for (number, stream) in listener.incoming().enumerate() {
            let events = events.clone();
            match stream {
                Ok(stream) => drop(go!(move || guest(number, stream, events))),
                Err(error) => eprintln!("accept: {error}"),
            }
        }
    });
}
