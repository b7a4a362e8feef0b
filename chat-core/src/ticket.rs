//! A connection's place, before there is a connection.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::chat::Engine;
use crate::identity::Identity;
use crate::serve::Connection;
use crate::timekeeper;
use crate::transport::Transport;

/// The right to one connection. Dropping it gives the place back.
pub struct Ticket {
    pub(crate) engine: Arc<Engine>,
    /// The hash of the peer's address prefix.
    pub(crate) address: Option<u64>,
    pub(crate) identity: Option<Identity>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Busy {
    /// The server is going away.
    Draining,
    /// As many connections as it takes.
    Full,
    /// As many connections as one address may have.
    Address,
}

impl Busy {
    /// When it may be worth another try.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Draining | Self::Full => Duration::from_secs(5),
            Self::Address => Duration::from_secs(30),
        }
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "The server is going away",
            Self::Full => "The server has as many connections as it takes",
            Self::Address => "There are too many connections from this address",
        })
    }
}

impl std::error::Error for Busy {}

impl Ticket {
    pub(crate) fn take(engine: &Arc<Engine>, addr: Option<IpAddr>) -> Result<Self, Busy> {
        if engine.draining.load(Ordering::Acquire) {
            return Err(Busy::Draining);
        }
        let address = addr.map(|addr| engine.address_key(addr, engine.clock.now()));
        if let (Some(address), 1..) = (address, engine.limits.connections_per_address) {
            let mut addresses = engine.addresses.lock();
            let count = addresses.entry(address).or_default();
            if *count as usize >= engine.limits.connections_per_address {
                return Err(Busy::Address);
            }
            *count += 1;
        }
        // From here on dropping the ticket takes back what was counted.
        let count = engine.connections.fetch_add(1, Ordering::AcqRel);
        let ticket = Self {
            engine: Arc::clone(engine),
            address,
            identity: None,
        };
        if count >= engine.limits.connections {
            Err(Busy::Full)
        } else {
            Ok(ticket)
        }
    }

    /// The host knows who this is: `welcome` comes at once, and `hello` is `already_identified`.
    #[must_use]
    pub fn identified(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Serves a connection for as long as it lives. Spawn the future where you like; dropping it is a cut connection.
    pub fn serve<T: Transport>(self, transport: T) -> Connection<T> {
        timekeeper::ensure(&self.engine);
        Connection::new(self, transport)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let engine = &self.engine;
        if let (Some(address), 1..) = (self.address, engine.limits.connections_per_address) {
            let mut addresses = engine.addresses.lock();
            if let Some(count) = addresses.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    addresses.remove(&address);
                }
            }
        }
        if engine.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            engine.all_gone.notify_waiters();
        }
    }
}
