//! Wrong passwords: limited per room and address, and per address.

use std::time::{Duration, Instant};

use crate::identity::Identity;
use crate::limits::Limits;
use crate::protocol::{Error, RoomId};
use crate::rate::Buckets;

/// Who tries a password: an address, or an identity where a transport has no addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AttemptSource {
    Address(u64),
    Identity(Identity),
}

/// Counts attempts. While one of the limits is reached, every attempt from the same source is
/// refused, even with the right password, and counts as a wrong one: the wait grows with each, up
/// to [`MAX_WAIT`].
pub(crate) struct PasswordAttempts {
    by_room: Buckets<(RoomId, AttemptSource)>,
    by_source: Buckets<AttemptSource>,
}

impl PasswordAttempts {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            by_room: Buckets::new(limits.passwords_per_room),
            by_source: Buckets::new(limits.passwords_per_address),
        }
    }

    /// Charges an attempt in advance, so that many concurrent ones are counted before the first is
    /// found to be wrong.
    pub(crate) fn charge(
        &self,
        room: &RoomId,
        source: AttemptSource,
        now: Instant,
    ) -> Result<(), Error> {
        let refused =
            |wait| Error::rate_limited("Too many wrong passwords; please wait a little", wait);
        self.by_room
            .charge((room.clone(), source), MAX_WAIT, now)
            .map_err(refused)?;
        self.by_source
            .charge(source, MAX_WAIT, now)
            .map_err(refused)
    }

    /// Refunds an attempt, because the password was right.
    pub(crate) fn refund(&self, room: &RoomId, source: AttemptSource) {
        self.by_room.refund(&(room.clone(), source));
        self.by_source.refund(&source);
    }
}

/// Whoever has guessed for a long time may try again after this. Others may share their address.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);
