//! A scripted client that checks everything that it receives.

mod checker;
mod inbox;

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use chat_core::{Chat, Close};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::checker::Checker;
use self::inbox::Inbox;
use crate::fields::{number, text};
use crate::ledger::Ledger;
use crate::pipe::{ClientEnd, ServerEnd, pair};
use crate::view::View;

/// A client of `chat.v1` over the client's end of a [`pair`].
///
/// It applies every event to a [`View`] of its room, and panics where a promise of the protocol is
/// broken: a hole in `seq` that was not declared, an event that arrives twice or in another order
/// than other clients saw, an own `message` before its `sent`, a presence that does not follow from
/// the one before, anything from a room that the client is not in, and so on. So every method that
/// receives may panic.
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
    inbox: Inbox,
    next_id: u64,
    /// The task of the server, if this client has spawned it.
    server: Option<JoinHandle<Close>>,
}

impl Client {
    /// A client over `end` that records the log events that it receives in `ledger`.
    pub fn new(end: ClientEnd, ledger: Ledger) -> Self {
        Self {
            inbox: Inbox::new(end, Checker::new(ledger)),
            next_id: 1,
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

    /// Continues over a new connection that accepts everything at once. It has to say hello and
    /// join anew; the client remembers its positions, token and keys.
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
        self.inbox.replace_end(end);
    }

    /// The connection itself.
    pub fn end(&self) -> &ClientEnd {
        &self.inbox.end
    }

    /// The token of the last `welcome`.
    ///
    /// # Panics
    /// Before the first `welcome`.
    pub fn token(&self) -> &str {
        self.inbox
            .checker
            .token()
            .expect("there was no `welcome` yet")
    }

    /// The token of the last `welcome`, if there was one.
    pub fn known_token(&self) -> Option<String> {
        self.inbox.checker.token().map(str::to_owned)
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
        self.inbox.checker.views()
    }

    /// The newest epoch and `seq` that were seen in a room, over all connections.
    pub fn position(&self, room: &str) -> Option<(String, u64)> {
        self.inbox.checker.position(room)
    }

    /// The code with which the server closed, once it was received.
    pub fn close_code(&self) -> Option<u16> {
        self.inbox.close_code
    }

    /// Whether the connection has ended and everything that it carried was received.
    pub fn is_closed(&self) -> bool {
        self.inbox.closed
    }

    /// A hash of every byte that was received so far, over all connections.
    pub fn transcript_hash(&self) -> u64 {
        self.inbox.transcript.finish()
    }

    /// Sends a text as it is, without an `id` and without expecting a reply.
    pub fn send_raw(&mut self, text: &str) {
        self.inbox.end.send(text.to_owned());
    }

    /// Declares that another connection of the same member sends under `key`, too. Its message may
    /// then arrive before the `sent` of this client.
    pub fn share_key(&mut self, room: &str, key: &str) {
        self.inbox.checker.add_key(room, key);
    }

    /// Sends a command and returns its `id` without waiting for anything.
    pub fn command(&mut self, mut command: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.inbox.checker.expect_reply(id, &command);
        self.inbox.end.send(command.to_string());
        id
    }

    /// The reply to a command that was sent before, or `None` if the connection ends first.
    pub async fn reply(&mut self, id: u64) -> Option<Value> {
        self.inbox.first(|event| event["id"] == id).await
    }

    /// Sends a command and returns its reply, whether that is an error or not.
    ///
    /// # Panics
    /// If the connection ends first.
    pub async fn request(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        let id = self.command(command);
        let reply = self.reply(id).await;
        reply.unwrap_or_else(|| {
            panic!(
                "no reply to {shown}; close code: {:?}",
                self.inbox.close_code
            )
        })
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
        if let Some(token) = self.inbox.checker.token() {
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
        let event = self.inbox.first(|event| event["type"] == kind).await;
        event.unwrap_or_else(|| panic!("no `{kind}`; close code: {:?}", self.inbox.close_code))
    }

    /// The next event, or `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Value> {
        self.inbox.first(|_| true).await
    }

    /// Receives until nothing arrives for a millisecond, and returns all events that were not
    /// returned before.
    pub async fn until_idle(&mut self) -> Vec<Value> {
        loop {
            let len = self.inbox.events.len();
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.receive_available();
            if self.inbox.events.len() == len {
                return self.drain();
            }
        }
    }

    /// Receives until the end of the connection, and returns the server's reason for it.
    ///
    /// # Panics
    /// If another task serves the client than one that [`connect`](Self::connect),
    /// [`connect_with`](Self::connect_with) or [`reconnect`](Self::reconnect) has spawned, or if
    /// that task has panicked.
    pub async fn until_closed(&mut self) -> Close {
        while self.inbox.receive().await {}
        let server = self.server.take().expect("another task serves this client");
        server.await.expect("the server panicked")
    }

    /// Receives what has arrived already, without waiting.
    pub fn receive_available(&mut self) {
        self.inbox.receive_available();
    }

    /// Takes the events that were received and not returned yet.
    pub fn drain(&mut self) -> Vec<Value> {
        self.inbox.events.drain(..).collect()
    }
}

fn serve(chat: &Chat, server: ServerEnd) -> JoinHandle<Close> {
    let ticket = chat
        .admit(None)
        .expect("the engine must admit a connection");
    tokio::spawn(ticket.serve(server))
}
