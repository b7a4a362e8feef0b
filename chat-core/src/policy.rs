//! What the host decides.

use async_trait::async_trait;
use serde_json::value::RawValue;

use crate::command::Create;
use crate::error::Error;
use crate::id::{MemberId, RoomId};
use crate::identity::Identity;
use crate::message::Content;

/// May this visitor do this? Each answer may also rewrite what was asked.
///
/// The engine waits [`Limits::policy_timeout`](crate::Limits::policy_timeout) for an answer; then the command is
/// `unavailable`. A panic makes it `internal`. Meanwhile the connection goes on receiving; its own later commands wait. A
/// method may be dropped at any `await`, when the connection ends.
///
/// What a policy lets through is still checked against the limits of the engine.
#[async_trait]
pub trait Policy: Send + Sync {
    /// Before a room is made, by `create` or by the first join of an open room. `visitor` is none over HTTP.
    ///
    /// # Errors
    /// What the client is told.
    async fn create(&self, _visitor: Option<&Identity>, _room: &mut Create) -> Result<(), Error> {
        Ok(())
    }

    /// Before a join is decided by the room.
    ///
    /// # Errors
    /// What the client is told.
    async fn join(&self, _visitor: &Identity, _room: &RoomId) -> Result<(), Error> {
        Ok(())
    }

    /// Before a message is appended.
    ///
    /// # Errors
    /// What the client is told: `forbidden`, `muted`, or what else fits.
    async fn send(
        &self,
        _visitor: &Identity,
        _room: &RoomId,
        _draft: &mut Draft,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// A message that is about to be said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Draft {
    /// Who says it.
    pub from: MemberId,
    /// Its text.
    pub text: String,
    /// Its data, as JSON.
    pub data: Option<Box<RawValue>>,
    /// The message that it answers.
    pub reply_to: Option<u64>,
}

impl Draft {
    pub(crate) fn new(from: MemberId, content: Content<'_>) -> Self {
        Self {
            from,
            text: content.text.to_owned(),
            data: content.data.map(RawValue::to_owned),
            reply_to: content.reply_to,
        }
    }

    pub(crate) fn content(&self) -> Content<'_> {
        Content {
            text: &self.text,
            data: self.data.as_deref(),
            reply_to: self.reply_to,
        }
    }
}
