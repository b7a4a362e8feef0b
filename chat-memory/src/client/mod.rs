//! A scripted client that checks everything that it receives.

mod checker;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use chat_core::{Chat, Close};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::checker::Checker;
use crate::fields::{number, text};
use crate::ledger::Ledger;
use crate::pipe::{ClientEnd, Received, ServerEnd, pair};
use crate::view::View;

/// A client of `chat.v1` over the client's end of a [`pair`].
///
/// It applies every event to a [`View`] of its room, and panics where a promise of the protocol is
/// broken: a hole in `seq` that was not declared, an event that arrives twice or in another order than
/// other clients saw, an own `message` before its `sent`, a presence that does not follow from the one
/// before, anything from a room that the client is not in, and so on. So every method that receives
/// may panic.
///
/// Commands are JSON as on the wire; the client adds the `id`. Events that arrive before an awaited
/// one are kept in the order in which they arrived, also where the future that waits is dropped.
///
/// ```
/// use chat_core::Chat;
/// use chat_memory::{Client, block_on_paused};
/// use serde_json::json;
///
/// block_on_paused(async {
///     let chat = Chat::builder().open_rooms(true).build();
///     let mut ann = Client::connect(&chat);
///     let mut ben = Client::connect(&chat);
///     ann.join("tea").await;
///     ben.join("tea").await;
///
///     assert_eq!(ann.send("tea", "Good morning").await, 1);
///     assert_eq!(ben.event("message").await["text"], "Good morning");
///
///     let leave = json!({"type": "leave", "room": "tea"});
///     ben.expect_success(leave.clone()).await;
///     assert_eq!(ben.expect_error(leave).await, "not_joined");
/// });
/// ```
#[derive(Debug)]
pub struct Client {
    end: ClientEnd,
    checker: Checker,
    next_id: u64,
    /// Events that were received and not returned.
    inbox: VecDeque<Value>,
    close_code: Option<u16>,
    closed: bool,
    transcript: DefaultHasher,
    server: Option<JoinHandle<Close>>,
}

impl Client {
    /// A client over `end` that records the log events that it receives in `ledger`.
    pub fn new(end: ClientEnd, ledger: Ledger) -> Self {
        Self {
            end,
            checker: Checker::new(ledger),
            next_id: 1,
            inbox: VecDeque::new(),
            close_code: None,
            closed: false,
            transcript: DefaultHasher::new(),
            server: None,
        }
    }

    /// A client that accepts everything at once, served by a new task.
    ///
    /// # Panics
    /// If the engine admits no connection, or outside of a tokio runtime with time enabled.
    pub fn connect(chat: &Chat) -> Self {
        Self::connect_with(chat, usize::MAX, Ledger::default())
    }

    /// Like [`connect`](Self::connect), with the window of the [`pair`] in bytes, and a ledger.
    ///
    /// # Panics
    /// If the engine admits no connection, or outside of a tokio runtime with time enabled.
    pub fn connect_with(chat: &Chat, window: usize, ledger: Ledger) -> Self {
        let (server, end) = pair(window);
        let mut client = Self::new(end, ledger);
        client.server = Some(serve(chat, server));
        client
    }

    /// Continues over a new connection that accepts everything at once. It has to say hello and join
    /// anew; the client remembers its positions, token and keys.
    ///
    /// # Panics
    /// If the engine admits no connection, or outside of a tokio runtime with time enabled.
    pub fn reconnect(&mut self, chat: &Chat) {
        let (server, end) = pair(usize::MAX);
        self.replace_end(end);
        self.server = Some(serve(chat, server));
    }

    /// Continues over another connection, which the caller has served. The client remembers its
    /// positions, token and keys; events that were not returned are dropped.
    pub fn replace_end(&mut self, end: ClientEnd) {
        self.end = end;
        self.checker.reset_connection();
        self.inbox.clear();
        self.close_code = None;
        self.closed = false;
    }

    /// The connection itself.
    pub fn end(&self) -> &ClientEnd {
        &self.end
    }

    /// The token of the last `welcome`.
    ///
    /// # Panics
    /// Before the first `welcome`.
    pub fn token(&self) -> &str {
        self.checker.token().expect("there was no `welcome` yet")
    }

    /// The token of the last `welcome`, if there was one.
    pub fn known_token(&self) -> Option<String> {
        self.checker.token().map(str::to_owned)
    }

    /// The view of a joined room.
    ///
    /// # Panics
    /// If the room is not joined.
    pub fn view(&self, room: &str) -> &View {
        let view = self.views().get(room);
        view.unwrap_or_else(|| panic!("{room} is not joined"))
    }

    /// The views of all joined rooms, by id.
    pub fn views(&self) -> &BTreeMap<String, View> {
        self.checker.views()
    }

    /// The newest epoch and `seq` that were seen in a room, over all connections.
    pub fn position(&self, room: &str) -> Option<(String, u64)> {
        self.checker.position(room)
    }

    /// The code with which the server closed, once it was received.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Whether the connection has ended and everything that it carried was received.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// A hash of every byte that was received so far, over all connections.
    pub fn transcript_hash(&self) -> u64 {
        self.transcript.finish()
    }

    /// Sends a text as it is, without an `id` and without expecting a reply.
    pub fn send_raw(&mut self, text: &str) {
        self.end.send(text.to_owned());
    }

    /// Declares that another connection of the same member sends under `key`, too. Its message may then
    /// arrive before the `sent` of this client.
    pub fn share_key(&mut self, room: &str, key: &str) {
        self.checker.add_key(room, key);
    }

    /// Sends a command and returns its `id` without waiting for anything.
    pub fn command(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.checker.expect_reply(id, &command);
        self.end.send(command.to_string());
        id
    }

    /// The reply to a command that was sent before, or `None` if the connection ends first.
    pub async fn reply(&mut self, id: u64) -> Option<Value> {
        self.first(|event| event["id"] == id).await
    }

    /// Sends a command and returns its reply, whether that is an error or not.
    ///
    /// # Panics
    /// If the connection ends first.
    pub async fn request(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        let id = self.command(command);
        let reply = self.reply(id).await;
        reply.unwrap_or_else(|| panic!("no reply to {shown}; close code: {:?}", self.close_code))
    }

    /// Sends a command and returns its reply, which must not be an error.
    ///
    /// # Panics
    /// If the command is refused, or the connection ends first.
    pub async fn expect_success(&mut self, command: Value) -> Value {
        let reply = self.request(command).await;
        assert_ne!(reply["type"], "error", "{reply}");
        reply
    }

    /// Sends a command and returns the code of the error that must be its reply.
    ///
    /// # Panics
    /// If the command succeeds, or the connection ends first.
    pub async fn expect_error(&mut self, command: Value) -> String {
        let reply = self.request(command).await;
        assert_eq!(reply["type"], "error", "{reply}");
        text(&reply, "code")
    }

    /// Says hello, with the last token if there is one, and returns the `welcome`.
    ///
    /// # Panics
    /// If the command is refused, or the connection ends first.
    pub async fn hello(&mut self) -> Value {
        let mut hello = json!({"type": "hello"});
        if let Some(token) = self.checker.token() {
            hello["token"] = json!(token);
        }
        self.expect_success(hello).await
    }

    /// Joins a room and returns the `joined`.
    ///
    /// # Panics
    /// If the command is refused, or the connection ends first.
    pub async fn join(&mut self, room: &str) -> Value {
        self.expect_success(json!({"type": "join", "room": room}))
            .await
    }

    /// Joins a room at the last position that was seen there, and returns the `joined`.
    ///
    /// # Panics
    /// If the room was never joined, the command is refused, or the connection ends first.
    pub async fn rejoin(&mut self, room: &str) -> Value {
        let (epoch, seq) = self.position(room).expect("the room was never joined");
        let since = json!({"epoch": epoch, "seq": seq});
        self.expect_success(json!({"type": "join", "room": room, "since": since}))
            .await
    }

    /// Sends a message to a room and returns its `seq` once it is acknowledged.
    ///
    /// # Panics
    /// If the command is refused, or the connection ends first.
    pub async fn send(&mut self, room: &str, text: &str) -> u64 {
        let send = json!({"type": "send", "room": room, "text": text});
        number(&self.expect_success(send).await, "seq")
    }

    /// The next event of a type. Events of other types before it are kept.
    ///
    /// # Panics
    /// If the connection ends first.
    pub async fn event(&mut self, kind: &str) -> Value {
        let event = self.first(|event| event["type"] == kind).await;
        event.unwrap_or_else(|| panic!("no `{kind}`; close code: {:?}", self.close_code))
    }

    /// The next event, or `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Value> {
        self.first(|_| true).await
    }

    /// Receives until nothing arrives for a millisecond, and returns all events that were not returned
    /// before.
    pub async fn until_idle(&mut self) -> Vec<Value> {
        loop {
            let len = self.inbox.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.receive_available();
            if self.inbox.len() == len {
                return self.drain();
            }
        }
    }

    /// Receives until the end of the connection, and returns the server's reason for it.
    ///
    /// # Panics
    /// If this client does not come from [`connect`](Self::connect) or a sibling of it, or if the task
    /// of the server has panicked.
    pub async fn until_closed(&mut self) -> Close {
        while self.receive().await {}
        let server = self.server.take().expect("another task serves this client");
        server.await.expect("the server panicked")
    }

    /// Receives what has arrived already, without waiting.
    pub fn receive_available(&mut self) {
        while let Some(received) = self.end.try_recv() {
            self.accept(&received);
        }
        self.closed |= self.end.is_closed();
    }

    /// Takes the events that were received and not returned yet.
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

    /// Receives one message. False at the end of the connection.
    async fn receive(&mut self) -> bool {
        if self.closed {
            return false;
        }
        let received = tokio::time::timeout(RECEIVE_TIMEOUT, self.end.recv()).await;
        match received.expect("an awaited event must arrive") {
            Some(received) => self.accept(&received),
            None => self.closed = true,
        }
        true
    }

    fn accept(&mut self, received: &Received) {
        assert!(
            self.close_code.is_none(),
            "received after the close: {received:?}"
        );
        match received {
            Received::Text(payload) => {
                self.transcript.write(payload);
                let raw = std::str::from_utf8(payload).expect("an event must be UTF-8");
                let event = serde_json::from_str(raw).expect("an event must be JSON");
                self.checker.check(&event, raw);
                self.inbox.push_back(event);
            }
            Received::Close(code) => {
                self.transcript.write_u16(*code);
                self.close_code = Some(*code);
            }
        }
    }
}

fn serve(chat: &Chat, server: ServerEnd) -> JoinHandle<Close> {
    let ticket = chat
        .admit(None)
        .expect("the engine must admit a connection");
    tokio::spawn(ticket.serve(server))
}

/// How long a client waits for an event before it takes the server to hang.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(300);
