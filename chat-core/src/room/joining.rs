//! What a visitor brings and gets when they join.

use crate::protocol::{Frames, Member, MembersPage, RoomInfo};

use super::cursor::Cursor;
use super::state::RoomPassword;

/// Whether the room asks this visitor for a password.
pub(crate) struct PasswordGate {
    /// The password that the visitor must know; `None` lets them in.
    pub(crate) password: Option<RoomPassword>,
    /// Whether the visitor has a seat already.
    pub(crate) has_seat: bool,
}

/// Where a member who comes back wants to go on, and how many recent messages they want otherwise.
pub(crate) struct Return<'a> {
    pub(crate) since: Option<(&'a str, u64)>,
    pub(crate) history: Option<u64>,
}

/// What a member who has joined is told, and their cursor.
pub(crate) struct Joined {
    pub(crate) info: RoomInfo,
    pub(crate) you: Member,
    pub(crate) page: MembersPage,
    pub(crate) seq: u64,
    pub(crate) recovered: bool,
    pub(crate) messages: Vec<Frames>,
    pub(crate) cursor: Cursor,
}
