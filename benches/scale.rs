//! What layby's operations cost as their number grows: from 10 to 1,000,000 tasks, from 1 to 10,000 connections, from 1 to
//! 1,000,000 timers. Writes a curve (SVG) for each and a page with the figures.
//!
//! What rises here is what the caches explain: a task that runs again after many others finds neither its stack nor its
//! page's entry in them. corosensei's bare ring in the yardstick rises in the same places (docs/BENCHMARKS.md).
//!
//! ```text
//! cargo bench --bench scale -- --into docs/bench
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use layby::net::TcpListener;
use layby::{Builder, go};
use plotters::prelude::*;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many there are, and the ns that one operation takes then.
type Points = Vec<(u64, f64)>;

struct Question {
    file: &'static str,
    title: &'static str,
    measure: fn(u64) -> f64,
    /// How many descriptors each of the many takes.
    descriptors: u64,
    most: u64,
}

const QUESTIONS: [Question; 4] = [
    Question {
        file: "scale-yield",
        title: "A yield, by the number of tasks",
        measure: yields,
        descriptors: 0,
        most: 1_000_000,
    },
    Question {
        file: "scale-spawn",
        title: "Spawn and join, by the size of the batch",
        measure: spawns,
        descriptors: 0,
        most: 1_000_000,
    },
    Question {
        file: "scale-timer",
        title: "A timeout set and taken back, by the number of timers",
        measure: timers,
        descriptors: 0,
        most: 1_000_000,
    },
    Question {
        file: "scale-echo",
        title: "Echo of 64 bytes, by the number of connections",
        measure: echoes,
        descriptors: 2,
        most: 10_000,
    },
];

impl Question {
    /// How many can be asked for where this process may have so many descriptors.
    fn room(&self, descriptors: u64) -> u64 {
        descriptors.saturating_sub(200).checked_div(self.descriptors).unwrap_or(u64::MAX)
    }
}

/// Of `tasks` that do nothing else.
fn yields(tasks: u64) -> f64 {
    let rounds = (3_000_000 / tasks).max(4);
    on_one_worker(move || {
        let each = move |_| go!(move || (0..rounds).for_each(|_| layby::yield_now()));
        let all: Vec<_> = (0..tasks).map(each).collect();
        layby::yield_now(); // each takes its stack, and stands after its first switch
        let start = Instant::now();
        all.into_iter().for_each(|task| task.join().expect("it only yields"));
        ns(start, tasks * (rounds - 1))
    })
}

fn spawns(tasks: u64) -> f64 {
    let rounds = (300_000 / tasks).max(2);
    on_one_worker(move || {
        let batch = || {
            let all: Vec<_> = (0..tasks).map(|i| go!(move || i)).collect();
            all.into_iter().for_each(|task| assert!(task.join().is_ok()));
        };
        batch();
        let start = Instant::now();
        (0..rounds).for_each(|_| batch());
        ns(start, tasks * rounds)
    })
}

/// While `timers` tasks sleep for hours.
fn timers(timers: u64) -> f64 {
    const ROUNDS: u64 = 200_000;
    on_one_worker(move || {
        let hours = |i| Duration::from_secs(3_600) + Duration::from_micros(i * 7_919 % 3_600_000_000);
        let sleepers: Vec<_> = (0..timers).map(|i| go!(move || layby::sleep(hours(i)))).collect();
        layby::yield_now(); // all sleep
        let start = Instant::now();
        for i in 0..ROUNDS {
            let limit = Duration::from_millis(10 + i % 1_000);
            layby::timeout(limit, layby::yield_now).expect("in time");
        }
        let time = ns(start, ROUNDS);
        sleepers.iter().for_each(|sleeper| sleeper.cancel());
        time
    })
}

/// The load is one OS thread that writes on each connection and then reads each answer; the time holds its share.
fn echoes(connections: u64) -> f64 {
    let runtime = Builder::new().workers(1).build().expect("a runtime");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let accept = runtime.spawn(move || {
        for stream in TcpListener::from(listener).incoming() {
            let mut stream = stream.expect("a connection");
            go!(move || {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..length]).expect("the client reads");
                }
            });
        }
    });
    let connect = |_| std::net::TcpStream::connect(address).expect("the server listens");
    let mut streams: Vec<_> = (0..connections).map(connect).collect();
    let mut buffer = [7; 64];
    let mut round = || {
        streams.iter_mut().for_each(|stream| stream.write_all(&buffer).expect("the server reads"));
        streams.iter_mut().for_each(|stream| stream.read_exact(&mut buffer).expect("the server answers"));
    };
    round();
    let rounds = (40_000 / connections).max(3);
    let start = Instant::now();
    (0..rounds).for_each(|_| round());
    let time = ns(start, connections * rounds);
    accept.cancel();
    time
}

fn on_one_worker(f: impl FnOnce() -> f64 + Send) -> f64 {
    Builder::new().workers(1).build().expect("a runtime").run(f)
}

fn ns(start: Instant, operations: u64) -> f64 {
    start.elapsed().as_nanos() as f64 / operations as f64
}

/// 1, 10, 100 …, each the median of three.
fn curve(question: &Question, most: u64) -> Points {
    let steps =
        std::iter::successors(Some(if question.most > 10_000 { 10 } else { 1 }), |many| Some(many * 10));
    let median = |many| {
        let mut times = [0; 3].map(|_| (question.measure)(many));
        times.sort_by(f64::total_cmp);
        times[1]
    };
    steps.take_while(|many| *many <= most).map(|many| (many, median(many))).collect()
}

fn chart(question: &Question, points: &Points, path: &Path) -> Result<()> {
    let first = points[0].0 as f64;
    let last = points[points.len() - 1].0 as f64;
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let root = SVGBackend::new(path, (640, 320)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}: ns", question.title), ("sans-serif", 17))
        .margin(10)
        .x_label_area_size(26)
        .y_label_area_size(56)
        .build_cartesian_2d((first..last).log_scale(), 0.0..highest * 1.15)?;
    chart.configure_mesh().x_label_formatter(&|many| format!("{many:.0}")).draw()?;
    let color = RGBColor(214, 96, 36);
    let line = points.iter().map(|&(many, time)| (many as f64, time));
    chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?;
    chart.draw_series(line.map(|point| Circle::new(point, 4, color.filled())))?;
    root.present()?;
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        for question in &QUESTIONS {
            assert!(curve(question, 10).iter().all(|point| point.1 > 0.0), "{}", question.title);
        }
        return Ok(());
    }
    let target = env::current_exe()?.ancestors().nth(3).ok_or("no target directory")?.join("bench-report");
    let place = arguments.iter().position(|argument| argument == "--into");
    let into = place.and_then(|place| arguments.get(place + 1)).map_or(target, PathBuf::from);
    fs::create_dir_all(&into)?;
    // Both ends of each connection are this process's.
    let descriptors = rlimit::increase_nofile_limit(20_200)?;
    let mut page = String::from(
        "# Scale\n\nMade by `ci/bench-report`. One worker; each figure is the median of three.\n",
    );
    for question in &QUESTIONS {
        let points = curve(question, question.most.min(question.room(descriptors)));
        chart(question, &points, &into.join(question.file).with_extension("svg"))?;
        page += &format!(
            "\n## {}\n\n![{}]({}.svg)\n\n| how many | ns |\n|---:|---:|\n",
            question.title, question.title, question.file
        );
        points.iter().for_each(|(many, time)| page += &format!("| {many} | {time:.1} |\n"));
        println!("{}: {points:.1?}", question.title);
    }
    fs::write(into.join("scale.md"), page)?;
    Ok(())
}
