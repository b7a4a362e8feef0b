//! What a room is made with.

use std::sync::Arc;

use crate::identity::password::Password;
use crate::protocol::HistoryFrom;

/// The settings of a room. Durations are in milliseconds.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) title: String,
    /// Number of seats; 0 is no limit.
    pub(crate) capacity: u32,
    pub(crate) password: Option<RoomPassword>,
    /// How long the room lives; 0 is forever.
    pub(crate) ttl_ms: u64,
    /// How long the seat of a lost connection is held.
    pub(crate) grace_ms: u64,
    /// How long a room without an end stays when nobody is in it.
    pub(crate) idle_ms: u64,
    pub(crate) history_from: HistoryFrom,
    pub(crate) listed: bool,
    /// Whether the room stays when nobody is in it.
    pub(crate) kept: bool,
}

/// The password of a room, with its version: what was verified against an earlier version no longer
/// counts.
#[derive(Clone, Debug)]
pub(crate) struct RoomPassword {
    pub(crate) version: u64,
    pub(crate) hash: Arc<Password>,
}
