//! The folders are the architecture: what may import what, and what the state of a room must not
//! know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest layer to the highest. Those of one line know nothing of each other.
const LAYERS: &[&[&str]] = &[
    &["protocol", "wake", "clock", "rate"],
    &["identity", "limits"],
    &["policy", "room"],
    &["engine"],
    &["connection"],
    &["room_handle"],
    &["chat"],
    &["lib"],
];

/// Words that must not occur in `room/state`.
const IMPURE: &[&str] = &[
    "Atomic",
    "Instant",
    "Lock",
    "Mutex",
    "Policy",
    "SystemTime",
    "Waker",
    "async ",
    "getrandom",
    "parking_lot",
    "rand::",
    "rand_chacha",
    "serde_json",
    "std::sync::atomic",
    "tokio",
    "unicode",
];

/// Inherent methods that are defined outside of the file of their type, because they are what joins
/// two files: the file of the type knows nothing of the other one.
const JOINTS: &[(&str, &str)] = &[("connection/driver.rs", "Ticket")];

const MAX_LINES: usize = 350;

struct File {
    /// Relative to `src`.
    path: String,
    /// Without its tests.
    text: String,
}

/// Every file that is not a test, without the tests at its end.
fn files() -> Vec<File> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    let all: Vec<File> = found
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let path = path.strip_prefix(&src).unwrap();
            File {
                path: path.to_str().unwrap().to_owned(),
                text: text
                    .split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap()
                    .to_owned(),
            }
        })
        .collect();
    let tests: BTreeSet<String> = all.iter().flat_map(test_modules).collect();
    let files = all.into_iter();
    files.filter(|file| !tests.contains(&file.path)).collect()
}

/// The files of modules that a file declares for tests alone.
fn test_modules(file: &File) -> Vec<String> {
    let mut modules = Vec::new();
    let mut for_tests = false;
    for line in file.text.lines() {
        if let Some(name) = line.strip_prefix("mod ").filter(|_| for_tests) {
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let name = name.trim_end_matches(';');
            modules.push(format!("{folder}/{name}.rs"));
        }
        for_tests = line.starts_with("#[cfg(") && line.contains("test");
    }
    modules
}

fn layer(path: &str) -> usize {
    let name = path.split('/').next().unwrap().trim_end_matches(".rs");
    LAYERS
        .iter()
        .position(|layer| layer.contains(&name))
        .unwrap_or_else(|| panic!("{path} belongs to no layer"))
}

/// The files that a file imports with `use crate::…`, `use super::…`, or a path within its text.
fn imports(file: &File, all: &BTreeSet<&str>) -> BTreeSet<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_root = file.path.ends_with("mod.rs") || file.path == "lib.rs";
    let mut found = BTreeSet::new();
    let text = file.text.replace('\n', " ");
    for (start, base) in [("crate::", ""), ("super::", folder)] {
        for part in text.split(start).skip(1) {
            let base = if start == "super::" && is_root {
                base.rsplit_once('/').map_or("", |(parent, _)| parent)
            } else {
                base
            };
            let names = part.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = names.into_iter().next().unwrap_or_default();
            let mut place = base.to_owned();
            let mut target = None;
            for name in path.split("::").filter(|name| !name.is_empty()) {
                let at = if place.is_empty() {
                    name.to_owned()
                } else {
                    format!("{place}/{name}")
                };
                let (as_file, as_folder) = (format!("{at}.rs"), format!("{at}/mod.rs"));
                if all.contains(as_file.as_str()) {
                    target = Some(as_file);
                    break;
                } else if all.contains(as_folder.as_str()) {
                    target = Some(as_folder);
                    place = at;
                } else {
                    break;
                }
            }
            // `use super::{a::A, b}` names its files within the braces.
            let braces = part
                .strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('{'));
            if let Some(list) = braces.and_then(|rest| rest.split('}').next()) {
                let last = target.clone().filter(|target| target.ends_with("mod.rs"));
                let place = if last.is_some() {
                    place.clone()
                } else {
                    base.to_owned()
                };
                for item in list.split(',') {
                    let name = item.trim().split("::").next().unwrap_or_default();
                    let at = if place.is_empty() {
                        name.to_owned()
                    } else {
                        format!("{place}/{name}")
                    };
                    for file in [format!("{at}.rs"), format!("{at}/mod.rs")] {
                        if all.contains(file.as_str()) {
                            found.insert(file);
                        }
                    }
                }
            }
            found.extend(target);
        }
    }
    if is_root {
        // `pub use child::Item;` of a table of contents.
        for line in file.text.lines() {
            let name = line
                .split_once("use ")
                .filter(|(before, _)| !before.contains("//"));
            let name = name
                .and_then(|(_, path)| path.split("::").next())
                .unwrap_or_default();
            let at = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            let at = [format!("{at}.rs"), format!("{at}/mod.rs")];
            found.extend(at.into_iter().filter(|at| all.contains(at.as_str())));
        }
    }
    found.remove(&file.path);
    found
}

fn graph(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let all: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let files = files.iter();
    files
        .map(|file| (file.path.clone(), imports(file, &all)))
        .collect()
}

#[test]
fn each_layer_uses_only_those_below_it() {
    let graph = graph(&files());
    assert!(
        graph.values().map(BTreeSet::len).sum::<usize>() > 100,
        "the imports are not found"
    );
    for (from, targets) in &graph {
        for to in targets {
            let folder = |path: &str| path.split('/').next().unwrap().to_owned();
            assert!(
                layer(to) < layer(from) || folder(to) == folder(from),
                "{from} imports {to}, which is not in a layer below it"
            );
        }
    }
}

#[test]
fn no_imports_run_in_a_circle() {
    fn visit(
        file: &str,
        graph: &BTreeMap<String, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) {
        if let Some(start) = path.iter().position(|visited| visited == file) {
            panic!("a circle of imports: {:?}", &path[start..]);
        }
        if done.contains(file) {
            return;
        }
        path.push(file.to_owned());
        graph[file]
            .iter()
            .for_each(|to| visit(to, graph, path, done));
        path.pop();
        done.insert(file.to_owned());
    }
    let graph = graph(&files());
    let mut done = BTreeSet::new();
    for file in graph.keys() {
        visit(file, &graph, &mut Vec::new(), &mut done);
    }
}

#[test]
fn the_methods_of_a_type_are_in_the_file_of_the_type() {
    let files = files();
    for file in &files {
        for line in file.text.lines().filter(|line| line.starts_with("impl")) {
            let head = line.split('{').next().unwrap();
            if head.contains(" for ") {
                continue;
            }
            let name = head.rsplit_once("> ").map_or(head, |(_, name)| name);
            let name = name.trim_start_matches("impl").trim();
            let name = name.split(['<', ' ']).next().unwrap();
            let defined = [format!("struct {name}"), format!("enum {name}")]
                .iter()
                .any(|definition| file.text.contains(definition.as_str()));
            let is_joint = JOINTS.contains(&(file.path.as_str(), name));
            assert!(defined || is_joint, "{}: {line}", file.path);
        }
    }
}

#[test]
fn the_state_of_a_room_is_pure() {
    let files = files();
    let state = files
        .iter()
        .filter(|file| file.path.starts_with("room/state/"));
    let mut count = 0;
    for file in state {
        count += 1;
        let code = file
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let word = IMPURE.iter().find(|word| line.contains(**word));
            assert!(word.is_none(), "{}: {line}", file.path);
        }
    }
    assert!(count > 10, "the files are not found");
}

#[test]
fn no_file_is_long() {
    for file in files() {
        let lines = file.text.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines without its tests",
            file.path
        );
    }
}
