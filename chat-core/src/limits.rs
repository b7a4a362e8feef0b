//! Every bound that a host can set, with its default and what happens at it.

use std::time::Duration;

use crate::rate::Quota;

/// Declares [`Limits`] with its defaults, and a setter of the same name for each field.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr,)+) => {
        /// The bounds of an engine. `Default` is what a public server can live with.
        ///
        /// Every field has a setter of the same name, so that a new limit breaks nobody's code:
        ///
        /// ```
        /// # use std::time::Duration;
        /// use chat_core::Limits;
        ///
        /// let limits = Limits::default().text_bytes(1000).grace(Duration::from_secs(30));
        /// assert_eq!(limits.text_bytes, 1000);
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )+
        }
    };
}

limits! {
    /// Bytes of a message's text; over it `too_large`. 4096 by default.
    text_bytes: usize = 4096,
    /// Bytes of a message's `data`, as JSON; over it `too_large`. 4096 by default.
    data_bytes: usize = 4096,
    /// Bytes of one incoming message; over it the transport closes with 1009. 64 KiB by default.
    frame_bytes: usize = 65_536,
    /// Rooms that one connection may have joined; over it `too_many_rooms`. 32 by default.
    rooms_per_connection: usize = 32,
    /// Graphemes of a nickname; over it `bad_nickname`. 20 by default.
    nickname_chars: usize = 20,
    /// Code points of a title; over it `too_large`. 60 by default.
    title_chars: usize = 60,
    /// The largest page of messages, members or rooms; larger requests are clamped to it. 100 by
    /// default.
    page: usize = 100,
    /// Silence after which a peer is pinged. A peer that stays silent for half of that again is
    /// closed with 4003. 25 s by default.
    heartbeat: Duration = Duration::from_secs(25),
    /// Time in which a batch must be accepted by the transport; then the connection ends (4002).
    /// 10 s by default.
    write_timeout: Duration = Duration::from_secs(10),
    /// Time that the host's [`Policy`](crate::Policy) or [`Identities`](crate::Identities) may
    /// take for one command; then the command is `unavailable`. 5 s by default.
    policy_timeout: Duration = Duration::from_secs(5),
    /// How long a token is valid, from the last `hello`. 30 days by default.
    token_ttl: Duration = Duration::from_secs(30 * 24 * 3600),

    /// Connections at once; over it [`Chat::admit`](crate::Chat::admit) refuses. 100 000 by
    /// default.
    connections: usize = 100_000,
    /// Connections from one address prefix (IPv4 /32, IPv6 /64); over it
    /// [`Chat::admit`](crate::Chat::admit) refuses. 0 is no limit. 1000 by default.
    connections_per_address: usize = 1000,
    /// Rooms at once; over it `create` is `unavailable`. 100 000 by default.
    rooms: usize = 100_000,
    /// Ids of ended rooms that are remembered; over it the oldest is forgotten. 16 384 by default.
    ended_rooms: usize = 16_384,
    /// How long the id of an ended room is remembered. One hour by default.
    ended_for: Duration = HOUR,
    /// Events that a room retains; over it the oldest goes. The idempotency keys of as many events
    /// are remembered. 1024 by default.
    log_events: usize = 1024,
    /// Bytes of encoded events that a room retains; over it the oldest goes. Memory is freed in
    /// chunks of up to 16 KiB and one event. 1 MiB by default.
    log_bytes: usize = 1 << 20,

    /// The lifetime of a room whose creator gives none. Zero is forever. 24 hours by default.
    room_ttl: Duration = Duration::from_secs(24 * 3600),
    /// How long a room without an end stays when nobody is in it. 10 minutes by default.
    room_idle: Duration = Duration::from_secs(600),
    /// How long the seat of a lost connection is held, in rooms that do not say. 10 s by default.
    grace: Duration = Duration::from_secs(10),
    /// Changes of presence within this time are sent together. 100 ms by default.
    presence_window: Duration = Duration::from_millis(100),
    /// Up to this number of members presence names them; larger rooms are sent numbers, at most
    /// once a second. 200 by default.
    presence_members: usize = 200,

    /// Commands of one connection. A `send` costs 1, `history`, `members` and `rooms` 2, `join` and
    /// `nickname` 5, `create` 10. 200 at once and 50 a second by default.
    commands: Quota = Quota { burst: 200, interval: Duration::from_millis(20) },
    /// Rooms made by one identity. 200 an hour by default.
    rooms_per_identity: Quota = Quota::per(200, HOUR),
    /// Rooms made from one address prefix. 1000 an hour by default.
    rooms_per_address: Quota = Quota::per(1000, HOUR),
    /// New identities made from one address prefix. 2000 at once and 10 a second by default.
    identities_per_address: Quota = Quota { burst: 2000, interval: Duration::from_millis(100) },
    /// Wrong passwords for one room from one address prefix. Over it every attempt is refused and
    /// counted, which makes the wait longer, up to 15 minutes. 5 a minute by default.
    passwords_per_room: Quota = Quota::per(5, MINUTE),
    /// Wrong passwords from one address prefix, for all rooms. 20 a minute by default.
    passwords_per_address: Quota = Quota::per(20, MINUTE),
    /// Password hashes that are computed at once; each takes 19 MiB and one core. 2 by default.
    hashes: usize = 2,
    /// Password hashes that may wait; over it `unavailable`. 64 by default.
    hashes_waiting: usize = 64,
}

impl Limits {
    /// Takes the rate limits and those by address off, and nothing else. For benchmarks.
    #[must_use]
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

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
