//! Which nicknames of a room are taken.

use std::collections::HashMap;

use crate::identity::nickname::SkeletonKeys;
use crate::protocol::MemberId;

/// The owner of each skeleton key. Members' nicknames share none.
#[derive(Default)]
pub(crate) struct NicknameIndex {
    owners: HashMap<u64, MemberId>,
}

impl NicknameIndex {
    /// Whether a member other than `me` has a nickname that looks like this one.
    pub(crate) fn is_taken(&self, keys: SkeletonKeys, me: MemberId) -> bool {
        keys.iter()
            .any(|key| self.owners.get(key).is_some_and(|owner| *owner != me))
    }

    pub(crate) fn insert(&mut self, keys: SkeletonKeys, owner: MemberId) {
        self.owners.extend(keys.map(|key| (key, owner)));
    }

    pub(crate) fn remove(&mut self, keys: SkeletonKeys) {
        for key in keys {
            self.owners.remove(&key);
        }
    }
}
