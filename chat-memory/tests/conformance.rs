//! The in-memory transport passes the suite that every transport must pass.

use chat_core::Chat;
use chat_memory::conformance::{self, Observed, Peer};
use chat_memory::{ClientEnd, Received, pair};

struct MemoryPeer(ClientEnd);

impl Peer for MemoryPeer {
    async fn send_text(&mut self, text: String) {
        self.0.send(text);
    }

    async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.0.send_binary(bytes);
    }

    async fn recv(&mut self) -> Observed {
        match self.0.recv().await {
            Some(Received::Text(text)) => Observed::Text(String::from_utf8(text.to_vec()).unwrap()),
            Some(Received::Close(code)) => Observed::Closed(Some(code)),
            None => Observed::Closed(None),
        }
    }

    async fn pause_reading(&mut self) {
        self.0.stall();
    }

    async fn resume_reading(&mut self) {
        self.0.resume();
    }

    async fn abort(self) {
        self.0.abort();
    }
}

fn connect(chat: &Chat, window: usize) -> MemoryPeer {
    let (server, client) = pair(window);
    tokio::spawn(chat.admit(None).unwrap().serve(server));
    MemoryPeer(client)
}

#[tokio::test(start_paused = true)]
async fn with_a_window_like_that_of_a_socket() {
    conformance::run(async |chat| connect(chat, 256 * 1024)).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_window_of_one_message() {
    conformance::run(async |chat| connect(chat, 0)).await;
}
