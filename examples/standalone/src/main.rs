//! A chat server in one binary: page, WebSocket, HTTP API.

mod address;
mod api;
mod cli;
mod http;
mod page;
mod problem;
mod server;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use cli::{Cli, LogFormat};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let secrets = cli.secrets().unwrap_or_else(|error| {
        let error = Cli::command().error(ErrorKind::ValueValidation, error);
        error.exit()
    });
    log_to_stderr(&cli);
    match run(cli, secrets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("standalone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, secrets: Vec<String>) -> Result<(), String> {
    // One worker needs no work stealing. Between two looks at the sockets it delivers to up to 512 members, about 2 ms of
    // work: what is said meanwhile is then read and delivered together, with fewer writes (docs/PERFORMANCE.md).
    let mut runtime = match cli.workers() {
        1 => tokio::runtime::Builder::new_current_thread(),
        workers => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(workers);
            runtime
        }
    };
    let runtime = runtime
        .event_interval(512)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let served = runtime.block_on(server::run(cli, secrets));
    // What is still connected after the drain's deadline ends here.
    runtime.shutdown_background();
    served
}

fn log_to_stderr(cli: &Cli) {
    let filter = tracing_subscriber::EnvFilter::new(&cli.log);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let logs = logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Not `init`, which takes in the records of the `log` crate too: the WebSocket parser's hold what people say, tokens
    // included.
    let set = match cli.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(logs.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(logs.json().finish()),
    };
    set.expect("there is no other");
}
