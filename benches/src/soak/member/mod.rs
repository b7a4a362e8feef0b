//! A member of one room over any number of connections, which checks everything that it receives.

mod events;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_memory::View;
use serde_json::{Value, json};

use crate::oracle::Oracle;
use crate::socket::{RawSocket, Received};

/// The oracle to which all members report.
pub(crate) type SharedOracle = Arc<Mutex<Oracle>>;

pub(crate) struct Member {
    no: u32,
    room: String,
    from: Ipv4Addr,
    oracle: SharedOracle,
    socket: Option<RawSocket>,
    token: Option<String>,
    view: Option<View>,
    /// Epoch and `seq` up to which the room is known.
    position: Option<(String, u64)>,
    next_id: u64,
    pending: HashMap<u64, PendingCommand>,
    /// Key and text of the messages that were sent and not acknowledged.
    unacknowledged: VecDeque<(String, String)>,
    sent_count: u64,
    /// Why the member was removed from the room since the last connection was opened.
    pub(crate) removed: Option<String>,
    /// Refusals by code, over all connections.
    pub(crate) refusals: HashMap<String, u64>,
    /// Ends of connections by close code, with 0 for ends without one.
    pub(crate) closes: HashMap<u16, u64>,
    pub(crate) recovered: u64,
    pub(crate) unrecovered: u64,
}

enum PendingCommand {
    Join {
        since: Option<(String, u64)>,
    },
    Send {
        key: String,
        text: String,
        fresh: bool,
    },
    Members {
        first: bool,
    },
    Other,
}

impl Member {
    pub(crate) fn new(no: u32, room: &str, from: Ipv4Addr, oracle: &SharedOracle) -> Self {
        Self {
            no,
            room: room.to_owned(),
            from,
            oracle: Arc::clone(oracle),
            socket: None,
            token: None,
            view: None,
            position: None,
            next_id: 1,
            pending: HashMap::new(),
            unacknowledged: VecDeque::new(),
            sent_count: 0,
            removed: None,
            refusals: HashMap::new(),
            closes: HashMap::new(),
            recovered: 0,
            unrecovered: 0,
        }
    }

    /// Opens a connection, sends `hello` and joins the room. Returns true once the member has
    /// joined.
    pub(crate) async fn connect(&mut self, to: SocketAddr) -> bool {
        match RawSocket::open(self.from, to).await {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => {
                *self.refusals.entry(error.to_string()).or_default() += 1;
                return false;
            }
        }
        self.pending.clear();
        self.view = None;
        self.removed = None;
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        self.command(hello);
        self.join();
        while self.view.is_none() {
            let refused = self.refusals.values().sum::<u64>();
            if !self.receive().await || self.refusals.values().sum::<u64>() > refused {
                return false;
            }
        }
        true
    }

    /// Joins the room, from the last position if there is one.
    pub(crate) fn join(&mut self) {
        let mut join = json!({"type": "join", "room": self.room});
        if let Some((epoch, seq)) = &self.position {
            join["since"] = json!({"epoch": epoch, "seq": seq});
        }
        self.command(join);
    }

    pub(crate) fn leave(&mut self) {
        self.command(json!({"type": "leave", "room": self.room}));
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.view.is_some()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether all replies have been received.
    pub(crate) fn has_all_replies(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn room(&self) -> &str {
        &self.room
    }

    pub(crate) fn epoch(&self) -> Option<&str> {
        Some(&self.position.as_ref()?.0)
    }

    /// Sends a message with a text that was never sent before.
    pub(crate) fn send_new(&mut self, padding: usize) {
        if self.unacknowledged.len() >= MAX_UNACKNOWLEDGED {
            return;
        }
        self.sent_count += 1;
        let text = format!("{}-{} {}", self.no, self.sent_count, "x".repeat(padding));
        let key = format!("{}-{}", self.no, self.sent_count);
        self.send(key, text, true);
    }

    /// Sends the unacknowledged messages again, with their old keys.
    pub(crate) fn resend(&mut self) {
        let in_flight: Vec<String> = self
            .pending
            .values()
            .filter_map(PendingCommand::key)
            .cloned()
            .collect();
        let unacknowledged: Vec<_> = self
            .unacknowledged
            .drain(..)
            .filter(|(key, _)| !in_flight.contains(key))
            .collect();
        for (key, text) in unacknowledged {
            self.send(key, text, false);
        }
    }

    /// Whether messages wait to be sent again.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    fn send(&mut self, key: String, text: String, fresh: bool) {
        let id = self.command(json!({"type": "send", "room": self.room, "text": text, "key": key}));
        self.pending
            .insert(id, PendingCommand::Send { key, text, fresh });
    }

    /// Sends a command of which only the reply is checked.
    pub(crate) fn command(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        let pending = match command["type"].as_str() {
            Some("join") => PendingCommand::Join {
                since: self.position.clone(),
            },
            Some("members") => PendingCommand::Members {
                first: command["cursor"].is_null(),
            },
            _ => PendingCommand::Other,
        };
        self.pending.insert(id, pending);
        self.text(&command.to_string());
        id
    }

    /// Sends text as it is.
    pub(crate) fn text(&mut self, text: &str) {
        if let Some(socket) = &mut self.socket {
            socket.send_text(text);
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(socket) = &mut self.socket {
            socket.write(bytes);
        }
    }

    /// See [`RawSocket::set_receive_buffer`].
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        if let Some(socket) = &self.socket {
            socket.set_receive_buffer(bytes);
        }
    }

    pub(crate) fn close(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.close();
        }
    }

    pub(crate) fn reset(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.reset();
            self.on_closed(None);
        }
    }

    /// Receives and checks the next event. Returns false once the connection has ended. Cancel
    /// safe.
    pub(crate) async fn receive(&mut self) -> bool {
        let Some(socket) = &mut self.socket else {
            return false;
        };
        match socket.receive().await {
            Received::Text(text) => {
                self.apply(&text);
                true
            }
            Received::Closed(code) => {
                self.on_closed(code);
                false
            }
        }
    }

    fn on_closed(&mut self, code: Option<u16>) {
        *self.closes.entry(code.unwrap_or(0)).or_default() += 1;
        self.socket = None;
        self.view = None;
        // Messages that were in flight may or may not have arrived.
        let mut lost: Vec<_> = self.pending.drain().collect();
        lost.sort_by_key(|(id, _)| *id);
        for (_, pending) in lost {
            if let PendingCommand::Send { key, text, .. } = pending {
                self.unacknowledged.push_back((key, text));
            }
        }
    }

    fn room_and_epoch(&self) -> (String, String) {
        let epoch = self.view.as_ref().map(|view| view.epoch.clone());
        (self.room.clone(), epoch.unwrap_or_default())
    }

    pub(crate) fn record_violation(&self, what: &str) {
        self.oracle()
            .record_violation(format!("{} in {}: {what}", self.no, self.room));
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingCommand {
    fn key(&self) -> Option<&String> {
        match self {
            Self::Send { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// The number of unacknowledged messages at which no new one is sent.
const MAX_UNACKNOWLEDGED: usize = 64;

#[cfg(test)]
mod tests;
