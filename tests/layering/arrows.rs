//! Which top-level module uses which, and where.

use std::collections::BTreeSet;

use super::is_known;
use super::tokens::{Token, after_group, text, tokens, without_tests};

pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) module: Vec<String>,
    pub(crate) tokens: Vec<Token>,
}

#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) place: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Drawn where a macro is expanded, not where it is written.
    pub(crate) expanded: bool,
}

/// The files of the crate as (path from the manifest, text), to modules without their tests.
pub(crate) fn files(sources: &[(String, String)]) -> Vec<File> {
    let mut test_modules = Vec::new();
    let mut files = Vec::new();
    for (path, source) in sources {
        let stem = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
        let mut module: Vec<String> = stem.split('/').map(String::from).collect();
        if module.last().is_some_and(|last| last == "mod") || stem == "lib" {
            module.pop();
        }
        let (tokens, tests) = without_tests(&tokens(source));
        test_modules.extend(tests.into_iter().map(|name| [&module[..], &[name]].concat()));
        files.push(File { path: path.clone(), module, tokens });
    }
    files.retain(|file| !test_modules.iter().any(|test| file.module.starts_with(test)));
    files
}

/// Emits each path of the (use) tree at `i`, with its line, and returns the index after it.
fn tree(
    t: &[Token],
    mut i: usize,
    mut path: Vec<String>,
    emit: &mut impl FnMut(usize, Vec<String>),
) -> usize {
    let line = t.get(i).map_or(0, |token| token.line);
    match text(t, i) {
        "{" => {
            let end = after_group(t, i);
            i += 1;
            while i < end - 1 {
                i = tree(t, i, path.clone(), emit);
                while i < end - 1 && text(t, i) != "," {
                    i += 1; // `as name`
                }
                i += 1;
            }
            return end;
        }
        "super" => drop(path.pop()),
        "self" => {}
        word if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => path.push(word.to_string()),
        _ => {
            emit(line, path); // `*`, or `<` of a generic
            return i;
        }
    }
    if text(t, i + 1) == "::" {
        return tree(t, i + 2, path, emit);
    }
    emit(line, path);
    i + 1
}

/// The top-level module of a path: the root's own items are `lib`'s.
fn top(path: &[String], modules: &BTreeSet<String>) -> String {
    match path.first() {
        Some(name) if is_known(name) || modules.contains(name) => name.clone(),
        _ => "lib".to_string(),
    }
}

/// All the arrows between different top-level modules, and the top-level modules.
pub(crate) fn arrows(files: &[File]) -> (Vec<Arrow>, BTreeSet<String>) {
    let mut modules: BTreeSet<String> = files.iter().filter_map(|f| f.module.first().cloned()).collect();
    let mut found = Vec::new();
    for file in files {
        let t = &file.tokens;
        let mut module = file.module.clone();
        let mut inline = Vec::new(); // the ends of the inline modules that are open
        let mut i = 0;
        while i < t.len() {
            while inline.last() == Some(&i) {
                inline.pop();
                module.pop();
            }
            if text(t, i) == "mod" && text(t, i + 2) == "{" {
                inline.push(after_group(t, i + 2));
                module.push(t[i + 1].text.clone());
                modules.insert(module[0].clone());
                i += 3;
                continue;
            }
            let before = if i > 0 { text(t, i - 1) } else { "" };
            let base = match text(t, i) {
                "crate" | "layby" => Some(Vec::new()),
                "self" => Some(module.clone()),
                "super" => Some(module[..module.len().saturating_sub(1)].to_vec()),
                _ => None,
            };
            i += 1;
            if let Some(base) = base
                && before != "::"
                && text(t, i) == "::"
            {
                let from = if before == "$" { vec!["macros".to_string()] } else { module.clone() };
                i = tree(t, i + 1, base, &mut |line, path| {
                    found.push((format!("{}:{line}", file.path), from.clone(), path, before == "$"));
                });
            }
        }
    }
    let arrow = |(place, from, to, expanded): (String, Vec<String>, Vec<String>, bool)| Arrow {
        place,
        from: top(&from, &modules),
        to: top(&to, &modules),
        expanded,
    };
    let arrows = found.into_iter().map(arrow).filter(|a| a.from != a.to).collect();
    (arrows, modules)
}
