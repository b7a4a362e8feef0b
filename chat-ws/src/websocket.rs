//! The transport: a socket with a write queue, and a parser while there is something to parse.

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

use crate::closing::Closing;
use crate::config::Config;
use crate::flood::Flood;
use crate::frame;
use crate::heartbeat::{Beat, Heartbeat};
use crate::queue::Queue;
use crate::reading::{Reading, Step};
use crate::scratch;

/// The server's end of an established WebSocket (RFC 6455), as a `chat-core` transport.
///
/// **Memory.** An idle connection holds no buffer and no parser: it is read into a buffer of its
/// thread, and has a parser from the first byte of a message to the last. At most 64 KiB in 32
/// chunks, and one `start_send` over that, wait to be written, with one ping and 17 pongs; a
/// message under way takes at most [`Config::message_bytes`].
///
/// **Reading.** The stream gives whole messages; it answers pings and closes by itself, whether or
/// not the sink is polled. One poll takes at most 16 reads of 16 KiB and 64 control frames, then
/// wakes itself. A full write queue does not stop reading, as nothing that is read adds to it. A
/// violation is answered with its close code (1002, 1007, 1008, 1009; 4003 for silence), then the
/// stream ends. It also ends when the peer closed, with or without a close frame. An error is given
/// once, for a socket that failed; then the stream ends.
///
/// **Writing.** Frames are written as they are, uncopied, several in one system call.
/// `poll_ready` is pending while the queue is full. What is sent once the connection is closing is
/// dropped. `poll_close` sends a close frame (1000 unless [`Outgoing::Close`] was sent before),
/// waits at most [`Config::close_timeout`] for the peer's, discarding what else comes, then shuts
/// the socket down; it never fails.
///
/// All polls are cancel-safe: what is half written or half read stays with the `WebSocket`.
//
// Last what a delivery touches: in a `chat_core::Connection` that lies beside what it touches of the rest, so that it waits for
// fewer lines of memory.
#[repr(C)]
pub struct WebSocket<IO> {
    config: Arc<Config>,
    heartbeat: Heartbeat,
    flood: Flood,
    reading: Option<Box<Reading>>,
    phase: Phase,
    queue: Queue,
    io: IO,
}

enum Phase {
    Open,
    Closing(Closing),
    Over,
}

/// Why the stream has no message.
enum End {
    /// The connection is closing.
    Closing,
    /// The peer is gone.
    Gone,
    Failed(io::Error),
}

/// Reads of the socket in one poll.
const READS: u32 = 16;
/// Control frames handled in one poll.
const FRAMES: u32 = 64;

impl<IO> WebSocket<IO> {
    /// A WebSocket over a stream on which the opening handshake is done.
    ///
    /// `read_ahead` is what the HTTP server has read from the stream behind the handshake.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time driver.
    pub fn new(io: IO, read_ahead: &[u8], config: Arc<Config>) -> Self {
        let now = Instant::now();
        let mut socket = Self {
            io,
            queue: Queue::default(),
            heartbeat: Heartbeat::new(&config),
            flood: Flood::new(now),
            reading: None,
            phase: Phase::Open,
            config,
        };
        if !read_ahead.is_empty() {
            let (reading, input, _) = socket.take_in(read_ahead, now);
            reading.keep(input);
        }
        socket
    }

    /// Queues a whole message, uncopied, to be written by the next flush.
    ///
    /// To be called when `poll_ready` is ready, like `start_send`. For hosts that speak something
    /// else than `chat.v1`.
    pub fn queue_message(&mut self, message: Incoming) {
        if let Phase::Open = self.phase {
            let (header, payload) = match message {
                Incoming::Text(text) => (frame::text_header(text.len()), text),
                Incoming::Binary(bytes) => (frame::binary_header(bytes.len()), bytes),
            };
            self.queue.push(header);
            self.queue.push(payload);
        }
    }

    /// Hands bytes to the parser, there from now on; what they leave to parse, and whether the
    /// peer still keeps to its limit of frames that carry nothing.
    fn take_in<'a>(&mut self, bytes: &'a [u8], now: Instant) -> (&mut Reading, &'a [u8], bool) {
        let limit = self.config.message_bytes;
        let reading = self
            .reading
            .get_or_insert_with(|| Reading::begin(limit, now));
        let (input, idle) = reading.take_in(bytes, limit);
        let fair = self.flood.allows(idle, self.config.idle_frames, now);
        (reading, input, fair)
    }

    /// Follows up a step of the parser: what there is to give, if anything.
    fn follow(&mut self, step: Step, now: impl FnOnce() -> Instant) -> Option<Taken> {
        let taken = match step {
            Step::Message(message) => {
                if let Some(reading) = &mut self.reading {
                    reading.began = now();
                }
                Some(Taken::Message(message))
            }
            Step::Close(reply) => {
                self.close_with(reply, Closing::answered(&self.config));
                return Some(Taken::Closing);
            }
            Step::Broken(close) => {
                self.refuse(&close);
                return Some(Taken::Closing);
            }
            Step::Enough => Some(Taken::Enough),
            Step::More => None,
        };
        if let Some(reading) = self.reading.take_if(|reading| reading.is_idle()) {
            reading.end();
        }
        taken
    }

    /// Closes because of what the peer did.
    fn refuse(&mut self, close: &Close) {
        tracing::debug!(
            code = close.code.0,
            reason = close.reason,
            "closing WebSocket"
        );
        self.close_with(frame::close(close), Closing::answered(&self.config));
    }

    /// Queues the last frame; nothing is parsed any more, unless a reply is awaited.
    fn close_with(&mut self, frame: Bytes, closing: Closing) {
        self.queue.push_close(frame);
        if !closing.awaits_reply() {
            self.reading = None;
        }
        self.heartbeat.expire_in(closing.time(&self.config));
        self.phase = Phase::Closing(closing);
    }

    /// Closes because the server wants it.
    fn close_first(&mut self, close: &Close) {
        if let Phase::Open = self.phase {
            self.close_with(frame::close(close), Closing::first(&self.config));
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.reading = None;
        self.queue = Queue::default();
    }
}

/// What was taken from the parser.
enum Taken {
    Message(Incoming),
    Closing,
    Enough,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> WebSocket<IO> {
    /// The next message while the connection is open.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, End>> {
        let mut frames = FRAMES;
        if let Some(reading) = &mut self.reading {
            let step = reading.step_kept(&mut |pong| self.queue.push_pong(pong), &mut frames);
            match self.follow(step, Instant::now) {
                Some(Taken::Message(message)) => return Poll::Ready(Ok(message)),
                Some(Taken::Closing) => return Poll::Ready(Err(End::Closing)),
                Some(Taken::Enough) => return yield_now(cx),
                None => {}
            }
        }
        for _ in 0..READS {
            let taken = scratch::with(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)).map_err(End::Failed)?;
                if buf.filled().is_empty() {
                    return Poll::Ready(Err(End::Gone));
                }
                Poll::Ready(Ok(self.receive(buf.filled(), &mut frames)))
            });
            match taken {
                Poll::Ready(Ok(Some(Taken::Message(message)))) => return Poll::Ready(Ok(message)),
                Poll::Ready(Ok(Some(Taken::Closing))) => return Poll::Ready(Err(End::Closing)),
                Poll::Ready(Ok(Some(Taken::Enough))) => return yield_now(cx),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => return self.poll_silence(cx),
            }
        }
        yield_now(cx)
    }

    /// Takes bytes from the socket.
    fn receive(&mut self, bytes: &[u8], frames: &mut u32) -> Option<Taken> {
        let now = Instant::now();
        self.heartbeat.hear(now);
        let (_, mut input, fair) = self.take_in(bytes, now);
        if !fair {
            self.refuse(&Close::new(
                CloseCode::POLICY,
                "too many control or empty frames",
            ));
            return Some(Taken::Closing);
        }
        let reading = self.reading.as_mut()?;
        let step = reading.step(&mut input, &mut |pong| self.queue.push_pong(pong), frames);
        reading.keep(input);
        self.follow(step, || now)
    }

    /// Pings or gives up a peer from which nothing comes.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, End>> {
        loop {
            let began = self.reading.as_ref().map(|reading| reading.began);
            match ready!(self.heartbeat.poll(cx, &self.config, began)) {
                Beat::Ping => self.queue.push_ping(),
                Beat::Rest => {}
                Beat::Dead => {
                    self.refuse(&Close::new(CloseCode::IDLE, "no answer to ping"));
                    return Poll::Ready(Err(End::Closing));
                }
            }
        }
    }

    /// Carries out the closing handshake; ready when the connection can be dropped.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Phase::Closing(closing) = &mut self.phase else {
                return Poll::Ready(());
            };
            let advanced = closing.poll_written(&mut self.io, &mut self.queue, cx);
            let reads = closing.reads();
            if closing.is_over() || self.heartbeat.poll_expired(cx).is_ready() {
                self.end();
                return Poll::Ready(());
            }
            if advanced {
                continue;
            }
            if !reads {
                return Poll::Pending;
            }
            ready!(self.poll_discard(cx));
        }
    }

    /// Reads what nobody wants, but for the peer's close frame; ready when that may have changed
    /// the state of closing.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Phase::Closing(closing) = &mut self.phase else {
            return Poll::Ready(());
        };
        if closing.awaits_reply()
            && let Some(reading) = &mut self.reading
            && closing.seek_reply(reading, None)
        {
            return Poll::Ready(());
        }
        scratch::with(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf));
            let bytes = buf.filled();
            if read.is_err() || bytes.is_empty() {
                closing.peer_ended();
            } else if closing.discard(bytes.len()) && closing.awaits_reply() {
                let limit = self.config.message_bytes;
                let begin = || Reading::begin(limit, Instant::now());
                let reading = self.reading.get_or_insert_with(begin);
                let (input, _) = reading.take_in(bytes, limit);
                closing.seek_reply(reading, Some(input));
            }
            Poll::Ready(())
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_write(&mut self.io, cx)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<IO> {
    type Item = io::Result<Incoming>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Phase::Open = this.phase {
            let end = match this.poll_message(cx) {
                Poll::Ready(Ok(message)) => return Poll::Ready(Some(Ok(message))),
                Poll::Ready(Err(end)) => end,
                // A ping or pong may have been queued, and nobody else might write it.
                Poll::Pending if this.queue.is_empty() => return Poll::Pending,
                Poll::Pending => match this.poll_write(cx) {
                    Poll::Ready(Err(error)) => End::Failed(error),
                    _ => return Poll::Pending,
                },
            };
            match end {
                End::Closing => {}
                End::Gone => this.end(),
                End::Failed(error) => {
                    this.end();
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
        match this.poll_write(cx)? {
            Poll::Pending if this.queue.is_full() => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start_send(self: Pin<&mut Self>, item: Outgoing) -> io::Result<()> {
        let this = self.get_mut();
        match item {
            Outgoing::Frames(frames) => {
                if let Phase::Open = this.phase {
                    this.queue.push(frames.into_bytes());
                }
            }
            Outgoing::Close(close) => this.close_first(&close),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.queue.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            this.poll_write(cx)
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close_first(&Close::new(CloseCode::NORMAL, ""));
        this.poll_closing(cx).map(Ok)
    }
}

impl<IO> fmt::Debug for WebSocket<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Open => "open",
            Phase::Closing(_) => "closing",
            Phase::Over => "over",
        };
        f.debug_struct("WebSocket")
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}

/// Lets other tasks go first.
fn yield_now<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
