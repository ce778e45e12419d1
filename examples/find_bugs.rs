//! Three classic bugs, found by their schedules: `cargo run --example find_bugs [SEEDS]`
//!
//! Each is run under many seeds until one fails; then under that seed again, which fails in the same way; then mended, under all seeds.
//! What the failing runs say is on stderr.
#![forbid(unsafe_code)]

#[path = "support/bugs.rs"]
mod bugs;

use bugs::BUGS;
use layby::testing::Explore;
use std::process::ExitCode;

fn main() -> ExitCode {
    let seeds = std::env::args().nth(1).map_or(Ok(200), |text| text.parse());
    let Ok(seeds) = seeds else {
        eprintln!("usage: find_bugs [SEEDS]    (default 200)");
        return ExitCode::from(2);
    };
    let mut all_is_well = true;
    for (name, test) in BUGS {
        match Explore::new().seeds(seeds).find(|| test(false)) {
            None => {
                println!("{name}: not found in {seeds} schedules");
                all_is_well = false;
            }
            Some(failure) => {
                println!("{name}: found in schedule {}, by seed {}", failure.schedules(), failure.seed());
                println!("    {}", failure.message());
                let again = Explore::new().only(failure.seed()).find(|| test(false));
                let same = again.is_some_and(|again| again.message() == failure.message());
                println!(
                    "    run again with that seed: {}",
                    if same { "the same" } else { "something else" }
                );
                all_is_well &= same;
            }
        }
        match Explore::new().seeds(seeds).find(|| test(true)) {
            None => println!("    mended: {seeds} schedules, none has failed"),
            Some(failure) => {
                println!("    mended: {failure:?}");
                all_is_well = false;
            }
        }
    }
    ExitCode::from(u8::from(!all_is_well))
}
