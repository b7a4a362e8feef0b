//! The right to one connection, before there is a connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::{AdmitError, Engine};
use crate::identity::Identity;

/// The right to one connection. Dropping it gives the slot back.
pub struct Ticket {
    pub(super) engine: Arc<Engine>,
    /// The hash of the peer's address prefix.
    pub(super) address: Option<u64>,
    pub(super) identity: Option<Identity>,
}

impl Ticket {
    pub(crate) fn new(engine: &Arc<Engine>, addr: Option<IpAddr>) -> Result<Self, AdmitError> {
        let now = engine.clock.now();
        let address = addr.map(|addr| engine.addresses.hash(addr, now));
        engine.connections.admit(address)?;
        Ok(Self {
            engine: Arc::clone(engine),
            address,
            identity: None,
        })
    }

    /// The host knows who this is: `welcome` is sent at once, and a `hello` is
    /// `already_identified`.
    #[must_use]
    pub fn identified(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.engine.connections.release(self.address);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("identified", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
