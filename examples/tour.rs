//! What layby does, shown and timed in some seconds: `cargo run --release --example tour`.
//!
//! Results go to stdout as plain text; progress goes to stderr, and only where that is a terminal.
#![forbid(unsafe_code)]

use indicatif::{ProgressBar, ProgressStyle};
use layby::net::{TcpListener, TcpStream};
use layby::task::{self, JoinHandle};
use layby::{gather, go, sleep, yield_now};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TASKS: usize = 100_000;
const CLIENTS: usize = 1_000;
const ECHO_TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let start = Instant::now();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    say(&format!("layby's tour: blocking-style code that runs concurrently ({cores} cores here)"));

    // Each part is a `run` of its own: a root task on this thread, with workers beside it.
    layby::run(ten_sleepers);
    layby::run(three_results);
    layby::run(many_tasks);
    let echoed = layby::run(echo);
    layby::Builder::new().workers(1).run(switch_cost);
    layby::run(one_panic);

    if let Err(error) = echoed {
        eprintln!("\nthe echo part failed: {error}");
        return ExitCode::FAILURE;
    }
    say(&format!("\nAll of it took {}.", seconds(start.elapsed())));
    ExitCode::SUCCESS
}

fn ten_sleepers() {
    title(1, "Ten tasks sleep 1 s each");
    let start = Instant::now();
    let sleepers: Vec<JoinHandle<Duration>> = (0..10)
        .map(|_| {
            go!(move || {
                sleep(Duration::from_secs(1));
                start.elapsed()
            })
        })
        .collect();
    let bar = progress("asleep", 100);
    for _ in 0..100 {
        sleep(Duration::from_millis(10)); // by the last of these the sleepers have ended
        bar.inc(1);
    }
    let ends: Vec<Duration> = sleepers.into_iter().map(|task| task.join().unwrap()).collect();
    bar.finish_and_clear();
    let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    let together = (*last - *first).as_secs_f64() * 1e3;
    row("all ten had ended after", format!("{}, not 10 s", seconds(*last)));
    row("from the first one's end to the last one's", format!("{together:.2} ms"));
}

fn three_results() {
    title(2, "gather! runs expressions side by side and returns their results");
    let start = Instant::now();
    let words = ["lay", "by"]; // borrowed below: no Arc, no clone
    let (length, joined, answer) = gather!(
        {
            sleep(Duration::from_millis(300));
            words.iter().map(|word| word.len()).sum::<usize>()
        },
        {
            sleep(Duration::from_millis(200));
            words.concat()
        },
        {
            sleep(Duration::from_millis(100));
            6 * 7
        },
    );
    row("results, in the order written", format!("({length}, {joined:?}, {answer})"));
    row("sleeps of 300, 200 and 100 ms took", millis(start.elapsed()));
}

/// A place where many tasks wait until they are let on together.
#[derive(Default)]
struct Gate {
    waiting: AtomicUsize,
    open: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Acquire, with the Release in `open`: what the opener did before is seen behind the gate.
        while !self.open.load(Ordering::Acquire) {
            task::park();
        }
    }

    fn open<T>(&self, tasks: &[JoinHandle<T>]) {
        self.open.store(true, Ordering::Release);
        for task in tasks {
            task.task().unpark();
        }
    }

    /// Waits until `all` wait here, or until no more come; returns how many do.
    fn fill(&self, all: usize, bar: &ProgressBar) -> usize {
        let patience = Duration::from_secs(2);
        let (mut waiting, mut changed) = (0, Instant::now());
        while waiting < all && changed.elapsed() < patience {
            sleep(Duration::from_millis(1));
            let now = self.waiting.load(Ordering::Relaxed);
            if now != waiting {
                (waiting, changed) = (now, Instant::now());
            }
            bar.set_position(waiting as u64);
        }
        waiting
    }
}

fn many_tasks() {
    title(3, &format!("{} tasks at once, each with a stack of its own", grouped(TASKS)));
    let bar = progress("tasks waiting at the gate", TASKS);
    let before = resident_bytes();
    let start = Instant::now();
    let gate = Arc::new(Gate::default());
    let tasks: Vec<JoinHandle<usize>> = (0..TASKS)
        .map(|number| {
            let gate = gate.clone();
            go!(move || {
                gate.pass();
                number
            })
        })
        .collect();
    let waiting = gate.fill(TASKS, &bar);
    let time = start.elapsed();
    let memory = resident_bytes().zip(before).map(|(now, before)| now.saturating_sub(before));
    bar.finish_and_clear();

    row("waiting at one gate", format!("{} after {}", grouped(waiting), millis(time)));
    if waiting < TASKS {
        // Before Linux 6.13 a guarded stack takes two mappings, and those are limited.
        row("the others queue for a stack", "see vm.max_map_count".to_owned());
    }
    if let Some(memory) = memory {
        let each = memory as f64 / waiting.max(1) as f64 / 1e3;
        row("memory in use for each of them", format!("{each:.1} kB"));
    }
    let start = Instant::now();
    gate.open(&tasks);
    let sum: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
    assert_eq!(sum, TASKS * (TASKS - 1) / 2, "every task returns its own number");
    row("gate opened, all tasks woken and joined in", millis(start.elapsed()));
}

fn echo() -> io::Result<()> {
    let clients = affordable_clients();
    title(4, &format!("An echo server and {} clients in this process", grouped(clients)));
    if clients < CLIENTS {
        let fewer = format!("{} clients instead of {}", grouped(clients), grouped(CLIENTS));
        row("the descriptor limit (ulimit -Hn) allows", fewer);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let done = Arc::new(AtomicBool::new(false));
    let server = {
        let done = done.clone();
        go!(move || serve(&listener, &done))
    };

    let start = Instant::now();
    let gate = Arc::new(Gate::default());
    let bar = progress("clients connected", clients);
    let mut tasks: Vec<JoinHandle<io::Result<usize>>> = Vec::new();
    while tasks.len() < clients {
        // By the hundred: more at once may overflow the kernel's queue before the server's accept,
        // and whoever is dropped from it tries again only after a second.
        let batch = (clients - tasks.len()).min(100);
        tasks.extend((0..batch).map(|_| {
            let (gate, done) = (gate.clone(), done.clone());
            go!(move || client(addr, &gate, &done))
        }));
        gate.fill(tasks.len(), &bar);
    }
    bar.finish_and_clear();
    row("connected", format!("{} in {}", grouped(tasks.len()), millis(start.elapsed())));

    let start = Instant::now();
    gate.open(&tasks);
    let bar = progress("clients and server at work", 100);
    while start.elapsed() < ECHO_TIME {
        sleep(ECHO_TIME / 100);
        bar.inc(1);
    }
    done.store(true, Ordering::Relaxed);
    let mut requests = 0;
    let mut outcome = Ok(());
    for task in tasks {
        match task.join().unwrap() {
            Ok(count) => requests += count,
            Err(error) => outcome = Err(error),
        }
    }
    let time = start.elapsed();
    bar.finish_and_clear();
    // The server looks at `done` when a client has come; this one comes only for that. Where it is
    // refused, the server has failed before, and its own error tells why.
    drop(TcpStream::connect(addr));
    server.join().unwrap()?;

    let rate = requests as f64 / time.as_secs_f64();
    row("answers of 64 bytes", format!("{} in {}", grouped(requests), seconds(time)));
    row("requests per second", grouped(rate as usize));
    outcome
}

/// Two descriptors a client, since both ends are ours, and some for the rest of the process.
fn affordable_clients() -> usize {
    let spare = 100;
    let wanted = 2 * CLIENTS + spare;
    let limit = rlimit::increase_nofile_limit(wanted as u64).unwrap_or(1_024);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit.saturating_sub(spare) / 2).clamp(1, CLIENTS)
}

fn serve(listener: &TcpListener, done: &AtomicBool) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        if done.load(Ordering::Relaxed) {
            return Ok(());
        }
        go!(move || -> io::Result<()> {
            stream.set_nodelay(true)?;
            let mut buffer = [0; 64];
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    length => stream.write_all(&buffer[..length])?,
                }
            }
        });
    }
}

fn client(addr: SocketAddr, gate: &Gate, done: &AtomicBool) -> io::Result<usize> {
    let connected = connect(addr);
    gate.pass(); // without a connection too: nobody should wait for this one
    let stream = connected?;
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        exchange(&stream)?;
        count += 1;
    }
    Ok(count)
}

/// Connects and makes sure that the server has accepted, by a first answer.
fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    exchange(&stream)?;
    Ok(stream)
}

fn exchange(mut stream: &TcpStream) -> io::Result<()> {
    let question = *b"A lay-by is a place to park beside the road while others pass on";
    let mut answer = [0; 64];
    stream.write_all(&question)?;
    stream.read_exact(&mut answer)?;
    if answer == question { Ok(()) } else { Err(io::Error::other("the echo is not what was sent")) }
}

/// The time of one hand-over between two of `task`, or two of `thread`, by park and unpark. The
/// lines are the same for both; only the module they name differs.
macro_rules! hand_over {
    ($thread:ident, $rounds:expr) => {{
        let turn = Arc::new(AtomicUsize::new(0));
        let (first, same_turn) = ($thread::current(), turn.clone());
        let start = Instant::now();
        let second = $thread::spawn(move || {
            for round in 0..$rounds {
                while same_turn.load(Ordering::Acquire) != 2 * round + 1 {
                    $thread::park();
                }
                same_turn.store(2 * round + 2, Ordering::Release);
                first.unpark();
            }
        });
        for round in 0..$rounds {
            turn.store(2 * round + 1, Ordering::Release);
            second.$thread().unpark();
            while turn.load(Ordering::Acquire) != 2 * round + 2 {
                $thread::park();
            }
        }
        second.join().unwrap();
        nanos(start.elapsed(), 2 * $rounds)
    }};
}

fn switch_cost() {
    title(5, "What a switch costs (tasks on one worker)");
    let yields = 1_000_000;
    let yield_often = || {
        for _ in 0..yields {
            yield_now();
        }
    };
    let start = Instant::now();
    gather!(yield_often(), yield_often());
    row("two tasks, yield_now", nanos(start.elapsed(), 2 * yields));
    row("two tasks, park and unpark", hand_over!(task, 200_000));
    row("two OS threads, park and unpark", hand_over!(thread, 10_000));
}

fn one_panic() {
    title(6, "A panic harms nobody");
    // The default hook would report the panic on stderr. A program wants that; here it would look
    // as if the tour itself had failed.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let neighbours: Vec<JoinHandle<&str>> = (0..3)
        .map(|_| {
            go!(|| {
                sleep(Duration::from_millis(50));
                "done"
            })
        })
        .collect();
    let unlucky = task::Builder::new().name("unlucky".to_owned()).spawn(|| {
        sleep(Duration::from_millis(10));
        panic!("it had to happen");
    });
    match unlucky.map(JoinHandle::<()>::join) {
        Ok(Err(error)) => row("join returns the error", error.to_string()),
        Ok(Ok(())) => unreachable!("it panics"),
        Err(error) => row("it could not be started", error.to_string()),
    }
    let ends: Vec<&str> = neighbours.into_iter().map(|task| task.join().unwrap()).collect();
    panic::set_hook(hook);
    row("its three neighbours return", format!("{} ({})", ends.join(", "), millis(start.elapsed())));
}

/// A line on stdout. Who reads it may have seen enough, as `head` does; that is no reason to panic.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn title(number: usize, text: &str) {
    say(&format!("\n{number}. {text}"));
}

fn row(what: &str, value: String) {
    say(&format!("   {:.<46} {value}", format!("{what} ")));
}

/// A bar on stderr while something lasts; indicatif hides it where stderr is no terminal.
fn progress(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("   {msg} {bar:30} {percent:>3} %").unwrap();
    ProgressBar::new(length as u64).with_style(style).with_message(what)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

/// What one of `count` took.
fn nanos(time: Duration, count: usize) -> String {
    let each = time.as_secs_f64() * 1e9 / count as f64;
    if each < 100.0 { format!("{each:.1} ns") } else { format!("{} ns", grouped(each as usize)) }
}

/// 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The memory that the kernel has given this process, where /proc tells.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
