//! Wrong passwords: limited per room and address, and per address.

use std::time::Instant;

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

/// While one of the limits is reached, every try from there is refused, the right password too.
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
            .take((room.clone(), origin), 1, now)
            .map_err(refused)?;
        self.by_origin.take(origin, 1, now).map_err(refused)
    }

    /// The password was right: the try is given back.
    pub(crate) fn right(&self, room: &RoomId, origin: Origin) {
        self.by_room.give_back(&(room.clone(), origin));
        self.by_origin.give_back(&origin);
    }
}
