//! A scripted client that checks what it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use chat_core::{Chat, Close};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::ledger::Ledger;
use crate::view::{View, number, text};
use crate::wire::{ClientEnd, Received, pair};

/// A client of `chat.v1` over the end of a [`pair`].
///
/// It folds every event into a [`View`] of its room and panics where a promise is broken: a hole in `seq` that nobody
/// declared, an event twice or in another order than others saw it, an own `message` before its `sent`, a presence that does
/// not follow, anything from a room that it is not in.
pub struct Client {
    end: ClientEnd,
    ledger: Ledger,
    asked: BTreeMap<u64, Asked>,
    next_id: u64,
    keys: BTreeSet<(String, String)>,
    views: BTreeMap<String, View>,
    positions: BTreeMap<String, (String, u64)>,
    inbox: VecDeque<Value>,
    greeted: bool,
    token: Option<String>,
    closed: Option<u16>,
    over: bool,
    heard: DefaultHasher,
    server: Option<JoinHandle<Close>>,
}

/// What a reply is about.
enum Asked {
    Join { since: Option<(String, u64)> },
    Send { room: String, fresh: bool },
    Members { first: bool },
    Other,
}

impl Client {
    /// A client over `end`, that enters what it sees into `ledger`.
    pub fn over(end: ClientEnd, ledger: Ledger) -> Self {
        Self {
            end,
            ledger,
            asked: BTreeMap::new(),
            next_id: 1,
            keys: BTreeSet::new(),
            views: BTreeMap::new(),
            positions: BTreeMap::new(),
            inbox: VecDeque::new(),
            greeted: false,
            token: None,
            closed: None,
            over: false,
            heard: DefaultHasher::new(),
            server: None,
        }
    }

    /// A client that takes all at once, served by a task of its own.
    ///
    /// # Panics
    /// If the engine has no place.
    pub fn connect(chat: &Chat) -> Self {
        Self::connect_with(chat, usize::MAX, Ledger::default())
    }

    /// Like [`connect`](Self::connect), with a window and a ledger.
    ///
    /// # Panics
    /// If the engine has no place.
    pub fn connect_with(chat: &Chat, window: usize, ledger: Ledger) -> Self {
        let (server, end) = pair(window);
        let mut client = Self::over(end, ledger);
        client.server = Some(tokio::spawn(
            chat.admit(None).expect("a place").serve(server),
        ));
        client
    }

    /// The same client over a new connection, that has to say hello and join anew.
    ///
    /// # Panics
    /// If the engine has no place.
    pub fn reconnect(&mut self, chat: &Chat) {
        let (server, end) = pair(usize::MAX);
        self.replace(end);
        self.server = Some(tokio::spawn(
            chat.admit(None).expect("a place").serve(server),
        ));
    }

    /// Goes on over another connection, as a client does that was cut: positions, token and keys are remembered.
    pub fn replace(&mut self, end: ClientEnd) {
        self.end = end;
        self.asked.clear();
        self.views.clear();
        self.inbox.clear();
        self.greeted = false;
        self.closed = None;
        self.over = false;
    }

    /// The connection itself.
    pub fn end(&self) -> &ClientEnd {
        &self.end
    }

    /// The token of the last `welcome`.
    ///
    /// # Panics
    /// Before the first one.
    pub fn token(&self) -> &str {
        self.token.as_deref().expect("a welcome")
    }

    /// The token of the last `welcome`, if there was one.
    pub fn known_token(&self) -> Option<String> {
        self.token.clone()
    }

    /// A joined room.
    ///
    /// # Panics
    /// If it is not joined.
    pub fn view(&self, room: &str) -> &View {
        let view = self.views.get(room);
        view.unwrap_or_else(|| panic!("not in {room}"))
    }

    /// All joined rooms.
    pub fn views(&self) -> &BTreeMap<String, View> {
        &self.views
    }

    /// The newest position seen in a room, over all connections.
    pub fn position(&self, room: &str) -> Option<(String, u64)> {
        self.positions.get(room).cloned()
    }

    /// The code with which the server closed, once it was seen.
    pub fn closed(&self) -> Option<u16> {
        self.closed
    }

    /// Whether the connection has ended and all of it was seen.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// A hash of every byte heard so far.
    pub fn heard(&self) -> u64 {
        self.heard.finish()
    }

    /// Sends text as it is.
    pub fn send_raw(&mut self, text: &str) {
        self.end.send(text.to_owned());
    }

    /// Another connection of this member sends under `key` too: its message may then come before the `sent` of this one.
    pub fn shares_key(&mut self, room: &str, key: &str) {
        self.keys.insert((room.to_owned(), key.to_owned()));
    }

    /// Sends a command under a number of its own, which is given back, and waits for nothing.
    pub fn command(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        let asked = match command["type"].as_str() {
            Some("join") => Asked::Join {
                since: position(&command["since"]),
            },
            Some("send") => {
                let room = command["room"].as_str().unwrap_or_default().to_owned();
                let key = command["key"].as_str().map(str::to_owned);
                let fresh = key.is_none_or(|key| self.keys.insert((room.clone(), key)));
                Asked::Send { room, fresh }
            }
            Some("members") => Asked::Members {
                first: command["cursor"].is_null(),
            },
            _ => Asked::Other,
        };
        self.asked.insert(id, asked);
        self.end.send(command.to_string());
        id
    }

    /// Sends a command and gives its reply, whatever it is. What comes before is kept for [`event`](Self::event).
    ///
    /// # Panics
    /// If there is none.
    pub async fn ask(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        let id = self.command(command);
        self.reply(id)
            .await
            .unwrap_or_else(|| panic!("no reply to {shown}; closed: {:?}", self.closed))
    }

    /// The reply to a command that was sent before; none if the connection ends first.
    pub async fn reply(&mut self, id: u64) -> Option<Value> {
        self.first(|event| event["id"] == id).await
    }

    /// The code with which a command is refused.
    ///
    /// # Panics
    /// If it is not refused.
    pub async fn refused(&mut self, command: Value) -> String {
        let reply = self.ask(command).await;
        assert_eq!(reply["type"], "error", "{reply}");
        text(&reply, "code")
    }

    /// Sends a command and gives its reply.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn done(&mut self, command: Value) -> Value {
        let reply = self.ask(command).await;
        assert_ne!(reply["type"], "error", "{reply}");
        reply
    }

    /// Says hello, with the token of the last connection if there was one.
    pub async fn hello(&mut self) -> Value {
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        self.done(hello).await
    }

    /// Joins.
    pub async fn join(&mut self, room: &str) -> Value {
        self.done(json!({"type": "join", "room": room})).await
    }

    /// Joins at the last position seen there.
    ///
    /// # Panics
    /// If the room was never joined, or refuses.
    pub async fn rejoin(&mut self, room: &str) -> Value {
        let (epoch, seq) = self.position(room).expect("joined before");
        let since = json!({"epoch": epoch, "seq": seq});
        self.done(json!({"type": "join", "room": room, "since": since}))
            .await
    }

    /// Says something, and gives its `seq` when it is acknowledged.
    pub async fn say(&mut self, room: &str, text: &str) -> u64 {
        let sent = self
            .done(json!({"type": "send", "room": room, "text": text}))
            .await;
        number(&sent, "seq")
    }

    /// The next event of a type. Others before it are kept.
    ///
    /// # Panics
    /// If the connection ends first.
    pub async fn event(&mut self, kind: &str) -> Value {
        self.first(|event| event["type"] == kind)
            .await
            .unwrap_or_else(|| panic!("no {kind}; closed: {:?}", self.closed))
    }

    /// The next event, or none at the end of the connection.
    pub async fn next(&mut self) -> Option<Value> {
        self.first(|_| true).await
    }

    /// Everything that comes while nobody does anything else.
    pub async fn rest(&mut self) -> Vec<Value> {
        loop {
            let before = self.inbox.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.pump();
            if self.inbox.len() == before {
                return self.drain();
            }
        }
    }

    /// Waits for the end of the connection, and gives the server's reason.
    ///
    /// # Panics
    /// If the client was not served by a task of its own, or that panicked.
    pub async fn ended(&mut self) -> Close {
        while self.receive().await {}
        let server = self.server.take().expect("a server of its own");
        server.await.expect("no panic")
    }

    /// Takes in what is there already.
    pub fn pump(&mut self) {
        while let Some(received) = self.end.try_recv() {
            self.take(&received);
        }
        self.over |= self.end.is_over();
    }

    /// What was heard and not asked for yet.
    pub fn drain(&mut self) -> Vec<Value> {
        self.inbox.drain(..).collect()
    }

    async fn first(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut from = 0;
        loop {
            if let Some(at) = (from..self.inbox.len()).find(|at| wanted(&self.inbox[*at])) {
                return self.inbox.remove(at);
            }
            from = self.inbox.len();
            if !self.receive().await {
                return None;
            }
        }
    }

    /// Takes in one event. False at the end.
    async fn receive(&mut self) -> bool {
        if self.over {
            return false;
        }
        let patience = Duration::from_secs(300);
        let received = tokio::time::timeout(patience, self.end.recv()).await;
        match received.expect("an event that was waited for comes") {
            Some(received) => self.take(&received),
            None => self.over = true,
        }
        true
    }

    fn take(&mut self, received: &Received) {
        assert!(self.closed.is_none(), "after the close: {received:?}");
        match received {
            Received::Text(payload) => {
                self.heard.write(payload);
                let raw = std::str::from_utf8(payload).expect("valid UTF-8");
                let event = serde_json::from_str(raw).expect("an event is JSON");
                self.fold(&event, raw);
                self.inbox.push_back(event);
            }
            Received::Close(code) => {
                self.heard.write_u16(*code);
                self.closed = Some(*code);
            }
        }
    }

    fn fold(&mut self, event: &Value, raw: &str) {
        let kind = text(event, "type");
        let asked = event["id"].as_u64().map(|id| {
            let asked = self.asked.remove(&id);
            asked.unwrap_or_else(|| panic!("a reply to nothing: {raw}"))
        });
        if !self.greeted {
            assert!(
                kind == "welcome" || kind == "error" || kind == "closing",
                "{raw}"
            );
        }
        match (kind.as_str(), asked) {
            ("welcome", _) => {
                assert!(!self.greeted, "a second welcome: {raw}");
                self.greeted = true;
                self.token = Some(text(event, "token"));
            }
            ("joined", Some(Asked::Join { since })) => {
                let view = View::open(event, raw, since, &self.ledger);
                let room = view.room.clone();
                let position = (view.epoch.clone(), view.seq);
                self.positions.insert(room.clone(), position);
                let before = self.views.insert(room, view);
                assert!(before.is_none(), "joined twice: {raw}");
            }
            ("sent", Some(Asked::Send { room, fresh })) => {
                let view = self.views.get(&room).expect("`sent` only in a joined room");
                assert!(
                    !fresh || number(event, "seq") > view.seq,
                    "the own message came before `sent`: {raw}"
                );
            }
            ("members", Some(Asked::Members { first })) => {
                let room = text(event, "room");
                let view = self.views.get_mut(&room);
                view.expect("`members` only in a joined room")
                    .page(event, first);
            }
            ("history", Some(Asked::Other)) => {
                let view = self.views.get(&text(event, "room"));
                view.expect("`history` only in a joined room")
                    .history(raw, &self.ledger);
            }
            ("left", Some(Asked::Other)) | ("removed", None) => {
                let view = self.views.remove(&text(event, "room"));
                assert!(view.is_some(), "out of a room that it is not in: {raw}");
            }
            ("message" | "notice" | "gap" | "presence" | "typing", None) => {
                let view = self.views.get_mut(&text(event, "room"));
                let view = view.unwrap_or_else(|| panic!("from a room that it is not in: {raw}"));
                match kind.as_str() {
                    "gap" => view.gap(event),
                    "presence" => view.presence(event),
                    "typing" => assert_ne!(text(&event["member"], "id"), view.me, "{raw}"),
                    _ => view.event(event, raw, &self.ledger),
                }
                let (room, position) = (view.room.clone(), (view.epoch.clone(), view.seq));
                self.positions.insert(room, position);
            }
            ("created" | "rooms" | "renamed" | "ok" | "pong", Some(Asked::Other))
            | ("error", _)
            | ("closing" | "pong", None) => {}
            _ => panic!("a reply that does not fit: {raw}"),
        }
    }
}

fn position(since: &Value) -> Option<(String, u64)> {
    Some((since["epoch"].as_str()?.to_owned(), since["seq"].as_u64()?))
}
