//! A raw client over an in-memory stream, and the server that it talks to.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part"
)]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use std::time::Duration;

use bytes::Bytes;
use chat_core::{Chat, Incoming};
use chat_ws::{Config, WebSocket};
use futures::{Sink, SinkExt, StreamExt};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;
/// Frames that others continue, and their continuations.
pub const TEXT_START: u8 = 0x01;
pub const CONTINUE: u8 = 0x00;
pub const CONTINUE_END: u8 = 0x80;

/// A client's frame: masked, of the shortest length.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

/// The header of one, with its mask.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    let mut out = vec![first];
    match len {
        0..126 => out.push(0x80 | len as u8),
        126..65_536 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(MASK);
    out
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A close frame of a client.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, &close_payload(code, reason))
}

pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// A frame of the server: first byte and payload.
pub type Frame = (u8, Vec<u8>);

/// The next frame of the server; none at the end of the stream.
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

/// All frames to the end of the stream.
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

/// Sends every message back; the messages, once the stream has ended.
pub async fn serve_echo<IO>(mut socket: WebSocket<IO>) -> Vec<Incoming>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut messages = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        poll_fn(|cx| Pin::new(&mut socket).poll_ready(cx))
            .await
            .unwrap();
        socket.queue_message(message.clone());
        socket.flush().await.unwrap();
        messages.push(message);
    }
    messages
}

/// What an echo of this server says to `input`, sent in pieces of `chop` bytes, to the end that one
/// of both makes; then the client ends its half.
pub async fn ask(config: Config, input: &[u8], chop: usize) -> Vec<Frame> {
    let mut client = echo(config);
    for piece in input.chunks(chop) {
        // The server may have ended the stream before it took everything.
        if client.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    read_all(&mut client).await
}

/// The client's end of a stream to an HTTP server with the chat's endpoint, under the limits of the standalone server.
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

/// The status and the head of the answer; none if the server ends the stream without one.
pub async fn answer(io: &mut (impl AsyncRead + Unpin)) -> Option<(u16, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(char::from(byte)),
            Err(_) if head.is_empty() => return None,
            Err(error) => panic!("half an answer: {head:?}: {error}"),
        }
    }
    let status = head.strip_prefix("HTTP/1.").expect("an answer in HTTP/1");
    let status = status.split(' ').nth(1).expect("a status");
    Some((status.parse().expect("a number"), head))
}

pub fn text(text: &str) -> Incoming {
    Incoming::Text(Bytes::copy_from_slice(text.as_bytes()))
}
