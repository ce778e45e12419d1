//! A pipeline in three stages on several workers: lines are made, hashed by a handful of tasks, and put back in order.
//!
//! The channels are bounded, so a fast stage waits for a slow one (back-pressure), and the memory is that of the
//! lines under way, however many there are in all. Each stage ends when the one before it has dropped its senders.
//!
//!     cargo run --release --example pipeline -- 100000

use layby::channel::{Receiver, Sender, bounded};
use layby::go;
use std::collections::BTreeMap;

/// How many lines may lie between two stages.
const ROOM: usize = 64;
const HASHERS: usize = 4;

struct Line {
    number: usize,
    text: String,
}

struct Hashed {
    number: usize,
    hash: u64,
}

fn make(count: usize, lines: Sender<Line>) {
    for number in 0..count {
        let text = format!("this is line {number}");
        if lines.send(Line { number, text }).is_err() {
            return; // nobody wants them any more
        }
    }
}

/// FNV-1a, over and over: some work.
fn hash(text: &str) -> u64 {
    let bytes = text.bytes().cycle().take(50 * text.len());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn work(lines: Receiver<Line>, hashed: Sender<Hashed>) {
    for Line { number, text } in lines {
        let done = Hashed { number, hash: hash(&text) };
        if hashed.send(done).is_err() {
            return;
        }
    }
}

/// In the order of the lines, whatever order the hashers were done in. Returns how many, and a sum over all.
fn in_order(hashed: Receiver<Hashed>) -> (usize, u64, usize) {
    let (mut next, mut sum, mut most_early) = (0, 0_u64, 0);
    let mut early = BTreeMap::new();
    for Hashed { number, hash } in hashed {
        early.insert(number, hash);
        most_early = most_early.max(early.len());
        while let Some(hash) = early.remove(&next) {
            sum = sum.rotate_left(1) ^ hash;
            next += 1;
        }
    }
    (next, sum, most_early)
}

fn main() {
    let count = match std::env::args().nth(1).map(|n| n.parse::<usize>()) {
        None => 10_000,
        Some(Ok(count)) => count,
        Some(Err(error)) => {
            eprintln!("usage: pipeline [LINES]: {error}");
            std::process::exit(2);
        }
    };
    let (done, sum, most_early) = layby::run(|| {
        let (line_s, line_r) = bounded(ROOM);
        let (hash_s, hash_r) = bounded(ROOM);
        go!(move || make(count, line_s));
        for _ in 0..HASHERS {
            let (lines, hashed) = (line_r.clone(), hash_s.clone());
            go!(move || work(lines, hashed));
        }
        // The hashers' are the only ones left, so that each stage ends with the one before.
        drop((line_r, hash_s));
        in_order(hash_r)
    });
    println!("{done} lines, sum {sum:016x}");
    eprintln!("at most {most_early} lines were early");
}
