//! Holds the sources against the layers of the design: a module uses only layers below its own.
//!
//! There is no compiler support for this, so it is done on tokens. From each file under `src` come
//! the paths that start with `crate`, `self` or `super`, in `use` trees and inline, without comments,
//! literals and whatever is `cfg(test)`. The first segment of a resolved path is the module that is
//! used; a path to an item of the crate root counts as using `lib`. `$crate` is written for the
//! place where a macro is expanded, so it counts as `macros`, wherever the macro is.

#[path = "layering/arrows.rs"]
mod arrows;
#[path = "layering/planted.rs"]
mod planted;
#[path = "layering/tokens.rs"]
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrows::{Arrow, File, arrows, files};

/// The one table. Below means above in this list.
///
/// `generator` needs a stack and a coroutine, no runtime; it is above `park` all the same, because what unwinds, what is being
/// cancelled and which frames are open is kept there, for tasks and for threads that are none. It parks nothing itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("0", &["sys", "util"]),
    ("1", &["stack"]),
    ("2", &["coroutine", "fiber"]),
    ("3", &["dump", "reactor", "timer"]),
    ("4", &["sched"]),
    ("5", &["instant", "park"]),
    ("6", &["sync", "channel", "sleep", "generator"]),
    ("7", &["spawn", "blocking", "interval"]),
    ("8a", &["scope", "timeout", "io"]),
    ("8b", &["gather", "group", "race", "net", "fs", "process", "signal", "future"]),
    ("9", &["runtime", "testing"]),
    (
        "10",
        &[
            "lib",
            "__private",
            "cancellation",
            "debugging",
            "from_asyncio",
            "from_go",
            "guide",
            "porting",
            "soundness",
            "testing_page",
            "macros",
            "task",
            "thread",
            "time",
        ],
    ),
];

/// What may be used within a layer.
const SIBLINGS: &[(&str, &[&str])] = &[
    ("fiber", &["coroutine"]),
    // `sync::mpsc` is the channel under std's names. The channel uses nothing of `sync`: it has a lock of its own.
    ("sync", &["channel"]),
    // `net::serve` keeps its connections in a group.
    ("net", &["group"]),
    ("lib", &["macros", "task", "thread", "time"]),
    ("__private", &["lib", "task"]),
    ("macros", &["lib", "__private", "task", "thread", "time"]),
    ("thread", &["task", "time"]),
    ("task", &["time"]),
];

/// Crates that a single module may name.
const CRATES: &[(&str, &str)] =
    &[("libc", "sys"), ("corosensei", "coroutine"), ("mio", "reactor"), ("backtrace", "dump")];

fn is_known(module: &str) -> bool {
    LAYERS.iter().any(|(_, modules)| modules.contains(&module))
}

/// Where an arrow points up or sideways, and modules that have no layer.
fn wrong_arrows(files: &[File]) -> Vec<String> {
    let (arrows, modules) = arrows(files);
    let unknown = modules.iter().filter(|m| !is_known(m));
    let mut wrong: Vec<String> = unknown.map(|m| format!("module {m} is not in the table")).collect();
    let rank = |module: &str| LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    for Arrow { place, from, to, .. } in &arrows {
        let (Some(high), Some(low)) = (rank(from), rank(to)) else {
            continue;
        };
        let sibling = high == low && SIBLINGS.iter().any(|(m, may)| m == from && may.contains(&to.as_str()));
        if low >= high && !sibling {
            let (high, low) = (LAYERS[high].0, LAYERS[low].0);
            wrong.push(format!("{place} layer {high} ({from}) may not use layer {low} ({to})"));
        }
    }
    wrong
}

/// One cycle of top-level modules that import each other, if there is any.
fn cycle(files: &[File]) -> Option<Vec<String>> {
    fn visit<'a>(
        module: &'a str,
        uses: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        open: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(start) = open.iter().position(|m| *m == module) {
            return Some(open[start..].iter().chain([&module]).map(|m| m.to_string()).collect());
        }
        if !done.insert(module) {
            return None;
        }
        open.push(module);
        let found = uses.get(module).and_then(|to| to.iter().find_map(|m| visit(m, uses, open, done)));
        open.pop();
        found
    }
    let (arrows, _) = arrows(files);
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|a| !a.expanded) {
        uses.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| visit(module, &uses, &mut Vec::new(), &mut done))
}

/// Where `name`d crate is named outside of its module.
fn named_elsewhere(files: &[File], name: &str) -> Vec<String> {
    let (_, module) = CRATES.iter().find(|(krate, _)| *krate == name).expect("a crate of the list");
    let elsewhere = files.iter().filter(|f| f.module.first().is_none_or(|m| m != module));
    elsewhere
        .flat_map(|f| f.tokens.iter().filter(|t| t.text == name).map(|t| format!("{}:{}", f.path, t.line)))
        .map(|place| format!("{place} names {name}, which only {module} may"))
        .collect()
}

fn crate_files() -> Vec<File> {
    fn walk(dir: &Path, root: &Path, out: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path != root.join("src/bin") {
                walk(&path, root, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let source = std::fs::read_to_string(&path).expect("a readable source");
                let path = path.strip_prefix(root).expect("below the root");
                out.push((path.display().to_string(), source));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    walk(&root.join("src"), root, &mut sources);
    sources.sort();
    files(&sources)
}

#[track_caller]
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} found:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn modules_use_only_lower_layers() {
    let files = crate_files();
    let (arrows, modules) = arrows(&files);
    assert!(modules.contains("sched") && arrows.len() > 20, "the sources were not found: {modules:?}");
    assert_none(wrong_arrows(&files));
}

#[test]
fn modules_import_in_no_cycle() {
    assert_none(cycle(&crate_files()).into_iter().map(|c| c.join(" -> ")).collect());
}

#[test]
fn only_sys_names_libc() {
    assert_none(named_elsewhere(&crate_files(), "libc"));
}

#[test]
fn only_coroutine_names_corosensei() {
    assert_none(named_elsewhere(&crate_files(), "corosensei"));
}

#[test]
fn only_reactor_names_mio() {
    assert_none(named_elsewhere(&crate_files(), "mio"));
}
