//! The test's own tests: each of its rules has been seen to fail, and to keep quiet.

use super::arrows::{File, files};
use super::{assert_none, cycle, named_elsewhere, wrong_arrows};

fn planted(sources: &[(&str, &str)]) -> Vec<File> {
    files(&sources.iter().map(|(p, s)| (p.to_string(), s.to_string())).collect::<Vec<_>>())
}

/// The wrong arrows of one file.
fn wrong(path: &str, source: &str) -> Vec<String> {
    wrong_arrows(&planted(&[(path, source)]))
}

#[test]
fn finds_a_planted_arrow_and_names_its_place() {
    let expected = ["src/reactor/mod.rs:3 layer 3 (reactor) may not use layer 5 (park)"];
    assert_eq!(wrong("src/reactor/mod.rs", "//! doc\n\nuse crate::park::Reason;"), expected);
}

#[test]
fn finds_arrows_in_every_kind_of_path() {
    for source in [
        "use crate::park;",
        "use crate::{sys, park};",
        "use crate::{\n    sys::{self, mem},\n    park::{Reason, wait::{Node as N, List}},\n};",
        "use crate::{util as u, park as p};",
        "pub(crate) use crate::park::*;",
        "fn f() { crate::park::park() }",
        "fn f() -> Vec<crate::park::Reason> { Vec::new() }",
        "fn f() { g::<crate::park::X>(crate :: park :: Y) }",
        "use super::super::park::X;",
        "use super::{super::park, wheel};",
        "mod a { mod b { use super::super::super::super::park; } }",
        "fn f<'a>(x: &'a str) { let c = '\"'; crate::park::f() } // '\"'",
        "#[cfg(not(test))] use crate::park;",
        "#[cfg(any(test, loom))] use crate::park;",
        "#[cfg(test)] mod tests {} use crate::park;",
        "#[cfg(test)] use std::fmt; use crate::park;",
        "struct S { #[cfg(test)] a: u8, b: crate::park::P }",
        "macro_rules! m { () => { crate::park::f() } }",
        "use layby::park;",
    ] {
        let found = wrong("src/timer/wheel.rs", source);
        assert!(!found.is_empty(), "overlooked: {source}");
        assert!(found.iter().all(|f| f.ends_with("layer 3 (timer) may not use layer 5 (park)")), "{found:?}");
    }
}

#[test]
fn counts_each_leaf_of_a_use_tree_at_its_line() {
    let source = "use crate::{\n    park::{a, b},\n    sched,\n    sys::c,\n};";
    let expected = [
        "src/timer.rs:2 layer 3 (timer) may not use layer 5 (park)",
        "src/timer.rs:2 layer 3 (timer) may not use layer 5 (park)",
        "src/timer.rs:3 layer 3 (timer) may not use layer 4 (sched)",
    ];
    assert_eq!(wrong("src/timer.rs", source), expected);
}

#[test]
fn overlooks_what_is_not_compiled_or_not_a_path() {
    for source in [
        "// crate::park::f()\n/* crate::park /* nested */ crate::park */ /// crate::park::x",
        "const A: &str = \"crate::park::f()\";",
        "const A: &str = r#\"a \" crate::park::f()\"#; const B: &[u8] = b\"\\\" crate::park::f\";",
        "const A: char = '\\''; const B: &str = \" crate::park::f \";",
        "#[cfg(test)] mod tests { use crate::park::f; }",
        "#[cfg(all(test, not(loom)))] #[allow(dead_code)] pub(crate) mod tests { use crate::park; }",
        "#[cfg(test)] fn f<A, B>() -> [u8; 2] { crate::park::f() }",
        "#![cfg(test)] use crate::park;",
        "pub(crate) fn f(crate_: u8) {} pub(in crate::timer) struct S;",
        "use std::thread::park; use super::park; use self::park::x; mod park { use super::super::sub; }",
        "use crate::{sys, util::{fifo}, stack::Stack, coroutine, fiber, timer::x}; use crate::timer;",
        "macro_rules! m { () => { $crate::park::f() } }",
    ] {
        assert_eq!(wrong("src/timer/sub.rs", source), [""; 0], "in: {source}");
    }
}

#[test]
fn leaves_out_the_files_of_test_modules() {
    let declared = ("src/timer/mod.rs", "#[cfg(test)]\nmod tests;");
    let files =
        [declared, ("src/timer/tests/limits.rs", "use crate::park;"), ("src/timer/tests.rs", "crate::go!()")];
    assert_none(wrong_arrows(&planted(&files)));
}

#[test]
fn holds_siblings_to_the_list() {
    assert_none(wrong("src/fiber/mod.rs", "use crate::coroutine::Coroutine;"));
    let expected = ["src/coroutine.rs:1 layer 2 (coroutine) may not use layer 2 (fiber)"];
    assert_eq!(wrong("src/coroutine.rs", "use crate::fiber;"), expected);
    assert_eq!(wrong("src/blocking/pool.rs", "use crate::spawn;").len(), 1);
    assert_none(wrong("src/gather.rs", "use crate::scope;"));
    assert_eq!(wrong("src/scope.rs", "use crate::gather;").len(), 1);
}

#[test]
fn counts_items_of_the_root_as_lib() {
    let expected = ["src/net/tcp.rs:1 layer 8b (net) may not use layer 10 (lib)"];
    assert_eq!(wrong("src/net/tcp.rs", "use crate::Runtime;"), expected);
    assert_eq!(wrong("src/net/tcp.rs", "fn f() { crate::go!(|| ()) }"), expected);
}

#[test]
fn refuses_modules_that_have_no_layer() {
    let expected = ["module helpers is not in the table"];
    assert_eq!(wrong("src/helpers/mod.rs", ""), expected);
    assert_eq!(wrong("src/lib.rs", "pub mod helpers { pub use crate::task::f; }"), expected);
    assert_none(wrong("src/lib.rs", "pub mod thread { pub use crate::task::f; }"));
}

#[test]
fn finds_a_planted_cycle() {
    let fiber = ("src/fiber/mod.rs", "use crate::coroutine;");
    let back = ("src/coroutine.rs", "use crate::generator;");
    let round = ("src/generator.rs", "use crate::fiber;");
    let found = cycle(&planted(&[fiber, back, round])).expect("a cycle");
    assert_eq!(found, ["coroutine", "generator", "fiber", "coroutine"]);
    assert_eq!(cycle(&planted(&[fiber, round])), None);
    let expanded = ("src/coroutine.rs", "macro_rules! m { () => { $crate::generator::f() } }");
    assert_eq!(cycle(&planted(&[fiber, expanded, round])), None);
}

#[test]
fn finds_a_crate_named_elsewhere() {
    let source = "// libc\n#[cfg(test)]\nuse libc::c_int;\nfn f() { libc::abort() }";
    let expected = ["src/stack/slab.rs:4 names libc, which only sys may"];
    assert_eq!(named_elsewhere(&planted(&[("src/stack/slab.rs", source)]), "libc"), expected);
    assert_none(named_elsewhere(&planted(&[("src/sys/mem.rs", source)]), "libc"));
    assert_eq!(named_elsewhere(&planted(&[("src/lib.rs", "use mio::Poll;")]), "mio").len(), 1);
    assert_eq!(
        named_elsewhere(&planted(&[("src/fiber/mod.rs", "use {corosensei as c};")]), "corosensei").len(),
        1
    );
}
