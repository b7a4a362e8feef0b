//! Who is here, told as versioned differences.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Event, Member};
use crate::frame::Frames;
use crate::id::{MemberId, RoomId};
use crate::roster::Roster;

/// The presence of one room.
///
/// The first change after a quiet while is told at once; those within a window after it come together at its end. What a
/// list shows is always the state of a version: changes that are not told yet are taken back from it.
pub(crate) struct Presence {
    version: u64,
    /// Members as of `version`.
    count: usize,
    /// What the members changed in this window were called as of `version`; none if they were not there. By order of change.
    changed: BTreeMap<MemberId, Option<Arc<str>>>,
    dirty: bool,
    /// The room was too large to name names at some moment of this window.
    counts_only: bool,
    told_at: Option<Instant>,
    due: Option<Instant>,
    window: Duration,
    most_named: usize,
    tail: Tail,
}

impl Presence {
    pub(crate) fn new(window: Duration, most_named: usize) -> Self {
        Self {
            version: 0,
            count: 0,
            changed: BTreeMap::new(),
            dirty: false,
            counts_only: false,
            told_at: None,
            due: None,
            window,
            most_named,
            tail: Tail::default(),
        }
    }

    /// Notes that `id`, who was called `before` if it was here, has come, gone, or changed its nickname, and tells it if it
    /// may be told now. True if there is news for the members.
    pub(crate) fn change(
        &mut self,
        room: &RoomId,
        roster: &Roster,
        id: MemberId,
        before: Option<Arc<str>>,
        now: Instant,
    ) -> bool {
        self.dirty = true;
        if roster.len() > self.most_named || self.changed.len() > 2 * self.most_named {
            self.counts_only = true;
            self.changed.clear();
        } else if !self.counts_only {
            self.changed.entry(id).or_insert(before);
        }
        let others = roster.len() - usize::from(roster.seat(id).is_some());
        if others == 0 {
            // Nobody else is here to be told twice.
            self.tell(room, roster);
            self.told_at = None;
            return true;
        }
        if self.due.is_none() {
            let window = if self.counts_only {
                counts_window(roster.len()).max(self.window)
            } else {
                self.window
            };
            self.due = Some(self.told_at.map_or(now, |at| now.max(at + window)));
        }
        self.tick(room, roster, now)
    }

    /// Tells the changes of a window that is over. True if there is news for the members.
    pub(crate) fn tick(&mut self, room: &RoomId, roster: &Roster, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.told_at = Some(now);
        self.tell(room, roster)
    }

    /// When the window ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The version and count of lists.
    pub(crate) fn version(&self) -> (u64, usize) {
        (self.version, self.count)
    }

    /// Up to `most` members after `ordinal` as of the version, and where the page after them begins.
    pub(crate) fn list(
        &self,
        roster: &Roster,
        ordinal: Option<u64>,
        most: usize,
    ) -> (Vec<Member>, Option<u64>) {
        let (mut members, mut last) = (Vec::new(), ordinal);
        let mut rest = roster.after(ordinal);
        for (ordinal, member) in rest.by_ref() {
            if members.len() == most {
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
        // Who has gone since the version is still in its list, on the last page.
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

    /// The encoded events after `version`, as far as they are kept; who is further behind sees the hole.
    pub(crate) fn after(&self, version: u64) -> impl Iterator<Item = &Frames> {
        self.tail.after(version)
    }

    fn tell(&mut self, room: &RoomId, roster: &Roster) -> bool {
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
        // A count alone says that the list has changed, even where one came and one went.
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
        self.tail.push(version, Frames::encode(&event));
        true
    }
}

/// The last few events of something of which the latest counts.
#[derive(Default)]
pub(crate) struct Tail(VecDeque<(u64, Frames)>);

impl Tail {
    pub(crate) fn push(&mut self, version: u64, frames: Frames) {
        if self.0.len() == TAIL {
            self.0.pop_front();
        }
        self.0.push_back((version, frames));
    }

    pub(crate) fn after(&self, version: u64) -> impl Iterator<Item = &Frames> {
        let from = self.0.partition_point(|(v, _)| *v <= version);
        self.0.range(from..).map(|(_, frames)| frames)
    }
}

/// A reader that is further behind is not helped by more.
const TAIL: usize = 16;
/// The least time between two events of a room that is too large for names: a second, and longer where telling everybody takes
/// a good part of that. A million members are told in half a second (docs/PERFORMANCE.md), and here every ten.
fn counts_window(members: usize) -> Duration {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    Duration::from_secs(1).max(Duration::from_micros(10) * members)
}
