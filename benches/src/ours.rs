//! The engine under the bench: a room whose members count what they are handed.

use std::sync::Arc;

use chat_core::{Chat, Limits};
use chat_ws::Config;

use crate::ends::{Client, Direct, Wire};
use crate::{Counter, TEXT};

/// What lies between the engine and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing: the client is handed the events.
    Direct,
    /// WebSocket framing over a byte stream without a kernel.
    WebSocket,
}

/// A room with members, one of which speaks.
pub struct Ours {
    chat: Chat,
    room: String,
    clients: Vec<Client>,
    counter: Counter,
    transport: Transport,
}

/// An engine as it comes, without limits of rate and address.
pub fn engine() -> Chat {
    let limits = Limits::default().without_rates();
    Chat::builder()
        .open_rooms(true)
        .limits(limits)
        .seed(1)
        .build()
}

impl Ours {
    /// Lets `members` join a room of an engine, and waits until they have.
    ///
    /// # Panics
    /// Outside of a current-thread runtime.
    pub async fn start(chat: &Chat, room: &str, members: usize, transport: Transport) -> Self {
        let mut ours = Self {
            chat: chat.clone(),
            room: room.into(),
            clients: Vec::new(),
            counter: Counter::default(),
            transport,
        };
        ours.clients = (0..members).map(|_| ours.join(&ours.counter)).collect();
        while ours.count() < members {
            tokio::task::yield_now().await;
        }
        ours.publish(1).await;
        ours
    }

    /// Says something `burst` times and waits until every member has all of it.
    pub async fn publish(&self, burst: usize) {
        self.say(TEXT, burst);
        self.delivered(burst).await;
    }

    /// Says a text `burst` times. It stands in JSON as it is.
    pub fn say(&self, text: &str, burst: usize) {
        let room = &self.room;
        for _ in 0..burst {
            self.clients[0].say(format!(
                r#"{{"type":"send","room":"{room}","text":"{text}"}}"#
            ));
        }
    }

    /// Waits until every member has `burst` more messages.
    pub async fn delivered(&self, burst: usize) {
        self.counter.reach(self.clients.len() * burst).await;
    }

    /// Waits until the members together have so many more messages.
    pub async fn reach(&self, deliveries: usize) {
        self.counter.reach(deliveries).await;
    }

    /// Lets the member that came last take nothing, or take again.
    pub fn stall(&self, stalled: bool) {
        if let Some(last) = self.clients.last() {
            last.stall(stalled);
        }
    }

    /// One more member joins and leaves.
    pub async fn come_and_go(&self) {
        let members = self.clients.len();
        let client = self.join(&Counter::default());
        while self.count() == members {
            tokio::task::yield_now().await;
        }
        client.say(format!(r#"{{"type":"leave","room":"{}"}}"#, self.room));
        client.go();
        while self.count() > members {
            tokio::task::yield_now().await;
        }
    }

    fn join(&self, counter: &Counter) -> Client {
        let (client, counter) = (Client::default(), counter.clone());
        client.say(format!(r#"{{"type":"join","room":"{}"}}"#, self.room));
        let ticket = self.chat.admit(None).expect("no limit");
        let mine = client.clone();
        match self.transport {
            Transport::Direct => {
                let end = Direct {
                    client: mine,
                    counter,
                };
                tokio::spawn(ticket.serve(end));
            }
            Transport::WebSocket => {
                let end = Wire {
                    client: mine,
                    counter,
                };
                let config = Arc::new(Config::default());
                tokio::spawn(chat_ws::serve_io(ticket, end, &[], config));
            }
        }
        client
    }

    fn count(&self) -> usize {
        self.chat
            .room(&self.room)
            .info()
            .map_or(0, |info| info.count)
    }
}
