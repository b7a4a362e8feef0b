//! The engine inside an axum app. Start it with `cargo run -p embed-axum`, connect with
//! `npx wscat -c ws://127.0.0.1:3000/ws`, and send `{"type":"join","room":"lobby","history":10}`.

use chat_core::Chat;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let chat = Chat::builder().build();
    let app = axum::Router::new().route_service("/ws", chat_ws::service(chat.clone()));
    chat.ensure_room("lobby").await?.announce("Welcome").await?;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
