//! The flags of the server itself.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chat_core::Limits;
use clap::{Parser, ValueEnum};
use ipnet::IpNet;

use super::limit_flags::LimitFlags;
use super::values::{duration, log_filter};

/// An anonymous chat server: open the page, make a room, send the link.
///
/// Nobody signs up. A room has a title, a number of seats, an end and, if its creator wants one, a
/// password. Everything is kept in memory and is gone when the process ends. The page is at `/`,
/// rooms are at `/r/{room}`, the WebSocket is at `/ws` (protocol `chat.v1`), and the HTTP API of
/// the lobby is at `/api/rooms`.
///
/// Times are written like `500ms`, `10s`, `5m` or `24h`. Rates are written like `200/10s`: a burst
/// of 200, refilled over 10 seconds.
#[derive(Parser, Debug)]
#[command(version, next_line_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// The address to listen on. Port 0 takes a free port; the line on standard output says which.
    #[arg(
        short,
        long,
        env = "CHAT_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Worker threads. The default is one for each core that this process may run on.
    #[arg(long, env = "CHAT_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Secrets that sign tokens, so that visitors keep their identity over a restart. The first one
    /// signs and all are accepted: to rotate, put the new one in front. Without any, a random one
    /// is made. Prefer the environment or a file: flags are visible to other users of the machine.
    #[arg(
        long,
        env = "CHAT_SECRET",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "SECRET,…"
    )]
    secret: Vec<String>,

    /// A file with such secrets, one on each line.
    #[arg(long, env = "CHAT_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Web origins that may connect besides the server's own: `https://example.org`, or `*` for
    /// any.
    #[arg(
        long,
        env = "CHAT_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN,…"
    )]
    pub(crate) origins: Vec<String>,

    /// Networks of reverse proxies whose `X-Forwarded-For` is trusted, for example `10.0.0.0/8`.
    #[arg(
        long,
        env = "CHAT_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NET,…"
    )]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// Allow only rooms that were created explicitly. Without this flag, joining an unknown id
    /// creates that room.
    #[arg(long, env = "CHAT_CLOSED_ROOMS")]
    pub(crate) closed_rooms: bool,

    /// How long a drain (after SIGTERM or SIGINT) may take before the remaining connections are
    /// cut.
    #[arg(
        long,
        env = "CHAT_DRAIN",
        default_value = "10s",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub(crate) drain: Duration,

    /// What to log: `info`, `debug`, `chat_core=debug,info`, …
    #[arg(
        long,
        env = "CHAT_LOG",
        default_value = "info",
        value_parser = log_filter,
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    /// The format of the log.
    #[arg(
        long,
        env = "CHAT_LOG_FORMAT",
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) log_format: LogFormat,

    #[command(flatten)]
    limits: LimitFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Cli {
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.workers.map_or_else(cores, NonZeroUsize::get)
    }

    /// All secrets: those of the flag, then those of the file.
    pub(crate) fn secrets(&self) -> Result<Vec<String>, String> {
        let mut secrets = self.secret.clone();
        if let Some(file) = &self.secret_file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            secrets.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(Into::into),
            );
        }
        if secrets.iter().any(|secret| secret.len() < 16) {
            return Err("a secret must have at least 16 characters".into());
        }
        Ok(secrets)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        self.limits.header_timeout
    }

    pub(crate) fn http_connections(&self) -> usize {
        self.limits.http_connections
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits.to_limits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_refused() {
        assert!(Cli::try_parse_from(["standalone", "--listen", "nowhere"]).is_err());
    }
}
