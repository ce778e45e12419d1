//! `examples/asyncio` beside the Python that does the same: what the one prints, and, where `python3` is installed, what the other does.

use crate::common::{Process, example, watchdog};
use std::path::{Path, PathBuf};
use std::process::Command;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/asyncio")
}

/// The names, from the files.
fn snippets() -> Vec<String> {
    let files = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    let mut names: Vec<_> =
        scripts.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    assert!(names.len() > 10);
    names
}

fn expected(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs them all at once, and those that print something else again, one by one: the order of their lines is one of real time, so
/// each has three more tries.
fn all_print(command: impl Fn(&str) -> Command, file: impl Fn(&str) -> String) {
    let start = |name: String| (Process::start(command(&name)), name);
    let running: Vec<_> = snippets().into_iter().map(start).collect();
    for (mut process, name) in running {
        let expected = expected(&file(&name));
        for tries_left in (0..=3).rev() {
            let finished = process.finish();
            assert!(finished.status.success(), "{name}: {}", finished.stderr);
            if finished.stdout == expected {
                break;
            }
            assert!(tries_left > 0, "{name}: {}\nis not\n{expected}", finished.stdout);
            process = Process::start(command(&name));
        }
    }
}

#[test]
fn each_prints_what_it_should() {
    let _watchdog = watchdog(60);
    let command = |name: &str| {
        let mut command = example("asyncio");
        command.arg(name);
        command
    };
    all_print(command, |name| format!("{name}.txt"));
}

#[test]
fn and_so_does_python() {
    let _watchdog = watchdog(120);
    let version = "import sys; sys.exit(sys.version_info < (3, 11))";
    if !Command::new("python3").args(["-c", version]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no Python 3.11 or later");
        return;
    }
    let command = |name: &str| {
        let mut command = Command::new("python3");
        command.arg("-B").arg(directory().join(format!("{name}.py")));
        command
    };
    let file = |name: &str| {
        let own = format!("{name}.py.txt");
        if directory().join(&own).exists() { own } else { format!("{name}.txt") }
    };
    all_print(command, file);
}
