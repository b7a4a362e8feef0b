//! The engine, as its host holds it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::bells::Bells;
use crate::clock::{Clock, Now};
use crate::command::Create;
use crate::error::{Code, Error};
use crate::event::{Member, Reason, RoomInfo, RoomsPage};
use crate::id::{MemberId, RoomId};
use crate::identity::{Identities, Identity, SignedTokens, mac};
use crate::limits::Limits;
use crate::log::Place;
use crate::password::Hashers;
use crate::policy::Policy;
use crate::rate::Buckets;
use crate::registry::Registry;
use crate::room::{Fate, Room, Settings};
use crate::stir::Flags;
use crate::text;
use crate::ticket::{Busy, Ticket};
use crate::timekeeper;

/// A chat engine. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Chat {
    pub(crate) engine: Arc<Engine>,
}

pub(crate) struct Engine {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) open_rooms: bool,
    pub(crate) identities: Arc<dyn Identities>,
    pub(crate) policy: Option<Arc<dyn Policy>>,
    pub(crate) registry: Registry,
    pub(crate) hashers: Hashers,
    /// One source of all randomness, fit for secrets.
    rng: Mutex<ChaCha20Rng>,
    /// Under it addresses are hashed; see [`Engine::address_key`].
    address_secret: [u8; 32],
    pub(crate) addresses: Mutex<HashMap<u64, u32>>,
    pub(crate) rates: Rates,
    /// Every connection's task.
    pub(crate) bells: Bells,
    pub(crate) flags: Flags,
    pub(crate) connections: AtomicUsize,
    pub(crate) draining: AtomicBool,
    pub(crate) all_gone: Notify,
    pub(crate) timekeeper: AtomicBool,
}

/// The rate limits that outlive a connection.
pub(crate) struct Rates {
    pub(crate) rooms_per_identity: Buckets<Identity>,
    pub(crate) rooms_per_address: Buckets<u64>,
    pub(crate) identities_per_address: Buckets<u64>,
    pub(crate) passwords: crate::tries::Tries,
}

/// How a [`Chat`] is made.
#[derive(Default)]
pub struct Builder {
    limits: Limits,
    open_rooms: bool,
    identities: Option<Arc<dyn Identities>>,
    secrets: Vec<Vec<u8>>,
    policy: Option<Arc<dyn Policy>>,
    seed: Option<u64>,
    calendar: Option<u64>,
}

impl Builder {
    /// The bounds of everything.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The first join of an unknown id makes that room. Without it only `create` and the host make rooms.
    pub fn open_rooms(mut self, open: bool) -> Self {
        self.open_rooms = open;
        self
    }

    /// A secret that signs tokens, so that identities outlive the process. The first one signs, all are accepted. Without
    /// any, a random one is made. Keep at least 32 random bytes.
    pub fn secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Tokens of the host's own making instead of signed ones.
    pub fn identities(mut self, identities: impl Identities + 'static) -> Self {
        self.identities = Some(Arc::new(identities));
        self
    }

    /// What the host decides.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Makes all randomness repeatable, secrets included: for tests only.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the calendar at `unix_ms`, from where it goes on with tokio's clock: for tests under paused time.
    pub fn calendar(mut self, unix_ms: u64) -> Self {
        self.calendar = Some(unix_ms);
        self
    }

    /// The engine.
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
        let fallback = secret();
        let identities = self
            .identities
            .unwrap_or_else(|| match self.secrets.is_empty() {
                true => Arc::new(SignedTokens::new([fallback])),
                false => Arc::new(SignedTokens::new(self.secrets)),
            });
        let limits = self.limits;
        let engine = Arc::new(Engine {
            clock: self.calendar.map_or(Clock::System, Clock::fixed),
            open_rooms: self.open_rooms,
            identities,
            policy: self.policy,
            registry: Registry::new(&limits),
            hashers: Hashers::new(limits.hashes, limits.hashes_waiting),
            rng: Mutex::new(rng),
            address_secret,
            addresses: Mutex::default(),
            rates: Rates {
                rooms_per_identity: Buckets::new(limits.rooms_per_identity),
                rooms_per_address: Buckets::new(limits.rooms_per_address),
                identities_per_address: Buckets::new(limits.identities_per_address),
                passwords: crate::tries::Tries::new(&limits),
            },
            bells: Bells::new(),
            flags: Flags::default(),
            connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            all_gone: Notify::new(),
            timekeeper: AtomicBool::new(false),
            limits,
        });
        Chat { engine }
    }
}

impl Chat {
    /// Begins to make an engine; `Chat::builder().build()` is one with every default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The bounds of this engine.
    pub fn limits(&self) -> &Limits {
        &self.engine.limits
    }

    /// A place for one connection from `addr`, which is needed before [`Ticket::serve`]. The address is hashed at once and
    /// not kept. `None` is a peer without an address, or one that no limit by address applies to.
    ///
    /// # Errors
    /// [`Busy`], as HTTP or a close code can tell it.
    pub fn admit(&self, addr: Option<IpAddr>) -> Result<Ticket, Busy> {
        Ticket::take(&self.engine, addr)
    }

    /// A handle to a room, whether it exists or not.
    ///
    /// # Errors
    /// `bad_room` on the first use, where the id breaks the rules.
    pub fn room(&self, id: &str) -> RoomHandle {
        RoomHandle {
            engine: Arc::clone(&self.engine),
            id: RoomId::new(id),
        }
    }

    /// Makes a room as `create` does, counted against the address that asks for it.
    ///
    /// # Errors
    /// Those of `create`. Dropping the future makes no room.
    pub async fn create(&self, create: Create, addr: Option<IpAddr>) -> Result<RoomInfo, Error> {
        let engine = &self.engine;
        let address = addr.map(|addr| engine.address_key(addr, engine.clock.now()));
        let room = Engine::create(engine, create, None, address).await?;
        Ok(room.info())
    }

    /// Listed rooms, newest first, at most `limit`, which is cut to [`Limits::page`].
    ///
    /// # Errors
    /// `bad_command`: a cursor that is none.
    pub fn rooms(&self, cursor: Option<&str>, limit: usize) -> Result<RoomsPage, Error> {
        let cursor = cursor.map(parse_cursor).transpose()?;
        Ok(self
            .engine
            .registry
            .list(cursor, limit.min(self.engine.limits.page)))
    }

    /// Connections and rooms now.
    pub fn stats(&self) -> Stats {
        let engine = &self.engine;
        Stats {
            connections: engine.connections.load(Ordering::Relaxed),
            rooms: engine.registry.len(),
        }
    }

    /// Whether [`drain`](Self::drain) has begun.
    pub fn is_draining(&self) -> bool {
        self.engine.draining.load(Ordering::Acquire)
    }

    /// Tells every client to come back elsewhere (`closing`, then 1001), refuses new ones, and returns when the last has gone.
    /// Cancel-safe: dropping the future does not stop the drain. Bound it with a timeout; what is still connected then
    /// ends with its task.
    pub async fn drain(&self) {
        self.engine.draining.store(true, Ordering::Release);
        loop {
            let gone = self.engine.all_gone.notified();
            self.engine.bells.wake_all();
            if self.engine.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            // A connection that was admitted just before may not have been among those woken.
            let _ = tokio::time::timeout(Duration::from_millis(100), gone).await;
        }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections, those that are still saying goodbye included.
    pub connections: usize,
    /// Rooms that live.
    pub rooms: usize,
}

/// The host's hand in one room.
pub struct RoomHandle {
    engine: Arc<Engine>,
    id: Result<RoomId, Error>,
}

impl RoomHandle {
    /// Says something to the room as its host: a `notice`, part of the history. Makes the room if there is none, with no end
    /// and kept when empty. Gives the notice's `seq`.
    ///
    /// # Errors
    /// `bad_room`, `room_expired`, `too_large`, `bad_command`, `empty_text`, `unavailable`.
    pub async fn announce(&self, text: &str) -> Result<u64, Error> {
        self.announce_with(text, None).await
    }

    /// Like [`announce`](Self::announce), with `data` for programs.
    ///
    /// # Errors
    /// The same.
    #[allow(
        clippy::unused_async,
        reason = "a durable store will have to be waited for"
    )]
    pub async fn announce_with(&self, text: &str, data: Option<&RawValue>) -> Result<u64, Error> {
        text::check_text(text, self.engine.limits.text_bytes)?;
        if let Some(data) = data {
            text::check_data(data.get(), self.engine.limits.data_bytes)?;
        }
        let room = self.open()?;
        let Place { seq, .. } = room.announce(text, data, self.engine.clock.now())?;
        Ok(seq)
    }

    /// What anybody may know of the room.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn info(&self) -> Result<RoomInfo, Error> {
        Ok(self.find()?.info())
    }

    /// The members, at most 100 from the first on; the count of all.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn members(&self) -> Result<(usize, Vec<Member>), Error> {
        let (_, count, members, _) = self.find()?.members(None, self.engine.limits.page);
        Ok((count, members))
    }

    /// Takes a member out; it may come back. False if it is not there.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn kick(&self, member: MemberId, text: Option<&str>) -> Result<bool, Error> {
        self.remove(member, text, None)
    }

    /// Takes a member out, and refuses it for `time`, or as long as the room lives. False if it is not there; it is banned all
    /// the same. A ban is of an identity: who throws its token away is somebody else.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn ban(
        &self,
        member: MemberId,
        time: Option<Duration>,
        text: Option<&str>,
    ) -> Result<bool, Error> {
        self.remove(member, text, Some(time.unwrap_or(Duration::MAX)))
    }

    /// Lets a banned member come back.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn unban(&self, member: MemberId) -> Result<(), Error> {
        self.find()?.unban(member);
        Ok(())
    }

    /// Ends the room: its members are told `removed` (`closed`), its id is `room_expired` for a while.
    ///
    /// # Errors
    /// `bad_room`, `room_not_found`, `room_expired`.
    pub fn close(&self, text: Option<&str>) -> Result<(), Error> {
        let room = self.find()?;
        room.end(Reason::Closed, text);
        self.engine
            .registry
            .remove(&room, Fate::Ended, self.engine.clock.now().instant);
        Ok(())
    }

    fn remove(
        &self,
        member: MemberId,
        text: Option<&str>,
        banned_for: Option<Duration>,
    ) -> Result<bool, Error> {
        let room = self.find()?;
        let removed = room.remove(member, text, banned_for, self.engine.clock.now());
        self.engine.registry.reschedule(&room);
        Ok(removed)
    }

    fn find(&self) -> Result<Arc<Room>, Error> {
        let id = self.id.as_ref().map_err(Clone::clone)?;
        self.engine
            .registry
            .find(id, self.engine.clock.now().instant)
    }

    fn open(&self) -> Result<Arc<Room>, Error> {
        match self.find() {
            Err(Error {
                code: Code::RoomNotFound,
                ..
            }) => {}
            found => return found,
        }
        timekeeper::ensure(&self.engine);
        let mut settings = self.engine.settings(&Create::default(), String::new());
        settings.ttl = Duration::ZERO;
        settings.kept = true;
        let id = self.id.clone()?;
        self.engine
            .insert(id, true, settings, self.engine.clock.now())
    }
}

impl Engine {
    /// Random bits, fit for secrets.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bits = [0; N];
        self.rng.lock().fill_bytes(&mut bits);
        bits
    }

    /// What limits know of an address: a hash of its prefix (IPv4 /32, IPv6 /64) under a key that is another one each day.
    pub(crate) fn address_key(&self, addr: IpAddr, now: Now) -> u64 {
        let day = now.unix_ms / 86_400_000;
        let v4 = |v4: std::net::Ipv4Addr| v4.octets().to_vec();
        let prefix = match addr {
            IpAddr::V4(addr) => v4(addr),
            IpAddr::V6(addr) => addr
                .to_ipv4_mapped()
                .map_or(addr.octets()[..8].to_vec(), v4),
        };
        let tag = mac(
            &self.address_secret,
            &[b"address", &day.to_be_bytes(), &prefix],
        );
        u64::from_be_bytes(tag[..8].try_into().expect("8 of 32 bytes"))
    }

    /// Makes a room. `creator` is let in whatever the password.
    ///
    /// # Errors
    /// Those of `create`.
    pub(crate) async fn create(
        self: &Arc<Self>,
        mut create: Create,
        creator: Option<Identity>,
        address: Option<u64>,
    ) -> Result<Arc<Room>, Error> {
        timekeeper::ensure(self);
        self.check_create(&create)?;
        self.count_room(creator, address, self.clock.now())?;
        if let Some(policy) = &self.policy {
            let asked = policy.create(creator.as_ref(), &mut create);
            crate::hooks::guard(asked, self.limits.policy_timeout).await?;
        }
        let title = self.check_create(&create)?;
        let mut settings = self.settings(&create, title);
        if let Some(password) = create.password {
            let hash = self.hashers.hash(password, self.random()).await?;
            settings.password = Some(Arc::new(hash));
        }
        let id = create
            .room
            .unwrap_or_else(|| RoomId::from_random(self.random()));
        let room = self.insert(id, false, settings, self.clock.now())?;
        if let Some(creator) = creator {
            room.grant(creator.member_in(&room.id));
        }
        Ok(room)
    }

    /// Makes a room of default settings for the first join of its id.
    pub(crate) fn create_open(
        &self,
        id: RoomId,
        creator: Identity,
        address: Option<u64>,
        now: Now,
    ) -> Result<Arc<Room>, Error> {
        self.count_room(Some(creator), address, now)?;
        let settings = self.settings(&Create::default(), String::new());
        self.insert(id, true, settings, now)
    }

    fn insert(
        &self,
        id: RoomId,
        or_found: bool,
        settings: Settings,
        now: Now,
    ) -> Result<Arc<Room>, Error> {
        self.registry.check_ended(&id, now.instant)?;
        let epoch = format!("{:016x}", u64::from_be_bytes(self.random()));
        self.registry.insert(id, or_found, |id, no| {
            Room::new(id, no, epoch, settings, &self.limits, now)
        })
    }

    /// Checks what can be checked before anything is computed or counted; gives the title as it will be shown.
    fn check_create(&self, create: &Create) -> Result<String, Error> {
        if let Some(id) = &create.room {
            match self.registry.find(id, self.clock.now().instant) {
                Ok(_) => return Err(Error::new(Code::RoomExists, "There is a room of this id")),
                Err(error) if error.code == Code::RoomExpired => return Err(error),
                Err(_) => {}
            }
        }
        if create
            .password
            .as_ref()
            .is_some_and(|password| password.len() > LONGEST_PASSWORD)
        {
            return Err(Error::new(
                Code::TooLarge,
                "A password is at most 256 bytes long",
            ));
        }
        text::check_title(
            create.title.as_deref().unwrap_or_default(),
            self.limits.title_chars,
        )
    }

    fn count_room(
        &self,
        creator: Option<Identity>,
        address: Option<u64>,
        now: Now,
    ) -> Result<(), Error> {
        let refused = |wait| Error::rate_limited("You have made many rooms; wait a little", wait);
        if let Some(creator) = creator {
            self.rates
                .rooms_per_identity
                .take(creator, 1, now.instant)
                .map_err(refused)?;
        }
        if let Some(address) = address {
            self.rates
                .rooms_per_address
                .take(address, 1, now.instant)
                .map_err(refused)?;
        }
        Ok(())
    }

    fn settings(&self, create: &Create, title: String) -> Settings {
        Settings {
            title,
            capacity: create.capacity.unwrap_or_default(),
            password: None,
            ttl: create.ttl.unwrap_or(self.limits.room_ttl),
            grace: create.grace.unwrap_or(self.limits.grace),
            history_from: create.history_from,
            listed: create.listed,
            kept: false,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.registry.sooner.notify_one();
    }
}

/// Reads a page's cursor.
///
/// # Errors
/// `bad_command`.
pub(crate) fn parse_cursor(cursor: &str) -> Result<u64, Error> {
    cursor
        .parse()
        .map_err(|_| Error::new(Code::BadCommand, "This `cursor` is none of ours"))
}

/// Longer ones are refused before they are hashed.
pub(crate) const LONGEST_PASSWORD: usize = 256;
