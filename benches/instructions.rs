//! How many instructions the hot paths take, held against `instructions.txt`: a guard, not a comparison.
//!
//! Times move with whatever else the machine does; a count of instructions does not, so a slip of a few in a
//! hundred is seen at once. Each case runs in a process of its own under valgrind's callgrind, with few rounds and with many;
//! the difference, by round, is free of start and end. More than 3 % off what is on record, either way, fails:
//! a gain is worth recording, too.
//!
//! ```text
//! cargo bench --bench instructions              # compare
//! cargo bench --bench instructions -- --record  # write instructions.txt anew, after a change that is meant
//! ```
//!
//! The figures belong to one compiler and one processor family: the first line of the record names them. Elsewhere the program
//! shows what it counts and does not judge.

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::{env, fs};

use layby::{channel, go, sync::Mutex, task};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const FEW: u64 = 2_000;
const MANY: u64 = 22_000;
/// In percent of what is on record.
const TOLERANCE: f64 = 3.0;

type Case = (&'static str, fn(u64));

const CASES: [Case; 8] = [
    ("yield, of 2 tasks", yields),
    ("spawn and join", spawns),
    ("unpark and park, there and back", wakes),
    ("Mutex, lock and unlock", locks),
    ("bounded(1), there and back", round_trips),
    ("bounded(100), a message", messages),
    ("timeout around nothing", timeouts),
    ("scope with one child", scopes),
];

fn yields(rounds: u64) {
    let go_round = move || (0..rounds / 2).for_each(|_| layby::yield_now());
    let other = go!(go_round);
    go_round();
    other.join().unwrap();
}

fn spawns(rounds: u64) {
    for i in 0..rounds {
        assert_eq!(go!(move || i).join().unwrap(), i);
    }
}

fn wakes(rounds: u64) {
    let here = task::current();
    let other = go!(move || for _ in 0..rounds {
        task::park();
        here.unpark();
    });
    for _ in 0..rounds {
        other.task().unpark();
        task::park();
    }
    other.join().unwrap();
}

fn locks(rounds: u64) {
    let mutex = Mutex::new(0);
    for _ in 0..rounds {
        *black_box(&mutex).lock().unwrap() += 1;
    }
}

fn round_trips(rounds: u64) {
    let ((to, requests), (answers, from)) = (channel::bounded(1), channel::bounded(1));
    let echo = go!(move || requests.iter().for_each(|i: u64| answers.send(i).unwrap()));
    for i in 0..rounds {
        to.send(i).unwrap();
        assert_eq!(from.recv(), Ok(i));
    }
    drop(to);
    echo.join().unwrap();
}

fn messages(rounds: u64) {
    let (to, from) = channel::bounded(100);
    let sender = go!(move || (0..rounds).for_each(|i| to.send(i).unwrap()));
    assert_eq!(from.iter().count() as u64, rounds);
    sender.join().unwrap();
}

fn timeouts(rounds: u64) {
    for i in 0..rounds {
        let limit = std::time::Duration::from_secs(10);
        assert_eq!(layby::timeout(limit, || black_box(i)), Ok(i));
    }
}

fn scopes(rounds: u64) {
    for i in 0..rounds {
        layby::scope(|s| assert_eq!(s.spawn(|| black_box(i)).join().unwrap(), i));
    }
}

/// What one round takes.
fn count(case: &str) -> Result<f64, String> {
    let instructions = |rounds: u64| -> Result<f64, String> {
        let this = env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(this)
            .args(["--case", case, &rounds.to_string()])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
        collected.filter(|_| output.status.success()).ok_or_else(|| format!("{}\n{said}", output.status))
    };
    Ok((instructions(MANY)? - instructions(FEW)?) / (MANY - FEW) as f64)
}

/// The compiler and the processor's kind, on which the figures depend.
fn made_with() -> String {
    let rustc = Command::new("rustc").arg("--version").output();
    let version =
        rustc.map_or_else(|error| error.to_string(), |ran| String::from_utf8_lossy(&ran.stdout).into());
    format!("{}, {}", version.trim(), env::consts::ARCH)
}

fn compare_all(record: bool) -> Result<(), String> {
    let made_with = made_with();
    let before = fs::read_to_string(RECORD).unwrap_or_default();
    let judge = !record && before.lines().next() == Some(&made_with);
    let mut text = format!("{made_with}\n");
    let mut off = Vec::new();
    println!("{:<34}{:>10}{:>10}{:>9}", "instructions a round", "recorded", "now", "change");
    for (case, _) in CASES {
        let now = count(case).map_err(|error| format!("{case}: {error}"))?;
        text += &format!("{case}\t{now:.1}\n");
        let then =
            before.lines().find_map(|line| line.strip_prefix(case)?.strip_prefix('\t')?.parse::<f64>().ok());
        let change = then.map(|then| (now / then - 1.0) * 100.0);
        let column = |value: Option<f64>, unit| value.map_or("-".into(), |value| format!("{value:.1}{unit}"));
        println!("{case:<34}{:>10}{now:>10.1}{:>9}", column(then, ""), column(change, " %"));
        if change.is_none_or(|change| change.abs() > TOLERANCE) {
            off.push(case);
        }
    }
    if record {
        return fs::write(RECORD, text).map_err(|error| format!("{RECORD}: {error}"));
    }
    if !judge {
        println!("not judged: the record was made with {:?}, this is {made_with:?}", before.lines().next());
        return Ok(());
    }
    if off.is_empty() {
        return Ok(());
    }
    Err(format!("off by more than {TOLERANCE} %, or not on record: {off:?}. If that is meant: `-- --record`"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag| arguments.iter().any(|argument| argument == flag);
    if let [flag, name, rounds] = &arguments[..]
        && flag == "--case"
    {
        let (_, case) = CASES.iter().find(|(case, _)| case == name).expect("a case");
        let rounds = rounds.parse().expect("a number of rounds");
        layby::Builder::new().workers(1).run(|| case(rounds));
        return ExitCode::SUCCESS;
    }
    if has("--test") {
        CASES.iter().for_each(|(_, case)| layby::Builder::new().workers(1).run(|| case(100)));
        return ExitCode::SUCCESS;
    }
    match compare_all(has("--record")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
