//! The state of a room, and the one way to change it.

use super::access::Access;
use super::effects::{Effects, Removal, RosterChange};
use super::keys::Keys;
use super::lifecycle::{Lifecycle, Lifetime};
use super::log::{Log, Position};
use super::refusal::Refusal;
use super::roster::Roster;
use super::settings::{RoomPassword, Settings};
use crate::clock::Stamp;
use crate::protocol::event::Reason;
use crate::protocol::{HistoryFrom, MemberId, RoomId, RoomInfo};

/// Everything that a room is: its settings, log, seats, grants, bans, idempotency keys, and end.
pub(crate) struct State {
    pub(super) id: RoomId,
    pub(super) settings: Settings,
    pub(super) lifetime: Lifetime,
    pub(super) access: Access,
    pub(super) roster: Roster,
    pub(super) log: Log,
    pub(super) keys: Keys,
    /// The latest time of an operation.
    latest: Stamp,
}

/// A change of a room.
pub(crate) trait Operation {
    /// What the operation came to.
    type Outcome;

    /// Decides the operation and carries it out. What was due at `stamp` has been done before. A
    /// refused operation must change nothing.
    fn apply(
        self,
        state: &mut State,
        stamp: Stamp,
        effects: &mut Effects,
    ) -> Result<Self::Outcome, Refusal>;
}

/// How much of a log a room retains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl State {
    pub(crate) fn new(id: RoomId, settings: Settings, retention: Retention, stamp: Stamp) -> Self {
        Self {
            id,
            lifetime: Lifetime::new(settings.ttl_ms, stamp),
            settings,
            access: Access::default(),
            roster: Roster::default(),
            log: Log::new(retention.events, retention.bytes),
            keys: Keys::new(retention.events),
            latest: stamp,
        }
    }

    /// Does what is due at `stamp`, then the operation. Time never goes back: an earlier stamp than
    /// that of a previous operation counts as equal to it.
    #[inline]
    pub(crate) fn apply<O: Operation>(
        &mut self,
        stamp: Stamp,
        operation: O,
    ) -> (Result<O::Outcome, Refusal>, Effects) {
        let stamp = stamp.max(self.latest);
        self.latest = stamp;
        let mut effects = Effects::default();
        if self.due().is_some_and(|due| due <= stamp.monotonic_ms) {
            self.do_what_is_due(stamp, &mut effects);
        }
        let outcome = operation.apply(self, stamp, &mut effects);
        (outcome, effects)
    }

    /// When something is due next, on the monotonic time line.
    #[inline]
    pub(crate) fn due(&self) -> Option<u64> {
        if self.lifecycle() != Lifecycle::Live {
            return None;
        }
        let due = match self.lifetime.expires {
            Some(expiry) => Some(expiry.monotonic_ms),
            None => self.lifetime.forgotten_at(&self.settings),
        };
        match (due, self.roster.next_expiry()) {
            (Some(due), Some(leaves)) => Some(due.min(leaves)),
            (due, leaves) => due.or(leaves),
        }
    }

    /// Does what is due at `stamp`, one thing after the other.
    fn do_what_is_due(&mut self, stamp: Stamp, effects: &mut Effects) {
        while let Some(at) = self.due()
            && at <= stamp.monotonic_ms
        {
            self.do_what_was_due_at(at, effects);
        }
    }

    /// Does one thing that was due at `at`, as of that time, because it must not matter whether a
    /// tick came in between. At the same time, the end of the room comes first.
    fn do_what_was_due_at(&mut self, at: u64, effects: &mut Effects) {
        if self.lifetime.expires_at(at) {
            self.end(Lifecycle::Ended, Reason::Expired, None, effects);
        } else if let Some(id) = self.roster.next_expired(at) {
            self.remove_seat(id, at, effects);
        } else {
            self.end(Lifecycle::Forgotten, Reason::Closed, None, effects);
        }
    }

    pub(super) fn remove_seat(&mut self, id: MemberId, at: u64, effects: &mut Effects) {
        let Some(seat) = self.roster.remove_seat(id) else {
            return;
        };
        self.lifetime.set_occupied(self.roster.len() > 0, at);
        effects.roster.push(RosterChange {
            member: id,
            before: Some(seat.nickname),
        });
    }

    pub(super) fn end(
        &mut self,
        lifecycle: Lifecycle,
        reason: Reason,
        text: Option<&str>,
        effects: &mut Effects,
    ) {
        self.lifetime
            .end(lifecycle, reason, text, self.log.newest());
        effects.ended = true;
    }

    pub(crate) fn id(&self) -> &RoomId {
        &self.id
    }

    pub(crate) fn info(&self) -> RoomInfo {
        RoomInfo {
            id: self.id.clone(),
            title: self.settings.title.clone(),
            capacity: self.settings.capacity,
            count: self.roster.len(),
            has_password: self.settings.password.is_some(),
            created_at: self.lifetime.created_at,
            expires_at: self.lifetime.expires.map(|expiry| expiry.unix_ms),
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Makes one chunk of the events that nobody has read yet. This changes how the log is stored,
    /// and not what it contains.
    pub(crate) fn seal_log(&mut self) {
        self.log.seal();
    }

    pub(crate) fn lifecycle(&self) -> Lifecycle {
        self.lifetime.lifecycle()
    }

    /// Why and where every stay has ended, if the room has.
    pub(crate) fn end_of_room(&self) -> Option<&Removal> {
        self.lifetime.removal()
    }

    /// The event that `member` has sent with `key`, if it is still remembered.
    pub(crate) fn find_key(&self, member: MemberId, key: &str) -> Option<Position> {
        self.keys.find(member, key)
    }

    /// Members see the events after this one.
    pub(crate) fn visible_from(&self, id: MemberId) -> u64 {
        match self.settings.history_from {
            HistoryFrom::All => 0,
            HistoryFrom::Join => self.first_seq(id).unwrap_or(u64::MAX - 1),
        }
    }

    /// Whether a member may come now, leaving the password aside.
    pub(crate) fn check_entry(&self, id: MemberId, stamp: Stamp) -> Result<(), Refusal> {
        self.lifetime.check_live()?;
        if self.lifetime.expires_at(stamp.monotonic_ms) {
            return Err(Refusal::Ended);
        }
        self.check_ban(id, stamp)
    }

    /// The password that a member must know to come in.
    pub(crate) fn password_for(&self, id: MemberId) -> Option<&RoomPassword> {
        let admitted = self.roster.seat(id).is_some() || self.access.is_granted(id);
        self.settings.password.as_ref().filter(|_| !admitted)
    }

    /// Whether a stay still goes on.
    pub(crate) fn check_stay(&self, id: MemberId, ordinal: u64) -> Result<(), Refusal> {
        match self.roster.seat_of(id, ordinal) {
            Some(_) if self.lifecycle() == Lifecycle::Live => Ok(()),
            _ => Err(Refusal::NotJoined),
        }
    }

    pub(super) fn check_ban(&self, id: MemberId, stamp: Stamp) -> Result<(), Refusal> {
        let now = stamp.monotonic_ms;
        match self.access.ban_of(id, now) {
            None => Ok(()),
            Some(ban) => Err(Refusal::Banned {
                wait_ms: ban.until.map(|until| until - now),
            }),
        }
    }

    /// The newest event at a member's first admission.
    pub(super) fn first_seq(&self, id: MemberId) -> Option<u64> {
        let seat = self.roster.seat(id).map(|seat| seat.first_seq);
        seat.or_else(|| self.access.first_seq(id))
    }
}
