//! The state of a world: the engine, its users, and everything that happened so far.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use chat_core::{Chat, Create, HistoryFrom, Limits, RoomId};
use rand::Rng;

use super::report::Report;
use super::tasks::Tasks;
use crate::chance::Chance;
use crate::client::Client;
use crate::ledger::Ledger;
use crate::pipe::pair;

#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Chance,
    pub(super) chat: Chat,
    pub(super) tasks: Tasks,
    pub(super) ledger: Ledger,
    pub(super) users: Vec<User>,
    pub(super) rooms: Vec<RoomId>,
    /// How many events a log retains.
    pub(super) log_events: u64,
    /// Who sent a text to a room, whether it arrived or not. Only a message that is sent again
    /// under its key has a text that was sent before.
    pub(super) senders: BTreeMap<(String, String), usize>,
    /// Rooms and texts of the host's notices.
    pub(super) notices: BTreeSet<(String, String)>,
    pub(super) acks: Vec<Ack>,
    pub(super) report: Report,
    /// How many texts were made, so that each is different.
    pub(super) texts: u64,
    tracing: bool,
}

/// A user with a client. Users are called by their index in [`State::users`].
#[derive(Debug)]
pub(super) struct User {
    pub(super) client: Client,
    /// The task that serves the connection.
    pub(super) task: usize,
    pub(super) online: bool,
    /// Texts that were sent and not acknowledged, by room and key.
    pub(super) unacknowledged: BTreeMap<(String, String), String>,
    /// The epoch of each room as of the events that were processed so far.
    pub(super) epochs: BTreeMap<String, String>,
    /// The user's id in each room.
    pub(super) ids: BTreeMap<String, String>,
}

/// An acknowledged message.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) room: String,
    pub(super) epoch: String,
    pub(super) seq: u64,
    pub(super) text: String,
}

/// The room with a password.
pub(super) const LOCKED: &str = "locked";
pub(super) const PASSWORD: &str = "sesame";
/// The room whose members can read nothing from before they joined.
pub(super) const LATE: &str = "late";
/// A room that does not exist until a user makes it.
pub(super) const MADE: &str = "made";

impl State {
    /// A world with random limits, users and rooms.
    pub(super) async fn new(mut rng: Chance, seed: u64) -> Self {
        let limits = Limits::default()
            .without_rates()
            .log_events(rng.random_range(3..30))
            .presence_members(if rng.random_bool(0.3) { 3 } else { 200 })
            .grace(Duration::from_secs(2))
            .write_timeout(Duration::from_secs(3))
            .page(100);
        let log_events = limits.log_events as u64;
        let chat = Chat::builder()
            .limits(limits)
            .open_rooms(true)
            .seed(seed)
            .simulated_clock(1_800_000_000_000)
            .build();
        let ledger = Ledger::default();
        let users = (0..rng.random_range(2..8))
            .map(|_| User::new(ledger.clone()))
            .collect();
        let rooms = create_rooms(&chat, &mut rng).await;
        Self {
            chat,
            tasks: Tasks::default(),
            ledger,
            users,
            rooms,
            log_events,
            senders: BTreeMap::new(),
            notices: BTreeSet::new(),
            acks: Vec::new(),
            report: Report::default(),
            texts: 0,
            tracing: std::env::var_os("WORLD_TRACE").is_some(),
            rng,
        }
    }

    /// Prints what a user does or receives, if `WORLD_TRACE` is set.
    pub(super) fn trace(&self, n: usize, what: impl Fn() -> String) {
        if self.tracing {
            eprintln!("{n} {}", what());
        }
    }

    pub(super) fn into_report(mut self) -> Report {
        let mut transcript = DefaultHasher::new();
        for user in &self.users {
            user.client.transcript_hash().hash(&mut transcript);
        }
        self.report.transcript = transcript.finish();
        self.report
    }
}

impl User {
    pub(super) fn new(ledger: Ledger) -> Self {
        let (_, end) = pair(0);
        Self {
            client: Client::new(end, ledger),
            task: 0,
            online: false,
            unacknowledged: BTreeMap::new(),
            epochs: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    pub(super) fn has_joined(&self, room: &str) -> bool {
        self.client.views().contains_key(room)
    }
}

async fn create_rooms(chat: &Chat, rng: &mut Chance) -> Vec<RoomId> {
    let ttl = Duration::from_millis(rng.random_range(2_000..20_000));
    let late = Create::default().history_from(HistoryFrom::Join);
    let kinds = [
        ("open", 1.0, None),
        ("small", 0.5, Some(Create::default().capacity(2))),
        ("short", 0.5, Some(Create::default().ttl(ttl))),
        (LATE, 0.3, Some(late)),
        ("hasty", 0.3, Some(Create::default().grace(Duration::ZERO))),
        // This one is rare, because hashing takes real time.
        (LOCKED, 0.05, Some(Create::default().password(PASSWORD))),
    ];
    let mut rooms = Vec::new();
    for (name, probability, create) in kinds {
        if !rng.random_bool(probability) {
            continue;
        }
        let room = RoomId::new(name).expect("the id must be valid");
        rooms.push(room.clone());
        if let Some(create) = create {
            chat.create(create.room(room), None)
                .await
                .expect("the room must be new");
        }
    }
    rooms
}
