//! A server that sends every message back, as the counterpart of a protocol test suite.
//!
//! `cargo run --release -p chat-ws --example echo -- 127.0.0.1:9001`

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chat_ws::{Config, Origins, Socket, WebSocket, handshake};
use futures::{Sink, SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let listener = TcpListener::bind(&address).await?;
    eprintln!("listening on ws://{address}");
    let config = Config::default()
        .message_bytes(64 << 20)
        .idle_frames(u32::MAX)
        .pong_timeout(Duration::from_secs(60));
    let config = Arc::new(config);
    loop {
        let (socket, _) = listener.accept().await?;
        let config = Arc::clone(&config);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                std::future::ready(Ok::<_, Infallible>(respond(request, Arc::clone(&config))))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades()
                .await;
        });
    }
}

fn respond(mut request: Request<Incoming>, config: Arc<Config>) -> Response<Full<Bytes>> {
    let (method, version) = (request.method(), request.version());
    match handshake(method, version, request.headers(), &Origins::Any) {
        Ok(response) => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    let (socket, read_ahead) = Socket::from_upgraded(upgraded);
                    let socket = WebSocket::new(socket, &read_ahead, config);
                    // Even when it is empty it keeps the read buffer of the HTTP server alive.
                    drop(read_ahead);
                    echo(socket).await;
                }
            });
            response.map(|()| Full::default())
        }
        Err(rejection) => rejection.response(),
    }
}

async fn echo(mut socket: WebSocket<Socket>) {
    while let Some(Ok(message)) = socket.next().await {
        if poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx))
            .await
            .is_err()
        {
            return;
        }
        socket.queue_message(message.into());
        if socket.flush().await.is_err() {
            return;
        }
    }
}
