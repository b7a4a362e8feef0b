//! Why a command is refused.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Why a command is refused: the `error` event without its `id`.
///
/// Hosts return it from their [`Policy`](crate::Policy) and get it from [`Chat`](crate::Chat).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// The fixed name that programs act on.
    pub code: Code,
    /// One sentence for a human reader.
    pub message: Cow<'static, str>,
    /// How long to wait until the same command may succeed.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error with its sentence.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// `rate_limited`, with the time to wait before the next attempt.
    pub fn rate_limited(message: &'static str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::RateLimited, message)
        }
    }

    /// [`retry_after`](Self::retry_after) in whole milliseconds, rounded up so that a client that
    /// waits exactly this long is not too early.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_nanos().div_ceil(1_000_000) as u64)
    }
}

/// `unavailable`, because the server is being drained.
pub(crate) fn going_away() -> Error {
    Error::new(Code::Unavailable, "The server is going away")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.as_str())
    }
}

impl std::error::Error for Error {}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// The error codes of `chat.v1`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

codes! {
    /// The text is not a JSON object.
    BadJson = "bad_json",
    /// An unknown `type`, or a field that is missing, of the wrong type, or out of its bounds.
    BadCommand = "bad_command",
    /// A string or `data` is over its limit.
    TooLarge = "too_large",
    /// A second `hello`.
    AlreadyIdentified = "already_identified",
    /// The token is forged, truncated, expired, or of another server.
    BadToken = "bad_token",
    /// There is no such room.
    RoomNotFound = "room_not_found",
    /// There is a room with this id already.
    RoomExists = "room_exists",
    /// The room id is not 1 to 64 characters of `A-Z a-z 0-9 _ -`.
    BadRoom = "bad_room",
    /// All seats are taken.
    RoomFull = "room_full",
    /// The room has ended.
    RoomExpired = "room_expired",
    /// The room has a password and none was given.
    PasswordRequired = "password_required",
    /// The password is wrong.
    WrongPassword = "wrong_password",
    /// The command needs a join.
    NotJoined = "not_joined",
    /// This connection has joined the room already.
    AlreadyJoined = "already_joined",
    /// This connection has joined as many rooms as it may.
    TooManyRooms = "too_many_rooms",
    /// The nickname breaks the rules.
    BadNickname = "bad_nickname",
    /// Another member has this nickname, or one that looks like it.
    NicknameTaken = "nickname_taken",
    /// The text has no visible character.
    EmptyText = "empty_text",
    /// Too many of these in too short a time.
    RateLimited = "rate_limited",
    /// The host does not allow it.
    Forbidden = "forbidden",
    /// The member is banned from the room.
    Banned = "banned",
    /// The member may read but not send.
    Muted = "muted",
    /// The server cannot do this now; the client may try again.
    Unavailable = "unavailable",
    /// The server failed.
    Internal = "internal",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
