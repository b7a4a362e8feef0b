//! What the server sends: the events of `chat.v1`.

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::{Code, Error};
use super::id::{MemberId, RoomId};

/// A member of a room.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Member {
    /// Stable for one identity in one room; see [`MemberId`].
    pub id: MemberId,
    /// Their nickname now.
    pub nickname: std::sync::Arc<str>,
}

/// What anybody who knows a room's id may know of the room.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its id.
    pub id: RoomId,
    /// Its title; empty when there is none.
    pub title: String,
    /// Number of seats; 0 is no limit.
    pub capacity: u32,
    /// Seats taken, those of members within their grace included.
    pub count: usize,
    /// Whether joining needs a password.
    pub has_password: bool,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it ends, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// Why a member is no longer in a room.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Removed; they may come back.
    Kicked,
    /// Removed, and they may not come back for a while.
    Banned,
    /// The room's lifetime was over.
    Expired,
    /// The host closed the room.
    Closed,
}

/// Every event but `message` and `sent`, which [`message`](super::message) encodes by hand. Lists
/// of encoded events (`messages`) are spliced in by the outbox.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    Welcome {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        protocol: u32,
        nickname: &'a str,
        token: &'a str,
        expires_at: u64,
        limits: WelcomeLimits,
        heartbeat_ms: u64,
    },
    Created {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomInfo,
    },
    Rooms {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        #[serde(flatten)]
        page: &'a RoomsPage,
    },
    Joined {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomInfo,
        you: &'a Member,
        presence: PresenceList<'a>,
        epoch: &'a str,
        seq: u64,
        recovered: bool,
    },
    Left {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomId,
    },
    History {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomId,
        more: bool,
    },
    Members {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        room: &'a RoomId,
        #[serde(flatten)]
        presence: PresenceList<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<&'a str>,
    },
    Renamed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        nickname: &'a str,
    },
    Ok {
        id: u64,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    Notice {
        room: &'a RoomId,
        seq: u64,
        text: &'a str,
        at: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    },
    Presence {
        room: &'a RoomId,
        version: u64,
        count: usize,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        joined: Vec<Member>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        left: Vec<Member>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        renamed: Vec<Member>,
    },
    Typing {
        room: &'a RoomId,
        member: &'a Member,
        active: bool,
    },
    Gap {
        room: &'a RoomId,
        epoch: &'a str,
        from: u64,
        to: u64,
    },
    Removed {
        room: &'a RoomId,
        reason: Reason,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<u64>,
    },
    Closing {
        reason: &'a str,
        reconnect_after_ms: u64,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        code: Code,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

/// The limits that clients are told.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct WelcomeLimits {
    pub(crate) text_bytes: usize,
    pub(crate) data_bytes: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) rooms_per_connection: usize,
    pub(crate) nickname_chars: usize,
    pub(crate) title_chars: usize,
    pub(crate) history: usize,
}

/// The members of a room, as of one version of its presence.
#[derive(Debug, Serialize)]
pub(crate) struct PresenceList<'a> {
    pub(crate) version: u64,
    pub(crate) count: usize,
    pub(crate) members: &'a [Member],
}

impl<'a> From<&'a MembersPage> for PresenceList<'a> {
    fn from(page: &'a MembersPage) -> Self {
        Self {
            version: page.version,
            count: page.count,
            members: &page.members,
        }
    }
}

/// A page of the list of rooms.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomsPage {
    /// Listed rooms, newest first.
    pub rooms: Vec<RoomInfo>,
    /// Where the next page begins; `None` on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A page of the members of a room.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct MembersPage {
    /// The version of the room's presence that this page shows.
    pub version: u64,
    /// The number of all members as of that version.
    pub count: usize,
    /// Members in the order in which they joined.
    pub members: Vec<Member>,
    /// Where the next page begins; `None` on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Parses the cursor of a page, which is a number that clients need not understand.
///
/// # Errors
/// `bad_command`.
pub(crate) fn parse_cursor(cursor: &str) -> Result<u64, Error> {
    cursor
        .parse()
        .map_err(|_| Error::new(Code::BadCommand, "This `cursor` is unknown"))
}
