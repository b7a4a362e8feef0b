//! WebSockets over loopback pass the suite that every transport must pass.

use chat_core::Chat;
use chat_memory::conformance::{self, Observed, Peer};
use futures::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer for Client {
    async fn send_text(&mut self, text: String) {
        let _ = self.0.send(Message::text(text)).await;
    }

    async fn send_binary(&mut self, bytes: Vec<u8>) {
        let _ = self.0.send(Message::binary(bytes)).await;
    }

    async fn recv(&mut self) -> Observed {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Observed::Text(text.to_string()),
                Some(Ok(Message::Close(close))) => {
                    return Observed::Closed(close.map(|close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Observed::Closed(None),
            }
        }
    }

    // A socket is read only in `recv`. What is not read stays with the kernel, and then with the
    // server.
    async fn pause_reading(&mut self) {}

    async fn resume_reading(&mut self) {}

    async fn abort(self) {}
}

/// Starts a server of `chat` for one connection, and returns the client.
async fn connect(chat: &Chat) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = chat_ws::service(chat.clone());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades()
            .await
    });
    Client(connect_async(format!("ws://{addr}/")).await.unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_loopback() {
    conformance::run(connect).await;
}
