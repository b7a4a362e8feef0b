//! Who was let into a room before, and who may not come.

use std::collections::{HashMap, VecDeque};

use crate::protocol::MemberId;

/// The grants and bans of a room, a bounded number of each.
#[derive(Default)]
pub(crate) struct Access {
    /// The newest event at each member's first admission, if it was recorded.
    grants: HashMap<MemberId, Option<u64>>,
    /// The same members, those with the oldest grant first.
    granted: VecDeque<MemberId>,
    bans: HashMap<MemberId, Ban>,
}

/// Until when a member is banned, on the monotonic time line; `None` is as long as the room lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    pub(crate) until: Option<u64>,
}

impl Access {
    /// Lets a member come without the password from now on. At the bound the oldest grant is
    /// forgotten, and that member is asked for the password again.
    pub(crate) fn grant(&mut self, id: MemberId, first_seq: Option<u64>) {
        if let Some(first) = self.grants.get_mut(&id) {
            *first = first.or(first_seq);
            return;
        }
        self.grants.insert(id, first_seq);
        self.granted.push_back(id);
        if self.granted.len() > MAX_GRANTS
            && let Some(oldest) = self.granted.pop_front()
        {
            self.grants.remove(&oldest);
        }
    }

    pub(crate) fn is_granted(&self, id: MemberId) -> bool {
        self.grants.contains_key(&id)
    }

    /// The newest event at a member's first admission.
    pub(crate) fn first_seq(&self, id: MemberId) -> Option<u64> {
        self.grants.get(&id).copied().flatten()
    }

    /// Bans a member. At the bound, bans that are over make way first; if none is, this returns
    /// false and nobody is banned, rather than an earlier ban lifted.
    pub(crate) fn ban(&mut self, id: MemberId, ban: Ban, now: u64) -> bool {
        if self.bans.len() >= MAX_BANS && !self.bans.contains_key(&id) {
            self.bans.retain(|_, ban| ban.holds_at(now));
        }
        let fits = self.bans.len() < MAX_BANS || self.bans.contains_key(&id);
        if fits {
            self.bans.insert(id, ban);
        }
        fits
    }

    pub(crate) fn unban(&mut self, id: MemberId) {
        self.bans.remove(&id);
    }

    /// A member's ban, if it holds at `now`.
    pub(crate) fn ban_of(&self, id: MemberId, now: u64) -> Option<Ban> {
        self.bans.get(&id).copied().filter(|ban| ban.holds_at(now))
    }

    /// Every grant, the oldest first.
    #[cfg(test)]
    pub(crate) fn grants(&self) -> impl Iterator<Item = (MemberId, Option<u64>)> {
        self.granted.iter().map(|id| (*id, self.grants[id]))
    }

    /// Every ban, in the order of the members' ids.
    #[cfg(test)]
    pub(crate) fn bans(&self) -> std::collections::BTreeMap<MemberId, Option<u64>> {
        self.bans.iter().map(|(id, ban)| (*id, ban.until)).collect()
    }
}

impl Ban {
    fn holds_at(self, now: u64) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// Grants that a room remembers.
const MAX_GRANTS: usize = 10_000;
/// Bans that a room keeps.
const MAX_BANS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: usize) -> MemberId {
        let mut id = [0; 15];
        id[..8].copy_from_slice(&n.to_be_bytes());
        MemberId(id)
    }

    #[test]
    fn the_oldest_grant_is_forgotten_at_the_bound() {
        let mut access = Access::default();
        (0..=MAX_GRANTS).for_each(|n| access.grant(member(n), None));
        assert!(!access.is_granted(member(0)));
        assert!(access.is_granted(member(1)) && access.is_granted(member(MAX_GRANTS)));
    }

    #[test]
    fn at_the_bound_bans_that_are_over_make_way_and_no_other() {
        let mut access = Access::default();
        let forever = Ban { until: None };
        for n in 0..MAX_BANS {
            let until = (n == 7).then_some(100);
            assert!(access.ban(member(n), Ban { until }, 0));
        }
        assert!(!access.ban(member(MAX_BANS), forever, 99));
        assert!(access.ban(member(0), Ban { until: Some(200) }, 99));
        assert!(access.ban(member(MAX_BANS), forever, 100));
        assert_eq!(access.ban_of(member(7), 100), None);
        assert_eq!(access.ban_of(member(1), 100), Some(forever));
        assert_eq!(access.bans.len(), MAX_BANS);
    }
}
