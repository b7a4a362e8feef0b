//! The servers that take part: how each is built, started and addressed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) coalesces: bool,
    /// Options of the load generator for this server.
    pub(crate) load: Vec<String>,
    /// Whether this is the standalone server.
    pub(crate) is_ours: bool,
}

/// Builds the executables that are not given, and returns the servers and the load generator.
pub(crate) fn contenders(args: &Args) -> io::Result<(Vec<Contender>, PathBuf)> {
    let mut build = Vec::new();
    for name in &args.servers {
        let (given, package) = match name.as_str() {
            "ours" => (&args.standalone, "standalone"),
            "floor" => (&args.floor, "benches"),
            "naive" => (&args.naive, "benches"),
            other => return Err(io::Error::other(format!("--servers must not be {other:?}"))),
        };
        if given.is_none() && !build.contains(&package) {
            build.push(package);
        }
    }
    if args.load.is_none() {
        build.push("load");
    }
    for package in build {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // One package after the other. Built together they would share features, and each would
        // differ from its usual build.
        let status = Command::new(cargo)
            .args(["build", "--release", "-p", package])
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cannot build {package}")));
        }
    }
    let executable = std::env::current_exe()?;
    let release = executable
        .parent()
        .and_then(Path::parent)
        .map(|target| target.join("release"));
    let executable_of = |given: &Option<PathBuf>, name: &str| -> io::Result<PathBuf> {
        given
            .clone()
            .or_else(|| Some(release.as_ref()?.join(name)))
            .ok_or_else(|| {
                io::Error::other(format!(
                    "{name} must be given, because there is no target directory"
                ))
            })
    };
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let raw = || split_words("--protocol raw --url ws://{addr}/{room}");

    let mut contenders = Vec::new();
    for name in &args.servers {
        let listen = ["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        let (mut command, load) = match name.as_str() {
            "ours" => (
                vec![
                    text(executable_of(&args.standalone, "standalone")?),
                    "--no-limits".to_owned(),
                ],
                split_words("--url ws://{addr}/ws"),
            ),
            "floor" => (vec![text(executable_of(&args.floor, "floor")?)], raw()),
            _ => (vec![text(executable_of(&args.naive, "naive")?)], raw()),
        };
        command.extend(listen);
        let is_ours = name == "ours";
        if is_ours {
            command.extend(split_words(&args.standalone_args));
        }
        let coalesces = name == "floor";
        contenders.push(Contender {
            name: name.clone(),
            command,
            coalesces,
            load,
            is_ours,
        });
    }
    let name_and_words = |given: &str| -> io::Result<(String, Vec<String>)> {
        let (name, rest) = given
            .split_once('=')
            .ok_or_else(|| io::Error::other(format!("{given:?} must be written as NAME=…")))?;
        Ok((name.to_owned(), split_words(rest)))
    };
    let loads = args
        .with_load
        .iter()
        .map(|l| name_and_words(l))
        .collect::<io::Result<BTreeMap<_, _>>>()?;
    for with in &args.with {
        let (name, command) = name_and_words(with)?;
        let load = loads.get(&name).cloned().unwrap_or_else(raw);
        contenders.push(Contender {
            name,
            command,
            coalesces: false,
            load,
            is_ours: false,
        });
    }
    Ok((contenders, executable_of(&args.load, "load")?))
}

/// Splits a command line at blanks, except within quotes of both kinds.
fn split_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_split() {
        assert_eq!(
            split_words("bun run  server.ts {port}"),
            ["bun", "run", "server.ts", "{port}"]
        );
        assert_eq!(
            split_words(r#"--send-template '{"say": "{text}"}' --x """#),
            ["--send-template", r#"{"say": "{text}"}"#, "--x", ""]
        );
    }
}
