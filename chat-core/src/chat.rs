//! The engine as its host holds it, and how it is made.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::clock::Clock;
use crate::connection::Ticket;
use crate::engine::{AdmitError, Engine, Parts};
use crate::identity::{Identities, SignedTokens};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::protocol::event::parse_cursor;
use crate::protocol::{Create, Error, RoomId, RoomInfo, RoomsPage};
use crate::room_handle::RoomHandle;

/// A chat engine. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Chat {
    engine: Arc<Engine>,
}

impl Chat {
    /// Begins to make an engine. `Chat::builder().build()` is one with every default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The bounds of this engine.
    pub fn limits(&self) -> &Limits {
        &self.engine.limits
    }

    /// The right to one connection from `addr`, which [`Ticket::serve`] needs. The address is
    /// hashed at once and not kept. `None` stands for a peer without an address, or one to which no
    /// limit by address applies.
    ///
    /// # Errors
    /// [`AdmitError`], which the transport tells the peer in its own way.
    pub fn admit(&self, addr: Option<IpAddr>) -> Result<Ticket, AdmitError> {
        Ticket::new(&self.engine, addr)
    }

    /// A handle to a room, whether it exists or not.
    ///
    /// # Errors
    /// `bad_room` if the id breaks the rules.
    pub fn room(&self, id: &str) -> Result<RoomHandle, Error> {
        Ok(RoomHandle::new(&self.engine, RoomId::new(id)?))
    }

    /// A handle to a room, which is made if there is none: it has no end and stays when nobody is
    /// in it. A room that exists already is left as it is. Cancel-safe.
    ///
    /// # Errors
    /// `bad_room`, `room_expired`, `unavailable`; `forbidden` for an id that was made for a room
    /// with a password.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer.
    #[allow(
        clippy::unused_async,
        reason = "a journal under the rooms will have to be waited for"
    )]
    pub async fn ensure_room(&self, id: &str) -> Result<RoomHandle, Error> {
        let room = self.room(id)?;
        self.engine.ensure_timekeeper();
        self.engine.ensure_room(room.id())?;
        Ok(room)
    }

    /// Makes a room as `create` does, counted against the address that asks for it. Cancel-safe:
    /// dropping the future makes no room.
    ///
    /// # Errors
    /// Those of `create`.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer.
    pub async fn create(&self, create: Create, addr: Option<IpAddr>) -> Result<RoomInfo, Error> {
        let engine = &self.engine;
        engine.ensure_timekeeper();
        let now = engine.clock.now();
        let address = addr.map(|addr| engine.addresses.hash(addr, now));
        let room = engine.create(create, None, address).await?;
        Ok(room.info())
    }

    /// A page of the listed rooms, newest first. `cursor` is that of the page before, `limit` is
    /// clamped to [`Limits::page`].
    ///
    /// # Errors
    /// `bad_command` for a cursor that is unknown.
    #[allow(
        clippy::unused_async,
        reason = "a journal under the rooms will have to be waited for"
    )]
    pub async fn rooms(&self, cursor: Option<&str>, limit: usize) -> Result<RoomsPage, Error> {
        let cursor = cursor.map(parse_cursor).transpose()?;
        let limit = limit.min(self.engine.limits.page);
        Ok(self.engine.registry.list(cursor, limit))
    }

    /// The number of connections and rooms at this moment.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.engine.connections.len(),
            rooms: self.engine.registry.len(),
        }
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.engine.connections.is_draining()
    }

    /// Tells every client to come back elsewhere (`closing`, then 1001), refuses new ones, and
    /// returns when the last one has gone. Cancel-safe: dropping the future does not stop the
    /// drain. Bound it with a timeout; what is still connected then ends with its task.
    pub async fn drain(&self) {
        self.engine.connections.drain().await;
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// How many connections and rooms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections, including those that are closing.
    pub connections: usize,
    /// Rooms that have not ended.
    pub rooms: usize,
}

/// Makes a [`Chat`]. Everything has a default.
///
/// ```
/// use chat_core::{Chat, Limits};
///
/// let chat = Chat::builder()
///     .limits(Limits::default().text_bytes(1000))
///     .open_rooms(true)
///     .secret("at least 32 random bytes, always the same")
///     .build();
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder {
    limits: Limits,
    open_rooms: bool,
    identities: Option<Arc<dyn Identities>>,
    secrets: Vec<Vec<u8>>,
    policy: Option<Arc<dyn Policy>>,
    seed: Option<u64>,
    simulated_unix_ms: Option<u64>,
}

impl Builder {
    /// Sets every bound of the engine.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether the first join of an unknown id makes that room. By default it does not, and only
    /// `create` and the host make rooms.
    pub fn open_rooms(mut self, open: bool) -> Self {
        self.open_rooms = open;
        self
    }

    /// Adds a secret that signs tokens, so that identities outlive the process. The first one
    /// signs, all of them are accepted. Without any, a random one is made. Use at least 32 random
    /// bytes.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Sets the host's own tokens, instead of signed ones.
    pub fn identities(mut self, identities: impl Identities + 'static) -> Self {
        self.identities = Some(Arc::new(identities));
        self
    }

    /// Sets what the host decides.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Makes all randomness repeatable, secrets included. For tests only.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the wall clock start at `unix_ms`, in milliseconds since the Unix epoch, and advance
    /// with tokio's clock. For tests with paused time.
    pub fn simulated_clock(mut self, unix_ms: u64) -> Self {
        self.simulated_unix_ms = Some(unix_ms);
        self
    }

    /// Makes the engine. This needs no runtime yet; see [the crate's guide](crate#runtime).
    pub fn build(self) -> Chat {
        let mut rng = match self.seed {
            Some(seed) => ChaCha20Rng::seed_from_u64(seed),
            None => ChaCha20Rng::from_os_rng(),
        };
        let mut secret = || {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            secret
        };
        let address_secret = secret();
        let token_secret = secret();
        let identities = self
            .identities
            .unwrap_or_else(|| match self.secrets.is_empty() {
                true => Arc::new(SignedTokens::new([token_secret])),
                false => Arc::new(SignedTokens::new(self.secrets)),
            });
        let clock = self.simulated_unix_ms;
        let engine = Engine::new(Parts {
            limits: self.limits,
            clock: clock.map_or_else(Clock::system, Clock::simulated),
            open_rooms: self.open_rooms,
            identities,
            policy: self.policy,
            rng,
            address_secret,
        });
        Chat {
            engine: Arc::new(engine),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("open_rooms", &self.open_rooms)
            .finish_non_exhaustive()
    }
}
