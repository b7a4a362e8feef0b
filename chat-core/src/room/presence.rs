//! Who is in a room, told as numbered differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::millis;
use crate::protocol::event::Event;
use crate::protocol::{Frames, Member, MemberId, RoomId};

use super::recent::Recent;
use super::state::{Roster, RosterChange};

/// The presence of one room. Each node has its own, with versions of its own.
///
/// The first change after a quiet time is sent at once. Changes within a window after it are sent
/// together when the window ends. Lists of members always show the state of a version: changes that
/// have not been sent yet are taken back from them. Times are milliseconds on the monotonic time
/// line.
pub(super) struct Presence {
    version: u64,
    /// Number of members as of `version`.
    count: usize,
    /// The nicknames as of `version` of the members that have changed since, `None` for those who
    /// were not there.
    changed: BTreeMap<MemberId, Option<Arc<str>>>,
    dirty: bool,
    /// Whether the room was too large to name its members at some moment of this window.
    counts_only: bool,
    sent_at: Option<u64>,
    due: Option<u64>,
    window_ms: u64,
    max_named: usize,
    recent: Recent<Frames, MAX_RECENT>,
}

impl Presence {
    pub(super) fn new(window: Duration, max_named: usize) -> Self {
        Self {
            version: 0,
            count: 0,
            changed: BTreeMap::new(),
            dirty: false,
            counts_only: false,
            sent_at: None,
            due: None,
            window_ms: millis(window),
            max_named,
            recent: Recent::default(),
        }
    }

    /// Records changes that the roster has gone through, and sends what is due. True if there is a
    /// new event for the members.
    pub(super) fn record(
        &mut self,
        room: &RoomId,
        roster: &Roster,
        changes: impl IntoIterator<Item = RosterChange>,
        now: u64,
    ) -> bool {
        let mut recorded = false;
        // Members who have changed and are here. Hardly ever more than one: those whose grace was
        // over are not.
        let mut present: SmallVec<[MemberId; 2]> = SmallVec::new();
        for RosterChange { member, before } in changes {
            recorded = true;
            if roster.seat(member).is_some() && !present.contains(&member) {
                present.push(member);
            }
            if roster.len() > self.max_named || self.changed.len() > 2 * self.max_named {
                self.counts_only = true;
                self.changed.clear();
            } else if !self.counts_only {
                self.changed.entry(member).or_insert(before);
            }
        }
        if recorded {
            self.dirty = true;
            if roster.len() <= present.len() {
                // There is nobody else who would be sent two events.
                let sent = self.send(room, roster);
                self.sent_at = None;
                return sent;
            }
            if self.due.is_none() {
                let window = if self.counts_only {
                    counts_window_ms(roster.len()).max(self.window_ms)
                } else {
                    self.window_ms
                };
                self.due = Some(self.sent_at.map_or(now, |at| now.max(at + window)));
            }
        }
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.sent_at = Some(now);
        self.send(room, roster)
    }

    /// When the window ends.
    pub(super) fn due(&self) -> Option<u64> {
        self.due
    }

    /// The version and count that lists show.
    pub(super) fn version(&self) -> (u64, usize) {
        (self.version, self.count)
    }

    /// Up to `max` members after `ordinal` as of the version, and where the next page begins.
    pub(super) fn list(
        &self,
        roster: &Roster,
        ordinal: Option<u64>,
        max: usize,
    ) -> (Vec<Member>, Option<u64>) {
        let (mut members, mut last) = (Vec::new(), ordinal);
        let mut rest = roster.after(ordinal);
        for (ordinal, member) in rest.by_ref() {
            if members.len() == max {
                return (members, last);
            }
            last = Some(ordinal);
            match self.changed.get(&member.id) {
                None => members.push(member),
                Some(Some(before)) => members.push(Member {
                    nickname: Arc::clone(before),
                    ..member
                }),
                Some(None) => {}
            }
        }
        // Members who have left since the version are still in its list, on the last page.
        let gone = self
            .changed
            .iter()
            .filter(|(id, _)| roster.seat(**id).is_none());
        members.extend(gone.filter_map(|(id, before)| {
            Some(Member {
                id: *id,
                nickname: Arc::clone(before.as_ref()?),
            })
        }));
        (members, None)
    }

    /// The encoded events after `version` that are still kept. A client that is further behind sees
    /// the hole.
    pub(super) fn after(&self, version: u64) -> impl Iterator<Item = &Frames> {
        self.recent.after(version)
    }

    fn send(&mut self, room: &RoomId, roster: &Roster) -> bool {
        self.due = None;
        if !std::mem::take(&mut self.dirty) {
            return false;
        }
        let counts_only = std::mem::take(&mut self.counts_only);
        let (mut joined, mut left, mut renamed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.changed) {
            match (before, roster.member(id)) {
                (None, Some(member)) => joined.push(member),
                (Some(nickname), None) => left.push(Member { id, nickname }),
                (Some(before), Some(member)) if before != member.nickname => renamed.push(member),
                _ => {}
            }
        }
        let count = roster.len();
        let nothing = joined.is_empty() && left.is_empty() && renamed.is_empty();
        // A mere count says that the list has changed, even if one member came and another left.
        if nothing && !counts_only {
            return false;
        }
        self.version += 1;
        self.count = count;
        joined.sort_by_key(|member| roster.seat(member.id).map(|seat| seat.ordinal));
        let version = self.version;
        let event = Event::Presence {
            room,
            version,
            count,
            joined,
            left,
            renamed,
        };
        self.recent.push(version, Frames::encode(&event));
        true
    }
}

const MAX_RECENT: usize = 16;

/// The least time between two events of a room that is too large for names: a second, or longer
/// where telling everybody takes a good part of that. A million members are told in a quarter of a
/// second (docs/PERFORMANCE.md), and here every ten seconds.
fn counts_window_ms(members: usize) -> u64 {
    1000.max(members as u64 / 100)
}
