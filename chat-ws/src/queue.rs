//! What waits to be written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::io::AsyncWrite;

/// Whole frames in the order of writing, shared and not copied.
///
/// Holds less than [`MAX_BYTES`] in less than [`MAX_CHUNKS`] chunks before the last push is refused
/// room for another, and besides at most one ping and 17 pongs, the last of which is always the
/// newest (RFC 6455 §5.5.3). Two chunks, replies and a batch, need no allocation; what more needed is
/// given back when it is written.
#[derive(Default)]
pub(crate) struct Queue {
    chunks: SmallVec<[Bytes; 2]>,
    bytes: usize,
    /// The newest pong, while there are enough among `chunks`.
    pong: Option<Box<Bytes>>,
    /// Pongs among `chunks`, or already written while others are not.
    pongs: u8,
    has_ping: bool,
    /// Whether the stream may hold back what it was given.
    unflushed: bool,
}

/// Pongs that wait beside the newest: as many as an honest client's pings might at once.
const MAX_PONGS: u8 = 16;
/// Bytes from which on the queue is full.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// Chunks from which on the queue is full.
pub(crate) const MAX_CHUNKS: usize = 32;

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.pong.is_none() && !self.unflushed
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES || self.chunks.len() >= MAX_CHUNKS
    }

    /// Appends whole frames.
    pub(crate) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.bytes += frames.len();
            self.chunks.push(frames);
        }
    }

    /// Appends a ping, unless one is waiting.
    pub(crate) fn push_ping(&mut self) {
        if !self.has_ping {
            self.has_ping = true;
            self.push(crate::frame::PING);
        }
    }

    /// Appends a pong; where many wait, it only takes the place of the last one.
    pub(crate) fn push_pong(&mut self, pong: Bytes) {
        if self.pongs < MAX_PONGS {
            self.pongs += 1;
            self.push(pong);
        } else {
            self.pong = Some(Box::new(pong));
        }
    }

    /// Appends a close frame, behind the last pong.
    pub(crate) fn push_close(&mut self, frame: Bytes) {
        let pong = self.pong.take().unwrap_or_default();
        self.push(*pong);
        self.push(frame);
    }

    /// Writes all of it to `io` and flushes that. May be called again after any outcome; what was
    /// written is gone from the queue.
    ///
    /// # Errors
    /// Those of `io`, and [`WriteZero`](io::ErrorKind::WriteZero).
    pub(crate) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(pong) = self.pong.take_if(|_| self.pongs < MAX_PONGS) {
                self.push_pong(*pong);
            }
            let io = Pin::new(&mut *io);
            let written = match self.chunks.len() {
                0 => {
                    ready!(io.poll_flush(cx))?;
                    self.unflushed = false;
                    return Poll::Ready(Ok(()));
                }
                2.. if io.is_write_vectored() => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let mut used = 0;
                    for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                        *slice = IoSlice::new(chunk);
                        used += 1;
                    }
                    ready!(io.poll_write_vectored(cx, &slices[..used]))?
                }
                _ => ready!(io.poll_write(cx, &self.chunks[0]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        let part = self.chunks.iter_mut().position(|chunk| {
            let whole = written >= chunk.len();
            if whole {
                written -= chunk.len();
            } else {
                chunk.advance(written);
            }
            !whole
        });
        if let Some(part) = part {
            self.chunks.drain(..part);
            return;
        }
        self.chunks = SmallVec::new();
        self.pongs = 0;
        self.has_ping = false;
    }
}

/// Slices in one system call: room for a full queue and the control frames behind it.
const MAX_SLICES: usize = 64;
