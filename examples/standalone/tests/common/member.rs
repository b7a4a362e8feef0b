//! A client over a real socket that checks what it is sent.

use std::net::{Ipv4Addr, SocketAddr};

use chat_memory::{Ledger, View};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::http::connect;

/// A member of one room over any number of connections: the token and the position are kept.
/// Every event is passed to a [`View`], which panics when the server breaks a promise.
pub struct Member {
    socket: Option<WebSocketStream<TcpStream>>,
    ledger: Ledger,
    next_id: u64,
    /// The position in the `join` that has not been answered yet.
    joining_since: Option<(String, u64)>,
    pub token: Option<String>,
    pub view: Option<View>,
    /// The time given by `closing`.
    pub reconnect_after_ms: Option<u64>,
    /// The code of the server's close frame.
    pub close_code: Option<u16>,
}

impl Member {
    pub fn new(ledger: &Ledger) -> Self {
        Self {
            socket: None,
            ledger: ledger.clone(),
            next_id: 1,
            joining_since: None,
            token: None,
            view: None,
            reconnect_after_ms: None,
            close_code: None,
        }
    }

    /// A new member of `room`.
    pub async fn join(addr: SocketAddr, room: &str, ledger: &Ledger) -> Self {
        let mut member = Self::new(ledger);
        member.connect(addr).await;
        member.identify_and_join(room).await;
        member
    }

    /// Opens a connection, in place of an earlier one if there was one.
    pub async fn connect(&mut self, addr: SocketAddr) {
        let stream = connect(Ipv4Addr::LOCALHOST, addr).await;
        let stream = stream.expect("the server accepts connections");
        self.socket = Some(open(stream, addr).await);
        self.close_code = None;
        self.reconnect_after_ms = None;
    }

    /// Sends `hello` with the token, if there is one, and joins the room, from the last position if
    /// there is one. Returns `joined`.
    pub async fn identify_and_join(&mut self, room: &str) -> Value {
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        let welcome = self.request_ok(hello).await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let mut join = json!({"type": "join", "room": room});
        if let Some(view) = &self.view {
            join["since"] = json!({"epoch": view.epoch, "seq": view.seq});
        }
        self.request_ok(join).await
    }

    /// Opens a new connection and joins the room again from the last position. Returns `joined`.
    pub async fn reconnect(&mut self, addr: SocketAddr) -> Value {
        let room = self.view().room.clone();
        self.connect(addr).await;
        self.identify_and_join(&room).await
    }

    /// Drops the connection without a close frame.
    pub fn disconnect(&mut self) {
        self.socket = None;
    }

    pub fn view(&self) -> &View {
        self.view.as_ref().expect("joined")
    }

    /// Sends a message. Returns its `seq` once it is acknowledged, or `None` if the connection ends
    /// before that.
    pub async fn send_text(&mut self, text: &str) -> Option<u64> {
        let room = self.view().room.clone();
        let send = json!({"type": "send", "room": room, "text": text});
        let sent = self.request(send).await?;
        assert_eq!(sent["type"], "sent", "{sent}");
        sent["seq"].as_u64()
    }

    /// The reply to a command that must not be refused.
    pub async fn request_ok(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        let reply = self.request(command).await;
        let reply = reply
            .unwrap_or_else(|| panic!("no reply to {shown}, closed with {:?}", self.close_code));
        assert_ne!(reply["type"], "error", "{shown}: {reply}");
        reply
    }

    /// The reply to a command, or `None` if the connection ends before it.
    pub async fn request(&mut self, mut command: Value) -> Option<Value> {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        if command["type"] == "join" {
            let since = &command["since"];
            let epoch = since["epoch"].as_str().map(str::to_owned);
            self.joining_since = epoch.zip(since["seq"].as_u64());
        }
        if !self.send_raw(command.to_string()).await {
            // The events that the server sent before the end still have to be read.
            while self.next().await.is_some() {}
            return None;
        }
        loop {
            let event = self.next().await?;
            if event["id"] == id {
                return Some(event);
            }
        }
    }

    /// Sends a text frame. Returns `false` if the connection has ended.
    pub async fn send_raw(&mut self, text: String) -> bool {
        match &mut self.socket {
            Some(socket) => socket.send(Message::text(text)).await.is_ok(),
            None => false,
        }
    }

    /// Closes the connection with a reason and waits for its end.
    pub async fn close(&mut self, reason: &str) {
        if let Some(socket) = &mut self.socket {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: reason.into(),
            };
            let _ = socket.close(Some(frame)).await;
        }
        while self.next().await.is_some() {}
    }

    /// The next event, or `None` once the connection has ended in any way.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.as_mut()?.next().await {
                Some(Ok(Message::Text(text))) => return Some(self.apply(&text)),
                Some(Ok(Message::Close(frame))) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.socket = None;
                    return None;
                }
            }
        }
    }

    /// Reads until the events of the room up to `seq` have been received.
    pub async fn read_to(&mut self, seq: u64) {
        while self.view().seq < seq {
            let event = self.next().await;
            assert!(event.is_some(), "closed with {:?}", self.close_code);
        }
    }

    fn apply(&mut self, raw: &str) -> Value {
        let event: Value = serde_json::from_str(raw).expect("an event is JSON");
        let joined = self.view.as_mut();
        match event["type"].as_str().expect("an event has a type") {
            "welcome" => self.token = event["token"].as_str().map(str::to_owned),
            "joined" => {
                let since = self.joining_since.take();
                self.view = Some(View::from_joined(&event, raw, since, &self.ledger));
            }
            "message" | "notice" => {
                assert!(self.reconnect_after_ms.is_none(), "after `closing`: {raw}");
                joined
                    .expect("joined")
                    .apply_event(&event, raw, &self.ledger);
            }
            "gap" => joined.expect("joined").apply_gap(&event),
            "presence" => joined.expect("joined").apply_presence(&event),
            "sent" => assert!(
                event["seq"].as_u64() > joined.map(|view| view.seq),
                "the member's own message came before `sent`: {raw}"
            ),
            "closing" => self.reconnect_after_ms = event["reconnect_after_ms"].as_u64(),
            _ => {}
        }
        event
    }
}

/// Performs the opening handshake of a client with small buffers.
pub async fn open(stream: TcpStream, addr: SocketAddr) -> WebSocketStream<TcpStream> {
    stream.set_nodelay(true).expect("the socket is open");
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let url = format!("ws://{addr}/ws");
    let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
    opened.expect("the server accepts another connection").0
}
