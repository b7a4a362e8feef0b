//! Who has a seat in a room.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::event::Member;
use crate::id::MemberId;
use crate::nickname::Nicknames;

/// The seats of a room, who was let in before, and who may not come. Pure state: every decision is the room's.
#[derive(Default)]
pub(crate) struct Roster {
    seats: HashMap<MemberId, Seat>,
    /// By the order of joining, for lists and their pages.
    order: BTreeMap<u64, MemberId>,
    next_ordinal: u64,
    pub(crate) nicknames: Nicknames,
    /// The seats of lost connections, by the end of their grace.
    leaving: BTreeSet<(Instant, MemberId)>,
    grants: Grants,
    bans: HashMap<MemberId, Ban>,
}

/// Somebody may not come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ban {
    /// None is for ever.
    pub(crate) until: Option<Instant>,
}

/// One member's seat, whatever the number of its connections.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) nickname: Arc<str>,
    /// Tells this stay from an earlier one of the same member.
    pub(crate) ordinal: u64,
    pub(crate) connections: u32,
    /// The position of the log at the member's first admission.
    pub(crate) first_seq: u64,
    leaves_at: Option<Instant>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn seat(&self, id: MemberId) -> Option<&Seat> {
        self.seats.get(&id)
    }

    /// The seat of this very stay.
    pub(crate) fn stay(&self, id: MemberId, ordinal: u64) -> Option<&Seat> {
        self.seat(id).filter(|seat| seat.ordinal == ordinal)
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<Member> {
        self.seats.get(&id).map(|seat| Member {
            id,
            nickname: Arc::clone(&seat.nickname),
        })
    }

    /// Gives a new member a seat with one connection.
    pub(crate) fn sit(&mut self, id: MemberId, nickname: &str, first_seq: u64) {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.nicknames.insert(nickname, id);
        self.order.insert(ordinal, id);
        let nickname = nickname.into();
        self.seats.insert(
            id,
            Seat {
                nickname,
                ordinal,
                connections: 1,
                first_seq,
                leaves_at: None,
            },
        );
    }

    /// One more connection of a member; it is no longer leaving.
    pub(crate) fn attach(&mut self, id: MemberId) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        seat.connections += 1;
        if let Some(at) = seat.leaves_at.take() {
            self.leaving.remove(&(at, id));
        }
    }

    /// One connection less. True if it was the last: the seat is empty now.
    pub(crate) fn detach(&mut self, id: MemberId) -> bool {
        let Some(seat) = self.seats.get_mut(&id) else {
            return false;
        };
        seat.connections -= 1;
        seat.connections == 0
    }

    /// Holds an empty seat until `at`.
    pub(crate) fn hold(&mut self, id: MemberId, at: Instant) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.leaves_at = Some(at);
            self.leaving.insert((at, id));
        }
    }

    /// Takes a seat away.
    pub(crate) fn stand(&mut self, id: MemberId) -> Option<Seat> {
        let seat = self.seats.remove(&id)?;
        self.order.remove(&seat.ordinal);
        self.nicknames.remove(&seat.nickname);
        if let Some(at) = seat.leaves_at {
            self.leaving.remove(&(at, id));
        }
        Some(seat)
    }

    pub(crate) fn rename(&mut self, id: MemberId, nickname: &str) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        self.nicknames.remove(&seat.nickname);
        self.nicknames.insert(nickname, id);
        seat.nickname = nickname.into();
    }

    /// The members after `ordinal`, in the order of joining.
    pub(crate) fn after(&self, ordinal: Option<u64>) -> impl Iterator<Item = (u64, Member)> + '_ {
        let from = ordinal.map_or(0, |ordinal| ordinal.saturating_add(1));
        self.order
            .range(from..)
            .filter_map(|(ordinal, id)| Some((*ordinal, self.member(*id)?)))
    }

    /// The next seat whose grace is over by `now`.
    pub(crate) fn next_gone(&self, now: Instant) -> Option<MemberId> {
        self.leaving
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
    }

    /// When the next grace ends.
    pub(crate) fn next_leave(&self) -> Option<Instant> {
        self.leaving.first().map(|(at, _)| *at)
    }

    pub(crate) fn grant(&mut self, id: MemberId, first_seq: Option<u64>) {
        self.grants.give(id, first_seq);
    }

    /// Whether somebody was let in before.
    pub(crate) fn has_grant(&self, id: MemberId) -> bool {
        self.grants.map.contains_key(&id)
    }

    /// The position of the log at somebody's first admission.
    pub(crate) fn first_seq(&self, id: MemberId) -> Option<u64> {
        let seat = self.seats.get(&id).map(|seat| seat.first_seq);
        seat.or_else(|| self.grants.map.get(&id).copied().flatten())
    }

    pub(crate) fn ban(&mut self, id: MemberId, ban: Ban) {
        if self.bans.len() < MOST_BANS || self.bans.contains_key(&id) {
            self.bans.insert(id, ban);
        }
    }

    pub(crate) fn unban(&mut self, id: MemberId) {
        self.bans.remove(&id);
    }

    /// The ban that holds now.
    pub(crate) fn ban_of(&self, id: MemberId, now: Instant) -> Option<Ban> {
        let lasts = |ban: &Ban| ban.until.is_none_or(|until| until > now);
        self.bans.get(&id).copied().filter(lasts)
    }
}

/// Who was let in, and where the log stood then. Bounded: the oldest grant is forgotten, and asked for the password again.
#[derive(Default)]
struct Grants {
    map: HashMap<MemberId, Option<u64>>,
    order: VecDeque<MemberId>,
}

impl Grants {
    fn give(&mut self, id: MemberId, first_seq: Option<u64>) {
        if let Some(first) = self.map.get_mut(&id) {
            *first = first.or(first_seq);
            return;
        }
        self.map.insert(id, first_seq);
        self.order.push_back(id);
        if self.order.len() > MOST_GRANTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// Grants remembered by a room.
const MOST_GRANTS: usize = 10_000;
/// Bans kept by a room; more are refused rather than older ones lifted.
const MOST_BANS: usize = 10_000;
