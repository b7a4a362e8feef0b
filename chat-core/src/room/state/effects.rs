//! What an operation has changed, for those who must be notified.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::protocol::MemberId;
use crate::protocol::event::Reason;

/// What an operation has changed beside its outcome.
#[derive(Default)]
#[must_use = "members are notified of an operation's effects"]
pub(crate) struct Effects {
    /// An event was appended to the log.
    pub(crate) appended: bool,
    /// Something outside the state has changed of which members are sent only the latest.
    pub(crate) ephemeral: bool,
    /// Who joined, left, or changed their nickname, in order.
    pub(crate) roster: SmallVec<[RosterChange; 1]>,
    /// The stay that somebody else has ended, by its ordinal.
    pub(crate) removed: Option<Box<(u64, Removal)>>,
    /// The room has ended.
    pub(crate) ended: bool,
}

impl Effects {
    /// Whether an event was appended and nothing else has changed.
    #[inline]
    pub(crate) fn is_only_an_event(&self) -> bool {
        self.appended
            && !self.ephemeral
            && self.roster.is_empty()
            && self.removed.is_none()
            && !self.ended
    }
}

/// A member who joined, left, or changed their nickname.
pub(crate) struct RosterChange {
    pub(crate) member: MemberId,
    /// Their nickname before; `None` if they were not there.
    pub(crate) before: Option<Arc<str>>,
}

/// Why a stay ended. Events up to `seq` are still delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removal {
    pub(crate) reason: Reason,
    pub(crate) text: Option<Arc<str>>,
    /// When the member may come back, in milliseconds since the Unix epoch.
    pub(crate) until: Option<u64>,
    pub(crate) seq: u64,
}

impl Removal {
    /// The end of a stay of which nothing is known any longer.
    pub(crate) fn unexplained(seq: u64) -> Self {
        Self {
            reason: Reason::Kicked,
            text: None,
            until: None,
            seq,
        }
    }
}
