//! The files of the simulator stand on floors: none uses, directly or through others, one that uses it. A module and its
//! submodules see each other; for everything else an arrow back is a circle, and this test names it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file as a module path: `["virtual_world", "cluster"]`.
type Module = Vec<String>;

fn read(directory: &Path, module: &Module, files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" || name == "main" {
            continue;
        }
        let inner = [module.as_slice(), std::slice::from_ref(&name)].concat();
        if path.is_dir() {
            read(&path, &inner, files);
        } else if name == "mod" || name == "lib" {
            files.insert(module.clone(), std::fs::read_to_string(&path).unwrap());
        } else {
            files.insert(inner, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The code without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = shipped
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate` or `super`, braces spread: `crate::{a, b::c}` is two.
fn paths(code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let inside = code[..at].chars().next_back();
            if !inside.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                spread(&code[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one path from the beginning of `text`; what is behind it comes back.
fn spread<'a>(text: &'a str, mut prefix: Module, found: &mut Vec<Module>) -> &'a str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = spread(inner, prefix.clone(), found).trim_start();
                match inner.strip_prefix(',') {
                    Some(next) => inner = next,
                    None => return inner.strip_prefix('}').unwrap_or(inner),
                }
            }
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        prefix.extend((end > 0).then(|| rest[..end].to_owned()));
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next,
            None => break,
        }
    }
    found.push(prefix);
    rest.strip_prefix(" as ").map_or(rest, |rest| {
        rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// The file that a path leads into.
fn target(from: &Module, path: &Module, files: &BTreeMap<Module, String>) -> Module {
    let up = path.iter().take_while(|name| *name == "super").count();
    let mut to = match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        _ => [&from[..from.len().saturating_sub(up)], &path[up..]].concat(),
    };
    while !files.contains_key(&to) {
        to.pop();
    }
    to
}

/// One is inside the other.
fn are_nested(a: &Module, b: &Module) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Takes away whatever is in no circle: what uses only what has gone already, and what only such files use.
fn circles(mut uses: BTreeMap<Module, BTreeSet<Module>>) -> String {
    loop {
        let left: BTreeSet<Module> = uses.keys().cloned().collect();
        let used: BTreeSet<Module> = uses.values().flatten().cloned().collect();
        uses.retain(|from, to| used.contains(from) && to.iter().any(|to| left.contains(to)));
        if uses.len() == left.len() {
            break;
        }
    }
    let arrows = uses.iter().flat_map(|(from, to)| {
        let to = to.iter().filter(|to| uses.contains_key(*to));
        to.map(|to| format!("{} -> {}\n", from.join("::"), to.join("::")))
    });
    arrows.collect()
}

#[test]
fn no_file_and_no_room_uses_one_that_uses_it() {
    let mut files = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&source, &Vec::new(), &mut files);
    assert!(files.len() > 90, "the sources are where they were");
    let (mut uses, mut rooms) = (BTreeMap::new(), BTreeMap::new());
    for (from, text) in &files {
        let targets = paths(&code(text))
            .into_iter()
            .map(|path| target(from, &path, &files));
        let targets: BTreeSet<Module> = targets.filter(|to| !are_nested(from, to)).collect();
        let room = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
        let room_uses: &mut BTreeSet<Module> = rooms.entry(room(from)).or_default();
        room_uses.extend(targets.iter().map(room).filter(|to| *to != room(from)));
        uses.insert(from.clone(), targets);
    }
    assert_eq!(circles(uses), "", "circles of files, and what lies between two");
    assert_eq!(circles(rooms), "", "circles of rooms, and what lies between two");
}
