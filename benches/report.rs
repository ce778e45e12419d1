//! Makes a page out of criterion's figures: a table and a chart (SVG) for each group, in Markdown.
//!
//! `ci/bench-report` runs the benches and then this; alone it takes what is in `CRITERION_HOME`, or else in
//! `target/criterion`:
//!
//! ```text
//! cargo bench --bench report -- --into docs/bench
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use plotters::prelude::*;
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One row of a group, in ns for one operation.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    low: f64,
    estimate: f64,
    high: f64,
}

/// By name.
type Groups = BTreeMap<String, Vec<Row>>;

fn json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Every `…/new/benchmark.json` below `folder`.
fn runs(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            runs(&path, found)?;
        } else if path.ends_with("new/benchmark.json") {
            found.push(path);
        }
    }
    Ok(())
}

fn row(benchmark: &Value, estimates: &Value) -> Option<(String, Row)> {
    let text = |key| benchmark[key].as_str().map(String::from);
    let parts = [text("function_id"), text("value_str")];
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let elements = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    // criterion itself shows the slope where it has one: it is the steadier.
    let estimate = if estimates["slope"].is_object() { &estimates["slope"] } else { &estimates["mean"] };
    let interval = &estimate["confidence_interval"];
    Some((
        text("group_id")?,
        Row {
            name,
            low: interval["lower_bound"].as_f64()? / elements,
            estimate: estimate["point_estimate"].as_f64()? / elements,
            high: interval["upper_bound"].as_f64()? / elements,
        },
    ))
}

fn groups(folder: &Path) -> Result<Groups> {
    let (mut found, mut groups) = (Vec::new(), Groups::new());
    runs(folder, &mut found)?;
    found.sort();
    for path in found {
        let (benchmark, estimates) = (json(&path)?, json(&path.with_file_name("estimates.json"))?);
        let (group, row) = row(&benchmark, &estimates)
            .ok_or_else(|| format!("{}: not what criterion 0.8 writes", path.display()))?;
        groups.entry(group).or_default().push(row);
    }
    Ok(groups)
}

/// A time with the unit that suits it.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ..1e3 => (ns, "ns"),
        ..1e6 => (ns / 1e3, "µs"),
        ..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// Bars from left to right, on a scale where each line is ten times the one before.
fn chart(group: &str, rows: &[Row], path: &Path) -> Result<()> {
    let lowest = rows.iter().map(|row| row.estimate).fold(f64::INFINITY, f64::min);
    let highest = rows.iter().map(|row| row.estimate).fold(0.0, f64::max);
    // One decade below, so that the shortest bar is one.
    let (from, to) = (10_f64.powf(lowest.log10().floor() - 1.0), highest * 4.0);
    let root = SVGBackend::new(path, (900, 70 + 24 * rows.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{group}: time of one operation (shorter is better)"), ("sans-serif", 17))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(0)
        .build_cartesian_2d((from..to).log_scale(), 0.0..rows.len() as f64)?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().x_label_formatter(&|ns| time(*ns)).draw()?;
    for (place, row) in rows.iter().rev().enumerate() {
        let (bottom, ours) = (place as f64, row.name.contains("layby"));
        let color = if ours { RGBColor(214, 96, 36) } else { RGBColor(150, 165, 185) };
        let bar = [(from, bottom + 0.12), (row.estimate, bottom + 0.88)];
        chart.draw_series([Rectangle::new(bar, color.filled())])?;
        let label = format!(" {}: {}", row.name, time(row.estimate));
        let label = Text::new(label, (from, bottom + 0.76), ("sans-serif", 14).into_font().color(&BLACK));
        chart.draw_series([label])?;
    }
    root.present()?;
    Ok(())
}

/// What of this machine the figures depend on.
fn machine() -> String {
    let ran = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(|_| "?".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "| | |\n|---|---|\n| date | {} |\n| processor | {}, {} of them for this process |\n| kernel | {} |\n| compiler | {} |\n",
        ran("date", &["-u", "+%F"]),
        model.map_or("?", |(_, name)| name),
        std::thread::available_parallelism().map_or(0, usize::from),
        ran("uname", &["-sr"]),
        ran("rustc", &["--version"]),
    )
}

fn page(groups: &Groups) -> String {
    let mut page = format!(
        "# Bench report\n\nMade by `ci/bench-report`: criterion's estimates, of one operation, with the interval of 95 %.\n\
         Only figures of one page may be compared.\n\n{}",
        machine()
    );
    for (group, rows) in groups {
        page += &format!(
            "\n## {group}\n\n![{group}]({})\n\n| row | low | estimate | high |\n|---|---:|---:|---:|\n",
            file(group)
        );
        for row in rows {
            page += &format!(
                "| {} | {} | {} | {} |\n",
                row.name,
                time(row.low),
                time(row.estimate),
                time(row.high)
            );
        }
    }
    page
}

fn file(group: &str) -> String {
    let plain: String = group.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{plain}.svg")
}

fn write(from: &Path, into: &Path) -> Result<()> {
    let groups = groups(from)?;
    if groups.is_empty() {
        return Err(format!("{} has no figures of criterion: run `cargo bench` first", from.display()).into());
    }
    fs::create_dir_all(into)?;
    for (group, rows) in &groups {
        chart(group, rows, &into.join(file(group)))?;
    }
    fs::write(into.join("README.md"), page(&groups))?;
    println!(
        "{} groups, {} rows: {}",
        groups.len(),
        groups.values().map(Vec::len).sum::<usize>(),
        into.join("README.md").display()
    );
    Ok(())
}

/// Two rows as criterion writes them, through all of it.
fn check() -> Result<()> {
    let folder = env::temp_dir().join(format!("layby-bench-report-{}", std::process::id()));
    for (name, ns) in [("layby", 500.0), ("tokio", 9_000.0)] {
        let new = folder.join("criterion").join(name).join("new");
        fs::create_dir_all(&new)?;
        let benchmark = format!(
            r#"{{"group_id":"a b","function_id":"{name}","value_str":"7","throughput":{{"Elements":10}}}}"#
        );
        let estimate = format!(
            r#"{{"confidence_interval":{{"lower_bound":{ns},"upper_bound":{ns}}},"point_estimate":{ns}}}"#
        );
        fs::write(new.join("benchmark.json"), benchmark)?;
        fs::write(new.join("estimates.json"), format!(r#"{{"mean":{estimate},"slope":null}}"#))?;
    }
    write(&folder.join("criterion"), &folder)?;
    let page = fs::read_to_string(folder.join("README.md"))?;
    assert!(page.contains("| layby, 7 | 50 ns | 50 ns | 50 ns |"), "{page}");
    assert!(page.contains("| tokio, 7 | 900 ns |"), "{page}");
    assert!(fs::read_to_string(folder.join("a-b.svg"))?.contains("tokio, 7: 900 ns"));
    Ok(fs::remove_dir_all(folder)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return check();
    }
    let target = env::current_exe()?.ancestors().nth(3).ok_or("no target directory")?.to_owned();
    let from = env::var_os("CRITERION_HOME").map_or_else(|| target.join("criterion"), PathBuf::from);
    let place = arguments.iter().position(|argument| argument == "--into");
    let into = place
        .and_then(|place| arguments.get(place + 1))
        .map_or_else(|| target.join("bench-report"), PathBuf::from);
    write(&from, &into)
}
