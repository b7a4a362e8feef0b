//! The WebSocket transport of [`chat_core`]: RFC 6455 on the server's side, over any byte stream.
//!
//! # What you do first
//!
//! **Mount it in axum.** [`service`](service()) makes the endpoint of a chat, and a route takes it:
//!
//! ```no_run
//! # async fn serve(chat: chat_core::Chat) -> std::io::Result<()> {
//! let app = axum::Router::new().route_service("/ws", chat_ws::service(chat));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! **Mount it in bare hyper.** The same endpoint is a service of hyper. The connections must be
//! served with upgrades:
//!
//! ```no_run
//! use hyper::server::conn::http1;
//! use hyper_util::rt::{TokioIo, TokioTimer};
//!
//! # async fn serve(chat: chat_core::Chat) -> std::io::Result<()> {
//! let service = chat_ws::service(chat);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! loop {
//!     let (socket, _) = listener.accept().await?;
//!     let connection = http1::Builder::new()
//!         .timer(TokioTimer::new())
//!         .serve_connection(TokioIo::new(socket), service.clone())
//!         .with_upgrades();
//!     tokio::spawn(connection);
//! }
//! # }
//! ```
//!
//! **Serve a stream that the host has upgraded itself.** [`handshake`](handshake()) checks a
//! request and makes the response, and [`serve_io`] takes over the stream once the response is
//! written:
//!
//! ```
//! use std::sync::Arc;
//!
//! use chat_core::Chat;
//! use chat_ws::{Config, Origins, Rejection, handshake, serve_io};
//! use http::{Request, Response};
//! use tokio::io::{AsyncRead, AsyncWrite};
//!
//! # async fn write_head<IO, T>(_: &mut IO, _: Response<T>) {}
//! async fn open<IO>(chat: &Chat, request: Request<()>, mut io: IO) -> Result<(), Rejection>
//! where
//!     IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
//! {
//!     let (method, version) = (request.method(), request.version());
//!     let response = handshake(method, version, request.headers(), &Origins::SameOrigin)?;
//!     // The chat may be full, so it is asked before the client is sent 101.
//!     let ticket = chat.admit(None).map_err(Rejection::NotAdmitted)?;
//!     write_head(&mut io, response).await;
//!     let config = Arc::new(Config::from(chat.limits()));
//!     tokio::spawn(serve_io(ticket, io, &[], config));
//!     Ok(())
//! }
//! ```
//!
//! **Decide which pages may connect.** Pages of the same origin may by default, and requests that
//! do not come from a page always may:
//!
//! ```
//! use chat_ws::Origins;
//!
//! # let chat = chat_core::Chat::builder().build();
//! let origins = vec!["https://example.org".to_owned(), "https://example.com".to_owned()];
//! let service = chat_ws::service(chat).origins(Origins::List(origins));
//! ```
//!
//! **Limit the connections of an address.** The endpoint does not know who is behind a proxy, so
//! the host names the address. **Without [`ClientAddr`] the limits by address do not apply.**
//!
//! ```
//! use std::convert::Infallible;
//! use std::future::ready;
//! use std::net::IpAddr;
//!
//! use chat_ws::{ChatService, ClientAddr};
//! use hyper::Request;
//! use hyper::body::Incoming;
//! use hyper::service::service_fn;
//!
//! # fn serve(chat_service: ChatService, peer: IpAddr) {
//! let service = service_fn(move |mut request: Request<Incoming>| {
//!     request.extensions_mut().insert(ClientAddr(peer));
//!     ready(Ok::<_, Infallible>(chat_service.respond(request)))
//! });
//! # let _ = service;
//! # }
//! ```
//!
//! **Use the transport alone.** [`WebSocket`] carries any other protocol too; `examples/echo.rs` of
//! this crate is a server that does.
//!
//! # Runtime
//!
//! Connections live on a tokio runtime with its time driver (`enable_time`), and sockets also need
//! its I/O driver (`enable_io`). [`ChatService::respond`] spawns the connections that it accepts,
//! and panics outside of a runtime. [`WebSocket::new`], [`serve_io`] and [`serve_upgraded`] start a
//! timer, and panic outside of a runtime with a time driver. [`handshake`](handshake()),
//! [`Origins`] and [`Rejection`] need no runtime.
//!
//! # Contents
//!
//! The modules are layers. From the top down, each uses only those below it:
//!
//! * `service`: [`service`](service()), [`ChatService`] and [`ClientAddr`], the endpoint for axum,
//!   hyper and everything that takes a `tower` service.
//! * `serve`: [`serve_io`] and [`serve_upgraded`], for hosts that upgrade by themselves.
//! * `socket`: [`Socket`], the stream under a connection that hyper has upgraded.
//! * `websocket`: [`WebSocket`] and [`Message`], the transport alone: frames, pings, limits and the
//!   closing handshake.
//! * `handshake`: [`handshake`](handshake()), [`SUBPROTOCOL`], [`Origins`] and [`Rejection`], the
//!   opening handshake and its responses.
//! * `config`: [`Config`], the limits and times of a connection.

mod config;
mod handshake;
mod serve;
mod service;
mod socket;
mod websocket;

#[cfg(test)]
#[path = "../tests/common/client_frames.rs"]
mod client_frames;

pub use config::Config;
pub use handshake::{Origins, Rejection, SUBPROTOCOL, handshake};
pub use serve::{serve_io, serve_upgraded};
pub use service::{ChatService, ClientAddr, service};
pub use socket::Socket;
pub use websocket::{Message, WebSocket};
