//! `examples/per_worker` as its clients see it.

use crate::common::{Process, example, watchdog};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

#[test]
fn the_kernel_deals_the_clients_out() {
    const CLIENTS: usize = 200;
    let _watchdog = watchdog(60);
    let mut command = example("per_worker");
    command.arg("127.0.0.1:0");
    let server = Process::start(command);
    let mut streams: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for stream in &mut streams {
        writeln!(stream, "hello").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let (worker, rest) = line.split_once(", client ").expect("the worker's number");
        assert!(rest.trim_end().ends_with(": hello"), "{line}");
        *seen.entry(worker.to_owned()).or_default() += 1;
    }
    assert!(seen.len() >= 2, "all on one worker: {seen:?}");
    assert_eq!(seen.values().sum::<usize>(), CLIENTS);
}
