//! Who has a seat in a room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;

use super::nickname_index::NicknameIndex;
use crate::identity::nickname::{Nickname, SkeletonKeys};
use crate::protocol::{Member, MemberId};

/// The seats of a room. What may be done with them is decided by the operations.
#[derive(Default)]
pub(crate) struct Roster {
    seats: HashMap<MemberId, Seat>,
    /// The members in the order in which they joined, for lists and their pages.
    order: BTreeMap<u64, MemberId>,
    next_ordinal: u64,
    nicknames: NicknameIndex,
    /// The seats of lost connections, by the end of their grace.
    leaving: BTreeSet<(NonZeroU64, MemberId)>,
}

/// The seat of one member, however many connections they have.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) nickname: Arc<str>,
    keys: SkeletonKeys,
    /// Distinguishes this stay from an earlier one of the same member.
    pub(crate) ordinal: u64,
    /// The newest event at the member's first admission.
    pub(crate) first_seq: u64,
    leaves_at: Option<NonZeroU64>,
    pub(crate) connections: u32,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn seat(&self, id: MemberId) -> Option<&Seat> {
        self.seats.get(&id)
    }

    /// The seat of one stay, unless that stay is over.
    pub(crate) fn seat_of(&self, id: MemberId, ordinal: u64) -> Option<&Seat> {
        self.seat(id).filter(|seat| seat.ordinal == ordinal)
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<Member> {
        self.seats.get(&id).map(|seat| Member {
            id,
            nickname: Arc::clone(&seat.nickname),
        })
    }

    /// Whether somebody other than `me` has a nickname that looks like this one.
    pub(crate) fn is_taken(&self, nickname: &Nickname, me: MemberId) -> bool {
        self.nicknames.is_taken(nickname.keys, me)
    }

    /// Gives a new member a seat with one connection.
    pub(crate) fn add_seat(&mut self, id: MemberId, nickname: &Nickname, first_seq: u64) {
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        self.nicknames.insert(nickname.keys, id);
        self.order.insert(ordinal, id);
        let seat = Seat {
            nickname: Arc::clone(&nickname.text),
            keys: nickname.keys,
            ordinal,
            first_seq,
            leaves_at: None,
            connections: 1,
        };
        self.seats.insert(id, seat);
    }

    /// Counts one more connection of a member, who is no longer leaving.
    pub(crate) fn attach(&mut self, id: MemberId) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        seat.connections += 1;
        if let Some(at) = seat.leaves_at.take() {
            self.leaving.remove(&(at, id));
        }
    }

    /// Counts one connection less. True if it was the last one; false if there was none.
    pub(crate) fn detach(&mut self, id: MemberId) -> bool {
        match self.seats.get_mut(&id) {
            Some(seat) if seat.connections > 0 => {
                seat.connections -= 1;
                seat.connections == 0
            }
            _ => false,
        }
    }

    /// Holds a seat without connections until `at`.
    pub(crate) fn hold(&mut self, id: MemberId, at: u64) {
        let at = NonZeroU64::new(at).unwrap_or(NonZeroU64::MIN);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.leaves_at = Some(at);
            self.leaving.insert((at, id));
        }
    }

    pub(crate) fn remove_seat(&mut self, id: MemberId) -> Option<Seat> {
        let seat = self.seats.remove(&id)?;
        self.order.remove(&seat.ordinal);
        self.nicknames.remove(seat.keys);
        if let Some(at) = seat.leaves_at {
            self.leaving.remove(&(at, id));
        }
        Some(seat)
    }

    /// Changes a member's nickname, and returns the previous one.
    pub(crate) fn rename(&mut self, id: MemberId, nickname: &Nickname) -> Option<Nickname> {
        let seat = self.seats.get_mut(&id)?;
        self.nicknames.remove(seat.keys);
        self.nicknames.insert(nickname.keys, id);
        Some(Nickname {
            text: std::mem::replace(&mut seat.nickname, Arc::clone(&nickname.text)),
            keys: std::mem::replace(&mut seat.keys, nickname.keys),
        })
    }

    /// The members after `ordinal`, in the order in which they joined.
    pub(crate) fn after(&self, ordinal: Option<u64>) -> impl Iterator<Item = (u64, Member)> + '_ {
        let from = ordinal.map_or(0, |ordinal| ordinal.saturating_add(1));
        self.order
            .range(from..)
            .filter_map(|(ordinal, id)| Some((*ordinal, self.member(*id)?)))
    }

    /// The next seat whose grace is over at `now`.
    pub(crate) fn next_expired(&self, now: u64) -> Option<MemberId> {
        let (at, id) = self.leaving.first()?;
        (at.get() <= now).then_some(*id)
    }

    /// When the next grace ends.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.leaving.first().map(|(at, _)| at.get())
    }

    /// Every seat with its member, in the order in which they joined.
    #[cfg(test)]
    pub(crate) fn seats(&self) -> impl Iterator<Item = (MemberId, &Seat, Option<u64>)> {
        self.order.values().map(|id| {
            let seat = &self.seats[id];
            (*id, seat, seat.leaves_at.map(NonZeroU64::get))
        })
    }
}
