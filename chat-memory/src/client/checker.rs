//! What a client expects of the server, and the checks of every event against it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fields::{number, text};
use crate::ledger::Ledger;
use crate::view::View;

/// The protocol state of one client. Views and pending commands belong to its present connection;
/// keys, positions and the token outlive it.
#[derive(Debug)]
pub(super) struct Checker {
    ledger: Ledger,
    /// Commands without a reply, by id.
    pending: BTreeMap<u64, Pending>,
    /// Room and key of every message that was sent under a key.
    keys: BTreeSet<(String, String)>,
    views: BTreeMap<String, View>,
    /// The newest epoch and `seq` by room.
    positions: BTreeMap<String, (String, u64)>,
    welcomed: bool,
    token: Option<String>,
}

/// What a pending command was.
#[derive(Debug)]
enum Pending {
    Join {
        since: Option<(String, u64)>,
    },
    Send {
        room: String,
        /// Whether the message cannot have been sent before, as it has no key or a new one.
        fresh: bool,
    },
    Members {
        first: bool,
    },
    Other,
}

impl Checker {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            pending: BTreeMap::new(),
            keys: BTreeSet::new(),
            views: BTreeMap::new(),
            positions: BTreeMap::new(),
            welcomed: false,
            token: None,
        }
    }

    /// Forgets what belongs to the present connection.
    pub(super) fn reset_connection(&mut self) {
        self.pending.clear();
        self.views.clear();
        self.welcomed = false;
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(super) fn views(&self) -> &BTreeMap<String, View> {
        &self.views
    }

    pub(super) fn position(&self, room: &str) -> Option<(String, u64)> {
        self.positions.get(room).cloned()
    }

    /// Remembers a key. False if it was known.
    pub(super) fn add_key(&mut self, room: &str, key: &str) -> bool {
        self.keys.insert((room.to_owned(), key.to_owned()))
    }

    /// Expects a reply to a command.
    pub(super) fn expect_reply(&mut self, id: u64, command: &Value) {
        let pending = match command["type"].as_str() {
            Some("join") => Pending::Join {
                since: position_of(&command["since"]),
            },
            Some("send") => {
                let room = command["room"].as_str().unwrap_or_default();
                let key = command["key"].as_str();
                Pending::Send {
                    room: room.to_owned(),
                    fresh: key.is_none_or(|key| self.add_key(room, key)),
                }
            }
            Some("members") => Pending::Members {
                first: command["cursor"].is_null(),
            },
            _ => Pending::Other,
        };
        self.pending.insert(id, pending);
    }

    /// Checks an event and updates the views. Panics if the event breaks a promise of the protocol.
    pub(super) fn check(&mut self, event: &Value, raw: &str) {
        let kind = text(event, "type");
        let pending = event["id"].as_u64().map(|id| {
            let pending = self.pending.remove(&id);
            pending.unwrap_or_else(|| panic!("a reply to no command: {raw}"))
        });
        let may_be_first = ["welcome", "error", "closing"].contains(&kind.as_str());
        assert!(self.welcomed || may_be_first, "before `welcome`: {raw}");
        match (kind.as_str(), pending) {
            ("welcome", _) => {
                assert!(!self.welcomed, "a second `welcome`: {raw}");
                self.welcomed = true;
                self.token = Some(text(event, "token"));
            }
            ("joined", Some(Pending::Join { since })) => {
                let view = View::from_joined(event, raw, since, &self.ledger);
                let room = view.room.clone();
                let position = (view.epoch.clone(), view.seq);
                self.positions.insert(room.clone(), position);
                let previous = self.views.insert(room, view);
                assert!(previous.is_none(), "joined twice: {raw}");
            }
            ("sent", Some(Pending::Send { room, fresh })) => {
                let seq = self.joined(&room, raw).seq;
                assert!(
                    !fresh || number(event, "seq") > seq,
                    "the client's own `message` came before `sent`: {raw}"
                );
            }
            ("members", Some(Pending::Members { first })) => {
                self.joined(&text(event, "room"), raw)
                    .apply_members(event, first);
            }
            ("history", Some(Pending::Other)) => {
                let ledger = self.ledger.clone();
                self.joined(&text(event, "room"), raw)
                    .check_history(raw, &ledger);
            }
            ("left", Some(Pending::Other)) | ("removed", None) => {
                let view = self.views.remove(&text(event, "room"));
                assert!(view.is_some(), "the client is not in this room: {raw}");
            }
            ("message" | "notice" | "gap" | "presence" | "typing", None) => {
                self.check_room_event(&kind, event, raw);
            }
            ("created" | "rooms" | "renamed" | "ok" | "pong", Some(Pending::Other))
            | ("error", _)
            | ("closing" | "pong", None) => {}
            _ => panic!("the reply does not fit its command: {raw}"),
        }
    }

    fn check_room_event(&mut self, kind: &str, event: &Value, raw: &str) {
        let ledger = self.ledger.clone();
        let view = self.joined(&text(event, "room"), raw);
        match kind {
            "gap" => view.apply_gap(event),
            "presence" => view.apply_presence(event),
            "typing" => assert_ne!(text(&event["member"], "id"), view.me, "{raw}"),
            _ => view.apply_event(event, raw, &ledger),
        }
        let (room, position) = (view.room.clone(), (view.epoch.clone(), view.seq));
        self.positions.insert(room, position);
    }

    fn joined(&mut self, room: &str, raw: &str) -> &mut View {
        self.views
            .get_mut(room)
            .unwrap_or_else(|| panic!("the client is not in this room: {raw}"))
    }
}

/// The epoch and `seq` of a `since`.
fn position_of(since: &Value) -> Option<(String, u64)> {
    Some((since["epoch"].as_str()?.to_owned(), since["seq"].as_u64()?))
}
