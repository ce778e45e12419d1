//! A million tasks parked at once, each on a stack of its own with a guard below it.
//!
//! ```sh
//! cargo run --release --example million            # or: -- 100000
//! ```
//!
//! It takes about 5 GB of memory, and no setting of the kernel needs to be changed: address space is only
//! reserved, and guard markers (Linux 6.13) do not split mappings. On older kernels, where each guard is a mapping of
//! its own, some 30,000 tasks fit at a time; the rest wait, unstarted, until stacks are free, so ask for fewer there.

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use layby::{go, task};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let count = match argument.as_deref().map(str::parse::<usize>) {
        None => 1_000_000,
        Some(Ok(count)) if count > 0 => count,
        Some(_) => {
            eprintln!("usage: million [COUNT]; COUNT is how many tasks to park, at least 1");
            return ExitCode::from(2);
        }
    };
    match layby::run(|| million(count)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("million: {error}");
            ExitCode::FAILURE
        }
    }
}

fn million(count: usize) -> Result<(), Box<dyn Error>> {
    let before = Memory::now()?;
    let start = Instant::now();
    let parked = Arc::new(AtomicUsize::new(0));
    let released = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (parked, released) = (parked.clone(), released.clone());
            go!(move || {
                parked.fetch_add(1, Ordering::Relaxed);
                // `park` may return early, as std's may: only the flag counts.
                while released.load(Ordering::Acquire) == 0 {
                    task::park();
                }
            })
        })
        .collect();
    while parked.load(Ordering::Relaxed) < count {
        layby::yield_now();
    }
    println!("parked   {count} tasks in {:.2} s", start.elapsed().as_secs_f64());

    let memory = Memory::now()?;
    let each = |kib: usize| kib * 1024 / count;
    println!(
        "memory   {} B resident and {} B of page tables each, {} mappings in all",
        each(memory.resident.saturating_sub(before.resident)),
        each(memory.page_tables.saturating_sub(before.page_tables)),
        memory.mappings,
    );

    let start = Instant::now();
    released.store(1, Ordering::Release);
    for task in &tasks {
        task.task().unpark();
    }
    for task in tasks {
        task.join()?;
    }
    println!("woken and joined, all of them, in {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// What the kernel says of this process, in KiB.
struct Memory {
    resident: usize,
    page_tables: usize,
    mappings: usize,
}

impl Memory {
    fn now() -> Result<Memory, Box<dyn Error>> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| -> Result<usize, Box<dyn Error>> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.ok_or_else(|| format!("/proc/self/status has no {name}"))?.parse()?)
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            page_tables: field("VmPTE:")?,
            mappings: fs::read_to_string("/proc/self/maps")?.lines().count(),
        })
    }
}
