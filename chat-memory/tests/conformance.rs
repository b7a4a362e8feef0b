//! The in-memory transport passes the suite that every transport must pass.

use chat_core::Chat;
use chat_memory::conformance::{self, Heard, Peer};
use chat_memory::{ClientEnd, Received, pair};

struct Memory(ClientEnd);

impl Peer for Memory {
    async fn send_text(&mut self, text: String) {
        self.0.send(text);
    }

    async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.0.send_binary(bytes);
    }

    async fn recv(&mut self) -> Heard {
        match self.0.recv().await {
            Some(Received::Text(text)) => Heard::Text(String::from_utf8(text.to_vec()).unwrap()),
            Some(Received::Close(code)) => Heard::Closed(Some(code)),
            None => Heard::Closed(None),
        }
    }

    async fn stop_reading(&mut self) {
        self.0.stall();
    }

    async fn read_again(&mut self) {
        self.0.resume();
    }

    async fn cut(self) {
        self.0.cut();
    }
}

fn connect(chat: &Chat, window: usize) -> Memory {
    let (server, client) = pair(window);
    tokio::spawn(chat.admit(None).unwrap().serve(server));
    Memory(client)
}

#[tokio::test(start_paused = true)]
async fn with_a_window_like_that_of_a_socket() {
    conformance::run(|chat| std::future::ready(connect(chat, 256 * 1024))).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_window_of_one_message() {
    conformance::run(|chat| std::future::ready(connect(chat, 0))).await;
}
