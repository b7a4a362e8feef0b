//! Removing members, and banning them.

use std::sync::Arc;

use super::access::Ban;
use super::effects::{Effects, Removal};
use super::refusal::Refusal;
use super::state::{Operation, State};
use crate::clock::Stamp;
use crate::protocol::MemberId;
use crate::protocol::event::Reason;

/// A member is removed; with a ban they may not come back before it ends.
pub(crate) struct Remove<'a> {
    pub(crate) member: MemberId,
    pub(crate) text: Option<&'a str>,
    pub(crate) ban: Option<BanLength>,
}

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BanLength {
    Milliseconds(u64),
    /// As long as the room lives.
    Unlimited,
}

/// What a removal came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Whether the member was there.
    pub(crate) was_present: bool,
    /// Whether the ban that was asked for was refused, because there are too many.
    pub(crate) too_many_bans: bool,
}

impl Operation for Remove<'_> {
    type Outcome = Removed;

    fn apply(
        self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<Removed, Refusal> {
        let id = self.member;
        state.lifetime.check_live()?;
        let now = stamp.monotonic_ms;
        let length = |length| match length {
            BanLength::Milliseconds(ms) => Some(ms),
            BanLength::Unlimited => None,
        };
        let ban_ms = self.ban.map(length);
        let too_many_bans = ban_ms.is_some_and(|ms| {
            let until = ms.map(|ms| now.saturating_add(ms));
            !state.access.ban(id, Ban { until }, now)
        });
        let ordinal = state.roster.seat(id).map(|seat| seat.ordinal);
        if let Some(ordinal) = ordinal {
            let banned = self.ban.filter(|_| !too_many_bans);
            let removal = Removal {
                reason: if banned.is_some() {
                    Reason::Banned
                } else {
                    Reason::Kicked
                },
                text: self.text.map(Arc::from),
                until: banned
                    .and_then(length)
                    .map(|ms| stamp.unix_ms.saturating_add(ms)),
                seq: state.log.newest(),
            };
            effects.removed = Some(Box::new((ordinal, removal)));
            state.remove_seat(id, now, effects);
        }
        Ok(Removed {
            was_present: ordinal.is_some(),
            too_many_bans,
        })
    }
}

/// A banned member may come back.
pub(crate) struct Unban {
    pub(crate) member: MemberId,
}

impl Operation for Unban {
    type Outcome = ();

    fn apply(self, state: &mut State, _: Stamp, _: &mut Effects) -> Result<(), Refusal> {
        state.lifetime.check_live()?;
        state.access.unban(self.member);
        Ok(())
    }
}
