//! Names for addresses, and which of the frames are for people.

#![forbid(unsafe_code)]

use core::fmt;
use std::collections::HashMap;
use std::env;
use std::path::{Component, Path, PathBuf};

/// One backtrace: its addresses, and what they stand for.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    addresses: Box<[usize]>,
    frames: Vec<Symbol>,
}

impl Resolved {
    pub(super) fn new(addresses: Box<[usize]>) -> Resolved {
        Resolved { addresses, frames: Vec::new() }
    }

    pub(super) fn addresses(&self) -> &[usize] {
        &self.addresses
    }

    pub(super) fn frames(&self) -> &[Symbol] {
        &self.frames
    }
}

/// A call. Of one address there are several, if calls were inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) address: usize,
    /// `None`: the program has no symbols.
    pub(super) function: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    whose: Whose,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Program,
    Layby,
    /// What std puts between a closure and its caller.
    Glue,
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => f.write_str(function)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        let Some(file) = &self.file else { return Ok(()) };
        write!(f, " at {file}")?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

/// Each distinct address once: a name takes some 30 µs, and the first one of a program reads its tables.
pub(super) fn resolve(stacks: &mut [Resolved]) {
    let here = env::current_dir().unwrap_or_default();
    let mut known: HashMap<usize, Vec<Symbol>> = HashMap::new();
    for stack in stacks {
        let mut frames = Vec::new();
        for &address in &stack.addresses {
            frames.extend_from_slice(known.entry(address).or_insert_with(|| symbols(address, &here)));
        }
        stack.frames = trim(frames);
    }
}

fn symbols(address: usize, here: &Path) -> Vec<Symbol> {
    let mut found = Vec::new();
    backtrace::resolve(core::ptr::without_provenance_mut(address), |symbol| {
        let function = symbol.name().map(|name| format!("{name:#}"));
        found.push(Symbol {
            address,
            whose: whose(function.as_deref(), symbol.filename()),
            function,
            file: symbol.filename().map(|file| shortened(file, here)),
            line: symbol.lineno(),
            column: symbol.colno(),
        });
    });
    if found.is_empty() {
        found.push(Symbol {
            address,
            function: None,
            file: None,
            line: None,
            column: None,
            whose: Whose::Program,
        });
    }
    found
}

/// A path of the program's own relative to where it runs, if it is below that, and one of std's without its compiler's number.
fn shortened(file: &Path, here: &Path) -> String {
    if let Ok(rest) = file.strip_prefix("/rustc") {
        return rest.components().skip(1).collect::<PathBuf>().display().to_string();
    }
    file.strip_prefix(here).unwrap_or(file).display().to_string()
}

/// Without what the runtime has put around the task's own calls; but with the call of the runtime's that it waits in.
fn trim(mut frames: Vec<Symbol>) -> Vec<Symbol> {
    let own = |frame: &Symbol| frame.whose == Whose::Program;
    let (Some(first), Some(last)) = (frames.iter().position(own), frames.iter().rposition(own)) else {
        return frames;
    };
    frames.truncate(last + 1);
    let waits_in = frames[..first].iter().rposition(|frame| frame.whose == Whose::Layby);
    frames.drain(..waits_in.unwrap_or(first));
    if waits_in.is_some() {
        // Glue that lies between the runtime's call and its caller.
        let glue = frames[1..].iter().take_while(|frame| !own(frame)).count();
        frames.drain(1..=glue);
    }
    frames
}

/// By its name; or by its file, where the name has no path: so are names in programs with line tables and nothing more, of functions that others are
/// inlined into.
fn whose(function: Option<&str>, file: Option<&Path>) -> Whose {
    let Some(name) = function else { return Whose::Program };
    let has_path = name.split('<').next().is_none_or(|begin| begin.is_empty() || begin.contains("::"));
    let file = file.filter(|_| !has_path);
    if is_layby(name) || file.is_some_and(is_file_of_layby) {
        Whose::Layby
    } else if is_glue(name) || file.is_some_and(is_file_of_glue) {
        Whose::Glue
    } else {
        Whose::Program
    }
}

fn is_file_of_layby(file: &Path) -> bool {
    let switch = |part: Component<'_>| part.as_os_str().to_string_lossy().starts_with("corosensei-");
    file.starts_with(concat!(env!("CARGO_MANIFEST_DIR"), "/src")) || file.components().any(switch)
}

fn is_file_of_glue(file: &Path) -> bool {
    ["core/src/ops/function.rs", "core/src/panic/unwind_safe.rs", "std/src/panicking.rs", "std/src/panic.rs"]
        .iter()
        .any(|end| file.ends_with(end))
}

/// A function of this crate, or of the one that switches.
fn is_layby(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&', '(']).trim_start_matches("mut ");
    ["layby::", "corosensei::", "backtrace::", "stack_init_trampoline", "stack_call_trampoline"]
        .iter()
        .any(|begin| name.starts_with(begin))
}

/// What std puts between a closure and its caller.
fn is_glue(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    [
        "core::ops::function::",
        "core::panic::unwind_safe::",
        "std::panicking::",
        "std::panic::",
        "__rust_try",
        "alloc::boxed::Box<F",
    ]
    .iter()
    .any(|begin| name.starts_with(begin))
        || name.contains("core::ops::function::FnOnce<")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<Symbol> {
        let symbol = |name: &&str| Symbol {
            address: 1,
            function: Some(name.to_string()),
            file: None,
            line: None,
            column: None,
            whose: whose(Some(name), None),
        };
        names.iter().map(symbol).collect()
    }

    fn trimmed(names: &[&str]) -> Vec<String> {
        trim(named(names)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_ends_are_trimmed_and_the_middle_stays() {
        let all = [
            "layby::park::dump::answer",
            "layby::park::finish",
            "<layby::net::tcp::stream::TcpStream as std::io::Read>::read",
            "std::io::default_read_exact",
            "app::serve",
            "layby::timeout::timeout",
            "std::panicking::catch_unwind",
            "app::main::{{closure}}",
            "core::ops::function::FnOnce::call_once",
            "layby::spawn::cell::run",
        ];
        assert_eq!(trimmed(&all), all[2..8]);
    }

    #[test]
    fn a_stack_of_nothing_else_stays_whole() {
        let all = ["layby::park::finish", "layby::spawn::cell::run"];
        assert_eq!(trimmed(&all), all);
    }

    #[test]
    fn paths_are_short() {
        let short = |file: &str| shortened(Path::new(file), Path::new("/home/me/app"));
        assert_eq!(short("/home/me/app/src/main.rs"), "src/main.rs");
        assert_eq!(short("/rustc/0123abc/library/core/src/option.rs"), "library/core/src/option.rs");
        assert_eq!(short("/other/lib.rs"), "/other/lib.rs");
    }

    #[test]
    fn names_without_a_path_go_by_their_files() {
        let whose = |name, file| whose(Some(name), Some(Path::new(file)));
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src/park/mod.rs");
        let glue = "/rustc/0123abc/library/std/src/panicking.rs";
        assert_eq!(whose("park<app::sync::Waiting>", own), Whose::Layby);
        assert_eq!(whose("on_stack", "/registry/corosensei-0.3.4/src/coroutine.rs"), Whose::Layby);
        assert_eq!(whose("do_call<app::main::{closure_env#0}, ()>", glue), Whose::Glue);
        assert_eq!(whose("{closure#0}", "/home/me/app/src/main.rs"), Whose::Program);
        assert_eq!(whose("app::own_function", own), Whose::Program);
    }

    #[test]
    fn without_symbols_there_are_addresses() {
        let frame = symbols(0xabc, Path::new("/")).remove(0);
        assert_eq!(frame.to_string(), "0xabc");
        assert_eq!(trim(vec![frame.clone()]), [frame]);
    }
}
