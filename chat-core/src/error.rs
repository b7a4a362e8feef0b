//! What a client is told when a command is refused.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A refused command: the `error` event without its `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// The fixed name that programs act upon.
    pub code: Code,
    /// One sentence for a person.
    pub message: Cow<'static, str>,
    /// How long to wait before the same command may succeed.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// A refusal with its reason.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// `rate_limited`, and when to try again.
    pub fn rate_limited(message: &'static str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::RateLimited, message)
        }
    }

    /// The wait in whole milliseconds, rounded up, so that a client that waits so long is not too early.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.retry_after
            .map(|wait| wait.as_nanos().div_ceil(1_000_000) as u64)
    }
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
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

codes! {
    /// The text is no JSON object.
    BadJson = "bad_json",
    /// An unknown `type`, or a field that is missing or of the wrong type.
    BadCommand = "bad_command",
    /// A string over its limit.
    TooLarge = "too_large",
    /// A second `hello`.
    AlreadyIdentified = "already_identified",
    /// A token that is forged, cut, expired, or of another server.
    BadToken = "bad_token",
    /// No such room.
    RoomNotFound = "room_not_found",
    /// The id is taken.
    RoomExists = "room_exists",
    /// Not 1 to 64 of `A-Z a-z 0-9 _ -`.
    BadRoom = "bad_room",
    /// All seats are taken.
    RoomFull = "room_full",
    /// The room has ended.
    RoomExpired = "room_expired",
    /// The room has a password and none was given.
    PasswordRequired = "password_required",
    /// The password is another one.
    WrongPassword = "wrong_password",
    /// The command needs a join.
    NotJoined = "not_joined",
    /// This connection is in the room already.
    AlreadyJoined = "already_joined",
    /// This connection is in as many rooms as it may be.
    TooManyRooms = "too_many_rooms",
    /// A nickname that breaks the rules.
    BadNickname = "bad_nickname",
    /// A member has this nickname, or one that looks like it.
    NicknameTaken = "nickname_taken",
    /// A text that shows nothing.
    EmptyText = "empty_text",
    /// Too much in too short a time.
    RateLimited = "rate_limited",
    /// The host does not allow it.
    Forbidden = "forbidden",
    /// Banned from the room.
    Banned = "banned",
    /// May read but not speak.
    Muted = "muted",
    /// The server cannot do it now; try again.
    Unavailable = "unavailable",
    /// The server failed.
    Internal = "internal",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
