//! [`WebSocket`]: the transport over a byte stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use chat_core::{Close, CloseCode, Incoming, Outgoing};
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::closing_handshake::ClosingHandshake;
use super::control_frames::close_frame;
use super::decoder::Decoded;
use super::heartbeat::{Heartbeat, HeartbeatEvent};
use super::message::Message;
use super::read_buffer::with_read_buffer;
use super::receiver::Receiver;
use super::write_queue::WriteQueue;
use crate::config::Config;

/// The server's end of an established WebSocket (RFC 6455), as a `chat-core` transport.
///
/// # Memory
///
/// An idle connection holds no buffer and no decoder. It is read into a buffer of its thread, and
/// it has a decoder from the first byte of a message to the last. At most 64 KiB in 32 chunks, one
/// `start_send` beyond that, one ping and 17 pongs wait to be written. A message under way takes at
/// most [`Config::message_bytes`].
///
/// # Receiving
///
/// The stream returns whole messages. It answers pings and close frames by itself, whether or not
/// the sink is polled. One poll does at most 16 reads of 16 KiB and handles at most 64 control
/// frames; then it yields and wakes its task. A full write queue does not stop the reading, because
/// nothing that is received can grow it without bound.
///
/// A violation is answered with its close code (1002, 1007, 1008 or 1009; 4003 for silence), and
/// then the stream ends. The stream also ends when the peer has closed the connection, with or
/// without a close frame. A socket that fails gives one error, and then the stream ends.
///
/// # Sending
///
/// Frames are written as they are, without a copy, and several in one system call. `poll_ready` is
/// pending while the queue is full. Whatever is sent once the connection is closing is dropped.
///
/// `poll_close` sends a close frame (1000, unless [`Outgoing::Close`] was sent before), waits at
/// most [`Config::close_timeout`] for the peer's close frame, discards everything else that
/// arrives, and then shuts the socket down. It never fails.
///
/// # Cancel safety
///
/// All polls are cancel-safe: what is half written or half read stays with the `WebSocket`.
pub struct WebSocket<IO> {
    config: Arc<Config>,
    heartbeat: Heartbeat,
    receiver: Receiver,
    state: State,
    queue: WriteQueue,
    io: IO,
}

enum State {
    Open,
    Closing(ClosingHandshake),
    Closed,
}

/// Why there is no message and will be none.
enum ReceiveEnd {
    /// A close frame is queued.
    Closing,
    /// The peer's half of the stream has ended.
    Disconnected,
    /// The socket has failed.
    Failed(io::Error),
}

/// Reads of the socket in one poll.
const MAX_READS: u32 = 16;
/// Control frames that are handled in one poll.
const MAX_CONTROL_FRAMES: u32 = 64;

impl<IO> WebSocket<IO> {
    /// A WebSocket over a stream whose opening handshake is done.
    ///
    /// `read_ahead` is what the HTTP server has read from the stream behind the handshake.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time driver.
    pub fn new(io: IO, read_ahead: &[u8], config: Arc<Config>) -> Self {
        let now = Instant::now();
        let mut receiver = Receiver::new(now);
        receiver.save(read_ahead, &config, now);
        Self {
            io,
            queue: WriteQueue::default(),
            heartbeat: Heartbeat::new(&config),
            receiver,
            state: State::Open,
            config,
        }
    }

    /// Queues a whole message, without a copy, to be written by the next flush.
    ///
    /// Call it when `poll_ready` is ready, like `start_send`. It is for hosts that speak another
    /// protocol than `chat.v1`. A message that is queued once the connection is closing is dropped.
    pub fn queue_message(&mut self, message: Message) {
        if let State::Open = self.state {
            for part in message.into_frame() {
                self.queue.push(part);
            }
        }
    }

    /// Fails the connection (RFC 6455 §7.1.7) because of what the peer did or did not do.
    fn fail(&mut self, close: &Close) {
        tracing::debug!(
            code = close.code.0,
            reason = close.reason,
            "closing the WebSocket"
        );
        let closing = ClosingHandshake::answering(&self.config);
        self.begin_closing(close_frame(close), closing);
    }

    /// Closes because the server wants to.
    fn initiate_close(&mut self, close: &Close) {
        if let State::Open = self.state {
            let closing = ClosingHandshake::initiated(&self.config);
            self.begin_closing(close_frame(close), closing);
        }
    }

    /// Queues the last frame. Nothing is decoded any more, unless the peer's close frame is
    /// awaited.
    fn begin_closing(&mut self, frame: Bytes, closing: ClosingHandshake) {
        self.queue.push_close(frame);
        if !closing.awaits_close_frame() {
            self.receiver.clear();
        }
        self.heartbeat.expire_in(closing.timeout(&self.config));
        self.state = State::Closing(closing);
    }

    /// Handles what was decoded. Nothing if more input is needed.
    #[inline]
    fn handle_decoded(
        &mut self,
        decoded: Decoded,
        cx: &Context<'_>,
    ) -> Option<Poll<Result<Incoming, ReceiveEnd>>> {
        match decoded {
            Decoded::NeedInput => None,
            Decoded::LimitReached => Some(yield_now(cx)),
            Decoded::Message(message) => Some(Poll::Ready(Ok(message))),
            Decoded::Close(reply) => {
                let closing = ClosingHandshake::answering(&self.config);
                self.begin_closing(reply, closing);
                Some(Poll::Ready(Err(ReceiveEnd::Closing)))
            }
            Decoded::Violation(close) => {
                self.fail(&close);
                Some(Poll::Ready(Err(ReceiveEnd::Closing)))
            }
        }
    }

    /// Pings a silent peer, and gives it up if it does not answer.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ReceiveEnd>> {
        loop {
            let message_start = self.receiver.message_start();
            match ready!(self.heartbeat.poll(cx, &self.config, message_start)) {
                HeartbeatEvent::PingDue => self.queue.push_ping(),
                HeartbeatEvent::Rescheduled => {}
                HeartbeatEvent::TimedOut => {
                    self.fail(&Close::new(CloseCode::IDLE, "no answer to ping"));
                    return Poll::Ready(Err(ReceiveEnd::Closing));
                }
            }
        }
    }

    /// Drops everything but the socket itself.
    fn finish(&mut self) {
        self.state = State::Closed;
        self.receiver.clear();
        self.queue = WriteQueue::default();
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    /// The next message while the connection is open.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ReceiveEnd>> {
        let mut control_frames_left = MAX_CONTROL_FRAMES;
        let mut send_pong = |pong| self.queue.push_pong(pong);
        let decoded = self
            .receiver
            .decode_saved(&mut send_pong, &mut control_frames_left);
        if let Some(poll) = self.handle_decoded(decoded, cx) {
            return poll;
        }
        for _ in 0..MAX_READS {
            let decoded = match self.poll_read(cx, &mut control_frames_left) {
                Poll::Ready(Ok(decoded)) => decoded,
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => return self.poll_heartbeat(cx),
            };
            if let Some(poll) = self.handle_decoded(decoded, cx) {
                return poll;
            }
        }
        yield_now(cx)
    }

    /// Reads the socket once and decodes what has arrived.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        control_frames_left: &mut u32,
    ) -> Poll<Result<Decoded, ReceiveEnd>> {
        with_read_buffer(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)).map_err(ReceiveEnd::Failed)?;
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(ReceiveEnd::Disconnected));
            }
            let now = Instant::now();
            self.heartbeat.received(now);
            let mut send_pong = |pong| self.queue.push_pong(pong);
            Poll::Ready(Ok(self.receiver.decode(
                bytes,
                &self.config,
                now,
                &mut send_pong,
                control_frames_left,
            )))
        })
    }

    /// Carries out the closing handshake. Ready when the connection can be dropped.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Closing(closing) = &mut self.state {
            ready!(closing.poll(
                &mut self.io,
                &mut self.queue,
                &mut self.receiver,
                &mut self.heartbeat,
                &self.config,
                cx,
            ));
            self.finish();
        }
        Poll::Ready(())
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<IO> {
    type Item = io::Result<Incoming>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let State::Open = this.state {
            let end = match this.poll_message(cx) {
                Poll::Ready(Ok(message)) => return Poll::Ready(Some(Ok(message))),
                Poll::Ready(Err(end)) => end,
                // A ping or pong may have been queued, and the sink may not be polled.
                Poll::Pending if this.queue.is_empty() => return Poll::Pending,
                Poll::Pending => match this.queue.poll_write(&mut this.io, cx) {
                    Poll::Ready(Err(error)) => ReceiveEnd::Failed(error),
                    _ => return Poll::Pending,
                },
            };
            match end {
                ReceiveEnd::Closing => {}
                ReceiveEnd::Disconnected => this.finish(),
                ReceiveEnd::Failed(error) => {
                    this.finish();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        this.poll_closing(cx).map(|()| None)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Sink<Outgoing> for WebSocket<IO> {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.queue.is_full() {
            return Poll::Ready(Ok(()));
        }
        match this.queue.poll_write(&mut this.io, cx)? {
            Poll::Pending if this.queue.is_full() => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> io::Result<()> {
        let this = self.get_mut();
        match item {
            Outgoing::Frames(frames) => {
                if let State::Open = this.state {
                    this.queue.push(frames.into_bytes());
                }
            }
            Outgoing::Close(close) => this.initiate_close(&close),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.queue.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            this.queue.poll_write(&mut this.io, cx)
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.initiate_close(&Close::new(CloseCode::NORMAL, ""));
        this.poll_closing(cx).map(Ok)
    }
}

impl<IO> fmt::Debug for WebSocket<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Open => "open",
            State::Closing(_) => "closing",
            State::Closed => "closed",
        };
        f.debug_struct("WebSocket")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// Lets other tasks run first.
fn yield_now<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
