//! What lies behind the lock of a room.

use std::collections::VecDeque;

use crate::clock::Stamp;
use crate::identity::nickname::Nickname;
use crate::limits::Limits;
use crate::protocol::event::Event;
use crate::protocol::{Frames, MemberId, MembersPage, frames};

use super::counters::Counters;
use super::cursor::Cursor;
use super::joining::Return;
use super::presence::Presence;
use super::state::{Effects, Lifecycle, Refusal, Removal, Seated, State};
use super::typing::Typing;

/// The state of a room, and the part of it that each node keeps for itself.
pub(super) struct Contents {
    pub(super) state: State,
    pub(super) local: Local,
}

/// What is not part of the state, because only the latest of it matters.
pub(super) struct Local {
    pub(super) presence: Presence,
    pub(super) typing: Typing,
    /// Stays that were ended by somebody else, by their ordinals.
    removals: VecDeque<(u64, Removal)>,
}

/// Where a member's cursor starts.
pub(super) struct Recovery {
    pub(super) recovered: bool,
    /// The cursor's position.
    pub(super) seq: u64,
    /// Recent messages, if the position was not recovered.
    pub(super) messages: Vec<Frames>,
}

impl Contents {
    /// Makes effects visible to readers that do not take the lock. True if there is something new
    /// for the members.
    #[inline]
    pub(super) fn publish(&mut self, effects: Effects, counters: &Counters, stamp: Stamp) -> bool {
        if effects.appended {
            counters.set_head(self.state.log().newest());
        }
        let now = stamp.monotonic_ms;
        let presence_is_due = self.local.presence.due().is_some_and(|due| due <= now);
        if effects.is_only_an_event() && !presence_is_due {
            // This moves no deadline.
            return true;
        }
        self.publish_changes(effects, counters, now)
    }

    fn publish_changes(&mut self, effects: Effects, counters: &Counters, now: u64) -> bool {
        let Self { state, local } = self;
        let roster = state.roster();
        for change in &effects.roster {
            if roster.seat(change.member).is_none() {
                local.typing.stop(change.member);
            }
        }
        let presence = local
            .presence
            .record(state.id(), roster, effects.roster, now);
        let is_ephemeral = presence || effects.ephemeral;
        if is_ephemeral {
            counters.count_ephemeral();
        }
        let is_removal = effects.ended || effects.removed.is_some();
        if let Some(removed) = effects.removed {
            local.add_removal(*removed);
        }
        if is_removal {
            counters.count_removal();
        }
        counters.set_due(self.due());
        effects.appended || is_ephemeral || is_removal
    }

    /// When something is due next, on the monotonic time line.
    pub(super) fn due(&self) -> Option<u64> {
        match self.state.lifecycle() {
            Lifecycle::Live => {
                let presence = self.local.presence.due();
                self.state.due().into_iter().chain(presence).min()
            }
            // To be taken out of the registry as soon as possible.
            Lifecycle::Ended | Lifecycle::Forgotten => Some(0),
        }
    }

    /// Where the cursor of a member starts who has just been seated.
    pub(super) fn recovery(
        &self,
        epoch: &str,
        seated: &Seated,
        back: &Return<'_>,
        max_page: usize,
    ) -> Recovery {
        let (log, newest) = (self.state.log(), seated.seq);
        let since = back.since.filter(|(since_epoch, seq)| {
            let visible = (seated.visible_from..=newest).contains(seq);
            *since_epoch == epoch && visible && log.can_resume(*seq)
        });
        if let Some((_, seq)) = since {
            return Recovery {
                recovered: true,
                seq,
                messages: Vec::new(),
            };
        }
        let asked = match (back.since, back.history) {
            (_, Some(asked)) => asked.min(max_page as u64),
            (Some(_), None) => HISTORY_IF_NOT_RECOVERED,
            (None, None) => 0,
        };
        let first = (newest + 1).saturating_sub(asked);
        let first = first.max(seated.visible_from + 1);
        Recovery {
            recovered: false,
            seq: newest,
            messages: log.frames(first..newest + 1).collect(),
        }
    }

    /// Why a cursor's stay is over, if it is.
    pub(super) fn removal(&self, cursor: &Cursor) -> Option<Removal> {
        let mut removals = self.local.removals.iter();
        let removed = removals.find(|(ordinal, _)| *ordinal == cursor.ordinal);
        if let Some((_, removal)) = removed {
            return Some(removal.clone());
        }
        if let Some(end) = self.state.end_of_room() {
            return Some(end.clone());
        }
        let stays = self.state.check_stay(cursor.member, cursor.ordinal);
        stays.is_err().then(|| Removal::unexplained(cursor.seq))
    }

    /// Whether a member may take this nickname.
    pub(super) fn check_rename(&self, cursor: &Cursor, nickname: &Nickname) -> Result<(), Refusal> {
        self.state.check_stay(cursor.member, cursor.ordinal)?;
        if self.state.roster().is_taken(nickname, cursor.member) {
            return Err(Refusal::NicknameTaken);
        }
        Ok(())
    }

    /// Records that a member types, or has stopped. False if the others are not told.
    pub(super) fn set_typing(
        &mut self,
        cursor: &Cursor,
        active: bool,
        max_members: usize,
        stamp: Stamp,
    ) -> bool {
        let roster = self.state.roster();
        let stays = self.state.check_stay(cursor.member, cursor.ordinal).is_ok();
        if !stays || roster.len() > max_members {
            return false;
        }
        let Some(member) = roster.member(cursor.member) else {
            return false;
        };
        let (room, now) = (self.state.id(), stamp.monotonic_ms);
        self.local.typing.set(room, &member, active, now)
    }

    /// The next chunk of events for a cursor, up to `until`.
    pub(super) fn read_log(&self, epoch: &str, cursor: &mut Cursor, until: u64) -> Frames {
        let reading = self.state.log().read(cursor.seq, until);
        cursor.seq = reading.position;
        let Some(gap) = reading.gap else {
            return reading.frames;
        };
        // Sent together with what follows, so that no client sees one without the other.
        let mut out = Vec::new();
        let event = Event::Gap {
            room: self.state.id(),
            epoch,
            from: gap.start,
            to: gap.end - 1,
        };
        frames::push(&mut out, &event);
        out.extend_from_slice(reading.frames.as_bytes());
        Frames::from_pushed(out)
    }

    /// The messages before `before`, oldest first, and whether there are more.
    pub(super) fn history(
        &self,
        id: MemberId,
        before: Option<u64>,
        limit: usize,
    ) -> (Vec<Frames>, bool) {
        let log = self.state.log();
        let end = before.unwrap_or(u64::MAX).min(log.newest() + 1);
        let oldest = log.oldest().max(self.state.visible_from(id) + 1);
        let start = end.saturating_sub(limit as u64).max(oldest);
        (
            log.frames(start..end.max(start)).collect(),
            start > oldest && end > oldest,
        )
    }

    /// A page of the members after an ordinal.
    pub(super) fn members(&self, after: Option<u64>, limit: usize) -> MembersPage {
        let presence = &self.local.presence;
        let (version, count) = presence.version();
        let (members, next) = presence.list(self.state.roster(), after, limit);
        MembersPage {
            version,
            count,
            members,
            cursor: next.map(|next| next.to_string()),
        }
    }
}

impl Local {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            presence: Presence::new(limits.presence_window, limits.presence_members),
            typing: Typing::default(),
            removals: VecDeque::new(),
        }
    }

    /// Keeps the reason why a stay was ended, for the connections that have not noticed it yet.
    pub(super) fn add_removal(&mut self, removed: (u64, Removal)) {
        if self.removals.len() == MAX_REMOVALS {
            self.removals.pop_front();
        }
        self.removals.push_back(removed);
    }

    /// The presence and typing events that follow a cursor.
    pub(super) fn read(&self, cursor: &mut Cursor) -> Option<Frames> {
        let presence = self.presence.after(cursor.presence);
        let typing = self.typing.after(cursor.typing, cursor.member);
        let all: Vec<&Frames> = presence.chain(typing).collect();
        cursor.presence = self.presence.version().0;
        cursor.typing = self.typing.newest();
        match all[..] {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(Frames::concat(all.into_iter())),
        }
    }
}

/// Removals that are kept for connections which have not noticed them yet.
const MAX_REMOVALS: usize = 1024;
/// Recent messages for a member who asked for recovery, did not get it, and named no number.
const HISTORY_IF_NOT_RECOVERED: u64 = 50;
