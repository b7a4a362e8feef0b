//! A connection in memory: two ends, and a window of bytes between them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use chat_core::{Incoming, Outgoing};
use futures_util::{Sink, Stream};
use parking_lot::Mutex;

/// Makes a connection. What the server has written and the client has not taken is "in the socket" up to `window` bytes;
/// with more than that the server's end is not ready. Large enough a window is a client that takes all at once.
///
/// An idle connection costs a few hundred bytes: queues are allocated when they are used, and given back.
pub fn pair(window: usize) -> (ServerEnd, ClientEnd) {
    let pipe = Arc::new(Mutex::new(Pipe {
        window,
        ..Pipe::default()
    }));
    (ServerEnd(Arc::clone(&pipe)), ClientEnd(pipe))
}

/// The end that the engine serves: a [`Transport`](chat_core::Transport). Dropping it ends the connection; what did not fit
/// into the window is lost then, as it is with a socket.
pub struct ServerEnd(Arc<Mutex<Pipe>>);

/// The end that a test holds. Dropping it ends the connection after what was sent.
pub struct ClientEnd(Arc<Mutex<Pipe>>);

/// What a client takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// One event.
    Text(Bytes),
    /// The code with which the server closed; nothing comes after it.
    Close(u16),
}

#[derive(Default)]
struct Pipe {
    up: VecDeque<Incoming>,
    down: VecDeque<Received>,
    /// Bytes in `down`.
    unread: usize,
    window: usize,
    stalled: bool,
    client_gone: bool,
    server_gone: bool,
    /// The server's task, waiting for a command.
    listening: Option<Waker>,
    /// The server's task, waiting for the window.
    writing: Option<Waker>,
    /// The client's task.
    reading: Option<Waker>,
}

impl Pipe {
    fn is_over_window(&self) -> bool {
        self.unread > self.window && !self.client_gone
    }

    fn poll_window(&mut self, cx: &Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_over_window() {
            self.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, received: Received) {
        self.unread += weight(&received);
        self.down.push_back(received);
    }

    fn take(&mut self) -> Option<Received> {
        if self.stalled {
            return None;
        }
        let received = self.down.pop_front()?;
        self.unread -= weight(&received);
        give_back(&mut self.down);
        if !self.is_over_window() {
            wake(&mut self.writing);
        }
        Some(received)
    }
}

impl Stream for ServerEnd {
    type Item = Result<Incoming, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut pipe = self.0.lock();
        let next = pipe.up.pop_front();
        if let Some(incoming) = next {
            give_back(&mut pipe.up);
            return Poll::Ready(Some(Ok(incoming)));
        }
        if pipe.client_gone {
            return Poll::Ready(None);
        }
        pipe.listening = Some(cx.waker().clone());
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
        // What is written to a peer that has gone is lost without a word, as in a socket's buffer.
        if pipe.client_gone {
            return Ok(());
        }
        match outgoing {
            Outgoing::Frames(frames) => frames
                .payloads()
                .for_each(|payload| pipe.put(Received::Text(payload))),
            Outgoing::Close(close) => pipe.put(Received::Close(close.code.0)),
        }
        wake(&mut pipe.reading);
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
            if let Some(lost) = pipe.down.pop_back() {
                pipe.unread -= weight(&lost);
            }
        }
        pipe.up = VecDeque::new();
        wake(&mut pipe.reading);
    }
}

impl ClientEnd {
    /// Sends a text message. One that the server no longer hears is lost.
    pub fn send(&self, text: impl Into<Bytes>) {
        self.put(Incoming::Text(text.into()));
    }

    /// Sends a binary message.
    pub fn send_binary(&self, bytes: impl Into<Bytes>) {
        self.put(Incoming::Binary(bytes.into()));
    }

    fn put(&self, incoming: Incoming) {
        let mut pipe = self.0.lock();
        if !pipe.server_gone {
            pipe.up.push_back(incoming);
            wake(&mut pipe.listening);
        }
    }

    /// Takes what comes next; none when the connection is over. Cancel-safe. Pending while [stalled](Self::stall).
    pub async fn recv(&self) -> Option<Received> {
        poll_fn(|cx| {
            let mut pipe = self.0.lock();
            if let Some(received) = pipe.take() {
                return Poll::Ready(Some(received));
            }
            if pipe.server_gone && !pipe.stalled {
                return Poll::Ready(None);
            }
            pipe.reading = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes what is there already.
    pub fn try_recv(&self) -> Option<Received> {
        self.0.lock().take()
    }

    /// Whether the server has let go and all that it said was taken.
    pub fn is_over(&self) -> bool {
        let pipe = self.0.lock();
        pipe.server_gone && pipe.down.is_empty()
    }

    /// Bytes that wait to be taken.
    pub fn unread(&self) -> usize {
        self.0.lock().unread
    }

    /// Stops taking.
    pub fn stall(&self) {
        self.0.lock().stalled = true;
    }

    /// Takes again.
    pub fn resume(&self) {
        let mut pipe = self.0.lock();
        pipe.stalled = false;
        wake(&mut pipe.reading);
    }

    /// Ends the connection as a broken network does: what was under way in either direction is lost.
    pub fn cut(&self) {
        let mut pipe = self.0.lock();
        pipe.up = VecDeque::new();
        pipe.down = VecDeque::new();
        pipe.unread = 0;
        pipe.leave();
    }

    /// Ends the connection after what was sent.
    pub fn close(&self) {
        self.0.lock().leave();
    }
}

impl Pipe {
    fn leave(&mut self) {
        self.client_gone = true;
        wake(&mut self.listening);
        wake(&mut self.writing);
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

fn weight(received: &Received) -> usize {
    match received {
        Received::Text(text) => text.len() + HEADER,
        Received::Close(_) => HEADER,
    }
}

/// A queue that has been long keeps no memory; a short one does not allocate each time.
fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 8 {
        *queue = VecDeque::new();
    }
}

/// What a frame's header adds on most wires.
const HEADER: usize = 4;
