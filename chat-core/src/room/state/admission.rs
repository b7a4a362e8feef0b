//! Who gets a seat.

use std::sync::Arc;

use super::effects::{Effects, RosterChange};
use super::naming::rename;
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::identity::nickname::Nickname;
use crate::protocol::{HistoryFrom, Member, MemberId};

/// A connection of a member joins.
///
/// Checked in this order: the room lives, the member is not banned, was let in before or knows the
/// password, their nickname is free, and there is a seat.
pub(crate) struct Join<'a> {
    pub(crate) member: MemberId,
    pub(crate) nickname: JoinNickname<'a>,
    /// The version of the room's password that was verified.
    pub(crate) verified: Option<u64>,
}

/// What a joining member is called.
#[derive(Clone, Copy)]
pub(crate) enum JoinNickname<'a> {
    /// A nickname of their own choice, also for a seat that they have already.
    Chosen(&'a Nickname),
    /// The first one of these that is free; a seat that they have already keeps its nickname.
    FirstFreeOf(&'a [Nickname]),
}

/// A seat with one connection more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seated {
    pub(crate) member: Member,
    /// Identifies this stay of the member.
    pub(crate) ordinal: u64,
    /// The newest event.
    pub(crate) seq: u64,
    /// The member sees the events after this one.
    pub(crate) visible_from: u64,
}

impl Operation for Join<'_> {
    type Outcome = Seated;

    fn apply(
        self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<Seated, Refusal> {
        let id = self.member;
        state.lifetime.check_live()?;
        state.check_ban(id, stamp)?;
        let password = state.password_for(id);
        if password.is_some_and(|password| self.verified != Some(password.version)) {
            return Err(Refusal::PasswordRequired);
        }
        if let JoinNickname::Chosen(nickname) = self.nickname
            && state.roster.is_taken(nickname, id)
        {
            return Err(Refusal::NicknameTaken);
        }
        if state.roster.seat(id).is_some() {
            self.attach(state, effects);
        } else {
            self.take_seat(state, stamp, effects)?;
        }
        let seat = state.roster.seat(id).ok_or(Refusal::NotJoined)?;
        Ok(Seated {
            ordinal: seat.ordinal,
            member: Member {
                id,
                nickname: Arc::clone(&seat.nickname),
            },
            seq: state.log.newest(),
            visible_from: state.visible_from(id),
        })
    }
}

impl Join<'_> {
    fn attach(&self, state: &mut State, effects: &mut Effects) {
        state.roster.attach(self.member);
        if let JoinNickname::Chosen(nickname) = self.nickname {
            rename(state, self.member, nickname, effects);
        }
    }

    fn take_seat(
        &self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let id = self.member;
        let capacity = state.settings.capacity as usize;
        if capacity != 0 && state.roster.len() >= capacity {
            return Err(Refusal::Full);
        }
        let nickname = match self.nickname {
            JoinNickname::Chosen(nickname) => nickname,
            JoinNickname::FirstFreeOf(candidates) => candidates
                .iter()
                .find(|nickname| !state.roster.is_taken(nickname, id))
                .ok_or(Refusal::NoFreeNickname)?,
        };
        let first_seq = state.first_seq(id).unwrap_or(state.log.newest());
        state.roster.add_seat(id, nickname, first_seq);
        if state.settings.password.is_some() || state.settings.history_from == HistoryFrom::Join {
            state.access.grant(id, Some(first_seq));
        }
        state.lifetime.set_occupied(true, stamp.monotonic_ms);
        effects.roster.push(RosterChange {
            member: id,
            before: None,
        });
        Ok(())
    }
}

/// Lets a member come without the password from now on.
pub(crate) struct Grant {
    pub(crate) member: MemberId,
}

impl Operation for Grant {
    type Outcome = ();

    fn apply(self, state: &mut State, _: Stamp, _: &mut Effects) -> Result<(), Refusal> {
        state.access.grant(self.member, None);
        Ok(())
    }
}
