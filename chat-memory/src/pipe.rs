//! A connection in memory: two ends, and a window of bytes between them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chat_core::{Incoming, Outgoing};
use futures::{Sink, Stream};
use parking_lot::Mutex;

/// Makes a connection.
///
/// `window` is the size in bytes of the socket buffer that is simulated: while the server has
/// written more than that and the client has not taken it, the server's end is not ready. A client
/// with a window of `usize::MAX` accepts everything at once; with a window of 0, the engine
/// cannot send anything before the client has received what was sent last.
///
/// An idle connection costs a few hundred bytes: queues are allocated when they are used, and freed
/// again.
///
/// ```
/// use chat_core::Chat;
/// use chat_memory::{Received, block_on_paused, pair};
///
/// block_on_paused(async {
///     let chat = Chat::builder().build();
///     let (server, client) = pair(64 * 1024);
///     tokio::spawn(chat.admit(None).unwrap().serve(server));
///
///     client.send(r#"{"type":"hello"}"#);
///     let Some(Received::Text(welcome)) = client.recv().await else {
///         panic!("the first message must be an event");
///     };
///     assert!(welcome.starts_with(br#"{"type":"welcome""#));
/// });
/// ```
pub fn pair(window: usize) -> (ServerEnd, ClientEnd) {
    let pipe = Arc::new(Mutex::new(Pipe {
        window,
        ..Pipe::default()
    }));
    (ServerEnd(Arc::clone(&pipe)), ClientEnd(pipe))
}

/// The end that the engine serves: a [`Transport`](chat_core::Transport).
///
/// Dropping it ends the connection. Whatever exceeds the window is lost then, as it is with a
/// socket.
#[derive(Debug)]
pub struct ServerEnd(Arc<Mutex<Pipe>>);

/// The end that a test holds.
///
/// Dropping it ends the connection; what the client sent before still reaches the server.
#[derive(Debug)]
pub struct ClientEnd(Arc<Mutex<Pipe>>);

/// What a client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One event as JSON.
    Text(Bytes),
    /// The code with which the server closed. Nothing comes after it.
    Close(u16),
}

#[derive(Debug, Default)]
struct Pipe {
    to_server: VecDeque<Incoming>,
    to_client: VecDeque<Received>,
    /// Bytes in `to_client`.
    unread: usize,
    window: usize,
    stalled: bool,
    client_gone: bool,
    server_gone: bool,
    /// The server's task while it waits for a command.
    server_reader: Option<Waker>,
    /// The server's task while it waits for room in the window.
    server_writer: Option<Waker>,
    /// The client's task while it waits for an event.
    client_reader: Option<Waker>,
}

impl Pipe {
    fn is_over_window(&self) -> bool {
        self.unread > self.window && !self.client_gone
    }

    fn poll_window(&mut self, cx: &Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_over_window() {
            self.server_writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn push_to_client(&mut self, received: Received) {
        self.unread += wire_len(&received);
        self.to_client.push_back(received);
    }

    fn pop_for_client(&mut self) -> Option<Received> {
        if self.stalled {
            return None;
        }
        let received = self.to_client.pop_front()?;
        self.unread -= wire_len(&received);
        shrink(&mut self.to_client);
        if !self.is_over_window() {
            wake(&mut self.server_writer);
        }
        Some(received)
    }

    fn end_client(&mut self) {
        self.client_gone = true;
        wake(&mut self.server_reader);
        wake(&mut self.server_writer);
    }
}

impl Stream for ServerEnd {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut pipe = self.0.lock();
        let next = pipe.to_server.pop_front();
        if let Some(incoming) = next {
            shrink(&mut pipe.to_server);
            return Poll::Ready(Some(Ok(incoming)));
        }
        if pipe.client_gone {
            return Poll::Ready(None);
        }
        pipe.server_reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink<Outgoing> for ServerEnd {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.lock().poll_window(cx)
    }

    fn start_send(self: Pin<&mut Self>, outgoing: Outgoing) -> Result<(), Infallible> {
        let mut pipe = self.0.lock();
        // What is written to a peer that has gone is lost silently, as in a socket's buffer.
        if pipe.client_gone {
            return Ok(());
        }
        match outgoing {
            Outgoing::Frames(frames) => frames
                .payloads()
                .for_each(|payload| pipe.push_to_client(Received::Text(payload))),
            Outgoing::Close(close) => pipe.push_to_client(Received::Close(close.code.0)),
        }
        wake(&mut pipe.client_reader);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.lock().poll_window(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.lock().poll_window(cx)
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        pipe.server_gone = true;
        while pipe.is_over_window() {
            if let Some(lost) = pipe.to_client.pop_back() {
                pipe.unread -= wire_len(&lost);
            }
        }
        pipe.to_server = VecDeque::new();
        wake(&mut pipe.client_reader);
    }
}

impl ClientEnd {
    /// Sends a text message. It is lost if the server has already ended the connection.
    pub fn send(&self, text: impl Into<Bytes>) {
        self.push(Incoming::Text(text.into()));
    }

    /// Sends a binary message. It is lost if the server has already ended the connection.
    pub fn send_binary(&self, bytes: impl Into<Bytes>) {
        self.push(Incoming::Binary(bytes.into()));
    }

    fn push(&self, incoming: Incoming) {
        let mut pipe = self.0.lock();
        if !pipe.server_gone {
            pipe.to_server.push_back(incoming);
            wake(&mut pipe.server_reader);
        }
    }

    /// Receives the next message, or `None` once the connection [is closed](Self::is_closed). It is
    /// pending while the client is [stalled](Self::stall).
    ///
    /// Cancel-safe: a future that is dropped before it is ready has taken nothing.
    pub async fn recv(&self) -> Option<Received> {
        poll_fn(|cx| {
            let mut pipe = self.0.lock();
            if let Some(received) = pipe.pop_for_client() {
                return Poll::Ready(Some(received));
            }
            if pipe.server_gone && !pipe.stalled {
                return Poll::Ready(None);
            }
            pipe.client_reader = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Receives a message that has arrived already. `None` if there is none, or the client is
    /// [stalled](Self::stall).
    pub fn try_recv(&self) -> Option<Received> {
        self.0.lock().pop_for_client()
    }

    /// Whether the server has dropped its end and everything that it sent was received.
    pub fn is_closed(&self) -> bool {
        let pipe = self.0.lock();
        pipe.server_gone && pipe.to_client.is_empty()
    }

    /// How many bytes wait to be received.
    pub fn unread(&self) -> usize {
        self.0.lock().unread
    }

    /// Stops receiving, so that the window fills up.
    pub fn stall(&self) {
        self.0.lock().stalled = true;
    }

    /// Receives again after [`stall`](Self::stall).
    pub fn resume(&self) {
        let mut pipe = self.0.lock();
        pipe.stalled = false;
        wake(&mut pipe.client_reader);
    }

    /// Ends the connection as a broken network does: everything under way in either direction is
    /// lost.
    pub fn abort(&self) {
        let mut pipe = self.0.lock();
        pipe.to_server = VecDeque::new();
        pipe.to_client = VecDeque::new();
        pipe.unread = 0;
        pipe.end_client();
    }

    /// Ends the connection in good order: what the client sent before still reaches the server.
    pub fn close(&self) {
        self.0.lock().end_client();
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.close();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn wire_len(received: &Received) -> usize {
    match received {
        Received::Text(text) => text.len() + HEADER_LEN,
        Received::Close(_) => HEADER_LEN,
    }
}

/// Frees the memory of an empty queue that has been long. A short queue keeps its memory, so that
/// it does not allocate for each message.
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 8 {
        *queue = VecDeque::new();
    }
}

/// What the header of a frame adds on most transports.
const HEADER_LEN: usize = 4;
