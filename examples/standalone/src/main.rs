//! A chat server in one binary: the page, the WebSocket and the HTTP API.

mod api;
mod app;
mod cli;
mod page;
mod problem;
mod proxies;
mod response;
mod router;
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
    // One worker needs no work stealing. Between two polls of the sockets it runs up to 512 tasks,
    // one for each member that it delivers to, which is about 2 ms of work. Messages that arrive in
    // the meantime are then read and delivered together, with fewer writes (docs/PERFORMANCE.md).
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
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let result = runtime.block_on(server::run(cli, secrets));
    // Connections that are still open after the deadline of the drain are cut here.
    runtime.shutdown_background();
    result
}

fn log_to_stderr(cli: &Cli) {
    let filter = tracing_subscriber::EnvFilter::new(&cli.log);
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let logs = logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // Not `init`, which would also take in the records of the `log` crate: those of the WebSocket
    // parser contain what users send, including tokens.
    let set = match cli.log_format {
        LogFormat::Text => tracing::subscriber::set_global_default(logs.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(logs.json().finish()),
    };
    set.expect("no other subscriber is set");
}
