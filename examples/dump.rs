//! A server that gets stuck, and is asked why: `cargo run --release --example dump [ADDR]`, then
//! `nc 127.0.0.1 8080`, twice, and in each a line: `move 1 2` and `move 2 1`, within a second; and Ctrl-\ in the server's terminal.
//!
//! Each line of a client moves a coin from one account to another. That locks both accounts, in the order in which they are named, and the bank takes
//! its time between the two. So two clients that move coins in opposite directions wait for each other for ever; the others are served. On SIGQUIT the server
//! says what each of its tasks is doing, and goes on. (LOOK_MS: how long the bank takes, in milliseconds.)
#![forbid(unsafe_code)]

use layby::net::{TcpListener, TcpStream};
use layby::sync::Mutex;
use layby::{go, runtime, task};
use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::Duration;

struct Bank {
    accounts: [Mutex<i64>; 10],
    /// How long it looks at the first account before it takes the second one.
    look: Duration,
}

impl Bank {
    /// `None`: there is no such account, or they are the same.
    fn move_coin(&self, from: usize, to: usize) -> Option<(i64, i64)> {
        if from == to {
            return None;
        }
        let mut from = self.accounts.get(from)?.lock().unwrap();
        layby::sleep(self.look);
        let mut to = self.accounts.get(to)?.lock().unwrap();
        *from -= 1;
        *to += 1;
        Some((*from, *to))
    }
}

fn serve(bank: &Bank, client: &TcpStream) -> io::Result<()> {
    let (reader, mut writer) = (BufReader::new(client), client);
    for line in reader.lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let moved = match words[..] {
            ["move", from, to] => from.parse().ok().zip(to.parse().ok()),
            _ => None,
        }
        .and_then(|(from, to)| bank.move_coin(from, to));
        match moved {
            Some((from, to)) => writeln!(writer, "moved: {from} and {to}")?,
            None => writeln!(writer, "say `move FROM TO`, of the accounts 0 to 9")?,
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    runtime::dump_on_sigquit()?;
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let look = std::env::var("LOOK_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let look = Duration::from_millis(look);
    layby::run(|| {
        let listener = TcpListener::bind(address)?;
        println!("listening on {}", listener.local_addr()?);
        println!("see its tasks with: kill -QUIT {}", std::process::id());
        let bank = Arc::new(Bank { accounts: Default::default(), look });
        loop {
            let (client, peer) = listener.accept()?;
            let bank = bank.clone();
            go!(task::Builder::new().name(format!("client {peer}")), move || {
                if let Err(error) = serve(&bank, &client) {
                    eprintln!("{peer}: {error}");
                }
            });
        }
    })
}
