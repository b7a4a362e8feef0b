//! Wrong passwords: limited per room and address, and per address.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::id::RoomId;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::rate::Buckets;

/// From where a password is tried: an address, or an identity where a transport has no addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Address(u64),
    Identity(Identity),
}

/// While one of the limits is reached, every try from there is refused, the right password too, and counts as a wrong one: the
/// wait grows with each, up to [`LONGEST_WAIT`].
pub(crate) struct Tries {
    by_room: Buckets<(RoomId, Origin)>,
    by_origin: Buckets<Origin>,
}

impl Tries {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            by_room: Buckets::new(limits.passwords_per_room),
            by_origin: Buckets::new(limits.passwords_per_address),
        }
    }

    /// Takes a try in advance, so that many at once are counted before the first is found wrong.
    pub(crate) fn begin(&self, room: &RoomId, origin: Origin, now: Instant) -> Result<(), Error> {
        let refused = |wait| Error::rate_limited("Too many wrong passwords; wait a little", wait);
        self.by_room
            .charge((room.clone(), origin), LONGEST_WAIT, now)
            .map_err(refused)?;
        self.by_origin
            .charge(origin, LONGEST_WAIT, now)
            .map_err(refused)
    }

    /// The password was right: the try is given back.
    pub(crate) fn right(&self, room: &RoomId, origin: Origin) {
        self.by_room.give_back(&(room.clone(), origin));
        self.by_origin.give_back(&origin);
    }
}

/// Whoever has guessed on and on may try again after this. Others may share the address.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
