//! The flags that set limits.

use std::time::Duration;

use chat_core::{Limits, Quota};

use super::values::{duration, quota, timeout};

/// The bounds of the engine and of the HTTP server.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Turns the rate limits and the limits per address off, and nothing else. For benchmarks.
    #[arg(long, env = "CHAT_NO_LIMITS")]
    no_limits: bool,
    /// Bytes of the text of a message.
    #[arg(
        long,
        env = "CHAT_TEXT_BYTES",
        default_value_t = 4096,
        value_name = "BYTES"
    )]
    text_bytes: usize,
    /// Bytes of the data of a message, as JSON.
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
    /// Rooms that one connection may be in at once.
    #[arg(
        long,
        env = "CHAT_ROOMS_PER_CONNECTION",
        default_value_t = 32,
        value_name = "N"
    )]
    rooms_per_connection: usize,
    /// Characters (grapheme clusters) of a nickname.
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
    /// Entries in one page of history, members or rooms.
    #[arg(long, env = "CHAT_PAGE", default_value_t = 100, value_name = "N")]
    page: usize,
    /// The silence after which a client is pinged.
    #[arg(
        long,
        env = "CHAT_HEARTBEAT",
        default_value = "25s",
        value_parser = timeout,
        value_name = "TIME"
    )]
    heartbeat: Duration,
    /// The time within which a client must take what it is sent. A slower one is dropped (4002).
    #[arg(
        long,
        env = "CHAT_WRITE_TIMEOUT",
        default_value = "10s",
        value_parser = timeout,
        value_name = "TIME"
    )]
    write_timeout: Duration,
    /// How long a token is valid, from the last time its owner said hello.
    #[arg(
        long,
        env = "CHAT_TOKEN_TTL",
        default_value = "720h",
        value_parser = timeout,
        value_name = "TIME"
    )]
    token_ttl: Duration,
    /// The time within which the header of a request must arrive, and after which a connection
    /// takes no further request.
    #[arg(
        long,
        env = "CHAT_HEADER_TIMEOUT",
        default_value = "10s",
        value_parser = timeout,
        value_name = "TIME"
    )]
    pub(super) header_timeout: Duration,
    /// Open WebSocket connections; further ones are refused (503).
    #[arg(
        long,
        env = "CHAT_CONNECTIONS",
        default_value_t = 100_000,
        value_name = "N"
    )]
    connections: usize,
    /// Open WebSocket connections from one IPv4 address or IPv6 /64; further ones are refused
    /// (429). 0 means no limit.
    #[arg(
        long,
        env = "CHAT_CONNECTIONS_PER_ADDRESS",
        default_value_t = 1000,
        value_name = "N"
    )]
    connections_per_address: usize,
    /// Open sockets that speak HTTP, including those about to be upgraded; further ones are closed
    /// immediately.
    #[arg(
        long,
        env = "CHAT_HTTP_CONNECTIONS",
        default_value_t = 4096,
        value_name = "N"
    )]
    pub(super) http_connections: usize,
    /// Rooms that exist at the same time.
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
    /// How long the ids of ended rooms are remembered.
    #[arg(
        long,
        env = "CHAT_ENDED_FOR",
        default_value = "1h",
        value_parser = duration,
        value_name = "TIME"
    )]
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
    /// The lifetime of a room whose creator did not choose one. 0s means no end.
    #[arg(
        long,
        env = "CHAT_ROOM_TTL",
        default_value = "24h",
        value_parser = duration,
        value_name = "TIME"
    )]
    room_ttl: Duration,
    /// How long an empty room without an end is kept.
    #[arg(
        long,
        env = "CHAT_ROOM_IDLE",
        default_value = "10m",
        value_parser = duration,
        value_name = "TIME"
    )]
    room_idle: Duration,
    /// How long the seat of a lost connection is held, unless the room sets its own time.
    #[arg(
        long,
        env = "CHAT_GRACE",
        default_value = "10s",
        value_parser = duration,
        value_name = "TIME"
    )]
    grace: Duration,
    /// Joins and leaves within this time are announced together.
    #[arg(
        long,
        env = "CHAT_PRESENCE_WINDOW",
        default_value = "100ms",
        value_parser = duration,
        value_name = "TIME"
    )]
    presence_window: Duration,
    /// Up to this many members, joins and leaves are announced by name; above it, as numbers.
    #[arg(
        long,
        env = "CHAT_PRESENCE_MEMBERS",
        default_value_t = 200,
        value_name = "N"
    )]
    presence_members: usize,
    /// Rate of the commands of one connection.
    #[arg(
        long,
        env = "CHAT_COMMAND_RATE",
        default_value = "200/4s",
        value_parser = quota,
        value_name = "RATE"
    )]
    command_rate: Quota,
    /// Rate of the rooms created by one visitor.
    #[arg(
        long,
        env = "CHAT_ROOM_RATE",
        default_value = "200/1h",
        value_parser = quota,
        value_name = "RATE"
    )]
    room_rate: Quota,
    /// Rate of the rooms created from one address.
    #[arg(
        long,
        env = "CHAT_ROOM_RATE_PER_ADDRESS",
        default_value = "1000/1h",
        value_parser = quota,
        value_name = "RATE"
    )]
    room_rate_per_address: Quota,
    /// Rate of new visitors from one address.
    #[arg(
        long,
        env = "CHAT_IDENTITY_RATE_PER_ADDRESS",
        default_value = "2000/200s",
        value_parser = quota,
        value_name = "RATE"
    )]
    identity_rate_per_address: Quota,
    /// Rate of wrong passwords for one room from one address.
    #[arg(
        long,
        env = "CHAT_PASSWORD_RATE",
        default_value = "5/1m",
        value_parser = quota,
        value_name = "RATE"
    )]
    password_rate: Quota,
    /// Rate of wrong passwords from one address.
    #[arg(
        long,
        env = "CHAT_PASSWORD_RATE_PER_ADDRESS",
        default_value = "20/1m",
        value_parser = quota,
        value_name = "RATE"
    )]
    password_rate_per_address: Quota,
    /// Passwords that are hashed at the same time, at 19 MiB and one core each.
    #[arg(long, env = "CHAT_HASHES", default_value_t = 2, value_name = "N")]
    hashes: usize,
    /// Passwords that wait to be hashed.
    #[arg(
        long,
        env = "CHAT_HASHES_WAITING",
        default_value_t = 64,
        value_name = "N"
    )]
    hashes_waiting: usize,
}

impl LimitFlags {
    pub(super) fn to_limits(&self) -> Limits {
        let limits = Limits::default()
            .text_bytes(self.text_bytes)
            .data_bytes(self.data_bytes)
            .frame_bytes(self.frame_bytes)
            .rooms_per_connection(self.rooms_per_connection)
            .nickname_chars(self.nickname_chars)
            .title_chars(self.title_chars)
            .page(self.page)
            .heartbeat(self.heartbeat)
            .write_timeout(self.write_timeout)
            .token_ttl(self.token_ttl)
            .connections(self.connections)
            .connections_per_address(self.connections_per_address)
            .rooms(self.rooms)
            .ended_rooms(self.ended_rooms)
            .ended_for(self.ended_for)
            .log_events(self.log_events)
            .log_bytes(self.log_bytes)
            .room_ttl(self.room_ttl)
            .room_idle(self.room_idle)
            .grace(self.grace)
            .presence_window(self.presence_window)
            .presence_members(self.presence_members)
            .commands(self.command_rate)
            .rooms_per_identity(self.room_rate)
            .rooms_per_address(self.room_rate_per_address)
            .identities_per_address(self.identity_rate_per_address)
            .passwords_per_room(self.password_rate)
            .passwords_per_address(self.password_rate_per_address)
            .hashes(self.hashes)
            .hashes_waiting(self.hashes_waiting);
        if self.no_limits {
            limits.without_rates()
        } else {
            limits
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        limits: LimitFlags,
    }

    fn limits(flags: &[&str]) -> Limits {
        let args = ["standalone"].iter().chain(flags);
        Cli::parse_from(args).limits.to_limits()
    }

    #[test]
    fn the_defaults_of_the_flags_are_those_of_the_engine() {
        assert_eq!(limits(&[]), Limits::default());
    }

    #[test]
    fn no_limits_turns_rates_off_and_nothing_else() {
        let limits = limits(&["--no-limits", "--text-bytes", "100"]);
        assert_eq!((limits.text_bytes, limits.frame_bytes), (100, 65_536));
        assert_eq!(limits.commands, Quota::UNLIMITED);
        assert_eq!(limits.connections_per_address, 0);
    }
}
