//! `examples/README.md` lists every example, and nothing that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of the programs in that directory, below `examples`; none where it is not part of the package.
fn programs(directory: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(directory);
    let files = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    let names = files.filter_map(|name| name.into_string().unwrap().strip_suffix(".rs").map(str::to_owned));
    names.map(|name| format!("{directory}{name}.rs")).collect()
}

#[test]
fn every_example_is_listed() {
    let text = include_str!("../../examples/README.md");
    // Only links to programs: `](NAME.rs)`.
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let listed: Vec<&str> = links.filter(|link| link.ends_with(".rs")).collect();
    let unique: BTreeSet<String> = listed.iter().map(|&link| link.to_owned()).collect();
    assert_eq!(listed.len(), unique.len(), "some are listed twice: {listed:?}");

    let mut there = programs("");
    let ecosystem = programs("ecosystem/src/bin/");
    assert!(there.contains("hello.rs"), "{there:?}");
    let is_packaged = ecosystem.is_empty();
    there.extend(ecosystem);
    let listed = unique.into_iter().filter(|link| !(is_packaged && link.starts_with("ecosystem/")));
    assert_eq!(listed.collect::<BTreeSet<_>>(), there);
}
