//! What members send.

use super::effects::Effects;
use super::lifecycle::Lifecycle;
use super::log::Position;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::protocol::MemberId;
use crate::protocol::frames;
use crate::protocol::message::{Author, Content, Message};

/// A member sends a message. With a key that they have used before, the outcome is the earlier
/// message, and nothing is sent.
pub(crate) struct SendMessage<'a> {
    pub(crate) member: MemberId,
    pub(crate) ordinal: u64,
    pub(crate) content: Content<'a>,
    pub(crate) key: Option<&'a str>,
}

impl Operation for SendMessage<'_> {
    type Outcome = Position;

    #[inline]
    fn apply(
        self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<Position, Refusal> {
        let id = self.member;
        if state.lifecycle() != Lifecycle::Live {
            return Err(Refusal::NotJoined);
        }
        let seat = state.roster.seat_of(id, self.ordinal);
        let seat = seat.ok_or(Refusal::NotJoined)?;
        if let Some(position) = self.key.and_then(|key| state.keys.find(id, key)) {
            return Ok(position);
        }
        let from = Author {
            id,
            nickname: &seat.nickname,
        };
        let (room, content) = (&state.id, self.content);
        let position = state
            .log
            .append(stamp.unix_ms, |Position { seq, at }, out| {
                let message = Message {
                    room,
                    seq,
                    from,
                    text: content.text,
                    at,
                    reply_to: content.reply_to,
                    data: content.data,
                };
                frames::push_with(out, |out| message.write(out));
            });
        if let Some(key) = self.key {
            state.keys.insert(id, key, position);
        }
        state.keys.expire(position.seq);
        effects.appended = true;
        Ok(position)
    }
}
