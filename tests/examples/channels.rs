//! `examples/sieve`, `examples/pipeline` and `examples/chat`, run as programs.

use crate::common::{Process, example, watchdog, workers};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

#[test]
fn the_sieve_finds_primes() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let mut command = example("sieve");
        command.arg("30").env("LAYBY_WORKERS", n.to_string());
        let finished = Process::run(command);
        assert!(finished.status.success() && finished.stderr.is_empty(), "{finished:?}");
        let primes: Vec<u64> = finished.stdout.lines().map(|line| line.parse().unwrap()).collect();
        let want: Vec<u64> = (2..).filter(|n| (2..*n).all(|d| n % d != 0)).take(30).collect();
        assert_eq!(primes, want);
    }
}

#[test]
fn the_pipeline_keeps_the_order_and_its_room() {
    let _watchdog = watchdog(60);
    let run = |workers: usize| {
        let mut command = example("pipeline");
        command.arg("2000").env("LAYBY_WORKERS", workers.to_string());
        let finished = Process::run(command);
        assert!(finished.status.success(), "{finished:?}");
        let early = finished.stderr.strip_prefix("at most ").and_then(|rest| rest.split(' ').next());
        // What may be under way, between the stages and in them; but a slow hasher may let others pass.
        assert!(early.is_some_and(|early| early.parse::<usize>().is_ok()), "{finished:?}");
        finished.stdout
    };
    let alone = run(1);
    assert!(alone.starts_with("2000 lines, sum "), "{alone}");
    assert_eq!(alone, run(4));
}

struct Guest(BufReader<TcpStream>);

impl Guest {
    fn enter(address: std::net::SocketAddr, name: &str) -> Guest {
        let mut guest = Guest(BufReader::new(TcpStream::connect(address).unwrap()));
        guest.say(name);
        guest
    }

    fn say(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }

    #[track_caller]
    fn hears(&mut self, want: &str) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), want);
    }
}

#[test]
fn a_chat_of_three() {
    let _watchdog = watchdog(60);
    for n in workers() {
        let mut command = example("chat");
        command.args(["127.0.0.1:0", "3600"]).env("LAYBY_WORKERS", n.to_string());
        let server = Process::start(command);
        let address = server.address();
        let mut anna = Guest::enter(address, "anna");
        anna.hears("* here:");
        let mut bert = Guest::enter(address, "bert");
        bert.hears("* here: anna");
        anna.hears("* bert has come");
        bert.say("hello");
        anna.hears("bert: hello");
        bert.hears("bert: hello");
        let mut carl = Guest::enter(address, "carl");
        carl.hears("* here: anna, bert");
        drop(bert);
        anna.hears("* carl has come");
        anna.hears("* bert has left");
        anna.say("anybody?");
        carl.hears("* bert has left");
        carl.hears("anna: anybody?");
    }
}

#[test]
fn the_ticker_of_the_chat() {
    let _watchdog = watchdog(60);
    let mut command = example("chat");
    command.args(["127.0.0.1:0", "0.05"]);
    let server = Process::start(command);
    let mut anna = Guest::enter(server.address(), "anna");
    anna.hears("* here:");
    anna.hears("* 1 are here");
    anna.hears("* 1 are here");
}
