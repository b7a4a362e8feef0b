//! `compare`: runs the standalone server and the servers that it is compared with under the same
//! loads, in turns, and prints the cost of a delivery for each of them.

mod args;
mod contender;
mod figures;
mod process;
mod rounds;
mod scenario;

use std::fs;
use std::io;
use std::process::{Command, ExitCode};

use clap::Parser;
use load::report::Report;

use args::Args;
use contender::contenders;
use figures::table;
use rounds::compare;
use scenario::SCENARIOS;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(e) => {
            eprintln!("compare: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    load::proc::raise_open_files();
    let scenarios = args
        .scenario
        .iter()
        .map(|name| {
            SCENARIOS
                .iter()
                .find(|s| s.name == name)
                .ok_or_else(|| io::Error::other(format!("--scenario must not be {name:?}")))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let (contenders, generator) = contenders(args)?;
    let can_pin = Command::new("taskset")
        .arg("-V")
        .output()
        .is_ok_and(|out| out.status.success());
    if !can_pin {
        eprintln!("compare: there is no taskset, so nothing is pinned to a core");
    }
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let outcome = compare(args, scenario, &contenders, &generator, can_pin)?;
        print!("{}", table(&outcome));
        outcomes.push(outcome);
        if let Some(file) = &args.json {
            fs::write(file, serde_json::to_string_pretty(&outcomes)? + "\n")?;
        }
    }
    Ok(outcomes
        .iter()
        .flat_map(|o| &o.servers)
        .all(|s| s.rounds.iter().all(Report::is_clean)))
}
