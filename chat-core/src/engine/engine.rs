//! The engine, and how it makes rooms.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngCore;
use rand_chacha::ChaCha20Rng;

use super::addresses::AddressHasher;
use super::connections::Connections;
use super::host_policy::HostPolicy;
use super::rates::Rates;
use super::registry::{Lookup, Registry};
use super::timekeeper::Timekeeper;
use crate::clock::{Clock, Now, millis};
use crate::identity::password::{Hashers, MAX_PASSWORD_BYTES};
use crate::identity::{Identities, Identity};
use crate::limits::Limits;
use crate::policy::Policy;
use crate::protocol::{Code, Create, Error, RoomId, text};
use crate::room::Room;
use crate::room::state::{Grant, RoomPassword, Settings};

/// Everything that is shared by the connections of one chat.
pub(crate) struct Engine {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// Whether the first join of an unknown id makes a room.
    pub(crate) open_rooms: bool,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) policy: HostPolicy,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
    pub(crate) rates: Rates,
    pub(crate) addresses: AddressHasher,
    pub(crate) hashers: Hashers,
    /// The one source of all randomness, fit for secrets.
    rng: Mutex<ChaCha20Rng>,
    timekeeper: Timekeeper,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) open_rooms: bool,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) address_secret: [u8; 32],
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.limits;
        Self {
            clock: parts.clock,
            open_rooms: parts.open_rooms,
            identities: parts.identities,
            policy: HostPolicy::new(parts.policy, limits.policy_timeout),
            registry: Arc::new(Registry::new(&limits)),
            connections: Connections::new(&limits),
            rates: Rates::new(&limits),
            addresses: AddressHasher::new(parts.address_secret),
            hashers: Hashers::new(limits.hashes, limits.hashes_waiting),
            rng: Mutex::new(parts.rng),
            timekeeper: Timekeeper::default(),
            limits,
        }
    }

    /// Makes sure that rooms end when they must.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer.
    pub(crate) fn ensure_timekeeper(&self) {
        self.timekeeper.ensure(&self.registry, self.clock);
    }

    /// Random bits, fit for secrets.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bits = [0; N];
        self.rng.lock().fill_bytes(&mut bits);
        bits
    }

    pub(crate) fn lookup(&self, id: &RoomId, now: Now) -> Lookup {
        self.registry.lookup(id, now)
    }

    /// Makes a room. Its creator is admitted whatever the password.
    ///
    /// # Errors
    /// Those of `create`.
    pub(crate) async fn create(
        &self,
        mut create: Create,
        creator: Option<Identity>,
        address: Option<u64>,
    ) -> Result<Arc<Room>, Error> {
        self.check_free(&create)?;
        self.check_create(&create)?;
        let now = self.clock.now().instant;
        self.rates.count_room(creator, address, now)?;
        self.policy.create(creator.as_ref(), &mut create).await?;
        let id = create.room.clone();
        let settings = self.settings(create).await?;
        let id = id.unwrap_or_else(|| self.random_id(settings.password.is_some()));
        let (room, is_new) = self.insert(id, settings, creator)?;
        if !is_new {
            return Err(room_exists());
        }
        Ok(room)
    }

    /// The settings of a room that the first join of its id makes.
    ///
    /// # Errors
    /// Those of `create`.
    pub(crate) async fn open_room_settings(
        &self,
        id: &RoomId,
        visitor: &Identity,
    ) -> Result<Settings, Error> {
        let mut create = Create::default().room(id.clone());
        self.policy.create(Some(visitor), &mut create).await?;
        create.room = Some(id.clone());
        self.settings(create).await
    }

    /// Makes a room for the first join of its id, or finds the one that was made meanwhile.
    ///
    /// # Errors
    /// `rate_limited`, `room_expired`, `unavailable`.
    pub(crate) fn create_open_room(
        &self,
        id: RoomId,
        settings: Settings,
        visitor: Identity,
        address: Option<u64>,
        now: Now,
    ) -> Result<Arc<Room>, Error> {
        self.rates.count_room(Some(visitor), address, now.instant)?;
        let (room, _) = self.insert(id, settings, Some(visitor))?;
        Ok(room)
    }

    /// The room of the host's under this id, which has no end and stays when nobody is in it.
    ///
    /// # Errors
    /// `room_expired`, `forbidden`, `unavailable`.
    pub(crate) fn ensure_room(&self, id: &RoomId) -> Result<Arc<Room>, Error> {
        match self.lookup(id, self.clock.now()) {
            Lookup::Missing => {}
            found => return found.live(),
        }
        let create = Create::default().room(id.clone()).ttl(Duration::ZERO);
        self.check_create(&create)?;
        let settings = Settings {
            kept: true,
            ..self.default_settings(&create, String::new())
        };
        let (room, _) = self.insert(id.clone(), settings, None)?;
        Ok(room)
    }

    /// Inserts a room, unless there is one under its id already.
    fn insert(
        &self,
        id: RoomId,
        settings: Settings,
        creator: Option<Identity>,
    ) -> Result<(Arc<Room>, bool), Error> {
        let now = self.clock.now();
        if let ended @ Lookup::Ended = self.lookup(&id, now) {
            ended.live()?;
        }
        let is_protected = settings.password.is_some();
        let epoch = format!("{:016x}", u64::from_be_bytes(self.random()));
        let (room, is_new) = self.registry.insert(id, |id, number| {
            Room::new(id, number, epoch, settings, &self.limits, now)
        })?;
        if let Some(creator) = creator.filter(|_| is_new && is_protected) {
            let member = creator.member_in(&room.id);
            room.apply(now, Grant { member })?;
        }
        Ok((room, is_new))
    }

    /// The settings of a room that is to be made, with its password hashed.
    async fn settings(&self, create: Create) -> Result<Settings, Error> {
        let title = self.check_create(&create)?;
        let mut settings = self.default_settings(&create, title);
        if let Some(password) = create.password.filter(|password| !password.is_empty()) {
            let hash = self.hashers.hash(password, self.random()).await?;
            settings.password = Some(RoomPassword {
                version: 1,
                hash: Arc::new(hash),
            });
        }
        Ok(settings)
    }

    /// The settings of a room that is to be made without a password.
    pub(crate) fn default_settings(&self, create: &Create, title: String) -> Settings {
        Settings {
            title,
            capacity: create.capacity.unwrap_or_default(),
            password: None,
            ttl_ms: millis(create.ttl.unwrap_or(self.limits.room_ttl)),
            grace_ms: millis(create.grace.unwrap_or(self.limits.grace)),
            idle_ms: millis(self.limits.room_idle),
            history_from: create.history_from,
            listed: create.listed,
            kept: false,
        }
    }

    fn random_id(&self, protected: bool) -> RoomId {
        if protected {
            RoomId::protected_from_random(self.random())
        } else {
            RoomId::from_random(self.random())
        }
    }

    /// Checks what can be checked before anything is computed or counted, and returns the title as
    /// it will be shown.
    fn check_create(&self, create: &Create) -> Result<String, Error> {
        let password = create.password.as_deref().unwrap_or_default();
        if password.len() > MAX_PASSWORD_BYTES {
            let message = "A password must be at most 256 bytes long";
            return Err(Error::new(Code::TooLarge, message));
        }
        let id = create.room.as_ref();
        if id.is_some_and(RoomId::is_protected) && password.is_empty() {
            let message = "A room of this id must have a password";
            return Err(Error::new(Code::Forbidden, message));
        }
        let title = create.title.as_deref().unwrap_or_default();
        text::check_title(title, self.limits.title_chars)
    }

    /// Checks that the id that is asked for is not taken.
    fn check_free(&self, create: &Create) -> Result<(), Error> {
        let Some(id) = &create.room else {
            return Ok(());
        };
        match self.lookup(id, self.clock.now()) {
            Lookup::Live(_) => Err(room_exists()),
            Lookup::Missing => Ok(()),
            ended @ Lookup::Ended => ended.live().map(drop),
        }
    }
}

fn room_exists() -> Error {
    Error::new(Code::RoomExists, "There is a room with this id already")
}
