//! A raw client over an in-memory stream, and the server on the other end.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses some of it"
)]

mod client_frames;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_core::{Chat, Incoming};
use chat_ws::{Config, WebSocket};
pub use client_frames::*;
use futures::{Sink, SinkExt, StreamExt};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// A frame of the server: its first byte and its payload.
pub type Frame = (u8, Vec<u8>);

/// The next frame of the server, or none at the end of the stream.
pub async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let first = io.read_u8().await.ok()?;
    let len = match io.read_u8().await.unwrap() {
        126 => u64::from(io.read_u16().await.unwrap()),
        127 => io.read_u64().await.unwrap(),
        len => u64::from(len),
    };
    let mut payload = vec![0; len as usize];
    io.read_exact(&mut payload).await.unwrap();
    Some((first, payload))
}

/// All frames until the end of the stream.
pub async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = read_frame(io).await {
        frames.push(frame);
    }
    frames
}

/// The close code of the last frame, which must be a close frame.
pub fn close_code(frames: &[Frame]) -> u16 {
    let (first, payload) = frames.last().expect("a close frame");
    assert_eq!(*first, CLOSE);
    u16::from_be_bytes([payload[0], payload[1]])
}

/// A transport and the client's end of its stream.
pub fn pair(config: Config) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (server, client) = tokio::io::duplex(1 << 20);
    (WebSocket::new(server, &[], Arc::new(config)), client)
}

/// The client's end of a stream to a server that sends every message back.
pub fn echo(config: Config) -> DuplexStream {
    let (socket, client) = pair(config);
    tokio::spawn(serve_echo(socket));
    client
}

/// Sends every message back. Returns the messages once the stream has ended.
pub async fn serve_echo<IO>(mut socket: WebSocket<IO>) -> Vec<Incoming>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx))
            .await
            .unwrap();
        socket.queue_message(message.clone().into());
        socket.flush().await.unwrap();
        messages.push(message);
    }
    messages
}

/// What an echo server sends in response to `input`, which is sent in pieces of `piece_len` bytes,
/// until the end of the stream.
pub async fn responses(config: Config, input: &[u8], piece_len: usize) -> Vec<Frame> {
    let mut client = echo(config);
    for piece in input.chunks(piece_len) {
        // The server may close before it has read everything.
        if client.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    read_all(&mut client).await
}

/// The client's end of a stream to an HTTP server with the endpoint of `chat`, under the limits of
/// the standalone server.
pub fn endpoint(chat: &Chat) -> DuplexStream {
    let (server, client) = tokio::io::duplex(1 << 20);
    let service = chat_ws::service(chat.clone());
    tokio::spawn(async move {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        let _ = connection.await;
    });
    client
}

pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
pub const MAX_HEADERS: usize = 64;

/// The status and the head of the HTTP response, or none if the server ends the stream without one.
pub async fn response_head(io: &mut (impl AsyncRead + Unpin)) -> Option<(u16, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(char::from(byte)),
            Err(_) if head.is_empty() => return None,
            Err(error) => panic!("an incomplete response: {head:?}: {error}"),
        }
    }
    let status = head.strip_prefix("HTTP/1.").expect("a response in HTTP/1");
    let status = status.split(' ').nth(1).expect("a status");
    Some((status.parse().expect("a number"), head))
}

pub fn text(text: &str) -> Incoming {
    Incoming::Text(Bytes::copy_from_slice(text.as_bytes()))
}
