//! Every bound that a host can set, with its default and what happens at it.

use std::time::Duration;

use crate::rate::Quota;

/// The bounds of an engine. `Default` is what a public server can live with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a message's text; over it `too_large`.
    pub text_bytes: usize,
    /// Bytes of a message's `data`, as JSON; over it `too_large`.
    pub data_bytes: usize,
    /// Bytes of one incoming message; over it the transport closes with 1009.
    pub frame_bytes: usize,
    /// Rooms that one connection may be in; over it `too_many_rooms`.
    pub rooms_per_connection: usize,
    /// Graphemes of a nickname; over it `bad_nickname`.
    pub nickname_chars: usize,
    /// Code points of a title; over it `too_large`.
    pub title_chars: usize,
    /// Messages a page of history, members and rooms a page of theirs; what asks for more gets this many.
    pub page: usize,
    /// Silence after which a peer is pinged; one and a half of these without an answer end the connection (4003).
    pub heartbeat: Duration,
    /// Time in which a batch must be taken; then the connection ends (4002).
    pub write_timeout: Duration,
    /// Time that the host's policy may take over one command; then the command is `unavailable`.
    pub policy_timeout: Duration,

    /// Connections at once; over it a handshake is refused (503), or the connection closed (1013).
    pub connections: usize,
    /// Connections from one address prefix (IPv4 /32, IPv6 /64); over it a handshake is refused (429). 0 is no limit.
    pub connections_per_address: usize,
    /// Rooms at once; over it `create` is `unavailable`.
    pub rooms: usize,
    /// Ids of ended rooms that are remembered; over it the oldest is forgotten.
    pub ended_rooms: usize,
    /// How long they are remembered.
    pub ended_for: Duration,
    /// Events that a room retains; over it the oldest goes.
    pub log_events: usize,
    /// Bytes of encoded events that a room retains; over it the oldest goes. Memory is given back in batches of up to 16 KiB and
    /// an event.
    pub log_bytes: usize,

    /// The end of a room whose creator names none. Zero is never.
    pub room_ttl: Duration,
    /// How long a room without an end stays when it is empty.
    pub room_idle: Duration,
    /// How long a lost connection's seat is held where the room says nothing.
    pub grace: Duration,
    /// Changes of presence within this time come together.
    pub presence_window: Duration,
    /// Members up to which presence names them; larger rooms get counts, at most once a second.
    pub presence_members: usize,

    /// Commands of one connection. A `send` costs 1; see `Command::cost`.
    pub commands: Quota,
    /// Rooms made by one identity.
    pub rooms_per_identity: Quota,
    /// Rooms made from one address prefix.
    pub rooms_per_address: Quota,
    /// New identities made from one address prefix.
    pub identities_per_address: Quota,
    /// Wrong passwords for one room from one address prefix; over it every try is refused, counts too, and makes the wait longer,
    /// up to 15 minutes.
    pub passwords_per_room: Quota,
    /// Wrong passwords from one address prefix; over it the same.
    pub passwords_per_address: Quota,
    /// Password hashes being computed at once: 19 MiB and one core each.
    pub hashes: usize,
    /// Password hashes waiting; over it `unavailable`.
    pub hashes_waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            text_bytes: 4096,
            data_bytes: 4096,
            frame_bytes: 65_536,
            rooms_per_connection: 32,
            nickname_chars: 20,
            title_chars: 60,
            page: 100,
            heartbeat: Duration::from_secs(25),
            write_timeout: Duration::from_secs(10),
            policy_timeout: Duration::from_secs(5),
            connections: 100_000,
            connections_per_address: 1000,
            rooms: 100_000,
            ended_rooms: 16_384,
            ended_for: HOUR,
            log_events: 1024,
            log_bytes: 1 << 20,
            room_ttl: HOUR * 24,
            room_idle: MINUTE * 10,
            grace: Duration::from_secs(10),
            presence_window: Duration::from_millis(100),
            presence_members: 200,
            commands: Quota {
                burst: 200,
                interval: Duration::from_millis(20),
            },
            rooms_per_identity: Quota::per(200, HOUR),
            rooms_per_address: Quota::per(1000, HOUR),
            identities_per_address: Quota {
                burst: 2000,
                interval: Duration::from_millis(100),
            },
            passwords_per_room: Quota::per(5, MINUTE),
            passwords_per_address: Quota::per(20, MINUTE),
            hashes: 2,
            hashes_waiting: 64,
        }
    }
}

impl Limits {
    /// Takes the rate and per-address limits off, and nothing else: for benchmarks.
    pub fn without_rates(mut self) -> Self {
        self.connections_per_address = 0;
        for quota in [
            &mut self.commands,
            &mut self.rooms_per_identity,
            &mut self.rooms_per_address,
            &mut self.identities_per_address,
            &mut self.passwords_per_room,
            &mut self.passwords_per_address,
        ] {
            *quota = Quota::UNLIMITED;
        }
        self
    }
}
