//! The rate limits that outlive a connection.

use std::time::Instant;

use super::password_attempts::PasswordAttempts;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::protocol::Error;
use crate::rate::Buckets;

/// Rate limits by identity and by hashed address.
pub(crate) struct Rates {
    rooms_per_identity: Buckets<Identity>,
    rooms_per_address: Buckets<u64>,
    identities_per_address: Buckets<u64>,
    pub(crate) passwords: PasswordAttempts,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            rooms_per_identity: Buckets::new(limits.rooms_per_identity),
            rooms_per_address: Buckets::new(limits.rooms_per_address),
            identities_per_address: Buckets::new(limits.identities_per_address),
            passwords: PasswordAttempts::new(limits),
        }
    }

    /// Counts a room against its creator and their address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn count_room(
        &self,
        creator: Option<Identity>,
        address: Option<u64>,
        now: Instant,
    ) -> Result<(), Error> {
        let refused =
            |wait| Error::rate_limited("You have made many rooms; please wait a little", wait);
        if let Some(creator) = creator {
            let taken = self.rooms_per_identity.take(creator, 1, now);
            taken.map_err(refused)?;
        }
        if let Some(address) = address {
            let taken = self.rooms_per_address.take(address, 1, now);
            taken.map_err(refused)?;
        }
        Ok(())
    }

    /// Counts a new identity against its address.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn count_identity(&self, address: Option<u64>, now: Instant) -> Result<(), Error> {
        let Some(address) = address else {
            return Ok(());
        };
        let taken = self.identities_per_address.take(address, 1, now);
        taken.map_err(|wait| Error::rate_limited("Too many newcomers from your address", wait))
    }
}
