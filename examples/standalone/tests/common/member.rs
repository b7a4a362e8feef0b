//! A client over a real socket, that checks what it is told.

use std::net::{Ipv4Addr, SocketAddr};

use chat_memory::{Ledger, View};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::http::connect;

/// Somebody in one room, over as many connections as it takes: token and position are remembered. Every event goes through
/// a [`View`], which panics where a promise is broken.
pub struct Member {
    socket: Option<WebSocketStream<TcpStream>>,
    ledger: Ledger,
    next_id: u64,
    joining: Option<(String, u64)>,
    pub token: Option<String>,
    pub view: Option<View>,
    /// What `closing` said.
    pub reconnect_after_ms: Option<u64>,
    /// The code with which the server closed.
    pub closed: Option<u16>,
}

impl Member {
    pub fn new(ledger: &Ledger) -> Self {
        Self {
            socket: None,
            ledger: ledger.clone(),
            next_id: 1,
            joining: None,
            token: None,
            view: None,
            reconnect_after_ms: None,
            closed: None,
        }
    }

    /// Somebody new in `room`.
    pub async fn join(addr: SocketAddr, room: &str, ledger: &Ledger) -> Self {
        let mut member = Self::new(ledger);
        member.connect(addr).await;
        member.enter(room).await;
        member
    }

    /// Opens a connection, anew if there was one.
    pub async fn connect(&mut self, addr: SocketAddr) {
        let stream = connect(Ipv4Addr::LOCALHOST, addr).await;
        let stream = stream.expect("the server listens");
        self.socket = Some(open(stream, addr).await);
        self.closed = None;
        self.reconnect_after_ms = None;
    }

    /// Says who it is, and comes into the room, or comes back; gives `joined`.
    pub async fn enter(&mut self, room: &str) -> Value {
        let mut hello = json!({"type": "hello"});
        if let Some(token) = &self.token {
            hello["token"] = json!(token);
        }
        let welcome = self.done(hello).await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let mut join = json!({"type": "join", "room": room});
        if let Some(view) = &self.view {
            join["since"] = json!({"epoch": view.epoch, "seq": view.seq});
        }
        self.done(join).await
    }

    /// Comes back to where it was.
    pub async fn come_back(&mut self, addr: SocketAddr) -> Value {
        let room = self.view().room.clone();
        self.connect(addr).await;
        self.enter(&room).await
    }

    /// Ends the connection without a word.
    pub fn cut(&mut self) {
        self.socket = None;
    }

    pub fn view(&self) -> &View {
        self.view.as_ref().expect("joined")
    }

    /// Says something; gives its `seq` once it is acknowledged, and none if the connection ends before.
    pub async fn say(&mut self, text: &str) -> Option<u64> {
        let room = self.view().room.clone();
        let send = json!({"type": "send", "room": room, "text": text});
        let sent = self.ask(send).await?;
        assert_eq!(sent["type"], "sent", "{sent}");
        sent["seq"].as_u64()
    }

    /// The reply to a command that is not refused.
    pub async fn done(&mut self, command: Value) -> Value {
        let shown = command.to_string();
        let reply = self.ask(command).await;
        let reply = reply.unwrap_or_else(|| panic!("no reply to {shown}: {:?}", self.closed));
        assert_ne!(reply["type"], "error", "{shown}: {reply}");
        reply
    }

    /// The reply to a command; none if the connection ends before.
    pub async fn ask(&mut self, mut command: Value) -> Option<Value> {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        if command["type"] == "join" {
            let since = &command["since"];
            let epoch = since["epoch"].as_str().map(str::to_owned);
            self.joining = epoch.zip(since["seq"].as_u64());
        }
        if !self.send(command.to_string()).await {
            // What the server had said before it went is still to be read.
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

    /// False if the connection has ended.
    pub async fn send(&mut self, text: String) -> bool {
        match &mut self.socket {
            Some(socket) => socket.send(Message::text(text)).await.is_ok(),
            None => false,
        }
    }

    /// Closes the connection with a reason, and waits for its end.
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

    /// The next event; none once the connection has ended, however it did.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.as_mut()?.next().await {
                Some(Ok(Message::Text(text))) => return Some(self.fold(&text)),
                Some(Ok(Message::Close(frame))) => {
                    self.closed = frame.map(|frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.socket = None;
                    return None;
                }
            }
        }
    }

    /// Reads until the room is known up to `seq`.
    pub async fn read_to(&mut self, seq: u64) {
        while self.view().seq < seq {
            let event = self.next().await;
            assert!(event.is_some(), "closed: {:?}", self.closed);
        }
    }

    fn fold(&mut self, raw: &str) -> Value {
        let event: Value = serde_json::from_str(raw).expect("an event is JSON");
        let joined = self.view.as_mut();
        match event["type"].as_str().expect("an event has a type") {
            "welcome" => self.token = event["token"].as_str().map(str::to_owned),
            "joined" => {
                let since = self.joining.take();
                self.view = Some(View::open(&event, raw, since, &self.ledger));
            }
            "message" | "notice" => {
                assert!(self.reconnect_after_ms.is_none(), "after `closing`: {raw}");
                joined.expect("joined").event(&event, raw, &self.ledger);
            }
            "gap" => joined.expect("joined").gap(&event),
            "presence" => joined.expect("joined").presence(&event),
            "sent" => assert!(
                event["seq"].as_u64() > joined.map(|view| view.seq),
                "the own message came before `sent`: {raw}"
            ),
            "closing" => self.reconnect_after_ms = event["reconnect_after_ms"].as_u64(),
            _ => {}
        }
        event
    }
}

/// The opening handshake, by a client of small buffers.
pub async fn open(stream: TcpStream, addr: SocketAddr) -> WebSocketStream<TcpStream> {
    stream.set_nodelay(true).expect("a socket that lives");
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let url = format!("ws://{addr}/ws");
    let opened = tokio_tungstenite::client_async_with_config(url, stream, Some(config)).await;
    opened.expect("the server takes another connection").0
}
