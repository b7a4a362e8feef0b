//! What a transport is, and what it carries.

use std::fmt;

use bytes::Bytes;
use futures::{Sink, Stream};

use crate::protocol::Frames;

/// Anything that carries messages both ways: a [`Stream`] of [`Incoming`] that is also a [`Sink`]
/// of [`Outgoing`].
///
/// A transport must keep these promises:
/// * Its stream ends when the peer has gone, whether the peer said so or not. An error ends the
///   connection, too.
/// * It keeps the order in both directions, and never resumes in the middle of a frame.
/// * `poll_ready` is pending while the peer's side has not accepted what was handed over before.
///   The engine relies on that for backpressure, and keeps its own write deadline
///   ([`Limits::write_timeout`](crate::Limits::write_timeout)).
/// * `start_send` accepts [`Outgoing::Frames`] as a whole and never blocks; `poll_flush` writes.
/// * After [`Outgoing::Close`], `poll_close` performs the transport's own closing handshake within
///   a time limit of its own, and then is ready.
/// * It answers a violation of its own protocol (bad UTF-8, an oversized message, silence) itself,
///   then ends its stream.
///
/// `chat_memory::conformance` tests all of them, for any transport.
///
/// ```
/// use bytes::Bytes;
/// use chat_core::{Chat, CloseCode, Incoming, Outgoing};
/// use futures::channel::mpsc;
/// use futures::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Two channels are a transport once they are one value.
/// let (mut client, received) = mpsc::channel::<Result<Incoming, mpsc::SendError>>(8);
/// let (sent, mut events) = mpsc::channel::<Outgoing>(8);
/// let transport = merge(received, sent);
///
/// let chat = Chat::builder().build();
/// let connection = tokio::spawn(chat.admit(None)?.serve(transport));
/// client.send(Ok(Incoming::Text(Bytes::from_static(br#"{"type":"ping"}"#)))).await?;
/// let Some(Outgoing::Frames(welcome_and_pong)) = events.next().await else { panic!() };
/// assert_eq!(welcome_and_pong.payloads().count(), 2);
///
/// drop(client);
/// assert_eq!(connection.await?.code, CloseCode::NORMAL);
/// # Ok(())
/// # }
/// # use std::pin::Pin;
/// # use std::task::{Context, Poll};
/// # use futures::{Sink, Stream};
/// # struct Merged(mpsc::Receiver<Result<Incoming, mpsc::SendError>>, mpsc::Sender<Outgoing>);
/// # fn merge(a: mpsc::Receiver<Result<Incoming, mpsc::SendError>>, b: mpsc::Sender<Outgoing>) -> Merged { Merged(a, b) }
/// # impl Stream for Merged {
/// #     type Item = Result<Incoming, mpsc::SendError>;
/// #     fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> { self.0.poll_next_unpin(cx) }
/// # }
/// # impl Sink<Outgoing> for Merged {
/// #     type Error = mpsc::SendError;
/// #     fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> { self.1.poll_ready(cx) }
/// #     fn start_send(mut self: Pin<&mut Self>, item: Outgoing) -> Result<(), Self::Error> { self.1.start_send(item) }
/// #     fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> { self.1.poll_flush_unpin(cx) }
/// #     fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> { self.1.poll_close_unpin(cx) }
/// # }
/// ```
pub trait Transport:
    Stream<Item = Result<Incoming, <Self as Sink<Outgoing>>::Error>>
    + Sink<Outgoing, Error: fmt::Display>
    + Unpin
{
}

impl<T, E: fmt::Display> Transport for T where
    T: Stream<Item = Result<Incoming, E>> + Sink<Outgoing, Error = E> + Unpin
{
}

/// What a transport receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text message. The transport has checked that it is valid UTF-8.
    Text(Bytes),
    /// A binary message. `chat.v1` has none, so the engine closes with [`CloseCode::UNSUPPORTED`].
    Binary(Bytes),
}

/// What a transport sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Events to deliver.
    Frames(Frames),
    /// The last thing that the engine sends.
    Close(Close),
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The number on the wire.
    pub code: CloseCode,
    /// A few words for whoever debugs a client; at most 123 bytes are sent (RFC 6455 §5.5).
    pub reason: &'static str,
}

impl Close {
    /// A close with its reason.
    pub const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// A close code: one of RFC 6455 §7.4.1, or one of our own, whose range tells clients what to do.
/// After 4000–4499 they come back, after 4500–4999 they do not.
///
/// These are all that are sent. 1011, 1013, 4000, 4500, 4501 and 4502 are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The connection has served its purpose.
    pub const NORMAL: Self = Self(1000);
    /// The server is going away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol of the transport.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a binary message where only text is understood.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The peer sent text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// The peer abuses the server.
    pub const POLICY: Self = Self(1008);
    /// A message is over the size limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The peer does not accept what it is sent.
    pub const TOO_SLOW: Self = Self(4002);
    /// The peer does not answer pings.
    pub const IDLE: Self = Self(4003);
    /// A hundred commands in a row were refused with `rate_limited`.
    pub const RATE_LIMITED: Self = Self(4004);
}
