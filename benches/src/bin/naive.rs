//! The server that is usually written first, after the chat example of axum: a
//! `tokio::sync::broadcast` channel per room and two tasks per connection, one of which copies each
//! message to its socket.
//!
//! The room is the path. A text frame is relayed unchanged to all members of the room, including
//! the sender.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Parser;
use futures::{SinkExt, StreamExt};
use tokio::sync::broadcast;

/// Relays every text frame to all members of the sender's room (the path of the URL), including the
/// sender.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Messages that the channel of a room holds. A member that falls further behind is dropped, as
    /// in the example.
    #[arg(long, default_value_t = 1024)]
    capacity: usize,
}

#[derive(Clone)]
struct App {
    rooms: Arc<Mutex<HashMap<String, broadcast::Sender<String>>>>,
    capacity: usize,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    load::proc::raise_open_files();
    let app = App {
        rooms: Arc::default(),
        capacity: args.capacity.max(1),
    };
    let router = Router::new().route("/{room}", get(upgrade)).with_state(app);
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router).await
}

async fn upgrade(
    Path(room): Path<String>,
    State(app): State<App>,
    upgrade: WebSocketUpgrade,
) -> impl IntoResponse {
    upgrade.on_upgrade(|socket| serve(socket, app, room))
}

async fn serve(socket: WebSocket, app: App, room: String) {
    let tx = {
        let mut rooms = app.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms
            .entry(room)
            .or_insert_with(|| broadcast::channel(app.capacity).0)
            .clone()
    };
    let (mut sender, mut receiver) = socket.split();
    let mut rx = tx.subscribe();
    let mut send_task = tokio::spawn(async move {
        while let Ok(text) = rx.recv().await {
            if sender.send(Message::text(text)).await.is_err() {
                break;
            }
        }
    });
    let mut recv_task = tokio::spawn(async move {
        while let Some(Ok(Message::Text(text))) = receiver.next().await {
            let _ = tx.send(text.to_string());
        }
    });
    tokio::select! {
        _ = &mut send_task => recv_task.abort(),
        _ = &mut recv_task => send_task.abort(),
    }
}
