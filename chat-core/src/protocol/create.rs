//! What a room is made with.

use std::fmt;
use std::time::Duration;

use super::error::{Code, Error};
use super::fields::{Fields, bad_command};
use super::id::RoomId;

/// The fields of `create`. Each may be left out.
///
/// ```
/// # use std::time::Duration;
/// use chat_core::Create;
///
/// let tea = Create::default().title("Tea").capacity(10).ttl(Duration::from_secs(3600));
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Create {
    /// The id. Where it is absent, the server makes one that cannot be guessed.
    pub room: Option<RoomId>,
    /// Shown above the room; white space around it is trimmed.
    pub title: Option<String>,
    /// Number of seats; 0 or absent is no limit.
    pub capacity: Option<u32>,
    /// The password that a join must carry; at most 256 bytes. An empty one is none.
    pub password: Option<String>,
    /// How long the room lives: zero is forever, otherwise at least one second. Where it is
    /// absent, [`Limits::room_ttl`](crate::Limits::room_ttl) counts.
    pub ttl: Option<Duration>,
    /// Whether the list of rooms shows it.
    pub listed: bool,
    /// How long the seat of a lost connection is held; at most 10 minutes.
    pub grace: Option<Duration>,
    /// What members may read of the time before they came.
    pub history_from: HistoryFrom,
}

/// What members may read of the time before they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HistoryFrom {
    /// Everything that is retained.
    #[default]
    All,
    /// Nothing before their own first admission.
    Join,
}

/// Shows whether there is a password, but not which.
impl fmt::Debug for Create {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Create")
            .field("room", &self.room)
            .field("title", &self.title)
            .field("capacity", &self.capacity)
            .field("has_password", &self.password.is_some())
            .field("ttl", &self.ttl)
            .field("listed", &self.listed)
            .field("grace", &self.grace)
            .field("history_from", &self.history_from)
            .finish()
    }
}

impl Create {
    /// Sets the [id](Self::room).
    #[must_use]
    pub fn room(mut self, room: RoomId) -> Self {
        self.room = Some(room);
        self
    }

    /// Sets the [title](Self::title).
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the [number of seats](Self::capacity).
    #[must_use]
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// Sets the [password](Self::password).
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into()).filter(|password| !password.is_empty());
        self
    }

    /// Sets the [lifetime](Self::ttl).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets whether the [list of rooms](Self::listed) shows it.
    #[must_use]
    pub fn listed(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }

    /// Sets the [grace](Self::grace) of lost connections.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sets what members may read of the time [before they came](Self::history_from).
    #[must_use]
    pub fn history_from(mut self, history_from: HistoryFrom) -> Self {
        self.history_from = history_from;
        self
    }

    /// Reads the fields of `create` from a JSON object.
    ///
    /// # Errors
    /// `bad_json`, `bad_command`, `bad_room`.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        match serde_json::from_slice::<Fields<'_>>(json) {
            Ok(fields) => Self::read(&fields),
            Err(_) => Err(Error::new(
                Code::BadJson,
                "The body must be one JSON object",
            )),
        }
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let capacity = fields.whole("capacity")?.map(u32::try_from).transpose();
        let ttl = fields.whole("ttl_ms")?.map(Duration::from_millis);
        if ttl.is_some_and(|ttl| !ttl.is_zero() && ttl < Duration::from_secs(1)) {
            return Err(bad_command("`ttl_ms` must be 0 or at least 1000"));
        }
        let grace = fields.whole("grace_ms")?.map(Duration::from_millis);
        if grace.is_some_and(|grace| grace > MAX_GRACE) {
            return Err(bad_command("`grace_ms` must be at most 600000"));
        }
        Ok(Self {
            title: fields.string("title")?,
            capacity: capacity.map_err(|_| bad_command("`capacity` must be at most 4294967295"))?,
            password: fields
                .string("password")?
                .filter(|password| !password.is_empty()),
            ttl,
            listed: fields.boolean("listed")?.unwrap_or_default(),
            grace,
            history_from: match fields.string("history_from")?.as_deref() {
                None | Some("all") => HistoryFrom::All,
                Some("join") => HistoryFrom::Join,
                Some(_) => return Err(bad_command("`history_from` must be `all` or `join`")),
            },
            room: fields
                .string("room")?
                .map(|room| RoomId::new(&room))
                .transpose()?,
        })
    }
}

const MAX_GRACE: Duration = Duration::from_secs(600);
