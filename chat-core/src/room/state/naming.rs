//! Changing nicknames.

use super::effects::{Effects, RosterChange};
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::identity::nickname::Nickname;
use crate::protocol::MemberId;

/// A member changes their nickname. The outcome is the previous one.
pub(crate) struct Rename<'a> {
    pub(crate) member: MemberId,
    pub(crate) ordinal: u64,
    pub(crate) nickname: &'a Nickname,
}

impl Operation for Rename<'_> {
    type Outcome = Option<Nickname>;

    fn apply(
        self,
        state: &mut State,
        _: Stamp,
        effects: &mut Effects,
    ) -> Result<Self::Outcome, Refusal> {
        state.check_stay(self.member, self.ordinal)?;
        if state.roster.is_taken(self.nickname, self.member) {
            return Err(Refusal::NicknameTaken);
        }
        Ok(rename(state, self.member, self.nickname, effects))
    }
}

/// Changes the nickname of a member, unless it is the same already. The new one must be free.
pub(super) fn rename(
    state: &mut State,
    member: MemberId,
    nickname: &Nickname,
    effects: &mut Effects,
) -> Option<Nickname> {
    let seat = state.roster.seat(member)?;
    if seat.nickname == nickname.text {
        return None;
    }
    let before = state.roster.rename(member, nickname)?;
    effects.roster.push(RosterChange {
        member,
        before: Some(before.text.clone()),
    });
    Some(before)
}
