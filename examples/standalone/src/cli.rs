//! Flags, each also an environment variable.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chat_core::{Limits, Quota};
use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

/// An anonymous chat server: open the page, make a room, send the link.
///
/// Nobody signs up. A room has a title, a number of seats, perhaps a password, and an end; everything lives in memory and
/// goes with the process. The page is at `/`, rooms are at `/r/{room}`, the WebSocket is at `/ws` (protocol `chat.v1`), the
/// lobby's HTTP API at `/api/rooms`.
#[derive(Parser, Debug)]
#[command(version, next_line_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where to listen. Port 0 takes a free one; the line on standard output says which.
    #[arg(
        short,
        long,
        env = "CHAT_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Worker threads. The default is one for each core this process may run on.
    #[arg(long, env = "CHAT_WORKERS", value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Secrets that sign tokens, so that visitors stay who they are over a restart. The first signs, all are accepted: to
    /// rotate, put the new one in front. Without any, a random one is made. Prefer the environment or a file: flags are
    /// visible to other users of the machine.
    #[arg(
        long,
        env = "CHAT_SECRET",
        value_delimiter = ',',
        hide_env_values = true,
        value_name = "SECRET,…"
    )]
    secret: Vec<String>,

    /// A file with such secrets, one a line.
    #[arg(long, env = "CHAT_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Web origins that may connect, besides the server's own: `https://example.org`, or `*` for any.
    #[arg(
        long,
        env = "CHAT_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN,…"
    )]
    pub(crate) origins: Vec<String>,

    /// Networks of reverse proxies whose `X-Forwarded-For` is believed: `10.0.0.0/8`.
    #[arg(
        long,
        env = "CHAT_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NET,…"
    )]
    pub(crate) trusted_proxies: Vec<IpNet>,

    /// Only rooms made on purpose: without it, joining an unknown id makes that room.
    #[arg(long, env = "CHAT_CLOSED_ROOMS")]
    pub(crate) closed_rooms: bool,

    /// How long a drain (SIGTERM, SIGINT) may take before what is still connected is cut.
    #[arg(long, env = "CHAT_DRAIN", default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain: Duration,

    /// What to log: `info`, `debug`, `chat_core=debug,info`, …
    #[arg(long, env = "CHAT_LOG", default_value = "info", value_parser = filter, value_name = "FILTER")]
    pub(crate) log: String,

    /// How to log.
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

/// Every bound. Times are like `500ms`, `10s`, `5m`, `24h`; rates are like `200/10s`: so many at once, refilled in that time.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Takes the rate and per-address limits off, and nothing else: for benchmarks.
    #[arg(long, env = "CHAT_NO_LIMITS")]
    no_limits: bool,
    /// Bytes of a message's text.
    #[arg(
        long,
        env = "CHAT_TEXT_BYTES",
        default_value_t = 4096,
        value_name = "BYTES"
    )]
    text_bytes: usize,
    /// Bytes of a message's data, as JSON.
    #[arg(
        long,
        env = "CHAT_DATA_BYTES",
        default_value_t = 4096,
        value_name = "BYTES"
    )]
    data_bytes: usize,
    /// Bytes of one incoming message; a larger one closes the connection (1009).
    #[arg(
        long,
        env = "CHAT_FRAME_BYTES",
        default_value_t = 65_536,
        value_name = "BYTES"
    )]
    frame_bytes: usize,
    /// Rooms that one connection may be in.
    #[arg(
        long,
        env = "CHAT_ROOMS_PER_CONNECTION",
        default_value_t = 32,
        value_name = "N"
    )]
    rooms_per_connection: usize,
    /// Characters (graphemes) of a nickname.
    #[arg(
        long,
        env = "CHAT_NICKNAME_CHARS",
        default_value_t = 20,
        value_name = "N"
    )]
    nickname_chars: usize,
    /// Characters (code points) of a title.
    #[arg(long, env = "CHAT_TITLE_CHARS", default_value_t = 60, value_name = "N")]
    title_chars: usize,
    /// Entries a page of history, members or rooms.
    #[arg(long, env = "CHAT_PAGE", default_value_t = 100, value_name = "N")]
    page: usize,
    /// Silence after which a client is pinged.
    #[arg(long, env = "CHAT_HEARTBEAT", default_value = "25s", value_parser = patience, value_name = "TIME")]
    heartbeat: Duration,
    /// Time in which a client must take what it is sent, or be dropped (4002).
    #[arg(long, env = "CHAT_WRITE_TIMEOUT", default_value = "10s", value_parser = patience, value_name = "TIME")]
    write_timeout: Duration,
    /// Time in which a request's header must have come, and after which a connection takes no further request.
    #[arg(long, env = "CHAT_HEADER_TIMEOUT", default_value = "10s", value_parser = patience, value_name = "TIME")]
    header_timeout: Duration,
    /// Connections at once; more are refused (503).
    #[arg(
        long,
        env = "CHAT_CONNECTIONS",
        default_value_t = 100_000,
        value_name = "N"
    )]
    connections: usize,
    /// Connections from one address (IPv4) or /64 (IPv6); more are refused (429). 0 is no limit.
    #[arg(
        long,
        env = "CHAT_CONNECTIONS_PER_ADDRESS",
        default_value_t = 1000,
        value_name = "N"
    )]
    connections_per_address: usize,
    /// Sockets that speak HTTP at once, those that are being upgraded included; more are closed at once.
    #[arg(
        long,
        env = "CHAT_HTTP_CONNECTIONS",
        default_value_t = 4096,
        value_name = "N"
    )]
    http_connections: usize,
    /// Rooms at once.
    #[arg(long, env = "CHAT_ROOMS", default_value_t = 100_000, value_name = "N")]
    rooms: usize,
    /// Ids of ended rooms that are remembered.
    #[arg(
        long,
        env = "CHAT_ENDED_ROOMS",
        default_value_t = 16_384,
        value_name = "N"
    )]
    ended_rooms: usize,
    /// How long they are remembered.
    #[arg(long, env = "CHAT_ENDED_FOR", default_value = "1h", value_parser = duration, value_name = "TIME")]
    ended_for: Duration,
    /// Events that a room retains.
    #[arg(
        long,
        env = "CHAT_LOG_EVENTS",
        default_value_t = 1024,
        value_name = "N"
    )]
    log_events: usize,
    /// Bytes of encoded events that a room retains.
    #[arg(long, env = "CHAT_LOG_BYTES", default_value_t = 1 << 20, value_name = "BYTES")]
    log_bytes: usize,
    /// How long a room lives whose maker did not say. 0s is for ever.
    #[arg(long, env = "CHAT_ROOM_TTL", default_value = "24h", value_parser = duration, value_name = "TIME")]
    room_ttl: Duration,
    /// How long a room without an end stays when it is empty.
    #[arg(long, env = "CHAT_ROOM_IDLE", default_value = "10m", value_parser = duration, value_name = "TIME")]
    room_idle: Duration,
    /// How long the seat of a lost connection is held, unless the room says otherwise.
    #[arg(long, env = "CHAT_GRACE", default_value = "10s", value_parser = duration, value_name = "TIME")]
    grace: Duration,
    /// Comings and goings within this time are told together.
    #[arg(long, env = "CHAT_PRESENCE_WINDOW", default_value = "100ms", value_parser = duration, value_name = "TIME")]
    presence_window: Duration,
    /// Members up to which comings and goings are told by name.
    #[arg(
        long,
        env = "CHAT_PRESENCE_MEMBERS",
        default_value_t = 200,
        value_name = "N"
    )]
    presence_members: usize,
    /// Commands of one connection.
    #[arg(long, env = "CHAT_COMMAND_RATE", default_value = "200/4s", value_parser = quota, value_name = "RATE")]
    command_rate: Quota,
    /// Rooms made by one visitor.
    #[arg(long, env = "CHAT_ROOM_RATE", default_value = "200/1h", value_parser = quota, value_name = "RATE")]
    room_rate: Quota,
    /// Rooms made from one address.
    #[arg(long, env = "CHAT_ROOM_RATE_PER_ADDRESS", default_value = "1000/1h", value_parser = quota, value_name = "RATE")]
    room_rate_per_address: Quota,
    /// New visitors from one address.
    #[arg(long, env = "CHAT_IDENTITY_RATE_PER_ADDRESS", default_value = "2000/200s", value_parser = quota, value_name = "RATE")]
    identity_rate_per_address: Quota,
    /// Wrong passwords for one room from one address.
    #[arg(long, env = "CHAT_PASSWORD_RATE", default_value = "5/1m", value_parser = quota, value_name = "RATE")]
    password_rate: Quota,
    /// Wrong passwords from one address.
    #[arg(long, env = "CHAT_PASSWORD_RATE_PER_ADDRESS", default_value = "20/1m", value_parser = quota, value_name = "RATE")]
    password_rate_per_address: Quota,
    /// Passwords hashed at once, at 19 MiB and one core each.
    #[arg(long, env = "CHAT_HASHES", default_value_t = 2, value_name = "N")]
    hashes: usize,
    /// Passwords waiting to be hashed.
    #[arg(
        long,
        env = "CHAT_HASHES_WAITING",
        default_value_t = 64,
        value_name = "N"
    )]
    hashes_waiting: usize,
}

impl Cli {
    pub(crate) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.workers.map_or_else(cores, NonZeroUsize::get)
    }

    /// All secrets, those of the file after those of the flag.
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
            return Err("a secret has at least 16 characters".into());
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
        let flags = &self.limits;
        let limits = Limits {
            text_bytes: flags.text_bytes,
            data_bytes: flags.data_bytes,
            frame_bytes: flags.frame_bytes,
            rooms_per_connection: flags.rooms_per_connection,
            nickname_chars: flags.nickname_chars,
            title_chars: flags.title_chars,
            page: flags.page,
            heartbeat: flags.heartbeat,
            write_timeout: flags.write_timeout,
            connections: flags.connections,
            connections_per_address: flags.connections_per_address,
            rooms: flags.rooms,
            ended_rooms: flags.ended_rooms,
            ended_for: flags.ended_for,
            log_events: flags.log_events,
            log_bytes: flags.log_bytes,
            room_ttl: flags.room_ttl,
            room_idle: flags.room_idle,
            grace: flags.grace,
            presence_window: flags.presence_window,
            presence_members: flags.presence_members,
            commands: flags.command_rate,
            rooms_per_identity: flags.room_rate,
            rooms_per_address: flags.room_rate_per_address,
            identities_per_address: flags.identity_rate_per_address,
            passwords_per_room: flags.password_rate,
            passwords_per_address: flags.password_rate_per_address,
            hashes: flags.hashes,
            hashes_waiting: flags.hashes_waiting,
            ..Limits::default()
        };
        if flags.no_limits {
            limits.without_rates()
        } else {
            limits
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "a time is like 500ms, 10s, 5m or 24h")?;
    let time = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(3600)),
        _ => return Err("a time is like 500ms, 10s, 5m or 24h".into()),
    };
    // The clock can count from now to any moment within it.
    if time > LONGEST {
        return Err("a time is at most 87600h, ten years".into());
    }
    Ok(time)
}

/// A time that a client is given: with none, nobody could be served.
fn patience(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("this time is above zero".into()),
        time => Ok(time),
    }
}

fn quota(text: &str) -> Result<Quota, String> {
    let (burst, period) = text.split_once('/').ok_or("a rate is like 200/10s")?;
    let burst = burst.parse().map_err(|_| "a rate is like 200/10s")?;
    Ok(Quota::per(burst, duration(period)?))
}

fn filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_engine() {
        let cli = Cli::parse_from(["standalone"]);
        assert_eq!(
            format!("{:?}", cli.limits()),
            format!("{:?}", Limits::default())
        );
    }

    #[test]
    fn no_limits_takes_rates_off_and_nothing_else() {
        let cli = Cli::parse_from(["standalone", "--no-limits", "--text-bytes", "100"]);
        let limits = cli.limits();
        assert_eq!((limits.text_bytes, limits.frame_bytes), (100, 65_536));
        assert_eq!(limits.commands, Quota::UNLIMITED);
        assert_eq!(limits.connections_per_address, 0);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["10", "s", "-1s", "1d", ""] {
            assert!(duration(bad).is_err(), "{bad}");
            assert!(quota(&format!("5/{bad}")).is_err(), "{bad}");
        }
        assert!(quota("5").is_err());
        assert!(Cli::try_parse_from(["standalone", "--listen", "nowhere"]).is_err());
    }
}
