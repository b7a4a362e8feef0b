//! `load`: puts load on a WebSocket chat server and measures how the server performs.

mod args;
mod config;
mod measure;

use std::process::ExitCode;

use clap::Parser;

use args::Args;
use measure::measure;

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(report) if report.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(e) => {
            eprintln!("load: {e}");
            ExitCode::FAILURE
        }
    }
}
