//! What the host decides.

use async_trait::async_trait;
use serde_json::value::RawValue;

use crate::identity::Identity;
use crate::protocol::message::Content;
use crate::protocol::{Create, Error, MemberId, RoomId};

/// The host's decisions: may this visitor do this? Each answer may also rewrite what was asked for.
///
/// The engine waits [`Limits::policy_timeout`](crate::Limits::policy_timeout) for an answer; then
/// the command is `unavailable`. A panic makes it `internal`. Meanwhile the connection goes on
/// receiving events, and its own later commands wait. A hook may be dropped at any `await`, when
/// the connection ends.
///
/// What a policy lets through is still checked against the limits of the engine.
///
/// ```
/// use chat_core::{Chat, Code, Draft, Error, Hooks, Identity, Policy, RoomId, async_trait};
///
/// struct NoShouting;
///
/// #[async_trait]
/// impl Policy for NoShouting {
///     fn hooks(&self) -> Hooks {
///         Hooks::NONE.with_send()
///     }
///
///     async fn send(&self, _: &Identity, _: &RoomId, draft: &mut Draft) -> Result<(), Error> {
///         if draft.text == draft.text.to_uppercase() {
///             return Err(Error::new(Code::Forbidden, "Please do not shout"));
///         }
///         Ok(())
///     }
/// }
///
/// let chat = Chat::builder().policy(NoShouting).build();
/// ```
#[async_trait]
pub trait Policy: Send + Sync {
    /// Which of the hooks this policy has; asked once. The others are never called and cost
    /// nothing. All of them by default.
    fn hooks(&self) -> Hooks {
        Hooks::ALL
    }

    /// Before a room is made, by `create` or by the first join of an open room. The id of a room
    /// that a join makes cannot be rewritten. `visitor` is `None` if the host itself asks, for
    /// example over HTTP.
    ///
    /// # Errors
    /// What the client is told.
    async fn create(&self, _visitor: Option<&Identity>, _room: &mut Create) -> Result<(), Error> {
        Ok(())
    }

    /// Before the room decides about a join.
    ///
    /// # Errors
    /// What the client is told.
    async fn join(&self, _visitor: &Identity, _room: &RoomId) -> Result<(), Error> {
        Ok(())
    }

    /// Before a message is appended.
    ///
    /// # Errors
    /// What the client is told: `forbidden`, `muted`, or whatever else fits.
    async fn send(
        &self,
        _visitor: &Identity,
        _room: &RoomId,
        _draft: &mut Draft,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// Which hooks a [`Policy`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hooks {
    /// [`Policy::create`]
    pub create: bool,
    /// [`Policy::join`]
    pub join: bool,
    /// [`Policy::send`]
    pub send: bool,
}

impl Hooks {
    /// Every hook.
    pub const ALL: Self = Self {
        create: true,
        join: true,
        send: true,
    };
    /// No hook.
    pub const NONE: Self = Self {
        create: false,
        join: false,
        send: false,
    };

    /// These and [`Policy::create`].
    #[must_use]
    pub const fn with_create(self) -> Self {
        Self {
            create: true,
            ..self
        }
    }

    /// These and [`Policy::join`].
    #[must_use]
    pub const fn with_join(self) -> Self {
        Self { join: true, ..self }
    }

    /// These and [`Policy::send`].
    #[must_use]
    pub const fn with_send(self) -> Self {
        Self { send: true, ..self }
    }
}

/// A message that is about to be appended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Draft {
    /// The member who sends it.
    pub from: MemberId,
    /// Its text.
    pub text: String,
    /// Its data, as JSON.
    pub data: Option<Box<RawValue>>,
    /// The message that it replies to.
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
