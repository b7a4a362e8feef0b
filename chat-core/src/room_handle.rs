//! One room, as its host holds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::clock::millis;
use crate::engine::Engine;
use crate::protocol::event::parse_cursor;
use crate::protocol::message::Content;
use crate::protocol::{Code, Error, MemberId, MembersPage, RoomId, RoomInfo, text};
use crate::room::Room;
use crate::room::state::{Announce, BanLength, Close, Operation, Refusal, Remove, Removed, Unban};

/// A room as its host holds it, whether the room exists or not. Cloning gives another handle to the
/// same room.
///
/// The methods are `async` because a room may be stored, or shared by several servers. All of them
/// are cancel-safe: a dropped future has done what it does, or nothing.
#[derive(Clone)]
pub struct RoomHandle {
    engine: Arc<Engine>,
    id: RoomId,
}

#[allow(
    clippy::unused_async,
    reason = "a journal under the rooms will have to be waited for"
)]
impl RoomHandle {
    pub(crate) fn new(engine: &Arc<Engine>, id: RoomId) -> Self {
        Self {
            engine: Arc::clone(engine),
            id,
        }
    }

    /// The room's id.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// Sends a `notice` to the room, which is part of its history. Returns the notice's `seq`.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`, `too_large`, `bad_command`, `empty_text`.
    pub async fn announce(&self, text: &str) -> Result<u64, Error> {
        self.announce_with(text, None).await
    }

    /// Like [`announce`](Self::announce), with `data` for programs.
    ///
    /// # Errors
    /// The same.
    pub async fn announce_with(&self, text: &str, data: Option<&RawValue>) -> Result<u64, Error> {
        text::check_text(text, self.engine.limits.text_bytes)?;
        if let Some(data) = data {
            text::check_data(data.get(), self.engine.limits.data_bytes)?;
        }
        let content = Content {
            text,
            data,
            reply_to: None,
        };
        Ok(self.apply(Announce { content })?.seq)
    }

    /// What anybody who knows the room's id may know of it.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`.
    pub async fn info(&self) -> Result<RoomInfo, Error> {
        Ok(self.find()?.info())
    }

    /// A page of the members, in the order in which they joined. `cursor` is that of the page
    /// before, `limit` is clamped to [`Limits::page`](crate::Limits::page).
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`, `bad_command` for a cursor that is unknown.
    pub async fn members(&self, cursor: Option<&str>, limit: usize) -> Result<MembersPage, Error> {
        let after = cursor.map(parse_cursor).transpose()?;
        let limit = limit.min(self.engine.limits.page);
        Ok(self.find()?.members(after, limit))
    }

    /// Removes a member, who may come back. False if they are not there.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`.
    pub async fn kick(&self, member: MemberId, text: Option<&str>) -> Result<bool, Error> {
        let kick = Remove {
            member,
            text,
            ban: None,
        };
        Ok(self.apply(kick)?.was_present)
    }

    /// Removes a member and keeps them out for `time`, or for as long as the room lives; a century
    /// or more is the same. False if
    /// they are not there; they are banned all the same. A ban is of an identity: whoever throws
    /// their token away comes back as somebody else.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`; `unavailable` if the room has 10 000 bans already. Then
    /// the member is removed, but may come back.
    pub async fn ban(
        &self,
        member: MemberId,
        time: Option<Duration>,
        text: Option<&str>,
    ) -> Result<bool, Error> {
        let length = match time {
            Some(time) if time < CENTURY => BanLength::Milliseconds(millis(time)),
            _ => BanLength::Unlimited,
        };
        let removed: Removed = self.apply(Remove {
            member,
            text,
            ban: Some(length),
        })?;
        if removed.too_many_bans {
            let message = "This room has as many bans as it may have";
            return Err(Error::new(Code::Unavailable, message));
        }
        Ok(removed.was_present)
    }

    /// Lets a banned member come back.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`.
    pub async fn unban(&self, member: MemberId) -> Result<(), Error> {
        self.apply(Unban { member })
    }

    /// Ends the room. Its members are sent `removed` (`closed`), and its id is `room_expired` for a
    /// while.
    ///
    /// # Errors
    /// `room_not_found`, `room_expired`.
    pub async fn close(&self, text: Option<&str>) -> Result<(), Error> {
        self.apply(Close { text })
    }

    /// Applies an operation, and takes the room out of the registry if it has ended.
    fn apply<O: Operation>(&self, operation: O) -> Result<O::Outcome, Error> {
        let room = self.find()?;
        let now = self.engine.clock.now();
        let outcome: Result<O::Outcome, Refusal> = room.apply(now, operation);
        self.engine.registry.bring_up_to_date(&room, now);
        Ok(outcome?)
    }

    fn find(&self) -> Result<Arc<Room>, Error> {
        self.engine.lookup(&self.id, self.engine.clock.now()).live()
    }
}

impl fmt::Debug for RoomHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Longer than any room lives, and still a date that clients can show.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
