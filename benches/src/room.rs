//! The engine under test: a room whose members count the events that they receive.

use std::sync::Arc;

use chat_core::{Chat, Limits};
use chat_ws::Config;

use crate::clients::{Client, DirectClient, StreamClient};
use crate::{Counter, TEXT};

/// The transport between the engine and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// None: the client receives the events as they are.
    Direct,
    /// WebSocket framing over a byte stream without a kernel.
    WebSocket,
}

/// A room with members, one of which sends.
pub struct BenchRoom {
    chat: Chat,
    room: String,
    clients: Vec<Client>,
    counter: Counter,
    transport: Transport,
}

/// An engine with its defaults, but without limits of rate and address.
pub fn engine() -> Chat {
    let limits = Limits::default().without_rates();
    Chat::builder()
        .open_rooms(true)
        .limits(limits)
        .seed(1)
        .build()
}

impl std::fmt::Debug for BenchRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BenchRoom").finish_non_exhaustive()
    }
}

impl BenchRoom {
    /// Lets `members` join a room of an engine, and waits until they have joined.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn start(chat: &Chat, room: &str, members: usize, transport: Transport) -> Self {
        let mut bench_room = Self {
            chat: chat.clone(),
            room: room.into(),
            clients: Vec::new(),
            counter: Counter::default(),
            transport,
        };
        bench_room.clients = (0..members)
            .map(|_| bench_room.join(&bench_room.counter))
            .collect();
        while bench_room.count().await < members {
            tokio::task::yield_now().await;
        }
        bench_room.publish(1).await;
        bench_room
    }

    /// Sends [`TEXT`] `burst` times and waits until every member has received all of it.
    pub async fn publish(&self, burst: usize) {
        self.send(TEXT, burst);
        self.wait_for_all(burst).await;
    }

    /// Sends a text `burst` times. It must need no escaping in JSON.
    pub fn send(&self, text: &str, burst: usize) {
        let room = &self.room;
        for _ in 0..burst {
            self.clients[0].send(format!(
                r#"{{"type":"send","room":"{room}","text":"{text}"}}"#
            ));
        }
    }

    /// Waits until every member has received `burst` more messages.
    pub async fn wait_for_all(&self, burst: usize) {
        self.counter.wait_for(self.clients.len() * burst).await;
    }

    /// Waits until the members together have received this many more messages.
    pub async fn wait_for(&self, deliveries: usize) {
        self.counter.wait_for(deliveries).await;
    }

    /// Makes the member that joined last stop reading, or read again.
    pub fn stall(&self, stalled: bool) {
        if let Some(last) = self.clients.last() {
            last.stall(stalled);
        }
    }

    /// Lets one more member join and leave.
    pub async fn join_and_leave(&self) {
        let members = self.clients.len();
        let client = self.join(&Counter::default());
        while self.count().await == members {
            tokio::task::yield_now().await;
        }
        client.send(format!(r#"{{"type":"leave","room":"{}"}}"#, self.room));
        client.close();
        while self.count().await > members {
            tokio::task::yield_now().await;
        }
    }

    fn join(&self, counter: &Counter) -> Client {
        let (client, counter) = (Client::default(), counter.clone());
        client.send(format!(r#"{{"type":"join","room":"{}"}}"#, self.room));
        let ticket = self.chat.admit(None).expect("there is no limit");
        let client_end = client.clone();
        match self.transport {
            Transport::Direct => {
                let transport = DirectClient {
                    client: client_end,
                    counter,
                };
                tokio::spawn(ticket.serve(transport));
            }
            Transport::WebSocket => {
                let transport = StreamClient {
                    client: client_end,
                    counter,
                };
                let config = Arc::new(Config::default());
                tokio::spawn(chat_ws::serve_io(ticket, transport, &[], config));
            }
        }
        client
    }

    async fn count(&self) -> usize {
        self.chat
            .room(&self.room)
            .expect("the id is valid")
            .info()
            .await
            .map_or(0, |info| info.count)
    }
}
